// SPDX-License-Identifier: Apache-2.0
// Everything before the first request: finding the user to run as, and dropping every other right.
#include <config.h>

#include "broker/state.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "broker/statistics.h"
#include "common/service.h"
#include "config/problems.h"
#include "log/log.h"
#include "machine/feature.h"
#include "sandbox/sandbox.h"

#define OVERFLOW_ID 65534 // user and group to which nothing belongs (/proc/sys/kernel/overflowuid)

// Stores the names of the user and group as which the broker reads the file, or their numbers.
static void note_reader(struct broker *b, const char *user, const char *group)
{
    snprintf(b->as_user, sizeof(b->as_user), "%u", (unsigned) b->uid);
    snprintf(b->as_group, sizeof(b->as_group), "%u", (unsigned) b->gid);
    if (user)
        snprintf(b->as_user, sizeof(b->as_user), "%s", user);
    if (group)
        snprintf(b->as_group, sizeof(b->as_group), "%s", group);
}

static bool find_user(struct broker *b)
{
    b->uid = geteuid();
    b->gid = getegid();
    if (geteuid() != 0) {
        const struct passwd *own = getpwuid(b->uid);
        const struct group *own_group = getgrgid(b->gid);
        note_reader(b, own ? own->pw_name : NULL, own_group ? own_group->gr_name : NULL);
        return true;
    }

    const struct passwd *user = getpwnam(b->user);
    if (!user) {
        log_error(EVENT_START,
                  "reason=\"there is no user %s: make it (systemd-sysusers, adduser --system) or set user\"", b->user);
        return false;
    }
    const struct group *group = getgrnam(b->group);
    if (!group) {
        log_error(EVENT_START, "reason=\"there is no group %s: make it or set group\"", b->group);
        return false;
    }
    b->uid = user->pw_uid;
    b->gid = group->gr_gid;
    note_reader(b, b->user, b->group);
    return true;
}

static void be(uid_t uid, gid_t gid)
{
    setfsgid(gid);
    setfsuid(uid);
}

// Prepares the file of the statistics, and the directory of the records. If root owns the config file, it may name any
// place; if the daemon's user owns it, only places to which that user may write.
static bool prepare_statistics(struct broker *b, uid_t owner)
{
    bool as_root = geteuid() == 0 && owner == 0;
    const char *why;
    char file[600];
    pid_t other;

    if (!as_root)
        be(b->uid, b->gid);
    audit_prepare(&b->audit, b->audit_file, b->uid, b->gid);
    b->lock = statistics_prepare(b->stats_file, b->uid, b->gid, &why, &other);
    int saved = errno;
    if (!as_root)
        be(geteuid(), getegid());
    errno = saved;
    if (b->lock >= 0)
        return true;
    log_errno(LOG_LEVEL_ERR, EVENT_START, "stats_file=%s pid=%d reason=\"%s%s\"",
              log_quote(b->stats_file, file, sizeof(file)), (int) other, why,
              errno == EACCES || errno == EROFS
                  ? "; mcrd.service may write in /run/mcr alone, mcrd@NAME.service in /run/mcr-NAME"
                  : "");
    return false;
}

// The identity of the file that the mcrd before ran, if it was kept and is signed as trust.conf says now.
// Else *why says which signatures it lacks, or is empty.
static bool read_kept(struct broker *b, struct config *c, struct config_bytes *bytes, char why[SIGNATURES_WHY_MAX])
{
    struct config_problems problems = {0};
    struct signatures s = {.enough = false};
    bool ok = keep_file_before(&b->keep, bytes) && identity_check(bytes->text, bytes->size, c, &problems);

    if (ok)
        approve_kept(b, bytes, &s);
    snprintf(why, SIGNATURES_WHY_MAX, "%s", ok && !s.enough ? s.why : "");
    ok = ok && s.enough;
    signatures_free(&s);
    config_problems_free(&problems);
    if (!ok)
        file_free(bytes);
    return ok;
}

static bool read_disk(const struct broker *b, struct config *c, struct config_bytes *bytes)
{
    struct config_problems problems = {0};
    struct signatures s = {.enough = false};
    bool ok = config_identify(b->options->config_path, c, &problems, bytes);

    // Before anything that an unsigned file says is used with the rights of the start.
    if (ok)
        approve_disk(b, bytes, &s);
    if (ok && !s.enough)
        config_error(&problems, 0, NULL, "%s", s.why);
    ok = ok && s.enough;
    signatures_free(&s);
    if (!ok) // warnings are told with the rest of the file
        config_problems_print(&problems, b->options->config_path, stderr);
    config_problems_free(&problems);
    return ok;
}

