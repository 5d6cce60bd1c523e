// SPDX-License-Identifier: Apache-2.0
// mcrstat: shows the statistics that a running mcrd publishes.
#include <config.h>

#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/arguments.h"
#include "stats/counters.h"
#include "stats/reader.h"
#include "stats/show.h"

struct options {
    const char *path;
    bool json, prometheus, check, words;
    double seconds; // 0: once
    const char *rule;
    unsigned state; // enum stats_rule_state
};

#define AT(field) offsetof(struct options, field)

static bool take_state(const char *text, unsigned *field)
{
    return stats_rule_state_of(text, field);
}

#define ALLOWED_STATE(NAME, word, help) " " #word

static const struct argument rows[] = {
    {"json", NULL, ARGUMENT_FLAG, AT(json), .help = "as one JSON object; with --watch, one a line",
     .heading = "Options", .letter = 'j'},
    {"prometheus", NULL, ARGUMENT_FLAG, AT(prometheus),
     .help = "as metrics in the text format of Prometheus; not with --watch"},
    {"watch", "SECONDS", ARGUMENT_DECIMAL, AT(seconds), .least = 100, .most = 3600 * 1000,
     .help = "again and again, with rates (? shows its keys)", .letter = 'w'},
    {"rule", "NAME", ARGUMENT_TEXT, AT(rule), .help = "only the rule of this name"},
    {"state", "STATE", ARGUMENT_CHOICE, AT(state), .take = take_state,
     .allowed = "allowed are" STATS_RULE_STATES(ALLOWED_STATE), .help = "only rules in this state"},
    {"check", NULL, ARGUMENT_FLAG, AT(check),
     .help = "one line and the exit status of a monitoring plugin, of the relay or of the rule"},
    {"words", NULL, ARGUMENT_FLAG, AT(words),
     .help = "what each counter, state, alarm and feature means; with --json as an object"},
    {"stats", "FILE", ARGUMENT_TEXT, AT(path), .help = "the stats_file of mcrd's config; " STATS_DEFAULT_PATH,
     .letter = 's'},
};

static const struct arguments mcrstat = {
    "mcrstat",
    "usage: mcrstat [--json | --prometheus] [--watch SECONDS] [--rule NAME] [--state STATE] [--stats FILE]\n"
    "       mcrstat --check [--rule NAME] [--stats FILE]\n"
    "       mcrstat --words [--json]\n"
    "\n"
    "Shows what a running mcrd relays, counts and drops. Needs no privilege.\n",
    "Exit status: 0 shown; 1 no daemon, no such rule, or its statistics cannot be read; 2 usage.\n"
    "With --check: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, as for wrong usage. See mcrstat(1).\n",
    rows,
    sizeof(rows) / sizeof(rows[0]),
    .once = false,
};

static int show_once(const struct options *o, const struct stats_selection *only, char why[STATS_WHY_MAX])
{
    struct show_style style = show_style_of(STDOUT_FILENO);
    struct stats_snapshot s;
    bool taken = stats_snapshot_take(&s, o->path, why), ok = true,
         found = taken && stats_snapshot_select(&s, only, why);

    if (!taken && o->prometheus)
        ok = show_prometheus(NULL, o->path, stdout); // that there is no daemon is a metric as well
    else if (found && o->prometheus)
        ok = show_prometheus(&s, o->path, stdout);
    else if (found && o->json)
        ok = show_json(&s, stdout, false);
    else if (found)
        show_table(&(struct show_view){.now = &s}, &style, stdout);
    if (taken)
        stats_snapshot_free(&s);
    // Output that is cut (a full disk, a closed pipe) must not look like success.
    if (fflush(stdout) != 0 || ferror(stdout) || !ok) {
        snprintf(why, STATS_WHY_MAX, "cannot write to the standard output");
        return EXIT_FAILURE;
    }
    return found ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int check(const struct options *o, const struct stats_selection *only)
{
    struct stats_snapshot s;
    char why[STATS_WHY_MAX];
    enum show_status status;

    if (!stats_snapshot_take(&s, o->path, why)) {
        // Where a daemon runs it is not known how it fares.
        status = show_check(NULL, true, stats_writer(o->path) == 0 ? SHOW_CRITICAL : SHOW_UNKNOWN, why, stdout);
    } else {
        bool found = stats_snapshot_select(&s, only, why);
        status = show_check(found ? &s : NULL, !only->rule, SHOW_UNKNOWN, why, stdout);
        stats_snapshot_free(&s);
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? (int) status : SHOW_UNKNOWN;
}

// To a monitoring system the status of wrong usage would be CRITICAL, and it shows the standard output only.
static int wrong_status(int status, int argc, char **argv)
{
    for (int i = 1; i < argc && status != EXIT_SUCCESS; i++)
        if (strcmp(argv[i], "--check") == 0)
            return (int) show_check(NULL, true, SHOW_UNKNOWN,
                                    "wrong usage: mcrstat --check [--rule NAME] [--stats FILE], and nothing else",
                                    stdout);
    return status;
}

static int wrong_together(const struct options *o)
{
    if (o->prometheus && (o->json || o->seconds > 0))
        return arguments_wrong(&mcrstat, "--prometheus is shown once and by itself, not with --%s",
                               o->json ? "json" : "watch");
    if (o->check && (o->json || o->prometheus || o->words || o->seconds > 0 || o->state != STATS_RULE_END))
        return arguments_wrong(&mcrstat, "--check goes with --rule and --stats only");
    if (o->words && (o->prometheus || o->seconds > 0 || o->rule || o->state != STATS_RULE_END))
        return arguments_wrong(&mcrstat, "--words goes with --json only");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct options o = {.path = STATS_DEFAULT_PATH, .state = STATS_RULE_END};
    char why[STATS_WHY_MAX] = "";
    int status = arguments_read(&mcrstat, argc, argv, &o, NULL);

    if (status < 0)
        status = wrong_together(&o);
    else if (status == EXIT_SUCCESS)
        return status;
    if (status != EXIT_SUCCESS)
        return wrong_status(status, argc, argv);
    const struct stats_selection only = {o.rule, o.state};
    setlocale(LC_CTYPE, "");
    if (o.check)
        return check(&o, &only);
    if (o.words && show_words(o.json, stdout))
        return EXIT_SUCCESS;
    if (o.words) {
        fputs("mcrstat: cannot write to the standard output\n", stderr);
        return EXIT_FAILURE;
    }
    status = o.seconds > 0 ? show_watch(o.path, &only, o.seconds, o.json, why) : show_once(&o, &only, why);
    if (*why)
        fprintf(stderr, "mcrstat: %s\n", why);
    return status;
}
