// SPDX-License-Identifier: Apache-2.0
// mcrstat: shows the statistics that a running mcrd publishes.
#include <config.h>

#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/arguments.h"
#include "stats/reader.h"
#include "stats/show.h"

struct options {
    const char *path;
    bool json, prometheus;
    double seconds; // 0: once
};

#define AT(field) offsetof(struct options, field)

static const struct argument rows[] = {
    {"json", NULL, ARGUMENT_FLAG, AT(json), .help = "as one JSON object; with --watch, one a line",
     .heading = "Options", .letter = 'j'},
    {"prometheus", NULL, ARGUMENT_FLAG, AT(prometheus),
     .help = "as metrics in the text format of Prometheus; not with --watch"},
    {"watch", "SECONDS", ARGUMENT_DECIMAL, AT(seconds), .least = 100, .most = 3600 * 1000,
     .help = "again and again, with rates (? shows its keys)", .letter = 'w'},
    {"stats", "FILE", ARGUMENT_TEXT, AT(path), .help = "the stats_file of mcrd's config; " STATS_DEFAULT_PATH,
     .letter = 's'},
};

static const struct arguments mcrstat = {
    "mcrstat",
    "usage: mcrstat [--json | --prometheus] [--watch SECONDS] [--stats FILE]\n"
    "\n"
    "Shows what a running mcrd relays, counts and drops. Needs no privilege.\n",
    "Exit status: 0 shown; 1 no daemon, or its statistics cannot be read; 2 usage.\n"
    "See mcrstat(1).\n",
    rows,
    sizeof(rows) / sizeof(rows[0]),
    .once = false,
};

static int show_once(const struct options *o, char why[STATS_WHY_MAX])
{
    struct show_style style = show_style_of(STDOUT_FILENO);
    struct stats_snapshot s;
    bool taken = stats_snapshot_take(&s, o->path, why), ok = true;

    if (o->prometheus)
        ok = show_prometheus(taken ? &s : NULL, o->path, stdout); // that there is no daemon is a metric as well
    else if (taken && o->json)
        ok = show_json(&s, stdout, false);
    else if (taken)
        show_table(&(struct show_view){.now = &s}, &style, stdout);
    if (taken)
        stats_snapshot_free(&s);
    // Output that is cut (a full disk, a closed pipe) must not look like success.
    if (fflush(stdout) != 0 || ferror(stdout) || !ok) {
        snprintf(why, STATS_WHY_MAX, "cannot write to the standard output");
        return EXIT_FAILURE;
    }
    return taken ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct options o = {.path = STATS_DEFAULT_PATH};
    char why[STATS_WHY_MAX] = "";
    int status = arguments_read(&mcrstat, argc, argv, &o, NULL);

    if (status >= 0)
        return status;
    if (o.prometheus && (o.json || o.seconds > 0))
        return arguments_wrong(&mcrstat, "--prometheus is shown once and by itself, not with --%s",
                               o.json ? "json" : "watch");
    setlocale(LC_CTYPE, "");
    status = o.seconds > 0 ? show_watch(o.path, o.seconds, o.json, why) : show_once(&o, why);
    if (*why)
        fprintf(stderr, "mcrstat: %s\n", why);
    return status;
}
