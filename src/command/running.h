// SPDX-License-Identifier: Apache-2.0
// running: the file that runs, as the daemon keeps it beside its statistics.
#ifndef MCR_COMMAND_RUNNING_H
#define MCR_COMMAND_RUNNING_H

#include "common/digest.h"
#include "config/model.h"

struct json_t;

// Loads what the daemon of these statistics runs; its path is that of the copy. NULL after telling why.
struct config *running_load(const char *stats_file);

// The same for the daemon of the file at path, which need not be valid now.
struct config *running_of(const char *path);

// Looks for a daemon that was started with this file, and puts the digest of what it runs into hex; "" where there is
// none. Returns a sentence for an array of notes, the caller's, when that is not the file as it was loaded; or NULL.
struct json_t *running_note(const struct config *c, char hex[DIGEST_TEXT_MAX]);

// What the daemon of the file runs, or, if not asked for that, what the file says: running_of() or command_load().
struct config *running_or_file(const char *path, bool running, unsigned flags);

#endif
