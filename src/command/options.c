// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/exit.h"
#include "config/model.h"
#include "machine/feature.h"

#define TIMEOUT_DEFAULT 60.0 // seconds
#define TIMEOUT_MIN     0.1
#define TIMEOUT_MAX     3600.0
#define COLUMNS         80 // of --help

// --- commands --------------------------------------------------------------------------------------------------------

static int check(const struct options *o)
{
    return command_check(o->config_path);
}

static int diff(const struct options *o)
{
    return command_diff(o->config_path, o->json);
}

static int explain(const struct options *o)
{
    return command_explain(o->config_path, &o->explain);
}

static int firewall(const struct options *o)
{
    return command_firewall(o->config_path, o->role);
}

static int print(const struct options *o)
{
    return command_print(o->config_path, o->json);
}

static int reload(const struct options *o)
{
    return command_reload(o->config_path, o->timeout);
}

static int replay(const struct options *o)
{
    return command_replay(o->config_path, &o->replay);
}

static int schema(const struct options *o)
{
    (void) o;
    return command_schema();
}

static int list_sandbox(const struct options *o)
{
    (void) o;
    return sandbox_list(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}

struct command {
    const char *name;     // with its "--"
    const char *argument; // of the option itself, or NULL
    const char *operands; // words behind the options, or NULL
    int (*run)(const struct options *o);
    const char *help;
};

enum { CHECK, DIFF, EXPLAIN, FIREWALL, PRINT, RELOAD, REPLAY, SANDBOX_LIST, SCHEMA, COMMANDS };

static const struct command commands[COMMANDS] = {
    [CHECK] = {"--check", NULL, NULL, check, "say whether the file is valid; opens nothing"},
    [DIFF] = {"--diff", NULL, NULL, diff, "say what a reload would change, and whether it disturbs traffic"},
    [EXPLAIN] = {"--explain", NULL, "SRC DST PORT", explain,
                 "say what the file would do with such a datagram, and which line decides"},
    [FIREWALL] = {"--firewall", NULL, NULL, firewall, "print nftables rules for exactly the file's flows"},
    [PRINT] = {"--print", NULL, NULL, print, "print the effective config, defaults filled in"},
    [RELOAD] = {"--reload", NULL, NULL, reload,
                "check the file, let the running mcrd take it over, and wait for its verdict"},
    [REPLAY] = {"--replay", "CAPTURE", NULL, replay, "say what the file would do with each packet of a capture"},
    // An argument of --sandbox, below.
    [SANDBOX_LIST] = {"--sandbox list", NULL, NULL, list_sandbox,
                      "print which system calls both processes may make, and why"},
    [SCHEMA] = {"--schema", NULL, NULL, schema, "print what a file may say, as a JSON Schema of --print --json"},
};

// --- options ---------------------------------------------------------------------------------------------------------

// A decimal number.
static bool parse_number(const char *text, unsigned least, unsigned most, unsigned *out)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 5 || text[digits] != '\0')
        return false;
    *out = (unsigned) strtoul(text, NULL, 10);
    return *out >= least && *out <= most;
}

static bool take_config(struct options *o, const char *value)
{
    o->config_path = value;
    return true;
}

static bool take_json(struct options *o, const char *value)
{
    (void) value;
    o->json = o->explain.json = o->replay.json = true;
    return true;
}

static bool take_interface(struct options *o, const char *value)
{
    o->explain.interface = o->replay.interface = value;
    return true;
}

static bool take_vlan(struct options *o, const char *value)
{
    return parse_number(value, 1, 4094, &o->explain.vlan);
}

static bool take_size(struct options *o, const char *value)
{
    return parse_number(value, 0, CONFIG_PAYLOAD_MAX, &o->explain.size);
}

static bool take_ttl(struct options *o, const char *value)
{
    return parse_number(value, 1, 255, &o->explain.ttl);
}

static bool take_out(struct options *o, const char *value)
{
    o->replay.out = value;
    return true;
}

static bool take_quiet(struct options *o, const char *value)
{
    (void) value;
    return o->replay.quiet = true;
}

static bool take_role(struct options *o, const char *value)
{
    return firewall_parse_role(value, &o->role);
}

static bool take_timeout(struct options *o, const char *value)
{
    char *end;

    // Leaves strtod() no infinity, hexadecimal or sign.
    if (*value == '\0' || value[strspn(value, "0123456789.")] != '\0')
        return false;
    o->timeout = strtod(value, &end);
    return *end == '\0' && o->timeout >= TIMEOUT_MIN && o->timeout <= TIMEOUT_MAX;
}

static bool take_sandbox(struct options *o, const char *value)
{
    return sandbox_mode_parse(value, &o->sandbox);
}

static bool take_without(struct options *o, const char *value)
{
    return feature_parse(value, &o->without);
}

