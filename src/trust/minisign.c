// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "trust/minisign.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define ALGORITHM_LEGACY    "Ed"
#define ALGORITHM_PREHASHED "ED"
#define UNTRUSTED           "untrusted comment: "
#define TRUSTED             "trusted comment: "
#define COMMENT_MAX         8192 // minisign's TRUSTEDCOMMENTMAXBYTES

struct packed_key {
    char algorithm[2];
    uint8_t id[8], point[32];
};
struct packed_signature {
    char algorithm[2];
    uint8_t id[8], bytes[64];
};

_Static_assert(sizeof(struct packed_key) == MINISIGN_KEY_TEXT / 4 * 3 && sizeof(struct packed_signature) == 74,
               "no room between the fields");
_Static_assert(sizeof(((struct minisign_key *) NULL)->point) == crypto_sign_PUBLICKEYBYTES &&
                   sizeof(((struct minisign_signature *) NULL)->bytes) == crypto_sign_BYTES,
               "Ed25519, RFC 8032");

static size_t refuse(char why[MINISIGN_WHY_MAX], const char *reason)
{
    snprintf(why, MINISIGN_WHY_MAX, "%s", reason);
    return 0;
}

#define ALPHABET "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=" // RFC 4648, 4

// Exactly as many bytes as out has room for, in the one way of writing them: libsodium 1.0.18 takes each byte from 0x80
// up for a slash.
static bool decode(const char *text, size_t length, void *out, size_t size)
{
    const char *end;
    size_t got;

    for (size_t i = 0; i < length; i++)
        if (text[i] == '\0' || !strchr(ALPHABET, text[i]))
            return false;
    return sodium_base642bin(out, size, text, length, NULL, &got, &end, sodium_base64_VARIANT_ORIGINAL) == 0 &&
           got == size && end == text + length;
}

bool minisign_key(const char *text, size_t size, struct minisign_key *out, char why[MINISIGN_WHY_MAX])
{
    struct packed_key key;

    if (size != MINISIGN_KEY_TEXT || !decode(text, size, &key, sizeof(key)) ||
        memcmp(key.algorithm, ALGORITHM_LEGACY, sizeof(key.algorithm)) != 0)
        return refuse(why, "not the second line of a public key of minisign");
    if (!crypto_core_ed25519_is_valid_point(key.point))
        return refuse(why, "nobody's key: is a character wrong?");
    memcpy(out->id, key.id, sizeof(out->id));
    memcpy(out->point, key.point, sizeof(out->point));
    return true;
}

struct line {
    const char *text;
    size_t length; // without its end
};

// Takes the next line, which ends with LF, CR LF, or the text.
static bool take_line(const char **at, const char *end, struct line *l)
{
    const char *stop = memchr(*at, '\n', (size_t) (end - *at));

    l->text = *at;
    l->length = (size_t) ((stop ? stop : end) - *at);
    *at = stop ? stop + 1 : end;
    if (stop && l->length > 0 && l->text[l->length - 1] == '\r')
        l->length--;
    return l->length > 0 && !memchr(l->text, '\0', l->length) && !memchr(l->text, '\r', l->length);
}

static bool take_comment(struct line *l, const char *prefix)
{
    size_t n = strlen(prefix);

    if (l->length < n || memcmp(l->text, prefix, n) != 0)
        return false;
    l->text += n;
    l->length -= n;
    return l->length <= COMMENT_MAX;
}

size_t minisign_signature(const char *text, size_t size, struct minisign_signature *out, char why[MINISIGN_WHY_MAX])
{
    const char *at = text, *end = text + size;
    struct packed_signature packed;
    struct line l;

    if (!take_line(&at, end, &l) || !take_comment(&l, UNTRUSTED))
        return refuse(why, "not a signature of minisign: line 1");
    if (!take_line(&at, end, &l) || !decode(l.text, l.length, &packed, sizeof(packed)))
        return refuse(why, "not a signature of minisign: line 2");
    out->prehashed = memcmp(packed.algorithm, ALGORITHM_PREHASHED, sizeof(packed.algorithm)) == 0;
    if (!out->prehashed && memcmp(packed.algorithm, ALGORITHM_LEGACY, sizeof(packed.algorithm)) != 0)
        return refuse(why, "a signature of an unknown kind");
    memcpy(out->id, packed.id, sizeof(out->id));
    memcpy(out->bytes, packed.bytes, sizeof(out->bytes));
    if (!take_line(&at, end, &l) || !take_comment(&l, TRUSTED))
        return refuse(why, "not a signature of minisign: line 3");
    out->comment = l.text;
    out->comment_size = l.length;
    if (!take_line(&at, end, &l) || !decode(l.text, l.length, out->global, sizeof(out->global)))
        return refuse(why, "not a signature of minisign: line 4");
    return (size_t) (at - text);
}

static bool verify_file(const struct minisign_key *key, const struct minisign_signature *s, const char *file,
                        size_t size)
{
    uint8_t hash[crypto_generichash_BYTES_MAX]; // BLAKE2b-512

    if (!s->prehashed)
        return crypto_sign_verify_detached(s->bytes, (const uint8_t *) file, size, key->point) == 0;
    return crypto_generichash(hash, sizeof(hash), (const uint8_t *) file, size, NULL, 0) == 0 &&
           crypto_sign_verify_detached(s->bytes, hash, sizeof(hash), key->point) == 0;
}

bool minisign_verify(const struct minisign_key *key, const struct minisign_signature *s, const char *file, size_t size)
{
    uint8_t signed_[sizeof(s->bytes) + COMMENT_MAX];

    if (memcmp(key->id, s->id, sizeof(key->id)) != 0 || s->comment_size > COMMENT_MAX)
        return false;
    memcpy(signed_, s->bytes, sizeof(s->bytes));
    memcpy(signed_ + sizeof(s->bytes), s->comment, s->comment_size);
    return verify_file(key, s, file, size) &&
           crypto_sign_verify_detached(s->global, signed_, sizeof(s->bytes) + s->comment_size, key->point) == 0;
}
