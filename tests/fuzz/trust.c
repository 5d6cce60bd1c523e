// SPDX-License-Identifier: Apache-2.0
// trust: trust.conf, and signatures as they lie beside a file or are kept. What is taken of them is bounded and within
// the text; no key counts twice; and of a text that nobody signed nothing verifies. The first byte chooses which of the
// two the rest is.
#include <config.h>

#include "fuzz.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trust/signatures.h"

static void check_trust(const char *text, size_t size)
{
    struct config_problems problems = {0};
    struct trustconf t;

    if (!trustconf_parse(text, size, &t, &problems)) {
        FUZZ_ASSERT(problems.n_errors > 0 && t.required == 0 && t.n_keys == 0);
    } else {
        FUZZ_ASSERT(problems.n_errors == 0 && t.required >= 1 && t.required <= t.n_keys &&
                    t.n_keys <= TRUSTCONF_KEYS_MAX);
        for (size_t i = 0; i < t.n_keys; i++) {
            FUZZ_ASSERT(t.keys[i].name[0] && memchr(t.keys[i].name, '\0', sizeof(t.keys[i].name)));
            FUZZ_ASSERT(!strchr(t.keys[i].name, '/') && t.keys[i].line > 0);
            for (size_t j = 0; j < i; j++)
                FUZZ_ASSERT(memcmp(t.keys[i].key.point, t.keys[j].key.point, sizeof(t.keys[i].key.point)) != 0 &&
                            strcmp(t.keys[i].name, t.keys[j].name) != 0);
        }
    }
    config_problems_free(&problems);
}

// Signatures by a key of this process of a file of its own: whatever the text has of them, they fit no other file.
static void check_signatures(const char *text, size_t size)
{
    static struct trustconf t = {.required = 2, .n_keys = 2, .keys = {{.name = "a"}, {.name = "b"}}};
    static uint8_t secret[crypto_sign_SECRETKEYBYTES];
    char file[] = "rules = ( );\n", why[MINISIGN_WHY_MAX] = "";
    struct config_bytes bytes = {.text = file, .size = strlen(file)};
    struct minisign_signature m;
    struct signatures s;

    if (secret[0] == 0)
        for (size_t i = 0; i < t.n_keys; i++) {
            uint8_t seed[crypto_sign_SEEDBYTES] = {(uint8_t) (i + 1)};
            crypto_sign_seed_keypair(t.keys[i].key.point, secret, seed);
            memset(t.keys[i].key.id, (int) i, sizeof(t.keys[i].key.id));
        }
    size_t used = minisign_signature(text, size, &m, why);
    FUZZ_ASSERT(used <= size && (used > 0 || *why));
    if (used > 0) {
        FUZZ_ASSERT(m.comment >= text && m.comment + m.comment_size <= text + used);
        // The same with the ids of the keys, so that it comes to the verification.
        for (size_t i = 0; i < t.n_keys; i++) {
            memcpy(m.id, t.keys[i].key.id, sizeof(m.id));
            FUZZ_ASSERT(!minisign_verify(&t.keys[i].key, &m, file, bytes.size));
        }
    }
    signatures_judge_kept(&t, &bytes, text, size, &s);
    FUZZ_ASSERT(s.n == 0 && s.keys == 0 && !s.enough && !s.text && *s.why);
    signatures_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.at = data, .left = size};
    bool trust = fuzz_u8(&in) & 1;
    char *text = malloc(in.left + 1);

    FUZZ_ASSERT(sodium_init() >= 0);
    memcpy(text, in.at, in.left);
    text[in.left] = '\0';
    if (trust)
        check_trust(text, in.left);
    else
        check_signatures(text, in.left);
    free(text);
    return 0;
}
