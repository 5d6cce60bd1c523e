// SPDX-License-Identifier: Apache-2.0
// signatures: whether a config file has the signatures that trust.conf asks for. They lie beside it, one file for each
// key: FILE.NAME.minisig.
#ifndef MCR_TRUST_SIGNATURES_H
#define MCR_TRUST_SIGNATURES_H

#include "config/file.h"
#include "trust/trustconf.h"

#define SIGNATURES_NAMES_MAX (TRUSTCONF_KEYS_MAX * TRUSTCONF_NAME_MAX)
#define SIGNATURES_TEXT_MAX  (TRUSTCONF_KEYS_MAX * (MINISIGN_FILE_MAX + 1)) // bytes of all signatures of a file
// How long a file may lie on the disk without its signatures before it counts as invalid: the order in which a file and
// its signatures arrive does not matter so long.
#define SIGNATURES_WAIT_NS UINT64_C(10000000000)

#define SIGNATURES_WHY_MAX    700
#define SIGNATURES_REASON_MAX 640 // of one key

struct signatures {
    bool enough;                  // as many keys as required have signed, or none are asked for
    uint32_t keys;                // those that have signed: bit N is keys[N] of trust.conf
    unsigned n;                   // how many
    char why[SIGNATURES_WHY_MAX]; // "signatures: 1 of 2, signed by a; missing: b (there is no ...)"; empty: enough
    char *text;                   // the valid ones, one after the other; NULL: none
    size_t size;
};

// Reads trust.conf. path: NULL is the default one, which may be absent; TRUSTCONF_NONE is none. Initialises libsodium,
// before any filter of system calls. Returns false with at least one error if it is there, or was named, and cannot be
// used: it is not a regular file, may be written by others, is owned by another than root and the effective user, or is
// not valid. *out is then all zero.
bool signatures_trust(const char *path, struct trustconf *out, struct config_problems *problems);

// Returns the path of what signatures_trust(path) reads.
const char *signatures_trust_path(const char *path);

// Judges the file of these bytes by the signatures beside path. The caller frees *out by signatures_free().
void signatures_judge(const struct trustconf *t, const char *path, const struct config_bytes *bytes,
                      struct signatures *out);

// The same for another reader than this process: a signature counts if may_read() says so of its file; if not, it
// writes the reason.
typedef bool signatures_reader(const void *context, const char *path, char why[SIGNATURES_REASON_MAX]);
void signatures_judge_as(const struct trustconf *t, const char *path, const struct config_bytes *bytes,
                         signatures_reader *may_read, const void *context, struct signatures *out);

// The same by signatures that were kept, as signatures.text has them. Pure.
void signatures_judge_kept(const struct trustconf *t, const struct config_bytes *bytes, const char *text, size_t size,
                           struct signatures *out);

// Writes the names of those who have signed, "a,b", and of the others if missing is true. Returns out.
char *signatures_names(const struct trustconf *t, const struct signatures *s, bool missing,
                       char out[SIGNATURES_NAMES_MAX]);

void signatures_free(struct signatures *s);

#endif
