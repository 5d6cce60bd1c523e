// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <time.h>
#include <unistd.h>

#include "broker/asker.h"
#include "common/clock.h"
#include "common/digest.h"
#include "compile/compile.h"
#include "broker/confine.h"
#include "machine/feature.h"
#include "broker/running.h"
#include "machine/sockets.h"
#include "broker/statistics.h"
#include "broker/watch.h"
#include "config/diff.h"
#include "config/load.h"
#include "handover/handover.h"
#include "log/log.h"
#include "sandbox/sandbox.h"

// The relay changes over within a second. Longer than the watchdog of the unit (contrib/systemd) lets it hang.
#define VERDICT_MS 60000

// How long a record waits for room in standard error.
#define RECORD_MS 2000

// A relay closes what came with a table that it rejects. One that was taken over may keep it, and ask again: with so
// many descriptors rejected, no other table is offered. Each is a few KiB of kernel memory, or a table, that a cgroup
// counts.
#define REJECTED_MAX 4096

#define OVERFLOW_ID 65534 // user and group to which nothing belongs (/proc/sys/kernel/overflowuid)

struct broker {
    const struct broker_options *options;
    int relay;
    uid_t uid;
    gid_t gid;
    // Fixed at the start: what the process has become, and where others look for its statistics.
    char user[32], group[32], stats_file[108];
    int lock; // of the statistics, until the relay has it
    struct stats_features features;
    struct sockets *sockets;
    struct watch watch;
    struct config *config;   // in force; NULL before the first
    struct table_image running; // its table; bytes is NULL before the first
    struct table_view view;  // of it
    unsigned landlock;       // the ABI in force, 0: none
    uint64_t due_ns;         // asker_pace()
    int verdict_ms;          // how long the relay may take for one
    size_t n_rejected;       // descriptors of tables that the relay rejected
    bool over;               // the relay is gone, no verdict came, or the start is refused
    int status;              // to exit with then
};

// One reading of the file.
struct reading {
    struct config *config; // NULL: refused
    struct config_bytes bytes;
    struct handover_file file;
    char why[1024]; // when refused
};

// A table on its way into force: by a load, or, where nobody asked, because links have changed.
struct attempt {
    uint32_t serial;                    // of the request
    const struct handover_asker *asker; // of the load; NULL: links
    struct handover_file file;
    uint64_t began_ns;   // CLOCK_MONOTONIC
    uint64_t generation; // once it is in force
    char why[1024];      // when it is refused
};

// --- start -----------------------------------------------------------------------------------------------------------

static bool find_user(struct broker *b)
{
    b->uid = geteuid();
    b->gid = getegid();
    if (geteuid() != 0)
        return true;

    const struct passwd *user = getpwnam(b->user);
    if (!user) {
        log_error("start", "reason=\"there is no user %s: make it (systemd-sysusers, adduser --system) or set user\"",
                  b->user);
        return false;
    }
    const struct group *group = getgrnam(b->group);
    if (!group) {
        log_error("start", "reason=\"there is no group %s: make it or set group\"", b->group);
        return false;
    }
    b->uid = user->pw_uid;
    b->gid = group->gr_gid;
    return true;
}

// A file of root may name any place. One of the user whom mcrd becomes names no more than what he may do himself.
static bool prepare_statistics(struct broker *b, uid_t owner)
{
    bool as_root = geteuid() == 0 && owner == 0;
    const char *why;
    char file[600];
    pid_t other;

    if (!as_root) {
        setfsgid(b->gid);
        setfsuid(b->uid);
    }
    b->lock = statistics_prepare(b->stats_file, b->uid, b->gid, &why, &other);
    int saved = errno;
    if (!as_root) {
        setfsuid(geteuid());
        setfsgid(getegid());
    }
    errno = saved;
    if (b->lock >= 0)
        return true;
    log_errno(LOG_LEVEL_ERR, "start", "stats_file=%s pid=%d reason=\"%s\"",
              log_quote(b->stats_file, file, sizeof(file)), (int) other, why);
    return false;
}

// The first reading, with the rights of the start, only tells whom to become and where the statistics lie. libconfig
// has no part in it.
static bool read_identity(struct broker *b, struct config_bytes *bytes)
{
    struct config_problems problems = {0};
    struct config c;
    bool ok = config_identify(b->options->config_path, &c, &problems, bytes);

    config_problems_print(&problems, b->options->config_path, stderr);
    config_problems_free(&problems);
    if (!ok)
        return false;
    log_setup("broker", c.instance);
    snprintf(b->user, sizeof(b->user), "%s", c.user);
    snprintf(b->group, sizeof(b->group), "%s", c.group);
    snprintf(b->stats_file, sizeof(b->stats_file), "%s", c.stats_file);
    return true;
}

