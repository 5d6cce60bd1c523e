// SPDX-License-Identifier: Apache-2.0
// Asks the daemon for a reload.
#include <config.h>

#include "command/command.h"

#include <inttypes.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/account.h"
#include "command/ask.h"
#include "command/daemon.h"
#include "command/signed.h"
#include "command/trusted.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/exit.h"
#include "config/load.h"
#include "config/times.h"
#include "log/log.h"

static int tell_verdict(const struct config *c, const struct daemon *d)
{
    const struct stats_header *h = &d->header;
    char ours[DIGEST_TEXT_MAX], theirs[DIGEST_TEXT_MAX], shown[DAEMON_WHY_MAX];

    digest_text(h->sha256, theirs);
    digest_text(c->file.sha256, ours);
    if (h->verdict == STATS_VERDICT_REFUSED) {
        command_trouble("reload refused: %s", daemon_text(h->refusal, shown));
        return 1;
    }
    if (h->verdict != STATS_VERDICT_ACCEPTED)
        return command_trouble("the daemon has answered, but neither that it accepts nor that it refuses");
    if (strcmp(ours, theirs) != 0)
        return command_trouble("reload accepted: generation %" PRIu64
                               ", but %s was replaced meanwhile: sha256 %s was checked, %s runs",
                               h->generation, c->path, ours, theirs);
    // The file is in force, even if that cannot be printed.
    printf("reload accepted: generation %" PRIu64 ", sha256 %s, %zu rule%s\n", h->generation, theirs, c->n_rules,
           c->n_rules == 1 ? "" : "s");
    if (h->config_state == STATS_CONFIG_TRIAL)
        printf("on trial for %u s: what ran before runs again then, unless it is confirmed: mcrd --confirm\n",
               c->trial.seconds);
    command_flush(c->path, true);
    return 0;
}

// Records a refusal by this process, of which the daemon does not learn. systemd adds the record to the unit's journal.
static void record_refusal(const char *path, const struct config_problems *problems, const struct config_bytes *bytes)
{
    char hex[DIGEST_TEXT_MAX], file[600], why[1024], quoted[1100];

    config_problems_first(problems, path, why, sizeof(why));
    log_error(EVENT_RELOAD, "result=refused file=%s sha256=%s size=%llu owner=%u pid=%d uid=%u loginuid=%d reason=%s",
              log_quote(path, file, sizeof(file)), digest_or_none(bytes->info.sha256, hex),
              (unsigned long long) bytes->info.size, (unsigned) bytes->info.owner, (int) getpid(), (unsigned) getuid(),
              ask_login(), log_quote(why, quoted, sizeof(quoted)));
}

// Checks that the daemon may read the file: one that root started has dropped the rights by which this process has read
// it. Returns false after a message if it may not. Also prints the problems that it will have at its next start.
static bool may_daemon_read(const struct config *c, const char *trust, const struct daemon *d,
                            const struct config_bytes *bytes)
{
    struct config_problems problems = {0};
    struct file_reader reader;
    char why[FILE_WHY_MAX];

    // A daemon that root did not start has kept its user, which may differ from that of the file.
    if (account_find(c, &reader, &problems) && reader.uid == d->owner &&
        !account_may_read(c->path, &reader, d->pid, why))
        config_error(&problems, 0, NULL, "%s", why);
    signed_readable(c, trust, bytes, d, &problems);
    bool ok = problems.n_errors == 0;
    config_problems_print(&problems, c->path, stderr);
    if (!ok)
        record_refusal(c->path, &problems, bytes);
    config_problems_free(&problems);
    return ok;
}

static void warn_of_clock(const struct config *c)
{
    struct config_problems problems = {0};

    if (times_matter(c) && clock_is_unsynchronised())
        config_warning(
            &problems, 0, NULL,
            "the clock of this host is not synchronised (adjtimex): what begins and ends may do so too early "
            "or too late");
    config_problems_print(&problems, c->path, stderr);
    config_problems_free(&problems);
}

static int reload(const struct config *c, const char *trust, double seconds, const struct config_bytes *bytes)
{
    struct daemon d;
    int process = ask_find(c->stats_file, c->path, &d), status = EXIT_TROUBLE;

    if (process < 0)
        return EXIT_TROUBLE;
    const struct daemon before = d;
    trust = trusted_as(trust, &before);
    warn_of_clock(c);
    if (!may_daemon_read(c, trust, &d, bytes))
        status = 1;
    else if (ask_signal(process, &d, SIGHUP) && ask_wait(process, c->stats_file, seconds, &d))
        status = tell_verdict(c, &d);
    signed_note(c, trust, bytes, &d);
    close(process);
    return status;
}

int command_reload(const char *path, const char *trust, double seconds)
{
    struct config_problems problems = {0};
    struct config_bytes bytes;
    struct config *c = command_read(path, 0, &problems, &bytes);
    int status = 1;

    if (c && signed_wait(path, trust, &bytes, seconds)) {
        config_problems_free(&problems);
        file_free(&bytes);
        config_free(c);
        c = command_read(path, 0, &problems, &bytes);
    }
    config_problems_print(&problems, path, stderr);
    if (c) {
        setlocale(LC_CTYPE, ""); // for the texts of the daemon
        status = reload(c, trust, seconds, &bytes);
    } else {
        record_refusal(path, &problems, &bytes);
    }
    config_problems_free(&problems);
    file_free(&bytes);
    config_free(c);
    return status;
}
