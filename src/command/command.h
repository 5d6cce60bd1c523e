// SPDX-License-Identifier: Apache-2.0
// command: what mcrd does other than to run. With `running`, the question is about what the daemon of the file runs,
// see running_of(). Each prints its result to stdout, what is wrong to stderr, and returns the exit status.
#ifndef MCR_COMMAND_COMMAND_H
#define MCR_COMMAND_COMMAND_H

#include <stdbool.h>

#include "firewall/ruleset.h"
#include "sandbox/sandbox.h"

struct argument_list;
struct config;
struct json_t;

// "FILE: valid, N rules, sha256 HEX". 0 valid, 1 not.
int command_check(const char *path);

// The effective config, as the file would say it or as JSON. 0 valid, 1 not.
int command_print(const char *path, bool running, bool json);

// What a file may say, as a JSON Schema of command_print()'s JSON. 0 written, 1 not.
int command_schema(void);

// What taking the file over would change, against running.conf beside the statistics of the running daemon. 0 nothing,
// 1 something, 2 trouble: the file is not valid, or what runs is not known.
int command_diff(const char *path, bool json);

// nftables rules for exactly the flows of the files. 0 written, 1 one is not valid, two contradict each other, or they
// make too many.
int command_firewall(const struct argument_list *paths, bool running, enum firewall_role role);

// Lets the running daemon take the file over, and waits at most so many seconds for its verdict. 0 it runs, 1 it is not
// valid or was refused, 2 trouble.
int command_reload(const char *path, double seconds);

struct explain_options {
    const char *source, *destination; // as given
    const char *interface;            // or NULL: any
    unsigned port, vlan, size, ttl;
    bool running, json;
};

// What the file would do with a datagram, step by step. 0 it would be forwarded, 1 not, 2 trouble.
int command_explain(const char *path, const struct explain_options *options);

struct replay_options {
    const char *capture, *out, *interface; // out, interface: or NULL
    bool running, json, quiet;
    enum sandbox_mode sandbox;
};

// What the file would do with each packet of a capture, then the counts. Gives up every right before it reads the
// capture. 0 read to its end, 1 not, or not all could be written, 2 trouble.
int command_replay(const char *path, const struct replay_options *options);

// Prints what mcrd was built with.
void command_built(void);

// --- what they share -------------------------------------------------------------------------------------------------

// Loads the file, see config_load(), and prints all that is wrong with it to stderr. NULL when it is not valid.
struct config *command_load(const char *path, unsigned flags);

// Prints "mcrd: " and what there is no answer for. Returns EXIT_TROUBLE.
int command_trouble(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Prints tree as a JSON object and gives it back. False when not all could be written.
bool command_print_tree(struct json_t *tree);

// Whether all that was printed has left: output that is cut (a full disk, a closed pipe) must not look like success.
bool command_flush(const char *path, bool printed);

#endif