// Whether this file names a user and a group that exist.
static bool has_user(const struct config *c)
{
    return geteuid() != 0 || (getpwnam(c->user) && getgrnam(c->group));
}

const char *start_left_for(const struct broker *b, const uint8_t sha256[32])
{
    return keep_went_back_from(&b->keep, sha256)
               ? "the file on the disk is in force, which was on trial and was not confirmed"
               : "the file on the disk is in force";
}

void start_leaves(struct broker *b, const uint8_t sha256[32], const char *why)
{
    char quoted[2 * sizeof(b->left)];
    uint8_t before[32];

    keep_digest(&b->keep, NULL, before);
    if (memcmp(before, sha256, sizeof(before)) == 0)
        return; // the same file, as with other signatures
    snprintf(b->left, sizeof(b->left), "the file that ran before is not gone on with: %s", why);
    log_warn(EVENT_CONTINUED, "reason=%s effect=\"%s\"", log_quote(b->left, quoted, sizeof(quoted)),
             start_left_for(b, sha256));
}

bool start_read_identity(struct broker *b, struct config_bytes *bytes)
{
    struct config_bytes kept;
    struct config c, before;
    char why[SIGNATURES_WHY_MAX] = "";

    if (!approve_start(b))
        return false;
    b->goes_on = keep_goes_on(&b->keep) && read_kept(b, &c, bytes, why);
    bool ok = b->goes_on || read_disk(b, &c, bytes);
    bool nobody = ok && !b->goes_on && !has_user(&c);
    bool returned = ok && !b->goes_on && keep_went_back_from(&b->keep, bytes->info.sha256);
    // A restart is a reload: a bad file changes nothing, nor does one that was on trial and is not confirmed.
    if ((!ok || nobody || returned) && read_kept(b, &before, &kept, why)) {
        if (nobody)
            log_error(EVENT_START, "reason=\"there is no user %s or no group %s\" effect=\"what ran goes on\"", c.user,
                      c.group);
        b->disk_refused = !ok || nobody;
        ok = b->goes_on = true;
        file_free(bytes);
        *bytes = kept;
        c = before;
    }
    if (!ok)
        return false;
    log_setup("broker", c.instance);
    if (!b->goes_on && why[0])
        start_leaves(b, bytes->info.sha256, why);
    snprintf(b->user, sizeof(b->user), "%s", c.user);
    snprintf(b->group, sizeof(b->group), "%s", c.group);
    snprintf(b->stats_file, sizeof(b->stats_file), "%s", c.stats_file);
    snprintf(b->audit_file, sizeof(b->audit_file), "%s", c.audit_file);
    return true;
}

bool start_kept_fits(struct broker *b)
{
    struct config_bytes bytes;
    struct config c;
    char why[SIGNATURES_WHY_MAX];
    bool fits = read_kept(b, &c, &bytes, why) && strcmp(c.user, b->user) == 0 && strcmp(c.group, b->group) == 0 &&
                strcmp(c.stats_file, b->stats_file) == 0 && strcmp(c.audit_file, b->audit_file) == 0;

    file_free(&bytes);
    return fits;
}

struct config *start_before(const struct broker *b, const uint8_t sha256[32], const struct config *next)
{
    struct config_problems problems = {0};
    struct config_bytes bytes;
    struct config *before = NULL;

