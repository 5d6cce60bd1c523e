// SPDX-License-Identifier: Apache-2.0
// Tells the daemon that what it has on trial stays.
#include <config.h>

#include "command/command.h"

#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command/ask.h"
#include "common/digest.h"
#include "common/exit.h"
#include "config/load.h"
#include "stats/reader.h"

// asked: as it was before.
static int tell(const struct daemon *d, const struct daemon *asked)
{
    const struct stats_header *h = &d->header, *was = &asked->header;
    char shown[DAEMON_WHY_MAX], sha256[DIGEST_TEXT_MAX];

    if (h->trial_ends_ns != 0 && h->generation == was->generation) {
        command_trouble("confirm refused: %s",
                        h->broker_alive ? daemon_text(h->refusal, shown)
                                        : "the broker is gone, and nobody else records it; what ran before runs again "
                                          "when the time of the trial is over");
        return 1;
    }
    if (h->returned[0]) {
        command_trouble("too late: generation %" PRIu64 " runs again: %s", h->generation,
                        daemon_text(h->returned, shown));
        return 1;
    }
    printf("confirmed: generation %" PRIu64 ", sha256 %s\n", was->generation, digest_text(was->sha256, sha256));
    command_flush(h->file, true);
    if (h->generation != was->generation)
        fprintf(stderr, "note: another file has been loaded since: generation %" PRIu64 ", sha256 %s\n", h->generation,
                digest_text(h->sha256, sha256));
    return 0;
}

// Writes why the file does not say where the statistics are, or "".
static void find_unread(const char *path, char why[PATH_MAX + 1024])
{
    struct config_problems problems = {0};
    struct config_bytes bytes;
    struct config *c = config_load(path, CONFIG_LOAD_OFFLINE_INTERFACES, &problems, &bytes);

    *why = '\0';
    if (!c)
        config_problems_first(&problems, path, why, PATH_MAX + 1024);
    config_problems_free(&problems);
    file_free(&bytes);
    config_free(c);
}

static int confirm(const char *stats_file, const char *path, double seconds)
{
    char shown[DAEMON_WHY_MAX], why[DAEMON_WHY_MAX], unread[PATH_MAX + 1024] = "";
    struct daemon d;

    bool runs = daemon_wait(stats_file, &d, why) == DAEMON_RUNS;
    if (!runs || !daemon_is_of(&d, path))
        find_unread(path, unread);
    if (*unread && runs)
        snprintf(why, sizeof(why), "its daemon (pid %d) runs %s", (int) d.pid, daemon_text(d.header.file, shown));
    if (*unread)
        return command_trouble(
            "%s; stats_file %s was looked at: %s. Put a readable file there, or send SIGRTMIN to mcrd", unread,
            stats_file, why);
    int process = ask_find(stats_file, path, &d), status = EXIT_TROUBLE;
    const struct daemon asked = d;

    if (process < 0)
        return EXIT_TROUBLE;
    if (d.header.trial_ends_ns == 0) {
        status = 1;
        if (d.header.returned[0])
            command_trouble("nothing is on trial: the last one was not kept: %s",
                            daemon_text(d.header.returned, shown));
        else
            command_trouble("nothing is on trial");
    } else {
        if (memcmp(d.header.disk_sha256, d.header.sha256, sizeof(d.header.sha256)) != 0)
            fprintf(stderr, "note: %s is not what is on trial: it was replaced meanwhile\n", path);
        if (ask_signal(process, &d, STATS_CONFIRM_SIGNAL) && ask_wait(process, stats_file, seconds, &d))
            status = tell(&d, &asked);
    }
    close(process);
    return status;
}

int command_confirm(const char *path, double seconds)
{
    struct config identity = {.stats_file = ""};
    struct config_problems problems = {0};
    struct config_bytes bytes;

    // The file may have become invalid meanwhile: it only tells where the statistics are.
    config_identify(path, &identity, &problems, &bytes);
    config_problems_free(&problems);
    file_free(&bytes);
    setlocale(LC_CTYPE, ""); // for the texts of the daemon
    return confirm(*identity.stats_file ? identity.stats_file : STATS_DEFAULT_PATH, path, seconds);
}
