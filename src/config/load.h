// SPDX-License-Identifier: Apache-2.0
// load: makes a checked struct config from a file, or the complete list of its errors.
#ifndef MCR_CONFIG_LOAD_H
#define MCR_CONFIG_LOAD_H

#include "config/file.h"
#include "config/model.h"
#include "config/problems.h"

// Flag: do not check which interfaces exist (missing_interface), so that the result is the same on every machine.
#define CONFIG_LOAD_OFFLINE_INTERFACES 1u

// Reads the file at path once, hashes, parses and checks it. Returns a config that the caller frees with config_free(),
// or NULL with at least one error in problems. Warnings may be added in both cases. Stores the text and facts of the
// file in *bytes, even after a failure, zero where they are unknown; the caller frees it with file_free()
// (config/file.h).
struct config *config_load(const char *path, unsigned flags, struct config_problems *problems,
                           struct config_bytes *bytes);

// Finds the keys that the start needs before it drops its rights, without libconfig. Checks text as lexical_check()
// does, with the same result. Fills in instance, user, group, stats_file and audit_file of *c as parse_config() does; a
// value that is not allowed, which parse_config() refuses later, is replaced by its default. Everything else in *c is
// zero or a default.
bool identity_check(const char *text, size_t size, struct config *c, struct config_problems *problems);

// Does the part of config_load() that needs no libconfig: reads the file at path, checks its type, mode, size,
// characters and owner, and fills in *identity as identity_check() does. Stores the same in *bytes as config_load().
// Returns false with at least one error in problems.
bool config_identify(const char *path, struct config *identity, struct config_problems *problems,
                     struct config_bytes *bytes);

// Does the same as config_load() for size bytes of text, which a NUL follows; path and file of the config stay empty.
struct config *config_load_text(const char *text, size_t size, unsigned flags, struct config_problems *problems);

// Writes where the copy of the running file lies, beside stats_file (which the schema allows): running.conf where that
// is named "stats", else NAME.running.conf, so that several daemons can share a directory. Returns out.
#define CONFIG_RUNNING_PATH_MAX 160
const char *config_running_path(const char *stats_file, char out[CONFIG_RUNNING_PATH_MAX]);

// c may be NULL.
void config_free(struct config *c);

#endif
