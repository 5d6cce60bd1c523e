// SPDX-License-Identifier: Apache-2.0
// Signatures as minisign makes them (jedisct1.github.io/minisign), by keys of which everybody knows the secret.
#include <config.h>

#include "rig_sign.h"

#include <criterion/criterion.h>

#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rig.h"

#define TIME(s) ((const struct timespec[2]){{.tv_sec = (time_t) (s)}, {.tv_sec = (time_t) (s)}})

struct key {
    uint8_t public[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES];
};

static void make_key(char name, struct key *k)
{
    uint8_t seed[crypto_sign_SEEDBYTES] = {(uint8_t) name};

    cr_assert_geq(sodium_init(), 0);
    crypto_sign_seed_keypair(k->public, k->secret, seed);
}

// "Ed" or "ED", the number of the key, and what is behind.
static void encode(char *text, size_t size, const char *kind, char name, const void *bytes, size_t n)
{
    uint8_t all[2 + 8 + crypto_sign_BYTES] = {(uint8_t) kind[0], (uint8_t) kind[1], (uint8_t) name};

    memcpy(all + 10, bytes, n);
    sodium_bin2base64(text, size, all, 10 + n, sodium_base64_VARIANT_ORIGINAL);
}

static void write_file(struct rig *x, const char *name, const char *text, int64_t time_s)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/%s", x->directory, name);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text) && fchmod(fd, 0644) == 0 &&
              futimens(fd, TIME(time_s)) == 0);
    close(fd);
}

void rig_trust(struct rig *x, unsigned required, const char *names, int64_t time_s)
{
    char text[2048];
    size_t used = (size_t) snprintf(text, sizeof(text), "required=%u;keys=(", required);

    for (const char *name = names; *name; name++) {
        char encoded[128];
        struct key k;
        make_key(*name, &k);
        encode(encoded, sizeof(encoded), "Ed", *name, k.public, sizeof(k.public));
        used += (size_t) snprintf(text + used, sizeof(text) - used, "%s{name=\"%c\";key=\"%s\";}",
                                  name == names ? "" : ",", *name, encoded);
    }
    snprintf(text + used, sizeof(text) - used, ");");
    write_file(x, "trust.conf", text, time_s);
}

static size_t read_config(const struct rig *x, uint8_t *bytes, size_t size)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/mcr.conf", x->directory);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    ssize_t n = read(fd, bytes, size);
    cr_assert(n > 0 && (size_t) n < size);
    close(fd);
    return (size_t) n;
}

void rig_sign(struct rig *x, char name)
{
    static const char comment[] = "ticket 4711";
    uint8_t config[8192], hash[64], signature[crypto_sign_BYTES + sizeof(comment)], global[crypto_sign_BYTES];
    char first[256], second[256], text[1024], file[32];
    size_t size = read_config(x, config, sizeof(config));
    struct key k;

    make_key(name, &k);
    crypto_generichash(hash, sizeof(hash), config, size, NULL, 0);
    crypto_sign_detached(signature, NULL, hash, sizeof(hash), k.secret);
    memcpy(signature + crypto_sign_BYTES, comment, strlen(comment));
    crypto_sign_detached(global, NULL, signature, crypto_sign_BYTES + strlen(comment), k.secret);
    encode(first, sizeof(first), "ED", name, signature, crypto_sign_BYTES);
    sodium_bin2base64(second, sizeof(second), global, sizeof(global), sodium_base64_VARIANT_ORIGINAL);
    snprintf(text, sizeof(text), "untrusted comment: of the rig\n%s\ntrusted comment: %s\n%s\n", first, comment,
             second);
    snprintf(file, sizeof(file), "mcr.conf.%c.minisig", name);
    write_file(x, file, text, RIG_EPOCH);
}
