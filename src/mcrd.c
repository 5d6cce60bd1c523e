// SPDX-License-Identifier: Apache-2.0
// mcrd: the daemon, and the commands that look at its config file.
#include <config.h>

#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/broker.h"
#include "machine/feature.h"
#include "command/command.h"
#include "common/descriptors.h"
#include "config/model.h"
#include "handover/handover.h"
#include "log/log.h"
#include "relay/relay.h"
#include "sandbox/sandbox.h"

#define EXIT_USAGE 2

#define TIMEOUT_DEFAULT 60.0 // seconds
#define TIMEOUT_MIN     0.1
#define TIMEOUT_MAX     3600.0

enum command { RUN, CHECK, PRINT, DIFF, FIREWALL, RELOAD, EXPLAIN, REPLAY, LIST };

struct options {
    enum command command;
    const char *config_path;
    bool json;
    enum firewall_role role;
    bool role_given;
    double timeout; // seconds; 0: not given
    struct explain_options explain;
    struct replay_options replay;
    const char *interface; // of both
    bool about_datagram;   // --vlan, --size or --ttl was given
    bool debug;
    enum sandbox_mode sandbox;
    unsigned without;
};

static const char usage[] =
    "usage: mcrd [--config FILE]            run in the foreground\n"
    "       mcrd --check [--config FILE]    say whether the file is valid; opens nothing\n"
    "       mcrd --diff [--json]            say what a reload would change, and whether it\n"
    "                                       disturbs traffic\n"
    "       mcrd --firewall [--role ROLE]   print nftables rules for exactly the file's flows\n"
    "       mcrd --print [--json]           print the effective config, defaults filled in\n"
    "       mcrd --reload                   check the file, let the running mcrd take it\n"
    "                                       over, and wait for its verdict\n"
    "       mcrd --explain SRC DST PORT        say what the file would do with such a datagram,\n"
    "                                       and which line decides\n"
    "       mcrd --replay CAPTURE           say what it would do with each packet of a capture\n"
    "\n"
    "  --config FILE    the config file; " CONFIG_DEFAULT_PATH
    "\n"
    "  --json           with --diff, --print, --explain and --replay: as one JSON object\n"
    "  --interface IF   with --explain and --replay: where it comes in\n"
    "  --vlan N         with --explain: its VLAN tag, 1 to 4094; none\n"
    "  --size N         with --explain: its payload in bytes, 0 to 65507; 100\n"
    "  --ttl N          with --explain: its ttl or hop limit, 1 to 255; 64\n"
    "  --out CAPTURE    with --replay: write the frames that would leave\n"
    "  --quiet          with --replay: only the counts\n"
    "  --role ROLE      with --firewall: host, upstream (between the source zone and this\n"
    "                   host) or downstream (between this host and the destination zone);\n"
    "                   host\n"
    "  --timeout SECONDS\n"
    "                   with --reload: how long to wait, 0.1 to 3600; 60\n"
    "  --sandbox MODE   enforce, log (the kernel logs what would be refused) or off,\n"
    "                   for debugging; enforce\n"
    "  --sandbox list   print which system calls both processes may make, and why\n"
    "  --without LIST   do without kernel features, to try their fallbacks:\n"
    "                   packet-gso, udp-gso, ignore-outgoing, super-frames,\n"
    "                   landlock, tx-ring\n"
    "  --debug          log more\n"
    "  --help           print this\n"
    "  --version        print the version\n"
    "\n"
    "Exit status: 0 stopped by a signal, valid, the same, running it, forwarded, or read to\n"
    "its end; 1 failed, invalid, different, refused, or not forwarded; 2 usage, or with\n"
    "--diff, --reload, --explain and --replay: trouble, such as no daemon or an invalid file.\n"
    "Signals: SIGHUP takes the file over again, SIGTERM and SIGINT stop, SIGUSR1\n"
    "logs a summary. See mcrd(8) and mcr.conf(5).\n";

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

static bool parse_sandbox(const char *text, enum sandbox_mode *mode)
{
    static const char *const names[] = {"off", "log", "enforce"};

    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *mode = (enum sandbox_mode) i;
            return true;
        }
    return false;
}

static bool parse_timeout(const char *text, double *seconds)
{
    char *end;

    // Leaves strtod() no infinity, hexadecimal or sign.
    if (*text == '\0' || text[strspn(text, "0123456789.")] != '\0')
        return false;
    *seconds = strtod(text, &end);
    return *end == '\0' && *seconds >= TIMEOUT_MIN && *seconds <= TIMEOUT_MAX;
}

