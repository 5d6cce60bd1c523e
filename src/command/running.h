// SPDX-License-Identifier: Apache-2.0
// running: loads the config in force, from the copy that the daemon keeps beside its statistics.
#ifndef MCR_COMMAND_RUNNING_H
#define MCR_COMMAND_RUNNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/digest.h"
#include "config/model.h"

struct json_t;

// What decides about the next reload besides the file.
struct running_facts {
    size_t inputs_most; // input interfaces that it may have; 0: not known
    bool on_trial;
    uint8_t returns_to[32]; // the only file that may be loaded during a trial, by its sha256
};

// Loads the config that runs by the stats_file of this one; its path is that of the copy. Returns NULL after a message
// on stderr.
struct config *running_load(const struct config *c, struct running_facts *facts);

// Does the same for the daemon that was started with the file at path, which need not be valid now. Refuses one that
// was started with another file.
struct config *running_of(const char *path);

// Looks for a daemon that was started with this file, and writes the digest of its config to hex; "" if there is none.
// If that differs from the loaded file, returns a sentence for an array of notes, which the caller owns; else NULL.
struct json_t *running_note(const struct config *c, char hex[DIGEST_TEXT_MAX]);

// Loads the config that the daemon of the file runs (running: running_of()), or the file (command_load()).
struct config *running_or_file(const char *path, bool running, unsigned flags);

#endif
