// SPDX-License-Identifier: Apache-2.0
// load: from a path to a checked struct config, or to the complete list of what is wrong with the file.
#ifndef MCR_CONFIG_LOAD_H
#define MCR_CONFIG_LOAD_H

#include "config/file.h"
#include "config/model.h"
#include "config/problems.h"

// Do not ask the kernel which interfaces exist (missing_interface): the verdict is then the same on every machine.
#define CONFIG_LOAD_OFFLINE_INTERFACES 1u

// Reads the file at path once, hashes what was read, parses and checks it. Returns a config that the caller frees with
// config_free(), or NULL with at least one error in problems. Warnings may be added either way. Keeps what was read and
// what is known of the file in bytes, also after a failure: the caller frees it with file_free() (config/file.h). What
// could not be read is zero.
struct config *config_load(const char *path, unsigned flags, struct config_problems *problems,
                           struct config_bytes *bytes);

// What the start needs of a file before it gives its rights up, found without libconfig: checks text as lexical_check()
// does. Fills instance, user, group and stats_file of *c as parse_config() would; a value that is not allowed, which
// parse_config() will refuse, is replaced by its default. All else of *c is zero or a default.
bool identity_check(const char *text, size_t size, struct config *c, struct config_problems *problems);

// As far as this goes without libconfig: reads the file at path, judges its kind, mode, size, characters and owner, and
// fills of *identity what identity_check() does. Keeps in bytes what config_load() keeps. False with at least one
// error in problems.
bool config_identify(const char *path, struct config *identity, struct config_problems *problems,
                     struct config_bytes *bytes);

// The same as config_load() for size bytes of text, which a NUL follows; path and file of the config stay empty.
struct config *config_load_text(const char *text, size_t size, unsigned flags, struct config_problems *problems);

// Frees it; NULL is allowed.
void config_free(struct config *c);

#endif
