// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/options.h"

#include <stdio.h>
#include <string.h>

#include "command/command.h"
#include "common/arguments.h"
#include "common/exit.h"
#include "common/moment.h"
#include "config/model.h"
#include "machine/feature.h"
#include "trust/trustconf.h"

enum command {
    CHECK = 1 << 0,
    DIFF = 1 << 1,
    EXPLAIN = 1 << 2,
    FIREWALL = 1 << 3,
    PRINT = 1 << 4,
    RELOAD = 1 << 5,
    REPLAY = 1 << 6,
    SANDBOX_LIST = 1 << 7,
    SCHEMA = 1 << 8,
    GRAPH = 1 << 9,
    HISTORY = 1 << 10,
    CONFIRM = 1 << 11,
};

#define AT(field) offsetof(struct options, field)

// 239.1.1.1:5004, [ff15::1]:5004
static bool has_port(const char *word)
{
    const char *colon = strrchr(word, ':');

    return colon && colon[1] != '\0' && colon[1 + strspn(colon + 1, "0123456789")] == '\0' &&
           (colon[-(colon > word)] == ']' || strchr(word, ':') == colon);
}

static const struct argument rows[] = {
    {"check", "[FILE]...", .is = CHECK,
     .help = "say whether the file is valid; opens nothing. Of several files also whether these relays fit together",
     .heading = "Commands", .letter = 't'},
    {"confirm", .is = CONFIRM, .help = "keep what the running mcrd has on trial (trial), and wait for its verdict"},
    {"diff", .is = DIFF, .joins = GRAPH,
     .help = "say what a reload would change, and whether it disturbs traffic; with --graph: show it there"},
    {"explain", "SRC DST PORT", ARGUMENT_OPERANDS, AT(datagram), .is = EXPLAIN, .least = 3, .glued = has_port,
     .apart = "the port is an argument of its own", .allowed = "three arguments",
     .help = "say what the file would do with such a datagram, and which line decides"},
    {"firewall", .is = FIREWALL, .help = "print nftables rules for exactly the file's flows"},
    {"graph", "[FILE]...", .is = GRAPH,
     .help = "print the zones and conduits of the file, or of several, as a graph for Graphviz: ... | dot -Tsvg"},
    {"history", .is = HISTORY, .help = "say who activated what, and when, by the records in audit_file"},
    {"print", .is = PRINT, .help = "print the effective config, defaults filled in", .letter = 'T'},
    {"reload", .is = RELOAD, .help = "check the file, let the running mcrd take it over, and wait for its verdict"},
    {"replay", "CAPTURE", ARGUMENT_LIST, AT(captures), .is = REPLAY, .most = ARGUMENT_LIST_MOST,
     .help = "say what the file would do with each packet of a capture (- is the standard input), or of several, each "
             "with --replay; and what no rule takes"},
    {"sandbox", "list", ARGUMENT_WORD, .is = SANDBOX_LIST,
     .help = "print which system calls both processes may make, and why"},
    {"schema", .is = SCHEMA, .help = "print what a file may say, as a JSON Schema of --print --json"},

    {"config", "FILE", ARGUMENT_LIST, AT(config_paths), .most = ARGUMENT_LIST_MOST, .several = CHECK | FIREWALL | GRAPH,
     .bare = CHECK | GRAPH,
     .help = "the config file; " CONFIG_DEFAULT_PATH ". With --check, --firewall and --graph several, each with "
             "--config",
     .heading = "Options", .letter = 'c'},
    {"running", NULL, ARGUMENT_FLAG, AT(running), .with = EXPLAIN | FIREWALL | GRAPH | PRINT | REPLAY,
     .help = "ask what the daemon of the file runs, not the file as it lies there"},
    {"against", "FILE", ARGUMENT_LIST, AT(against), .with = DIFF | GRAPH, .several = GRAPH, .most = ARGUMENT_LIST_MOST,
     .help = "compare with this file, not with what runs; of several files one for each, in their order"},
    {"detail", NULL, ARGUMENT_FLAG, AT(detail), .with = GRAPH,
     .help = "each rule by itself, not all of two zones as one"},
    {"json", NULL, ARGUMENT_FLAG, AT(json), .with = DIFF | PRINT | EXPLAIN | REPLAY | HISTORY,
     .help = "as one JSON object", .letter = 'j'},
    {"verify", NULL, ARGUMENT_FLAG, AT(verify), .with = HISTORY,
     .help = "only say whether a record is missing, was changed, or is out of order"},
    {"from", "FILE", ARGUMENT_LIST, AT(from), .with = HISTORY, .most = 9,
     .help = "read this file (- is the standard input, such as journalctl -o cat), or several, the oldest first"},
    {"head", "N:HASH", ARGUMENT_TEXT, AT(head), .with = HISTORY,
     .help = "a record that is known from elsewhere, which must be among them; that of the running mcrd"},
    {"interface", "IF", ARGUMENT_LIST, AT(interfaces), .with = EXPLAIN | REPLAY, .several = REPLAY,
     .most = ARGUMENT_LIST_MOST, .help = "where it comes in; of several captures one for each, or one for all",
     .letter = 'i'},
    {"vlan", "N", ARGUMENT_NUMBER, AT(vlan), .with = EXPLAIN, .least = 1, .most = 4094,
     .help = "its VLAN tag (default none)"},
    {"size", "N", ARGUMENT_NUMBER, AT(size), .with = EXPLAIN, .most = CONFIG_PAYLOAD_MAX,
     .help = "its payload in bytes (default 100)"},
    {"ttl", "N", ARGUMENT_NUMBER, AT(ttl), .with = EXPLAIN, .least = 1, .most = 255,
     .help = "its ttl or hop limit (default 64)"},
    {"at", "TIME", ARGUMENT_TEXT, AT(at_text), .with = CHECK | EXPLAIN | FIREWALL | GRAPH | REPLAY,
     .help = "judge what begins and ends as at this time, as 2026-12-01T22:00:00Z (default now)"},
    {"out", "CAPTURE", ARGUMENT_TEXT, AT(out), .with = REPLAY, .help = "write the frames that would leave"},
    {"quiet", NULL, ARGUMENT_FLAG, AT(quiet), .with = REPLAY, .help = "only the counts", .letter = 'q'},
    {"role", "ROLE", ARGUMENT_CHOICE, AT(role), .with = FIREWALL, .take = firewall_parse_role,
     .allowed = "allowed are host, upstream and downstream",
     .help = "host (default), upstream (between the source zone and this host) or downstream (between this host and "
             "the destination zone)"},
    {"timeout", "SECONDS", ARGUMENT_DECIMAL, AT(timeout), .with = RELOAD | CONFIRM, .least = 100, .most = 3600 * 1000,
     .help = "how long to wait (default 60)"},
    {"sandbox", "MODE", ARGUMENT_CHOICE, AT(sandbox), .take = sandbox_mode_parse,
     .allowed = "allowed are enforce, log, off and list",
     .help = "enforce (default), log (the kernel logs what would be refused) or off, for debugging"},
    {"without", "LIST", ARGUMENT_CHOICE, AT(without), .take = feature_parse, .allowed = "known are " FEATURE_NAMES,
     .help = "do without kernel features, to try their fallbacks: " FEATURE_NAMES},
    {"trust", "FILE", ARGUMENT_TEXT, AT(trust),
     .help = "the daemon, --check, --diff and --reload: who must have signed the config file "
             "(default " TRUSTCONF_DEFAULT_PATH ", where it exists), or none"},
    {"fresh", NULL, ARGUMENT_FLAG, AT(fresh),
     .help = "start anew: take over nothing of what the service manager kept of the one before"},
    {"debug", NULL, ARGUMENT_FLAG, AT(debug), .help = "log more", .letter = 'd'},
};

