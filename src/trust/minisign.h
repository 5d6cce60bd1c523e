// SPDX-License-Identifier: Apache-2.0
// minisign: public keys and detached signatures of minisign (https://jedisct1.github.io/minisign/, "Signature format"),
// read strictly and verified as it verifies them. Pure.
#ifndef MCR_TRUST_MINISIGN_H
#define MCR_TRUST_MINISIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MINISIGN_KEY_TEXT 56         // characters of a public key: base64 of "Ed", its id and the key itself
#define MINISIGN_FILE_MAX (10 << 10) // bytes of a signature's file: minisign allows 1,024 and 8,192 for the comments
#define MINISIGN_WHY_MAX  64

struct minisign_key {
    uint8_t id[8];
    uint8_t point[32];
};

struct minisign_signature {
    bool prehashed; // "ED": of the BLAKE2b-512 of the file; else "Ed": of the file itself
    uint8_t id[8];  // of the key; it is not signed
    uint8_t bytes[64];
    const char *comment; // the trusted one, in the text that was read
    size_t comment_size;
    uint8_t global[64]; // signs bytes and the trusted comment
};

// Reads a public key as minisign -G prints it, its second line. Returns false with the reason, also for 32 bytes that
// can be nobody's key: most keys with a wrong character.
bool minisign_key(const char *text, size_t size, struct minisign_key *out, char why[MINISIGN_WHY_MAX]);

// Reads one signature, four lines, from the beginning of text. Returns how many bytes it takes, or 0 with the reason.
size_t minisign_signature(const char *text, size_t size, struct minisign_signature *out, char why[MINISIGN_WHY_MAX]);

// Returns whether s is the signature of this file by this key. sodium_init() must have been called.
bool minisign_verify(const struct minisign_key *key, const struct minisign_signature *s, const char *file, size_t size);

#endif
