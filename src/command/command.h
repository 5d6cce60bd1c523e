// SPDX-License-Identifier: Apache-2.0
// command: the commands of mcrd. Each prints its result to stdout and errors to stderr, and returns the exit status.
// running: use the config that the daemon of the file runs (running_of()), not the file.
#ifndef MCR_COMMAND_COMMAND_H
#define MCR_COMMAND_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "firewall/ruleset.h"
#include "sandbox/sandbox.h"

struct argument_list;
struct config;
struct config_bytes;
struct config_problems;
struct json_t;

// Prints "FILE: valid, N rules, sha256 HEX" for each file, and checks several together, as relays of one site
// (config/check_site.h). at: the time to judge by, in seconds since the epoch (command_time()). Returns 0 if all are
// valid, else 1. trust: as --trust of signed.h; if it is given, a file without its signatures returns 1, too.
int command_check(const struct argument_list *paths, const char *trust, uint64_t at);

// Prints the effective config in the syntax of the file, or as JSON. Returns 0 if it is valid, else 1.
int command_print(const char *path, bool running, bool json);

// Prints a JSON Schema of command_print()'s JSON. Returns 0, or 1 if it could not be written.
int command_schema(void);

// Prints what a reload would change, compared with running.conf beside the statistics of the running daemon, or with
// the file `against` if it is not NULL. Returns 0 for no change, 1 for changes, 2 if a file is not valid or the running
// config is unknown.
int command_diff(const char *path, const char *against, const char *trust, bool json);

struct graph_options {
    const struct argument_list *paths;
    const struct argument_list *against; // the earlier version of each, or NULL
    bool running, detail;
    bool diff;   // without `against`: compare with what runs
    uint64_t at; // as of command_check()
};

// Prints the zones and conduits of the files for Graphviz. Returns 0, 1 if a file is not valid, 2 if what runs is
// unknown, with which it is compared.
int command_graph(const struct graph_options *options);

// Prints nftables rules for exactly the flows of the files. Returns 0, or 1 if one is not valid, two contradict each
// other, or they need too many rules.
int command_firewall(const struct argument_list *paths, bool running, enum firewall_role role, uint64_t at);

// Makes the running daemon load the file, and waits at most `seconds` for its verdict, and before for its signatures.
// Returns 0 if the file is in force, 1 if it is not valid or was refused, 2 if there is no verdict.
int command_reload(const char *path, const char *trust, double seconds);

// Tells the daemon of the file to keep what it has on trial, and waits at most `seconds` for its verdict. The file need
// not be valid. Returns 0 if it is kept, 1 if nothing is on trial (any more) or it was refused, 2 if there is no
// verdict.
int command_confirm(const char *path, double seconds);

struct explain_options {
    const char *source, *destination; // as given
    const char *interface;            // or NULL: any
    unsigned port, vlan, size, ttl;
    uint64_t at; // as of command_check()
    bool running, json;
};

// Prints step by step what the file would do with a datagram. Returns 0 if it would be forwarded, 1 if not, 2 if that
// cannot be found out.
int command_explain(const char *path, const struct explain_options *options);

struct replay_options {
    const struct argument_list *captures, *interfaces; // one interface for each capture, or one for all, or none
    const char *out;                                   // may be NULL
    uint64_t at;                                       // as of command_check()
    bool running, json, quiet;
    enum sandbox_mode sandbox;
};

// Prints what the file would do with each packet of the captures, in the order of their stamps, then the counts. Drops
// every right before it reads a capture. Returns 0 if all were read to their ends, 1 if not, or if not all could be
// written, 2 on other trouble.
int command_replay(const char *path, const struct replay_options *options);

struct history_options {
    const struct argument_list *from; // files in place of audit_file, the oldest first; "-": standard input
    const char *head;                 // "N:HASH" that is known from elsewhere, or NULL
    bool verify, json;
};

// Prints the records of loads, or with verify only whether they are whole. Returns 0 if they are, 1 if not, 2 if they
// cannot be read.
int command_history(const char *path, const struct history_options *options);

// Prints what mcrd was built with.
void command_built(void);

// --- shared by the commands ------------------------------------------------------------------------------------------

// Loads the file as config_load() does, and refuses what takes more memory than is allowed.
struct config *command_read(const char *path, unsigned flags, struct config_problems *problems,
                            struct config_bytes *bytes);

// Does the same, and prints the problems to stderr. Returns NULL if it is not valid.
struct config *command_load(const char *path, unsigned flags);
// The same with the text of the file, which the caller frees by file_free(), even after a failure.
struct config *command_load_text(const char *path, unsigned flags, struct config_bytes *bytes);

// Returns the time to judge by: at, in seconds since the epoch, or now for 0.
uint64_t command_time(uint64_t at);

// Prints "mcrd: " and why there is no answer (printf format). Returns EXIT_TROUBLE.
int command_trouble(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Prints tree as a JSON object and frees it. Returns false if not all could be written.
bool command_print_tree(struct json_t *tree);

// Flushes stdout. Returns whether all output was written: output that is cut (a full disk, a closed pipe) must not look
// like success.
bool command_flush(const char *path, bool printed);

#endif
