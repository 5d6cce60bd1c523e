// SPDX-License-Identifier: Apache-2.0
// mcrstat: shows the statistics that a running mcrd publishes.
#include <config.h>

#include <getopt.h>
#include <locale.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/exit.h"
#include "stats/reader.h"
#include "stats/show.h"

#define WATCH_MIN 0.1
#define WATCH_MAX 3600.0

struct options {
    const char *path;
    bool json, prometheus;
    double seconds; // 0: once
};

static const char usage[] =
    "usage: mcrstat [--json | --prometheus] [--watch SECONDS] [--stats FILE]\n"
    "\n"
    "Shows what a running mcrd relays, counts and drops. Needs no privilege.\n"
    "\n"
    "  --json             as one JSON object; with --watch, one a line\n"
    "  --prometheus       as metrics in the text format of Prometheus; not with --watch\n"
    "  --watch SECONDS    again and again, with rates; 0.1 to 3600; ? for its keys\n"
    "  --stats FILE       the stats_file of mcrd's config; " STATS_DEFAULT_PATH
    "\n"
    "  --help             print this\n"
    "  --version          print the version\n"
    "\n"
    "Exit status: 0 shown; 1 no daemon, or its statistics cannot be read; 2 usage.\n"
    "See mcrstat(1).\n";

static int __attribute__((format(printf, 1, 2))) wrong_usage(const char *format, ...)
{
    va_list args;

    fputs("mcrstat: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("; mcrstat --help tells more\n", stderr);
    return EXIT_USAGE;
}

static bool parse_seconds(const char *text, double *seconds)
{
    char *end;

    // Leaves strtod() no infinity, hexadecimal or sign.
    if (*text == '\0' || text[strspn(text, "0123456789.")] != '\0')
        return false;
    *seconds = strtod(text, &end);
    return *end == '\0' && *seconds >= WATCH_MIN && *seconds <= WATCH_MAX;
}

// Fills *o. Returns -1 to go on, or the exit status.
static int parse_options(int argc, char **argv, struct options *o)
{
    enum { OPT_JSON = 256, OPT_PROMETHEUS, OPT_WATCH, OPT_STATS, OPT_HELP, OPT_VERSION };
    static const struct option known[] = {
        {"json", no_argument, NULL, OPT_JSON},
        {"prometheus", no_argument, NULL, OPT_PROMETHEUS},
        {"watch", required_argument, NULL, OPT_WATCH},
        {"stats", required_argument, NULL, OPT_STATS},
        {"help", no_argument, NULL, OPT_HELP},
        {"version", no_argument, NULL, OPT_VERSION},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case OPT_JSON:
            o->json = true;
            break;
        case OPT_PROMETHEUS:
            o->prometheus = true;
            break;
        case OPT_WATCH:
            if (!parse_seconds(optarg, &o->seconds))
                return wrong_usage("--watch is \"%s\", allowed are 0.1 to 3600 seconds", optarg);
            break;
        case OPT_STATS:
            o->path = optarg;
            break;
        case OPT_HELP:
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        case OPT_VERSION:
            puts("mcrstat " PACKAGE_VERSION);
            return EXIT_SUCCESS;
        default:
            // getopt_long() has told what is wrong.
            return EXIT_USAGE;
        }
    }
    if (optind < argc)
        return wrong_usage("unexpected argument \"%s\"", argv[optind]);
    if (o->prometheus && (o->json || o->seconds > 0))
        return wrong_usage("--prometheus is shown once and by itself, not with --%s", o->json ? "json" : "watch");
    return -1;
}

static int show_once(const struct options *o, char why[STATS_WHY_MAX])
{
    struct show_style style = show_style_of(STDOUT_FILENO);
    struct stats_snapshot s;
    bool ok = true;

    if (!stats_snapshot_take(&s, o->path, why)) {
        // That there is no daemon is a metric as well.
        if (o->prometheus && !show_prometheus(NULL, o->path, stdout))
            snprintf(why, STATS_WHY_MAX, "cannot write to the standard output");
        return EXIT_FAILURE;
    }
    if (o->prometheus)
        ok = show_prometheus(&s, o->path, stdout);
    else if (o->json)
        ok = show_json(&s, stdout, false);
    else
        show_table(&(struct show_view){.now = &s}, &style, stdout);
    stats_snapshot_free(&s);
    // Output that is cut (a full disk, a closed pipe) must not look like success.
    if (fflush(stdout) != 0 || ferror(stdout) || !ok) {
        snprintf(why, STATS_WHY_MAX, "cannot write to the standard output");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct options o = {.path = STATS_DEFAULT_PATH};
    char why[STATS_WHY_MAX] = "";
    int status = parse_options(argc, argv, &o);

    if (status >= 0)
        return status;
    setlocale(LC_CTYPE, "");
    status = o.seconds > 0 ? show_watch(o.path, o.seconds, o.json, why) : show_once(&o, why);
    if (*why)
        fprintf(stderr, "mcrstat: %s\n", why);
    return status;
}