static bool take_debug(struct options *o, const char *value)
{
    (void) value;
    return o->debug = true;
}

#define WITH(command) (1u << (command))
#define TEXT(macro)   TEXT_OF(macro)
#define TEXT_OF(text) #text

struct option_row {
    const char *name, *argument; // argument: or NULL
    unsigned with;               // the commands that it goes with; 0: any
    bool (*take)(struct options *o, const char *value);
    const char *allowed; // values of the argument; NULL: any
    const char *help;
};

static const struct option_row rows[] = {
    {"config", "FILE", 0, take_config, NULL, "the config file; " CONFIG_DEFAULT_PATH},
    {"json", NULL, WITH(DIFF) | WITH(PRINT) | WITH(EXPLAIN) | WITH(REPLAY), take_json, NULL, "as one JSON object"},
    {"interface", "IF", WITH(EXPLAIN) | WITH(REPLAY), take_interface, NULL, "where it comes in"},
    {"vlan", "N", WITH(EXPLAIN), take_vlan, "allowed is 1 to 4094", "its VLAN tag, 1 to 4094; none"},
    {"size", "N", WITH(EXPLAIN), take_size, "allowed is 0 to " TEXT(CONFIG_PAYLOAD_MAX),
     "its payload in bytes, 0 to " TEXT(CONFIG_PAYLOAD_MAX) "; 100"},
    {"ttl", "N", WITH(EXPLAIN), take_ttl, "allowed is 1 to 255", "its ttl or hop limit, 1 to 255; 64"},
    {"out", "CAPTURE", WITH(REPLAY), take_out, NULL, "write the frames that would leave"},
    {"quiet", NULL, WITH(REPLAY), take_quiet, NULL, "only the counts"},
    {"role", "ROLE", WITH(FIREWALL), take_role, "allowed are host, upstream and downstream",
     "host, upstream (between the source zone and this host) or downstream (between this host and the destination "
     "zone); host"},
    {"timeout", "SECONDS", WITH(RELOAD), take_timeout, "allowed are 0.1 to 3600 seconds",
     "how long to wait, 0.1 to 3600; 60"},
    {"sandbox", "MODE", 0, take_sandbox, "allowed are enforce, log, off and list",
     "enforce, log (the kernel logs what would be refused) or off, for debugging; enforce"},
    {"without", "LIST", 0, take_without, "known are " FEATURE_NAMES,
     "do without kernel features, to try their fallbacks: " FEATURE_NAMES},
    {"debug", NULL, 0, take_debug, NULL, "log more"},
    {"help", NULL, 0, NULL, NULL, "print this"},
    {"version", NULL, 0, NULL, NULL, "print the version"},
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

// --- what is said ----------------------------------------------------------------------------------------------------

static int __attribute__((format(printf, 1, 2))) wrong_usage(const char *format, ...)
{
    va_list args;

    fputs("mcrd: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("; mcrd --help tells more\n", stderr);
    return EXIT_USAGE;
}

#define NAMES_MAX 160

// "--diff, --explain and --print": the names of these commands.
static const char *names_of(unsigned mask, const char *last, char text[NAMES_MAX])
{
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < COMMANDS; i++) {
        if (!(mask & WITH(i)))
            continue;
        unsigned left = mask >> i >> 1;
        used += (size_t) snprintf(text + used, NAMES_MAX - used, "%s%s", commands[i].name,
                                  left == 0                  ? ""
                                  : (left & (left - 1)) == 0 ? last
                                                             : ", ");
    }
    return text;
}

// Prints text from column `at` on, broken at spaces, each further line at column `indent`.
static void print_wrapped(const char *text, int at, int indent)
{
    while (*text) {
        int length = (int) strcspn(text, " ");
        if (at + 1 + length > COLUMNS && at > indent)
            at = printf("\n%*s", indent, "") - 1;
        at += printf("%s%.*s", at > indent ? " " : "", length, text);
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
}

// Prints left and, beside it from column `indent` on or below it, what it means.
static void print_row(const char *left, int indent, const char *text)
{
    int at = printf("%s", left);

    if (at >= indent)
        at = printf("\n") - 1;
    printf("%*s", indent - at, "");
    print_wrapped(text, indent, indent);
}

static void print_help(void)
{
    char left[64], text[512], names[NAMES_MAX];

    print_row("usage: mcrd [--config FILE]", 39, "run in the foreground");
    for (size_t i = 0; i < COMMANDS; i++) {
        const struct command *c = &commands[i];
        const char *word = c->argument ? c->argument : c->operands;
        snprintf(left, sizeof(left), "       mcrd %s%s%s", c->name, word ? " " : "", word ? word : "");
        print_row(left, 39, c->help);
    }
    putchar('\n');
    for (size_t i = 0; i < N_ROWS; i++) {
        const struct option_row *r = &rows[i];
        snprintf(left, sizeof(left), "  --%s%s%s", r->name, r->argument ? " " : "", r->argument ? r->argument : "");
        snprintf(text, sizeof(text), "%s%s%s%s", r->with ? "with " : "", names_of(r->with, " and ", names),
                 r->with ? ": " : "", r->help);
        print_row(left, 19, text);
    }
    fputs(
        "\n"
        "Exit status: 0 stopped by a signal, valid, the same, running it, forwarded, or read to\n"
        "its end; 1 failed, invalid, different, refused, or not forwarded; 2 usage, or with\n"
        "--diff, --reload, --explain and --replay: trouble, such as no daemon or an invalid file.\n"
        "Signals: SIGHUP takes the file over again, SIGTERM and SIGINT stop, SIGUSR1\n"
        "logs a summary. See mcrd(8) and mcr.conf(5).\n",
        stdout);
}

// --- the parser ------------------------------------------------------------------------------------------------------

struct parse {
    struct options *options;
    unsigned commands; // that were given
    bool given[N_ROWS];
};

static int take_command(struct parse *p, unsigned command, const char *argument)
{
    p->commands |= WITH(command);
    p->options->command = commands[command].run;
    if (command == REPLAY)
        p->options->replay.capture = argument;
    return -1;
}

static int take_option(struct parse *p, size_t row, const char *value)
{
    const struct option_row *r = &rows[row];

    p->given[row] = true;
    if (r->take == take_sandbox && strcmp(value, "list") == 0)
        return take_command(p, SANDBOX_LIST, NULL);
    if (strcmp(r->name, "help") == 0) {
        print_help();
        return EXIT_SUCCESS;
    }
    if (strcmp(r->name, "version") == 0) {
        puts("mcrd " PACKAGE_VERSION);
        return EXIT_SUCCESS;
    }
    if (!r->take(p->options, value))
        return wrong_usage("--%s is \"%s\", %s", r->name, value, r->allowed);
    return -1;
}

// SRC DST PORT
static int parse_datagram(int n, char **words, struct explain_options *e)
{
    if (n != 3)
        return wrong_usage("--explain needs three arguments: SRC DST PORT");
    e->source = words[0];
    e->destination = words[1];
    if (!parse_number(words[2], 1, 65535, &e->port))
        return wrong_usage("PORT is \"%s\", allowed is 1 to 65535", words[2]);
    return -1;
}

static int check_together(const struct parse *p)
{
    char names[NAMES_MAX];

    if (p->commands & (p->commands - 1))
        return wrong_usage("only one of %s is possible", names_of(WITH(COMMANDS) - 1, " and ", names));
    for (size_t i = 0; i < N_ROWS; i++)
        if (p->given[i] && rows[i].with && !(rows[i].with & p->commands))
            return wrong_usage("--%s can only go with %s", rows[i].name, names_of(rows[i].with, " or ", names));
    return -1;
}

// What getopt_long() returns for a row: those of the commands, then those of the options.
#define FIRST_ROW 256

static struct option known_option(const char *name, bool has_argument, size_t row)
{
    return (struct option){name, has_argument ? required_argument : no_argument, NULL, FIRST_ROW + (int) row};
}

static void list_known(struct option known[COMMANDS + N_ROWS])
{
    size_t n = 0;

    for (size_t i = 0; i < COMMANDS; i++)
        if (i != SANDBOX_LIST)
            known[n++] = known_option(commands[i].name + strlen("--"), commands[i].argument != NULL, i);
    for (size_t i = 0; i < N_ROWS; i++)
        known[n++] = known_option(rows[i].name, rows[i].argument != NULL, COMMANDS + i);
    known[n] = (struct option){0};
}

int options_parse(int argc, char **argv, struct options *o)
{
    struct option known[COMMANDS + N_ROWS]; // without --sandbox list, with an end
    struct parse p = {.options = o};
    int status = -1, c;

    *o = (struct options){.config_path = CONFIG_DEFAULT_PATH,
                          .timeout = TIMEOUT_DEFAULT,
                          .sandbox = SANDBOX_ENFORCE,
                          .explain = {.size = 100, .ttl = 64}};
    list_known(known);
    while (status < 0 && (c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (c < FIRST_ROW)
            status = EXIT_USAGE; // getopt_long() has told what is wrong
        else if (c < FIRST_ROW + COMMANDS)
            status = take_command(&p, (unsigned) (c - FIRST_ROW), optarg);
        else
            status = take_option(&p, (size_t) (c - FIRST_ROW - COMMANDS), optarg);
    }
    o->replay.sandbox = o->sandbox;
    if (status < 0)
        status = check_together(&p);
    if (status < 0 && p.commands == WITH(EXPLAIN))
        return parse_datagram(argc - optind, argv + optind, &o->explain);
    if (status < 0 && optind < argc)
        return wrong_usage("unexpected argument \"%s\"", argv[optind]);
    return status;
}