// A decimal number.
static bool parse_number(const char *text, unsigned least, unsigned most, unsigned *out)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 5 || text[digits] != '\0')
        return false;
    *out = (unsigned) strtoul(text, NULL, 10);
    return *out >= least && *out <= most;
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

static const char *refused_together(const struct options *o, int commands)
{
    if (commands > 1)
        return "only one of --check, --diff, --explain, --firewall, --print, --reload, --replay and --sandbox list is "
               "possible";
    if (o->json && o->command != DIFF && o->command != PRINT && o->command != EXPLAIN && o->command != REPLAY)
        return "--json goes with --diff, --print, --explain or --replay";
    if (o->role_given && o->command != FIREWALL)
        return "--role goes with --firewall";
    if (o->timeout > 0 && o->command != RELOAD)
        return "--timeout goes with --reload";
    if (o->interface && o->command != EXPLAIN && o->command != REPLAY)
        return "--interface goes with --explain or --replay";
    if (o->about_datagram && o->command != EXPLAIN)
        return "--vlan, --size and --ttl go with --explain";
    if ((o->replay.out || o->replay.quiet) && o->command != REPLAY)
        return "--out and --quiet go with --replay";
    return NULL;
}

// Fills *o. Returns -1 to go on, or the exit status.
static int parse_options(int argc, char **argv, struct options *o)
{
    enum {
        OPT_CHECK = 256,
        OPT_DIFF,
        OPT_FIREWALL,
        OPT_PRINT,
        OPT_RELOAD,
        OPT_EXPLAIN,
        OPT_REPLAY,
        OPT_INTERFACE,
        OPT_VLAN,
        OPT_SIZE,
        OPT_TTL,
        OPT_OUT,
        OPT_QUIET,
        OPT_JSON,
        OPT_ROLE,
        OPT_TIMEOUT,
        OPT_CONFIG,
        OPT_SANDBOX,
        OPT_WITHOUT,
        OPT_DEBUG,
        OPT_HELP,
        OPT_VERSION
    };
    static const struct option known[] = {
        {"check", no_argument, NULL, OPT_CHECK},
        {"diff", no_argument, NULL, OPT_DIFF},
        {"firewall", no_argument, NULL, OPT_FIREWALL},
        {"print", no_argument, NULL, OPT_PRINT},
        {"reload", no_argument, NULL, OPT_RELOAD},
        {"explain", no_argument, NULL, OPT_EXPLAIN},
        {"replay", required_argument, NULL, OPT_REPLAY},
        {"interface", required_argument, NULL, OPT_INTERFACE},
        {"vlan", required_argument, NULL, OPT_VLAN},
        {"size", required_argument, NULL, OPT_SIZE},
        {"ttl", required_argument, NULL, OPT_TTL},
        {"out", required_argument, NULL, OPT_OUT},
        {"quiet", no_argument, NULL, OPT_QUIET},
        {"json", no_argument, NULL, OPT_JSON},
        {"role", required_argument, NULL, OPT_ROLE},
        {"timeout", required_argument, NULL, OPT_TIMEOUT},
        {"config", required_argument, NULL, OPT_CONFIG},
        {"sandbox", required_argument, NULL, OPT_SANDBOX},
        {"without", required_argument, NULL, OPT_WITHOUT},
        {"debug", no_argument, NULL, OPT_DEBUG},
        {"help", no_argument, NULL, OPT_HELP},
        {"version", no_argument, NULL, OPT_VERSION},
        {NULL, 0, NULL, 0},
    };
    static const enum command commands_of[] = {CHECK, DIFF, FIREWALL, PRINT, RELOAD, EXPLAIN}; // in the order above
    const char *features;
    int commands = 0, c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case OPT_CHECK:
        case OPT_DIFF:
        case OPT_FIREWALL:
        case OPT_PRINT:
        case OPT_RELOAD:
        case OPT_EXPLAIN:
            o->command = commands_of[c - OPT_CHECK];
            commands++;
            break;
        case OPT_ROLE:
            if (!firewall_parse_role(optarg, &o->role))
                return wrong_usage("--role is \"%s\", allowed are host, upstream and downstream", optarg);
            o->role_given = true;
            break;
        case OPT_REPLAY:
            o->command = REPLAY;
            o->replay.capture = optarg;
            commands++;
            break;
        case OPT_INTERFACE:
            o->interface = optarg;
            break;
        case OPT_VLAN:
            if (!parse_number(optarg, 1, 4094, &o->explain.vlan))
                return wrong_usage("--vlan is \"%s\", allowed is 1 to 4094", optarg);
            o->about_datagram = true;
            break;
        case OPT_SIZE:
            if (!parse_number(optarg, 0, CONFIG_PAYLOAD_MAX, &o->explain.size))
                return wrong_usage("--size is \"%s\", allowed is 0 to %d", optarg, CONFIG_PAYLOAD_MAX);
            o->about_datagram = true;
            break;
        case OPT_TTL:
            if (!parse_number(optarg, 1, 255, &o->explain.ttl))
                return wrong_usage("--ttl is \"%s\", allowed is 1 to 255", optarg);
            o->about_datagram = true;
            break;
        case OPT_OUT:
            o->replay.out = optarg;
            break;
        case OPT_QUIET:
            o->replay.quiet = true;
            break;
        case OPT_JSON:
            o->json = true;
            break;
        case OPT_TIMEOUT:
            if (!parse_timeout(optarg, &o->timeout))
                return wrong_usage("--timeout is \"%s\", allowed are 0.1 to 3600 seconds", optarg);
            break;
        case OPT_CONFIG:
            o->config_path = optarg;
            break;
        case OPT_SANDBOX:
            if (strcmp(optarg, "list") == 0) {
                o->command = LIST;
                commands++;
            } else if (!parse_sandbox(optarg, &o->sandbox)) {
                return wrong_usage("--sandbox is \"%s\", allowed are enforce, log, off and list", optarg);
            }
            break;
        case OPT_WITHOUT:
            if (!feature_parse(optarg, &o->without, &features))
                return wrong_usage("--without names an unknown feature, known are %s", features);
            break;
        case OPT_DEBUG:
            o->debug = true;
            break;
        case OPT_HELP:
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        case OPT_VERSION:
            puts("mcrd " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        default:
            // getopt_long() has told what is wrong.
            return EXIT_USAGE;
        }
    }
    if (refused_together(o, commands))
        return wrong_usage("%s", refused_together(o, commands));
    if (o->command == EXPLAIN)
        return parse_datagram(argc - optind, argv + optind, &o->explain);
    if (optind < argc)
        return wrong_usage("unexpected argument \"%s\"", argv[optind]);
    return -1;
}

