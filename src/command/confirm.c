// SPDX-License-Identifier: Apache-2.0
// Tells the daemon that what it has on trial stays.
#include <config.h>

#include "command/command.h"

#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command/ask.h"
#include "common/digest.h"
#include "common/exit.h"
#include "config/load.h"
#include "stats/reader.h"

static int tell(const struct daemon *d)
{
    const struct stats_header *h = &d->header;
    char shown[DAEMON_WHY_MAX], sha256[DIGEST_TEXT_MAX];

    if (h->trial_ends_ns != 0) {
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
    printf("confirmed: generation %" PRIu64 ", sha256 %s\n", h->generation, digest_text(h->sha256, sha256));
    command_flush(h->file, true);
    return 0;
}

static int confirm(const char *stats_file, const char *path, double seconds)
{
    char shown[DAEMON_WHY_MAX];
    struct daemon d;
    int process = ask_find(stats_file, path, &d), status = EXIT_TROUBLE;

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
            status = tell(&d);
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
