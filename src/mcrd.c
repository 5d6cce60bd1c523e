// SPDX-License-Identifier: Apache-2.0
// mcrd: a command that looks at a config file (command/), or the daemon: two processes that execute this program again.
#include <config.h>

#include <fcntl.h>
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
#include "command/options.h"
#include "common/descriptors.h"
#include "common/service.h"
#include "handover/handover.h"
#include "log/log.h"
#include "relay/relay.h"
#include "sandbox/sandbox.h"
#include "trust/trustconf.h"

// With errno set. Returns false.
static bool no_limit(void)
{
    log_errno(LOG_LEVEL_ERR, EVENT_START, "reason=\"the limit of open files cannot be set\"");
    return false;
}

// Ingress sockets live above SANDBOX_INGRESS_FD, and every output in socket mode needs a descriptor below it. Returns
// false with the reason logged.
static bool set_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return no_limit();
    if (limit.rlim_max < SANDBOX_FILES_MIN) {
        log_error(EVENT_START,
                  "limit=%llu needed=%d reason=\"too few open files allowed: raise LimitNOFILE or ulimit -Hn\"",
                  (unsigned long long) limit.rlim_max, SANDBOX_FILES_MIN);
        return false;
    }
    if (limit.rlim_max > SANDBOX_FILES_MAX)
        limit.rlim_max = SANDBOX_FILES_MAX;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 || no_limit();
}

// A relative path means the same after the relay has left the file system, and to mcrd --reload. Links stay: they may
// lead elsewhere tomorrow. NULL with errno set; the caller frees it.
static char *absolute(const char *path)
{
    if (path[0] == '/')
        return strdup(path);
    char *directory = getcwd(NULL, 0), *joined;
    if (!directory || asprintf(&joined, "%s/%s", directory, path) < 0)
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
    int handover;    // its end of the pair
    int inotify;     // shared: the broker adds watches, the relay reads what happens
    int handed_over; // descriptors from SERVICE_FDS_START up, which only the broker keeps (common/service.h)
};

// With errno set.
static int failed(const char *why)
{
    log_errno(LOG_LEVEL_ERR, EVENT_START, "reason=\"%s\"", why);
    return EXIT_FAILURE;
}

static int become(const struct process *p, char **argv)
{
    char text[64];

    // What is ambient survives execve(2), what is only permitted does not.
    if (!p->broker)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int fd = SERVICE_FDS_START; !p->broker && fd < SERVICE_FDS_START + p->handed_over; fd++)
        close(fd);
    snprintf(text, sizeof(text), "%s %d %d %d", p->broker ? "broker" : "relay", p->handover, p->inotify,
             p->broker ? p->handed_over : 0);
    // Both descriptors stay open.
    if (setenv(PROCESS, text, 1) == 0 && fcntl(p->handover, F_SETFD, 0) == 0 && fcntl(p->inotify, F_SETFD, 0) == 0)
        execv("/proc/self/exe", argv);
    return failed("cannot be executed again by /proc/self/exe");
}

static int split(char **argv)
{
    int handed_over = (int) service_handed_over();

    // Before anything is opened: a process without rights must not keep what its starter could read, but for what the
    // service manager hands over on purpose.
    if (!descriptors_leave(SERVICE_FDS_START + handed_over))
        return failed("/dev/null cannot be opened");

    int ends[2], inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    if (inotify < 0 || !handover_pair(ends))
        return failed("no socket pair or inotify instance");
    // The relay is the parent, so that systemd's main process is the one that takes signals. Each side must see the
    // end of the other: neither keeps the other's descriptor.
    switch (fork()) {
    case -1:
        return failed("no second process");
    case 0:
        return become(&(struct process){true, ends[1], inotify, handed_over}, argv);
    default:
        return become(&(struct process){false, ends[0], inotify, handed_over}, argv);
    }
}

// Whether this is one of the two already; *ok: its descriptors are there.
static bool find_process(struct process *p, bool *ok)
{
    const char *text = getenv(PROCESS);
    char name[8];

    if (!text || sscanf(text, "%7s %d %d %d", name, &p->handover, &p->inotify, &p->handed_over) != 4)
        return false;
    p->broker = strcmp(name, "broker") == 0;
    unsetenv(PROCESS);
    *ok = fcntl(p->handover, F_SETFD, FD_CLOEXEC) == 0 && fcntl(p->inotify, F_SETFD, FD_CLOEXEC) == 0;
    return true;
}

static int run(const struct options *o, char **argv)
{
    struct process p;
    bool ok;

    umask(S_IWGRP | S_IWOTH); // anyone may read the statistics, whoever starts us (keepalived: with 0177)
    if (!find_process(&p, &ok))
        return set_descriptor_limit() ? split(argv) : EXIT_FAILURE;
    if (!ok)
        return failed("no descriptors of " PROCESS);
    prctl(PR_SET_NAME, "mcrd"); // it would be "exe"
    char *path = absolute(o->config_paths.texts[0]);
    char *trust = o->trust && strcmp(o->trust, TRUSTCONF_NONE) != 0 ? absolute(o->trust) : NULL;
    if (!path || (!trust && o->trust && strcmp(o->trust, TRUSTCONF_NONE) != 0))
        return failed("no absolute path of the config file, or of trust.conf");
    struct broker_options broker = {.machine = &machine_kernel,
                                    .sandbox = o->sandbox,
                                    .config_path = path,
                                    .trust_path = trust ? trust : o->trust,
                                    .without = o->without,
                                    .inotify = p.inotify,
                                    .handed_over = (size_t) p.handed_over,
                                    .fresh = o->fresh};
    struct relay_options relay = {
        .sandbox = o->sandbox, .landlock = !(o->without & FEATURE_LANDLOCK), .inotify = p.inotify};
    int status = p.broker ? broker_run(&broker, p.handover) : relay_run(&relay, p.handover);
    free(path);
    free(trust);
    return status;
}

int main(int argc, char **argv)
{
    struct options o;
    int status = options_parse(argc, argv, &o);

    if (status >= 0)
        return status;
    log_set_debug(o.debug);
    return o.command ? options_run(&o) : run(&o, argv);
}