// Ingress sockets live above SANDBOX_INGRESS_FD, and every output in socket mode needs a descriptor below it.
static bool set_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    if (limit.rlim_max < SANDBOX_FILES_MIN) {
        log_error("start",
                  "limit=%llu needed=%d reason=\"too few open files allowed: raise LimitNOFILE or ulimit -Hn\"",
                  (unsigned long long) limit.rlim_max, SANDBOX_FILES_MIN);
        return false;
    }
    if (limit.rlim_max > SANDBOX_FILES_MAX)
        limit.rlim_max = SANDBOX_FILES_MAX;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

// A relative path means the same after the relay has left the file system, and to mcrd --reload. Links stay: they may
// lead elsewhere tomorrow. NULL with errno set; the caller frees it.
static char *absolute(const char *path)
{
    char *directory = getcwd(NULL, 0), *joined = NULL;

    if (path[0] == '/')
        joined = strdup(path);
    else if (!directory || asprintf(&joined, "%s/%s", directory, path) < 0)
        joined = NULL;
    free(directory);
    return joined;
}

// --- two processes ---------------------------------------------------------------------------------------------------

// Each is a program of its own, with its own layout in memory: what a relay that was taken over knows of addresses does
// not hold in the broker. This is also how the relay gets rid of CAP_NET_RAW where capset(2) is refused.
#define PROCESS "MCR_PROCESS"

struct process {
    bool broker;
    int handover; // its end of the pair
    int inotify;  // shared: the broker adds watches, the relay reads what happens
};

static bool keep_open(int fd)
{
    return fcntl(fd, F_SETFD, 0) == 0;
}

