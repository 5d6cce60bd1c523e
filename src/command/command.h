// SPDX-License-Identifier: Apache-2.0
// command: the commands of mcrd. Each prints its result to stdout and errors to stderr, and returns the exit status.
// running: use the config that the daemon of the file runs (running_of()), not the file.
#ifndef MCR_COMMAND_COMMAND_H
#define MCR_COMMAND_COMMAND_H

#include <stdbool.h>

#include "firewall/ruleset.h"
#include "sandbox/sandbox.h"

struct argument_list;
struct config;
struct config_bytes;
struct json_t;

// Prints "FILE: valid, N rules, sha256 HEX". Returns 0 if the file is valid, else 1. trust: as --trust of signed.h; if
// it is given, a file without its signatures returns 1, too.
int command_check(const char *path, const char *trust);

// Prints the effective config in the syntax of the file, or as JSON. Returns 0 if it is valid, else 1.
int command_print(const char *path, bool running, bool json);

// Prints a JSON Schema of command_print()'s JSON. Returns 0, or 1 if it could not be written.
int command_schema(void);

// Prints what a reload would change, compared with running.conf beside the statistics of the running daemon. Returns 0
// for no change, 1 for changes, 2 if the file is not valid or the running config is unknown.
int command_diff(const char *path, const char *trust, bool json);

// Prints nftables rules for exactly the flows of the files. Returns 0, or 1 if one is not valid, two contradict each
// other, or they need too many rules.
int command_firewall(const struct argument_list *paths, bool running, enum firewall_role role);

// Makes the running daemon load the file, and waits at most `seconds` for its verdict, and before for its signatures.
// Returns 0 if the file is in force, 1 if it is not valid or was refused, 2 if there is no verdict.
int command_reload(const char *path, const char *trust, double seconds);

struct explain_options {
    const char *source, *destination; // as given
    const char *interface;            // or NULL: any
    unsigned port, vlan, size, ttl;
    bool running, json;
};

// Prints step by step what the file would do with a datagram. Returns 0 if it would be forwarded, 1 if not, 2 if that
// cannot be found out.
int command_explain(const char *path, const struct explain_options *options);

struct replay_options {
    const struct argument_list *captures, *interfaces; // one interface for each capture, or one for all, or none
    const char *out;                                   // may be NULL
    bool running, json, quiet;
    enum sandbox_mode sandbox;
};

// Prints what the file would do with each packet of the captures, in the order of their stamps, then the counts. Drops
// every right before it reads a capture. Returns 0 if all were read to their ends, 1 if not, or if not all could be
// written, 2 on other trouble.
int command_replay(const char *path, const struct replay_options *options);

// Prints what mcrd was built with.
void command_built(void);

// --- shared by the commands ------------------------------------------------------------------------------------------

// Loads the file (config_load()), and prints its problems to stderr. Returns NULL if it is not valid.
struct config *command_load(const char *path, unsigned flags);

// The same with the text of the file, which the caller frees by file_free(), even after a failure.
struct config *command_load_text(const char *path, unsigned flags, struct config_bytes *bytes);

// Prints "mcrd: " and why there is no answer (printf format). Returns EXIT_TROUBLE.
int command_trouble(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Prints tree as a JSON object and frees it. Returns false if not all could be written.
bool command_print_tree(struct json_t *tree);

// Flushes stdout. Returns whether all output was written: output that is cut (a full disk, a closed pipe) must not look
// like success.
bool command_flush(const char *path, bool printed);

#endif
