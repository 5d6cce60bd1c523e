// SPDX-License-Identifier: Apache-2.0
// trustconf: the text of trust.conf: whose signatures a config file needs, and how many of them. Pure: it is read from
// the tokens of lexical_check(), without libconfig, because a start reads it with all its rights.
#ifndef MCR_TRUST_TRUSTCONF_H
#define MCR_TRUST_TRUSTCONF_H

#include "config/problems.h"
#include "trust/minisign.h"

#define TRUSTCONF_DEFAULT_PATH "/etc/mcr/trust.conf"
#define TRUSTCONF_NONE         "none" // in place of a path: no signatures are asked for
#define TRUSTCONF_KEYS_MAX     16
#define TRUSTCONF_NAME_MAX     32 // with the NUL
#define TRUSTCONF_FILE_MAX     (64u << 10)

struct trustconf_key {
    char name[TRUSTCONF_NAME_MAX];
    struct minisign_key key;
    int line;
};

struct trustconf {
    unsigned required; // how many keys must have signed; 0: no signatures are asked for
    size_t n_keys;
    struct trustconf_key keys[TRUSTCONF_KEYS_MAX];
    uint8_t sha256[32]; // of the file; set by signatures_trust()
};

// Reads text, which a NUL follows. Returns false with an error for each reason to refuse it, and *out is all zero.
bool trustconf_parse(const char *text, size_t size, struct trustconf *out, struct config_problems *problems);

#endif