static int become(const struct process *p, char **argv)
{
    char text[64];

    // What is ambient survives execve(2), what is only permitted does not.
    if (!p->broker)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    snprintf(text, sizeof(text), "%s %d %d", p->broker ? "broker" : "relay", p->handover, p->inotify);
    if (setenv(PROCESS, text, 1) == 0 && keep_open(p->handover) && keep_open(p->inotify))
        execv("/proc/self/exe", argv);
    log_errno(LOG_LEVEL_ERR, "start", "reason=\"cannot be executed again by /proc/self/exe\"");
    return EXIT_FAILURE;
}

static int split(char **argv)
{
    // Before anything is opened: a process without rights must not keep what its starter could read. Nothing is handed
    // over on purpose.
    if (!descriptors_leave(STDERR_FILENO + 1)) {
        log_errno(LOG_LEVEL_ERR, "start", "reason=\"/dev/null cannot be opened\"");
        return EXIT_FAILURE;
    }

    int ends[2], inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    if (inotify < 0 || !handover_pair(ends)) {
        log_errno(LOG_LEVEL_ERR, "start", "reason=\"no socket pair or inotify instance\"");
        return EXIT_FAILURE;
    }
    // The relay is the parent, so that systemd's main process is the one that takes signals. Each side must see the
    // end of the other: neither keeps the other's descriptor.
    switch (fork()) {
    case -1:
        log_errno(LOG_LEVEL_ERR, "start", "reason=\"no second process\"");
        return EXIT_FAILURE;
    case 0:
        return become(&(struct process){true, ends[1], inotify}, argv);
    default:
        return become(&(struct process){false, ends[0], inotify}, argv);
    }
}

// Whether this is one of the two already.
static bool find_process(struct process *p)
{
    const char *text = getenv(PROCESS);
    char name[8];

    if (!text || sscanf(text, "%7s %d %d", name, &p->handover, &p->inotify) != 3)
        return false;
    p->broker = strcmp(name, "broker") == 0;
    unsetenv(PROCESS);
    return fcntl(p->handover, F_SETFD, FD_CLOEXEC) == 0 && fcntl(p->inotify, F_SETFD, FD_CLOEXEC) == 0;
}

static int run_process(const struct options *o, const struct process *p, const char *config_path)
{
    prctl(PR_SET_NAME, "mcrd"); // it would be "exe"
    if (p->broker) {
        struct broker_options broker = {.machine = &machine_kernel,
                                        .sandbox = o->sandbox,
                                        .config_path = config_path,
                                        .without = o->without,
                                        .inotify = p->inotify};
        return broker_run(&broker, p->handover);
    }
    struct relay_options relay = {.sandbox = o->sandbox,
                                  .config_path = config_path,
                                  .landlock = !(o->without & FEATURE_LANDLOCK),
                                  .inotify = p->inotify};
    return relay_run(&relay, p->handover);
}

static int run(const struct options *o, char **argv)
{
    struct process p;

    umask(S_IWGRP | S_IWOTH); // anyone may read the statistics, whoever starts us (keepalived: with 0177)
    if (!find_process(&p))
        return set_descriptor_limit() ? split(argv) : EXIT_FAILURE;
    char *path = absolute(o->config_path);
    if (!path) {
        log_errno(LOG_LEVEL_ERR, "start", "reason=\"no absolute path of the config file\"");
        return EXIT_FAILURE;
    }
    int status = run_process(o, &p, path);
    free(path);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = {.command = RUN,
                        .config_path = CONFIG_DEFAULT_PATH,
                        .sandbox = SANDBOX_ENFORCE,
                        .explain = {.size = 100, .ttl = 64}};
    int status = parse_options(argc, argv, &o);

    if (status >= 0)
        return status;
    log_set_debug(o.debug);
    o.explain.interface = o.replay.interface = o.interface;
    o.explain.json = o.replay.json = o.json;
    o.replay.sandbox = o.sandbox;
    switch (o.command) {
    case CHECK:
        return command_check(o.config_path);
    case DIFF:
        return command_diff(o.config_path, o.json);
    case FIREWALL:
        return command_firewall(o.config_path, o.role);
    case PRINT:
        return command_print(o.config_path, o.json);
    case RELOAD:
        return command_reload(o.config_path, o.timeout > 0 ? o.timeout : TIMEOUT_DEFAULT);
    case EXPLAIN:
        return command_explain(o.config_path, &o.explain);
    case REPLAY:
        return command_replay(o.config_path, &o.replay);
    case LIST:
        return sandbox_list(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
    case RUN:
        break;
    }
    return run(&o, argv);
}
