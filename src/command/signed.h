// SPDX-License-Identifier: Apache-2.0
// signed: what the commands say of a file's signatures. trust: what --trust names, or NULL; the daemon, which may have
// been started with another one, has the last word.
#ifndef MCR_COMMAND_SIGNED_H
#define MCR_COMMAND_SIGNED_H

#include <stdbool.h>
#include <stdio.h>

#include "config/file.h"

struct daemon;
struct json_t;

// Writes "FILE: signatures: 2 of 2, signed by a,b", or what is missing; nothing where none are asked for. here: for a
// mcrd of this machine, whose user, if root asks, must be able to read a signature for it to count. Returns false if
// trust is not NULL, and the file lacks signatures or trust.conf cannot be used.
bool signed_print(const struct config *c, bool here, const char *trust, const struct config_bytes *bytes, FILE *to);

// The same as a JSON object: required, signed_by, missing, reason; null where none are asked for, or nobody can tell.
struct json_t *signed_tree(const struct config *c, bool here, const char *trust, const struct config_bytes *bytes);

// Waits until the file on the disk has its signatures, for SIGNATURES_WAIT_NS and at most `seconds`, and tells so. What
// is missing then the daemon tells. Returns whether another file than these bytes lies there now.
bool signed_wait(const char *path, const char *trust, const struct config_bytes *bytes, double seconds);

// Adds an error if the signatures are enough, and this daemon, which asks for the same, cannot read enough of them.
void signed_readable(const struct config *c, const char *trust, const struct config_bytes *bytes,
                     const struct daemon *d, struct config_problems *problems);

// Prints a note if trust.conf is not what this daemon has read at its start, and whether a start would take the file.
void signed_note(const struct config *c, const char *trust, const struct config_bytes *bytes, const struct daemon *d);

#endif