// Whether what was read is valid, once the rights are gone; prints what is wrong as --check does. Frees the bytes.
static bool judge(const struct broker *b, struct config_bytes *bytes)
{
    struct config_problems problems = {0};
    struct config *c = config_load_text(bytes->text, bytes->size, CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
    bool ok = c != NULL;

    config_problems_print(&problems, b->options->config_path, stderr);
    config_problems_free(&problems);
    config_free(c);
    file_free(bytes);
    return ok;
}

// The file may not name whom to become and where the statistics go because of an error in it.
static void give_up(const struct broker *b, struct config_bytes *bytes)
{
    bool root = geteuid() == 0;

    if (sandbox_drop(SANDBOX_RELAY, root ? OVERFLOW_ID : geteuid(), root ? OVERFLOW_ID : getegid()))
        judge(b, bytes);
}

// With the lock's descriptor, which is the relay's from now on.
static bool say_hello(struct broker *b)
{
    struct handover_message m = {.type = HANDOVER_HELLO, .n_fds = 1, .hello = {.uid = b->uid, .gid = b->gid}};
    bool ok = handover_send(b->relay, &m, &b->lock);

    close(b->lock);
    return ok;
}

// --- the file --------------------------------------------------------------------------------------------------------

static struct handover_file describe(const struct config_file_info *info, uint32_t login)
{
    struct handover_file f = {
        .size = info->size,
        .mtime_s = info->mtime.tv_sec,
        .mtime_ns = (uint32_t) info->mtime.tv_nsec,
        .owner = info->owner,
        .mode = info->mode,
        .loginuid = login,
    };

    memcpy(f.sha256, info->sha256, sizeof(f.sha256));
    return f;
}

// print: tell every problem on stderr, as --check does; else only the first is told, to the relay.
static void read_file(struct broker *b, bool print, uint32_t login, struct reading *r)
{
    struct config_problems problems = {0};

    *r = (struct reading){.config = NULL};
    watch_update(&b->watch, b->options->config_path);
    r->config = config_load_file(b->options->config_path, CONFIG_LOAD_OFFLINE_INTERFACES, &problems, &r->bytes);
    r->file = describe(&r->bytes.info, login);
    if (!r->config) {
        if (print)
            config_problems_print(&problems, b->options->config_path, stderr);
        config_problems_first(&problems, b->options->config_path, r->why, sizeof(r->why));
        size_t used = strlen(r->why);
        if (r->bytes.open_error == EACCES && b->landlock)
            snprintf(r->why + used, sizeof(r->why) - used,
                     "; since its start mcrd may read in the directories of then only: restart it");
    }
    config_problems_free(&problems);
    if (r->config && (strcmp(r->config->user, b->user) != 0 || strcmp(r->config->group, b->group) != 0 ||
                      strcmp(r->config->stats_file, b->stats_file) != 0)) {
        snprintf(r->why, sizeof(r->why),
                 "%s: user, group and stats_file are fixed at the start (%s, %s, %s): restart to change them",
                 b->options->config_path, b->user, b->group, b->stats_file);
        config_free(r->config);
        r->config = NULL;
    }
}

static void free_reading(struct reading *r)
{
    config_free(r->config);
    file_free(&r->bytes);
}

// --- the record ------------------------------------------------------------------------------------------------------

// One line for each load: what was found, who asked, what came of it. The broker writes it, because it decides; who
// asked, and what `more` quotes of a receipt, it has from the relay.
static void record(const struct broker *b, const struct attempt *a, bool accepted, const char *more)
{
    char then[DIGEST_TEXT_MAX], now[DIGEST_TEXT_MAX], file[600], when[32] = "none";
    static const uint8_t none[32];
    const struct handover_file *f = &a->file;
    time_t mtime = (time_t) f->mtime_s;
    struct tm tm;

    if (f->mtime_s != 0 && gmtime_r(&mtime, &tm))
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    log_record(accepted ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERR,
               b->config  ? "reload"
               : accepted ? "started"
                          : "start",
               "result=%s generation=%llu file=%s sha256=%s sha256_before=%s size=%llu owner=%u mode=%04o mtime=%s "
               "pid=%u uid=%u loginuid=%d took_ms=%.1f %s",
               accepted ? "accepted" : "refused", (unsigned long long) (accepted ? a->generation : a->generation - 1),
               log_quote(b->options->config_path, file, sizeof(file)), digest_text(f->sha256, now),
               digest_text(b->config ? b->config->file.sha256 : none, then), (unsigned long long) f->size, f->owner,
               f->mode & 07777, when, a->asker->pid, a->asker->uid, (int) f->loginuid,
               (double) (clock_monotonic_ns() - a->began_ns) / 1e6, more);
}

static void record_accepted(const struct broker *b, const struct attempt *a, const struct table_view *t,
                            const struct handover_receipt *r)
{
    char more[512];

    if (b->config)
        snprintf(more, sizeof(more), "rules=%u added=%u removed=%u changed=%u received=%llu ring_drops=%llu",
                 t->n_rules, a->file.added, a->file.removed, a->file.changed, (unsigned long long) r->received,
                 (unsigned long long) r->ring_drops);
    else
        snprintf(more, sizeof(more),
                 "version=%s rules=%u interfaces=%u seccomp=%s landlock=%u network=%s root=%s capabilities=%llx",
                 PACKAGE_VERSION, t->n_rules, t->n_interfaces, sandbox_mode_name(b->options->sandbox), r->landlock,
                 r->isolation & SANDBOX_OWN_NETWORK ? "own" : "host",
                 r->isolation & SANDBOX_EMPTY_ROOT ? "empty" : "host", (unsigned long long) r->capabilities);
    record(b, a, true, more);
}

static void record_refused(const struct broker *b, const struct attempt *a)
{
    char quoted[1100], more[1200];

    snprintf(more, sizeof(more), "reason=%s", log_quote(a->why, quoted, sizeof(quoted)));
    record(b, a, false, more);
}

// --- the table -------------------------------------------------------------------------------------------------------

static void end_broker(struct broker *b, const char *why)
{
    log_error("relay", "reason=\"%s\"", why);
    b->over = true;
    b->status = EXIT_FAILURE;
}

// The relay waits for each answer: where one cannot be sent, the end of the broker is the answer.
static void answer(struct broker *b, const struct handover_message *m)
{
    if (handover_send(b->relay, m, NULL))
        return;
    end_broker(b, "cannot be answered: the broker ends");
}

static void refuse(struct broker *b, const struct attempt *a)
{
    struct handover_message m = {.type = HANDOVER_REFUSED, .serial = a->serial};

    if (a->asker)
        record_refused(b, a);
    snprintf(m.text, sizeof(m.text), "%s", a->why);
    // Who gives no verdict reads no answer either.
    if (!b->over)
        answer(b, &m);
}

// *n: how many descriptors the relay gets.
static bool send_offer(const struct broker *b, const struct attempt *a, int table_fd, int stats_fd, size_t *n)
{
    struct handover_message offer = {.type = HANDOVER_OFFER, .serial = a->serial, .n_fds = 2};
    struct handover_message end = {.type = HANDOVER_COMMIT, .serial = a->serial};
    int fds[] = {table_fd, stats_fd};
    size_t n_new = 0;
    bool ok = handover_send(b->relay, &offer, fds) &&
              (b->config || sockets_send_pool(b->sockets, b->relay, a->serial)) &&
              sockets_send_new(b->sockets, b->relay, a->serial, &n_new) && handover_send(b->relay, &end, NULL);

    *n = offer.n_fds + n_new;
    return ok;
}

// Without a verdict the broker is over. What it has opened for the load is revoked, and the load is in the record: a
// relay that was taken over would use what it was offered, and leave no trace.
static void no_verdict(struct broker *b, struct attempt *a, enum handover_result result)
{
    if (result == HANDOVER_CLOSED) {
        b->over = true;
        snprintf(a->why, sizeof(a->why), "mcrd was stopped meanwhile");
        return;
    }
    snprintf(a->why, sizeof(a->why), "the relay gives no verdict on the table");
    end_broker(b, "no verdict on a table: the broker ends");
}

// Sends table, statistics and new sockets, and waits for the relay's verdict. Whether it runs the table now, and then
// its receipt; else a->why.
static bool hand_over(struct broker *b, struct attempt *a, int table_fd, int stats_fd, struct handover_receipt *receipt)
{
    struct handover_message m;
    int fds[HANDOVER_FDS_MAX];
    size_t n_sent;

    if (b->n_rejected >= REJECTED_MAX) {
        snprintf(a->why, sizeof(a->why),
                 "the relay has rejected tables with %zu descriptors and may have kept them: restart mcrd",
                 b->n_rejected);
        log_error("offers_end", "reason=\"%s\" effect=\"no other table is offered\"", a->why);
        return false;
    }
    if (!send_offer(b, a, table_fd, stats_fd, &n_sent)) {
        snprintf(a->why, sizeof(a->why), "the table cannot be handed over: %s", strerror(errno));
        // It has not read for HANDOVER_SEND_SECONDS: its answer would wait as long again.
        if (errno == EAGAIN)
            end_broker(b, "the relay does not read: the broker ends");
        return false;
    }
    // Nothing else is due from the relay now: it has one request under way at a time.
    struct pollfd p = {.fd = b->relay, .events = POLLIN};
    enum handover_result result = HANDOVER_EMPTY;
    if (poll(&p, 1, b->verdict_ms) != 0)
        result = handover_receive(b->relay, &m, fds);
    if (result == HANDOVER_GOT && m.serial == a->serial && m.type == HANDOVER_ADOPTED) {
        *receipt = m.receipt;
        return true;
    }
    if (result == HANDOVER_GOT && m.serial == a->serial && m.type == HANDOVER_REJECTED) {
        b->n_rejected += n_sent;
        m.text[sizeof(m.text) - 1] = '\0';
        snprintf(a->why, sizeof(a->why), "the relay: %.1000s", m.text);
        return false;
    }
    no_verdict(b, a, result);
    return false;
}

// Offers a compiled table. Whether it is in force; else a->why.
static bool offer(struct broker *b, struct attempt *a, const struct table_image *table)
{
    struct handover_receipt receipt;
    struct table_view view;
    const char *bad;
    int table_fd = -1, stats_fd = -1;
    bool adopted = false;

    if (!table_attach(&view, table->bytes, table->size, &bad)) {
        snprintf(a->why, sizeof(a->why), "internal: the compiled table is not valid: %s", bad);
        return false;
    }
    table_fd = table_image_seal(table);
    stats_fd = table_fd < 0 ? -1 : statistics_create(b->stats_file, b->options->config_path, &b->features, &view);
    if (stats_fd < 0) {
        snprintf(a->why, sizeof(a->why), "%s: %s", table_fd < 0 ? "the table cannot be sealed" : b->stats_file,
                 strerror(errno));
        goto done;
    }
    // What both tables take in, until the relay has changed over.
    if (!sockets_set_filters(b->sockets, &view, b->running.bytes ? &b->view : NULL)) {
        snprintf(a->why, sizeof(a->why), "ingress filter: %s", strerror(errno));
        goto done;
    }
    adopted = hand_over(b, a, table_fd, stats_fd, &receipt);
done:
    if (table_fd >= 0)
        close(table_fd);
    if (stats_fd >= 0)
        close(stats_fd);
    if (!adopted) {
        statistics_discard(b->stats_file);
        return false;
    }
    // The record first: whoever waits for the verdict reads it in the statistics.
    if (a->asker) {
        log_setup("broker", view.header->instance);
        record_accepted(b, a, &view, &receipt);
    }
    if (!statistics_publish(b->stats_file)) {
        char quoted[600];
        log_errno(LOG_LEVEL_ERR, "statistics", "file=%s", log_quote(b->stats_file, quoted, sizeof(quoted)));
    }
    answer(b, &(struct handover_message){.type = HANDOVER_ADOPTED, .serial = a->serial});
    return true;
}

static void run_table(struct broker *b, const struct table_image *table)
{
    const char *why;

    free(b->running.bytes);
    b->running = *table;
    // Attached before it was offered; the bytes are the same.
    table_attach(&b->view, b->running.bytes, b->running.size, &why);
}

enum outcome { ADOPTED, UNCHANGED, REFUSED };

// Compiles c and hands it over. On REFUSED, a->why tells the reason.
static enum outcome change_table(struct broker *b, struct attempt *a, const struct config *c)
{
    bool running = c == b->config;
    struct table_image table = {.bytes = NULL};
    char reason[COMPILE_WHY_MAX] = "";
    enum outcome outcome = REFUSED;

    sockets_begin(b->sockets);
    if (!compile(c, b->running.bytes ? &b->view : NULL, a->generation, running, b->sockets, &table, reason))
        snprintf(a->why, sizeof(a->why), "%s: %s", b->options->config_path, reason);
    else if (running && table_image_equal(&table, &b->running))
        outcome = UNCHANGED;
    else if (offer(b, a, &table))
        outcome = ADOPTED;
    if (outcome == ADOPTED)
        run_table(b, &table);
    else
        free(table.bytes);
    // The one commit point. A failure leaves exactly what the table in force uses.
    sockets_settle(b->sockets, outcome != REFUSED);
    if (b->running.bytes && outcome != UNCHANGED && !sockets_set_filters(b->sockets, &b->view, NULL))
        log_errno(LOG_LEVEL_WARNING, "filter", "reason=\"an ingress filter stays wider than needed\"");
    return outcome;
}

// --- what changes ----------------------------------------------------------------------------------------------------

// Counts the rules that next adds, removes and changes. The diff is the caller's to free.
static bool compare(const struct broker *b, const struct config *next, struct diff *d, struct handover_file *file)
{
    static const struct config nothing;

    if (!diff_make(d, b->config ? b->config : &nothing, next))
        return false;
    file->added = (uint32_t) d->n_added;
    file->removed = (uint32_t) d->n_removed;
    file->changed = (uint32_t) d->n_changed;
    return true;
}

// One line for each rule that is another now: the second part of the record (relay/request.c).
static void log_changes(const struct diff *d, uint64_t generation)
{
    static const char *const events[] = {
        [DIFF_ADDED] = "rule_added", [DIFF_REMOVED] = "rule_removed", [DIFF_CHANGED] = "rule_changed"};
    char note[2 * CONFIG_NOTE_MAX], fields[1024];

    for (size_t i = 0; i < d->n_rules; i++) {
        const struct diff_rule *r = &d->rules[i];
        const struct config_rule *rule = r->to ? r->to : r->from;
        size_t used = 0;
        fields[0] = '\0';
        for (size_t j = 0; j < r->n_fields && used < sizeof(fields); j++)
            used += (size_t) snprintf(fields + used, sizeof(fields) - used, "%s%s%s", j ? "," : " fields=",
                                      !r->fields[j].from ? "+"
                                      : !r->fields[j].to ? "-"
                                                         : "",
                                      r->fields[j].path);
        log_notice(events[r->kind], "generation=%llu rule=%s note=%s disturbs=%s%s", (unsigned long long) generation,
                   rule->name, log_quote(rule->note, note, sizeof(note)), r->disturbs ? "yes" : "no", fields);
    }
}

// --- requests --------------------------------------------------------------------------------------------------------

// Different interfaces that rules take in by.
static size_t count_inputs(const struct config *c)
{
    const char *names[CONFIG_INTERFACES_MAX];
    size_t n = 0;

    for (size_t i = 0; i < c->n_rules; i++) {
        size_t j = 0;
        while (j < n && strcmp(names[j], c->rules[i].input.interface) != 0)
            j++;
        if (j == n && n < CONFIG_INTERFACES_MAX)
            names[n++] = c->rules[i].input.interface;
    }
    return n;
}

// Opens the sockets for rings at the first load; later ones must do with them.
static bool make_room(struct broker *b, struct attempt *a, const struct config *c)
{
    size_t n = count_inputs(c), most = sockets_inputs(b->sockets);
    const char *step = "";

    if (b->config && n > most)
        snprintf(a->why, sizeof(a->why),
                 "%s: %zu input interfaces, and sockets for %zu: mcrd opens them at its start only: restart it",
                 b->options->config_path, n, most);
    else if (!b->config && !sockets_open_pool(b->sockets, n, &step))
        snprintf(a->why, sizeof(a->why), "sockets for rings: %s: %s", step, strerror(errno));
    return a->why[0] == '\0';
}

static void load(struct broker *b, uint32_t serial, const struct handover_asker *asker)
{
    struct attempt a = {.serial = serial,
                        .asker = asker,
                        .began_ns = clock_monotonic_ns(),
                        .generation = b->running.bytes ? b->view.header->generation + 1 : 1};
    struct diff changes = {.rules = NULL};
    struct reading r;

    read_file(b, true, asker_login(asker), &r);
    bool compared = r.config && compare(b, r.config, &changes, &r.file);
    a.file = r.file;
    if (!r.config)
        memcpy(a.why, r.why, sizeof(a.why));
    else if (!compared)
        snprintf(a.why, sizeof(a.why), "%s", strerror(ENOMEM));
    else if (make_room(b, &a, r.config) && change_table(b, &a, r.config) == ADOPTED) {
        if (!running_save(b->stats_file, r.bytes.text, r.bytes.size, r.bytes.info.mode))
            log_errno(LOG_LEVEL_WARNING, "running", "reason=\"no copy of the running file can be kept\"");
        // At the start everything is new, and the file itself tells it.
        if (b->config)
            log_changes(&changes, a.generation);
        diff_free(&changes);
        config_free(b->config);
        b->config = r.config;
        r.config = NULL;
    }
    if (a.why[0])
        refuse(b, &a);
    // The relay sees packets before it tells its verdict. One that they have taken over must not make the broker hand
    // it the sockets for rings once more, at descriptors that it may write to. Ours ends, too, when its start is
    // refused.
    if (!b->config) {
        b->over = true;
        b->status = EXIT_FAILURE;
    }
    diff_free(&changes);
    free_reading(&r);
}

static void follow_links(struct broker *b, uint32_t serial)
{
    struct handover_message unchanged = {.type = HANDOVER_UNCHANGED, .serial = serial};
    struct attempt a = {.serial = serial};

    if (!b->config) {
        answer(b, &unchanged);
        return;
    }
    a.generation = b->view.header->generation;
    a.file = describe(&b->config->file, UINT32_MAX);
    switch (change_table(b, &a, b->config)) {
    case ADOPTED:
        break;
    case UNCHANGED:
        answer(b, &unchanged);
        break;
    case REFUSED:
        if (a.why[0])
            refuse(b, &a);
        break;
    }
}

static void probe(struct broker *b, uint32_t serial)
{
    struct handover_message m = {.type = HANDOVER_PROBED, .serial = serial};
    struct reading r;

    read_file(b, false, UINT32_MAX, &r);
    m.file = r.file;
    m.probe_state = !r.config ? STATS_CONFIG_INVALID
                    : b->config && memcmp(r.file.sha256, b->config->file.sha256, sizeof(r.file.sha256)) == 0
                        ? STATS_CONFIG_CURRENT
                        : STATS_CONFIG_PENDING;
    memcpy(m.text, r.why, sizeof(m.text));
    answer(b, &m);
    free_reading(&r);
}

static bool serve_request(struct broker *b, const struct handover_message *m)
{
    switch (m->type) {
    case HANDOVER_LOAD:
        load(b, m->serial, &m->asker);
        return true;
    case HANDOVER_LINKS:
        sockets_give_up_ring(b->sockets, m->ring, clock_monotonic_ns());
        follow_links(b, m->serial);
        return true;
    case HANDOVER_PROBE:
        probe(b, m->serial);
        return true;
    default:
        return false;
    }
}

// Until it is answered, the relay has nothing to say but its verdict on what is offered.
static bool asks_again(const struct broker *b)
{
    struct pollfd p = {.fd = b->relay, .events = POLLIN};

    return poll(&p, 1, 0) == 1 && !(p.revents & POLLHUP);
}

static int serve(struct broker *b)
{
    struct handover_message m;
    int fds[HANDOVER_FDS_MAX];

    while (!b->over) {
        enum handover_result result = handover_receive(b->relay, &m, fds);
        if (result == HANDOVER_CLOSED)
            return EXIT_SUCCESS;
        if (asks_again(b)) {
            log_error("relay", "reason=\"asks again before it is answered: the broker ends\"");
            return EXIT_FAILURE;
        }
        asker_pace(&b->due_ns);
        if (result != HANDOVER_GOT || !serve_request(b, &m)) {
            log_error("relay", "reason=\"bogus message: the broker ends\"");
            return EXIT_FAILURE;
        }
    }
    return b->status;
}

int broker_run(const struct broker_options *options, int relay)
{
    struct broker b = {.options = options, .relay = relay, .verdict_ms = VERDICT_MS};
    struct config_bytes bytes = {.text = NULL};
    int status = EXIT_FAILURE;

    log_setup("broker", NULL);
    // The relay could keep it full, to hide a record.
    log_wait_for_room(RECORD_MS);
    // A signal to the whole group is the relay's business; the broker ends when the relay does.
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    watch_init(&b.watch, options->inotify);
    b.sockets = sockets_new(options->machine, options->without);
    if (b.sockets && read_identity(&b, &bytes)) {
        if (!find_user(&b) || !prepare_statistics(&b, bytes.info.owner)) {
            give_up(&b, &bytes);
        } else {
            b.features = feature_probe(options->without);
            if (confine(options, b.stats_file, b.uid, b.gid, &b.landlock) && judge(&b, &bytes) && say_hello(&b))
                status = serve(&b);
        }
    }
    file_free(&bytes);
    sockets_free(b.sockets);
    free(b.running.bytes);
    config_free(b.config);
    return status;
}
