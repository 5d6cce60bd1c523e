// SPDX-License-Identifier: Apache-2.0
// The relay's signals, by a descriptor that the loop watches.
#include <config.h>

#include "relay/state.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "log/log.h"

// Pause between two parts of a summary, in which the rings are read.
#define SUMMARY_SECONDS 0.001

// Only what a service manager has kept says which file ran.
static void go_on(struct relay *r, const struct signalfd_siginfo *info)
{
    if (r->notify.keeps)
        log_notice(EVENT_CONTINUED, "pid=%u uid=%u effect=\"the next start goes on with the file that runs\"",
                   info->ssi_pid, info->ssi_uid);
    else
        log_warn(EVENT_CONTINUED,
                 "pid=%u uid=%u reason=\"no service manager keeps descriptors here\" "
                 "effect=\"none: the next start reads the file on the disk\"",
                 info->ssi_pid, info->ssi_uid);
    r->goes_on = r->notify.keeps;
}

static struct handover_asker asker_of(const struct signalfd_siginfo *info)
{
    return (struct handover_asker){
        .pid = info->ssi_pid,
        .uid = info->ssi_uid,
        .loginuid = info->ssi_code == SI_QUEUE ? (uint32_t) info->ssi_int : UINT32_MAX,
    };
}

static void reload(struct relay *r, const struct signalfd_siginfo *info)
{
    log_notice(EVENT_RELOAD_ASKED, "pid=%u uid=%u", info->ssi_pid, info->ssi_uid);
    r->next_asker = asker_of(info);
    r->shown.asked++;
    publish_header(r, STATS_LIVE); // at once, because mcrd --reload reads this counter
    request_send(r, REQUEST_LOAD);
}

static void summarise(struct relay *r)
{
    publish_summary_begin(r);
    ev_timer_stop(r->loop, &r->summary_timer.timer);
    ev_timer_set(&r->summary_timer.timer, 0., SUMMARY_SECONDS);
    ev_timer_start(r->loop, &r->summary_timer.timer);
}

void signals_answer(struct relay *r)
{
    struct signalfd_siginfo info;

    while (read(r->signals.io.fd, &info, sizeof(info)) == (ssize_t) sizeof(info)) {
        if (info.ssi_signo == (uint32_t) STATS_CONFIRM_SIGNAL) {
            struct handover_asker asker = asker_of(&info);
            on_trial_confirm(r, &asker);
            continue;
        }
        switch (info.ssi_signo) {
        case SIGHUP:
            reload(r, &info);
            break;
        case SIGUSR2:
            go_on(r, &info);
            break;
        case SIGUSR1:
            summarise(r);
            break;
        default:
            log_notice(EVENT_STOPPING, "signal=%s pid=%u uid=%u", info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT",
                       info.ssi_pid, info.ssi_uid);
            relay_stop(r, r->swap.now ? EXIT_SUCCESS : EXIT_FAILURE);
            break;
        }
    }
}

int signals_open(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, STATS_CONFIRM_SIGNAL);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}