static const struct argument_hint hints[] = {
    {" status stats statistics show top monitor ", "mcrstat shows what the daemon does"},
    {" start stop restart enable disable ", "systemctl does so, with mcrd.service"},
    {" test validate verify lint ", "write --check"},
    {NULL, NULL},
};

static const struct arguments mcrd = {
    "mcrd",
    "usage: mcrd [--config FILE] [COMMAND] [OPTION...]\n"
    "\n"
    "Without a command: run in the foreground.\n",
    "Exit status: 0 stopped by a signal, valid, the same, running it, forwarded, or read to\n"
    "its end; 1 failed, invalid, different, refused, not forwarded, or changed; 2 usage, or\n"
    "with --diff, --reload, --confirm, --explain, --replay and --history: trouble, such as\n"
    "no daemon or an invalid file.\n"
    "Signals: SIGHUP takes the file over again, SIGTERM and SIGINT stop, SIGUSR1 logs a\n"
    "summary, SIGUSR2 lets the next start go on with the file that runs, SIGRTMIN keeps\n"
    "what is on trial.\n"
    "See mcrd(8) and mcr.conf(5).\n",
    rows,
    sizeof(rows) / sizeof(rows[0]),
    .stray = "config",
    .hints = hints,
    .once = false,
    .built = command_built,
};