    // Of a file on trial the one before is kept, which is not what ran.
    if (keep_file_before(&b->keep, &bytes) && memcmp(bytes.info.sha256, sha256, sizeof(bytes.info.sha256)) == 0 &&
        memcmp(bytes.info.sha256, next->file.sha256, sizeof(next->file.sha256)) != 0)
        before = config_load_text(bytes.text, bytes.size, CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
    config_problems_free(&problems);
    file_free(&bytes);
    return before;
}

bool start_judge(struct broker *b, struct config_bytes *bytes)
{
    struct config_problems problems = {0};
    struct config *c = config_load_text(bytes->text, bytes->size, CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
    bool ok = c != NULL;

    config_problems_print(&problems, b->options->config_path, stderr);
    config_problems_free(&problems);
    config_free(c);
    file_free(bytes);
    if (!ok && b->goes_on && !b->disk_refused) {
        // What ran is no file for this version: a start is a start.
        b->goes_on = false;
        problems = (struct config_problems){0};
        c = config_load(b->options->config_path, CONFIG_LOAD_OFFLINE_INTERFACES, &problems, bytes);
        config_problems_print(&problems, b->options->config_path, stderr);
        config_problems_free(&problems);
        ok = c != NULL;
        if (ok)
            start_leaves(b, bytes->info.sha256, "it is not valid for this version of mcrd");
        config_free(c);
        file_free(bytes);
        return ok;
    }
    if (ok || b->goes_on || !start_kept_fits(b))
        return ok;
    b->goes_on = b->disk_refused = keep_file_before(&b->keep, bytes);
    return b->goes_on && start_judge(b, bytes);
}

// Prints the errors in the file, without any right, when the user or the place of the statistics is not usable: such an
// error may be the cause.
static void give_up(struct broker *b, struct config_bytes *bytes)
{
    bool root = geteuid() == 0;

    if (sandbox_drop(SANDBOX_RELAY, root ? OVERFLOW_ID : geteuid(), root ? OVERFLOW_ID : getegid()))
        start_judge(b, bytes);
}

struct directories {
    const char *names[WATCH_MAX + 3]; // those of watch_directories(), and /proc
    size_t n;
    bool failed;
};

static void remember(void *context, const char *directory)
{
    struct directories *d = context;
    char *name = d->n < sizeof(d->names) / sizeof(d->names[0]) ? strdup(directory) : NULL;

    if (name)
        d->names[d->n++] = name;
    else
        d->failed = true;
}

// Restricts files by Landlock. Readable stay the directories of the config file, as links lead now, and /proc; writable
// stay those of the statistics and of the records.
static bool lock_files(struct broker *b)
{
    struct directories read = {.n = 0};
    char run[sizeof(b->stats_file)], audit[sizeof(b->audit_file)];
    const char *write[2] = {run, audit};
    bool ok = false;

    // /proc has the login of the asker of a reload. Its sensitive files of other processes need ptrace access, which a
    // Landlock domain denies, too.
    remember(&read, "/proc");
    watch_directories(b->options->config_path, remember, &read);
    if (!read.failed) {
        memcpy(run, b->stats_file, sizeof(run));
        memcpy(audit, b->audit_file, sizeof(audit));
        write[0] = dirname(run);
        write[1] = dirname(audit);
        struct sandbox_paths paths = {
            .read = read.names, .n_read = read.n, .write = write, .n_write = b->audit_file[0] ? 2 : 1};
        ok = sandbox_landlock(SANDBOX_BROKER, b->options->sandbox, &paths, &b->landlock);
    } else {
        log_error(EVENT_START, "reason=\"no memory, or too many links on the way to the config file\"");
    }
    for (size_t i = 0; i < read.n; i++)
        free((void *) read.names[i]);
    return ok;
}

// Becomes the broker's user and drops the rights that are not needed any more. Returns false with the reason logged.
static bool confine(struct broker *b)
{
    return sandbox_drop(SANDBOX_BROKER, b->uid, b->gid) && sandbox_limit(SANDBOX_BROKER, b->options->sandbox) &&
           (b->options->without & FEATURE_LANDLOCK || lock_files(b)) &&
           sandbox_filter(SANDBOX_BROKER, b->options->sandbox);
}

// Sends HELLO with the descriptor of the lock, which only the relay keeps.
static bool say_hello(struct broker *b)
{
    struct handover_message m = {.type = HANDOVER_HELLO, .n_fds = 1, .hello = {.uid = b->uid, .gid = b->gid}};
    bool ok = handover_send(b->relay, &m, &b->lock);

    close(b->lock);
    return ok;
}

// Takes over what the service manager has kept of the mcrd before.
static void inherit(struct broker *b)
{
    const struct broker_options *o = b->options;
    const char *names = getenv("LISTEN_FDNAMES");
    uint64_t other = service_other(b->daemon);

    if (other != 0)
        log_warn(EVENT_CONTINUED,
                 "reason=\"LISTEN_PID is %llu, and this is %d: started by a wrapper without exec?\" "
                 "effect=\"what was kept of the mcrd before is not taken over\"",
                 (unsigned long long) other, (int) b->daemon);
    size_t n = keep_inherit(&b->keep, b->sockets, service_connect(), SERVICE_FDS_START, o->handed_over,
                            names ? names : "", o->fresh);

    b->continued.rings = (uint32_t) n;
}

bool start_run(struct broker *b)
{
    struct config_bytes bytes = {.text = NULL};
    bool ok = false;

    inherit(b);
    if (start_read_identity(b, &bytes)) {
        if (!find_user(b) || !prepare_statistics(b, b->goes_on ? b->uid : bytes.info.owner)) {
            give_up(b, &bytes);
        } else {
            b->features = feature_probe(b->options->without);
            if (b->continued.rings > 0 || keep_before(&b->keep))
                statistics_read_before(b->stats_file, &b->continued);
            struct audit_head *kept = keep_audit(&b->keep);
            ok = confine(b) && start_judge(b, &bytes);
            if (ok)
                audit_open(&b->audit, kept);
            ok = ok && say_hello(b);
        }
    }
    file_free(&bytes);
    return ok;
}