int options_parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){.timeout = 60, .sandbox = SANDBOX_ENFORCE, .size = 100, .ttl = 64};
    int status = arguments_read(&mcrd, argc, argv, o, &o->command);

    if (o->config_paths.n == 0)
        o->config_paths = (struct argument_list){.texts = {CONFIG_DEFAULT_PATH}, .n = 1};
    if (status < 0 && o->command == EXPLAIN && !arguments_number(o->datagram[2], 1, 65535, &o->port))
        return arguments_wrong(&mcrd, "PORT is \"%s\", allowed is 1 to 65535", o->datagram[2]);
    if (status < 0 && o->against.n > 0 && o->against.n != o->config_paths.n)
        return arguments_wrong(&mcrd,
                               "--against is given %u times, allowed is once for each file, of which there are %u",
                               o->against.n, o->config_paths.n);
    if (status < 0 && o->running && (o->command & GRAPH) && (o->command & DIFF || o->against.n > 0))
        return arguments_wrong(&mcrd, "--running is what --diff compares with, and --against in place of it");
    if (status < 0 && o->at_text && !moment_parse(o->at_text, &o->at))
        return arguments_wrong(&mcrd, "--at is \"%s\", allowed is a time in UTC as \"2026-12-01T22:00:00Z\"",
                               o->at_text);
    return status;
}

int options_run(const struct options *o)
{
    struct explain_options explain = {.source = o->datagram[0],
                                      .destination = o->datagram[1],
                                      .port = (unsigned) o->port,
                                      .interface = o->interfaces.texts[0],
                                      .vlan = (unsigned) o->vlan,
                                      .size = (unsigned) o->size,
                                      .ttl = (unsigned) o->ttl,
                                      .at = o->at,
                                      .running = o->running,
                                      .json = o->json};
    struct replay_options replay = {.captures = &o->captures,
                                    .interfaces = &o->interfaces,
                                    .out = o->out,
                                    .at = o->at,
                                    .running = o->running,
                                    .json = o->json,
                                    .quiet = o->quiet,
                                    .sandbox = o->sandbox};

    struct graph_options graph = {.paths = &o->config_paths,
                                  .against = o->against.n > 0 ? &o->against : NULL,
                                  .running = o->running,
                                  .diff = o->command & DIFF,
                                  .detail = o->detail,
                                  .at = o->at};
    struct history_options history = {.from = &o->from, .head = o->head, .verify = o->verify, .json = o->json};
    const char *path = o->config_paths.texts[0];

    switch ((enum command)(o->command & GRAPH ? GRAPH : o->command)) {
    case CHECK:
        return command_check(&o->config_paths, o->trust, o->at);
    case CONFIRM:
        return command_confirm(path, o->timeout);
    case DIFF:
        return command_diff(path, o->against.texts[0], o->trust, o->json);
    case GRAPH:
        return command_graph(&graph);
    case EXPLAIN:
        return command_explain(path, &explain);
    case FIREWALL:
        return command_firewall(&o->config_paths, o->running, o->role, o->at);
    case HISTORY:
        return command_history(path, &history);
    case PRINT:
        return command_print(path, o->running, o->json);
    case RELOAD:
        return command_reload(path, o->trust, o->timeout);
    case REPLAY:
        return command_replay(path, &replay);
    case SANDBOX_LIST:
        return sandbox_list(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
    case SCHEMA:
        return command_schema();
    }
    return EXIT_USAGE;
}
