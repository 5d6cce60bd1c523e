// SPDX-License-Identifier: Apache-2.0
// What the relay asks the broker for, and what comes of it: take-over, refusal, the record of each.
#include <config.h>

#include "relay/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log/log.h"

#define HEX_MAX 65

static const char *hex(const uint8_t sha256[32], char text[HEX_MAX])
{
    for (size_t i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", sha256[i]);
    return text;
}

// --- asking ----------------------------------------------------------------------------------------------------------

static void begin(struct relay *r, enum request what)
{
    static const enum handover_type types[] = {HANDOVER_LOAD, HANDOVER_LINKS, HANDOVER_PROBE};
    struct handover_message m = {.type = types[what], .serial = ++r->serial};

    r->wanted[what] = false;
    r->began_ns = relay_clock(CLOCK_MONOTONIC);
    if (what == REQUEST_LINKS) {
        m.ring = r->stuck_ring;
        r->stuck_ring = 0;
    }
    if (what == REQUEST_LOAD) {
        m.asker = r->asker = r->next_asker;
        r->asked_then = r->asked;
        // systemd wants both, and READY on every way out (sd_notify(3)).
        if (r->swap.now)
            notify_reloading(&r->notify, r->began_ns / 1000);
    }
    // When it cannot be asked it is gone, and the end of its socket answers in its place.
    r->under_way = what;
    if (!handover_send(r->broker, &m, NULL))
        log_errno(LOG_LEVEL_ERR, "broker", "reason=\"cannot be asked\"");
}

static void begin_next(struct relay *r)
{
    for (int what = 0; what < REQUESTS && r->under_way == REQUEST_NONE; what++)
        if (r->wanted[what])
            begin(r, (enum request) what);
}

static void end(struct relay *r)
{
    if (r->under_way == REQUEST_LOAD) {
        r->answered = r->asked_then;
        // Not when the start itself was refused.
        if (r->swap.now)
            notify_ready(&r->notify);
    }
    r->under_way = REQUEST_NONE;
    publish_header(r, STATS_LIVE);
    publish_status(r);
    begin_next(r);
}

// --- the record ------------------------------------------------------------------------------------------------------

// One line for each attempt: what was found, who asked, what it did.
static void record(struct relay *r, const char *event, bool accepted, const struct handover_file *f,
                   const uint8_t before[32], const char *more)
{
    char then[HEX_MAX], now[HEX_MAX], file[600], when[32] = "none";
    const struct table_view *t = relay_table(r);
    time_t mtime = (time_t) f->mtime_s;
    struct tm tm;

    if (f->mtime_s != 0 && gmtime_r(&mtime, &tm))
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    log_record(accepted ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERR, event,
               "result=%s generation=%llu file=%s sha256=%s sha256_before=%s size=%llu owner=%u mode=%04o mtime=%s "
               "pid=%u uid=%u loginuid=%d took_ms=%.1f %s",
               accepted ? "accepted" : "refused", (unsigned long long) (t ? t->header->generation : 0),
               log_quote(r->options->config_path, file, sizeof(file)), hex(f->sha256, now), hex(before, then),
               (unsigned long long) f->size, f->owner, f->mode & 07777, when, r->asker.pid, r->asker.uid,
               (int) f->loginuid, (double) (relay_clock(CLOCK_MONOTONIC) - r->began_ns) / 1e6, more);
}

// What refused the links of this machine may pass: no memory, an interface of a kind that cannot be used.
#define LINKS_RETRY_SECONDS 5

static void refused(struct relay *r, const struct handover_file *f, const char *why)
{
    char quoted[1100], more[1200];
    static const uint8_t none[32];

    log_quote(why, quoted, sizeof(quoted));
    snprintf(more, sizeof(more), "reason=%s", quoted);
    if (r->under_way == REQUEST_LINKS) {
        log_error("links", "result=refused reason=%s effect=\"the table stays as it is; tried again in %d s\"", quoted,
                  LINKS_RETRY_SECONDS);
        r->links_retry_ns = relay_clock(CLOCK_MONOTONIC) + LINKS_RETRY_SECONDS * UINT64_C(1000000000);
        return;
    }
    record(r, r->swap.now ? "reload" : "start", false, f, r->swap.now ? relay_table(r)->header->sha256 : none, more);
    if (!r->swap.now) {
        relay_stop(r, EXIT_FAILURE);
        return;
    }
    snprintf(r->refusal, sizeof(r->refusal), "%s", why);
    r->verdict = STATS_VERDICT_REFUSED;
    // What lies on disk now may be this file, or another one already.
    r->wanted[REQUEST_PROBE] = true;
}

// --- take-over -------------------------------------------------------------------------------------------------------

struct totals {
    uint64_t received, ring_drops;
};

static void add(struct totals *t, const struct stats_interface_counters *c)
{
    t->received += c->received;
    t->ring_drops += c->ring_drops;
}

// Of all interfaces, those too whose ring has gone.
static struct totals count(struct relay *r)
{
    const struct table_view *view = relay_table(r);
    struct totals t = {0, 0};

    if (!view)
        return t;
    for (size_t i = 0; i < r->swap.n_saved; i++) {
        bool has_ring = false;
        for (uint32_t j = 0; j < view->n_interfaces; j++)
            has_ring |=
                view->interfaces[j].ring_id != 0 && strcmp(view->interfaces[j].name, r->swap.saved[i].name) == 0;
        if (!has_ring)
            add(&t, &r->swap.saved[i].counters);
    }
    for (size_t i = 0; i < r->swap.n_rings; i++) {
        if (!r->swap.rings[i]->ring)
            continue;
        ingress_count_drops(r->swap.rings[i], relay_clock(CLOCK_MONOTONIC));
        add(&t, &r->swap.rings[i]->counters);
    }
    return t;
}

static const char *state_name(uint32_t state)
{
    return state == TABLE_INTERFACE_UP ? "up" : state == TABLE_INTERFACE_DOWN ? "down" : "missing";
}

// What has changed since the states that the table before had, by name.
static void log_links(const struct table_view *t, const struct table_interface *before, uint32_t n_before)
{
    for (uint32_t i = 0; i < t->n_interfaces; i++)
        for (uint32_t j = 0; j < n_before; j++)
            if (strcmp(t->interfaces[i].name, before[j].name) == 0 &&
                (t->interfaces[i].state != before[j].state || t->interfaces[i].ifindex != before[j].ifindex))
                log_event(t->interfaces[i].state == TABLE_INTERFACE_UP ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "link",
                          "interface=%s state=%s before=%s index=%u", t->interfaces[i].name,
                          state_name(t->interfaces[i].state), state_name(before[j].state), t->interfaces[i].ifindex);
}

static void adopted(struct relay *r, const struct handover_file *f, bool first, const uint8_t before[32],
                    const struct totals *then)
{
    const struct table_view *t = relay_table(r);
    char more[512];

    // The receipt: the first turn under the new table, right now.
    for (size_t i = 0; i < r->swap.n_rings; i++)
        relay_pass(r, r->swap.rings[i]);
    struct totals now = count(r);

    log_setup("relay", t->header->instance);
    if (r->under_way == REQUEST_LOAD) {
        r->loaded_ns = relay_clock(CLOCK_REALTIME);
        r->refusal[0] = r->disk_error[0] = '\0';
        r->verdict = STATS_VERDICT_ACCEPTED;
        r->config_state = STATS_CONFIG_CURRENT;
        memcpy(r->disk_sha256, t->header->sha256, sizeof(r->disk_sha256));
        if (first)
            snprintf(more, sizeof(more),
                     "version=%s rules=%u interfaces=%u seccomp=%s landlock=%u network=%s root=%s capabilities=%llx",
                     PACKAGE_VERSION, t->n_rules, t->n_interfaces, sandbox_mode_name(r->options->sandbox), r->landlock,
                     r->isolation & SANDBOX_OWN_NETWORK ? "own" : "host",
                     r->isolation & SANDBOX_EMPTY_ROOT ? "empty" : "host", (unsigned long long) r->capabilities);
        else
            snprintf(more, sizeof(more), "rules=%u added=%u removed=%u changed=%u received=%llu ring_drops=%llu",
                     t->n_rules, f->added, f->removed, f->changed, (unsigned long long) (now.received - then->received),
                     (unsigned long long) (now.ring_drops - then->ring_drops));
        record(r, first ? "started" : "reload", true, f, before, more);
    }
    alarm_watch(r);
    publish_everything(r);
}

static void tell(struct relay *r, enum handover_type type, const char *text)
{
    struct handover_message m = {.type = type, .serial = r->serial};

    if (text)
        snprintf(m.text, sizeof(m.text), "%s", text);
    if (!handover_send(r->broker, &m, NULL))
        log_errno(LOG_LEVEL_ERR, "broker", "reason=\"cannot be told\"");
}

static void commit(struct relay *r, const struct handover_file *f)
{
    struct table_interface links[TABLE_INTERFACES_MAX];
    const struct table_view *old = relay_table(r);
    uint32_t n_links = old ? old->n_interfaces : 0;
    bool first = !old;
    uint8_t before[32] = {0};
    char why[SWAP_WHY_MAX];

    if (old) {
        memcpy(before, old->header->sha256, sizeof(before));
        memcpy(links, old->interfaces, n_links * sizeof(links[0]));
    }
    struct totals then = count(r);
    if (swap_commit(&r->swap, relay_clock(CLOCK_MONOTONIC), r->spill, relay_on_ring, r, why)) {
        adopted(r, f, first, before, &then);
        tell(r, HANDOVER_ADOPTED, NULL);
        log_links(relay_table(r), links, n_links);
        return;
    }
    swap_reject(&r->swap);
    tell(r, HANDOVER_REJECTED, why);
    refused(r, f, why);
}

// --- answers ---------------------------------------------------------------------------------------------------------

static void probed(struct relay *r, const struct handover_message *m)
{
    static const char *const names[] = {"current", "pending", "invalid"};
    enum stats_config_state state = m->probe_state == HANDOVER_PROBE_CURRENT   ? STATS_CONFIG_CURRENT
                                    : m->probe_state == HANDOVER_PROBE_PENDING ? STATS_CONFIG_PENDING
                                                                               : STATS_CONFIG_INVALID;
    bool news = state != r->config_state || memcmp(m->file.sha256, r->disk_sha256, sizeof(r->disk_sha256)) != 0;
    char sha256[HEX_MAX], quoted[1100];

    r->config_state = state;
    memcpy(r->disk_sha256, m->file.sha256, sizeof(r->disk_sha256));
    snprintf(r->disk_error, sizeof(r->disk_error), "%s", m->text);
    if (!news)
        return;
    if (state == STATS_CONFIG_INVALID)
        log_warn("file", "state=invalid sha256=%s reason=%s", hex(m->file.sha256, sha256),
                 log_quote(m->text, quoted, sizeof(quoted)));
    else
        log_notice("file", "state=%s sha256=%s size=%llu owner=%u", names[state], hex(m->file.sha256, sha256),
                   (unsigned long long) m->file.size, m->file.owner);
    if (state == STATS_CONFIG_PENDING && (relay_table(r)->header->flags & TABLE_RELOAD_ON_CHANGE)) {
        // Unless somebody has asked already.
        if (!r->wanted[REQUEST_LOAD])
            r->next_asker = (struct handover_asker){.loginuid = UINT32_MAX};
        r->asked++;
        r->wanted[REQUEST_LOAD] = true;
    }
}

// A load that nobody is left for.
static void refuse_load(struct relay *r, const char *why)
{
    static const struct handover_file nothing = {.loginuid = UINT32_MAX};

    if (r->under_way != REQUEST_LOAD) {
        r->under_way = REQUEST_LOAD;
        r->asker = r->next_asker;
        r->began_ns = relay_clock(CLOCK_MONOTONIC);
    }
    r->asked_then = r->asked;
    refused(r, &nothing, why);
}

static void broker_gone(struct relay *r, const char *reason)
{
    bool load = r->under_way == REQUEST_LOAD || r->wanted[REQUEST_LOAD];

    r->broker_alive = false;
    ev_io_stop(r->loop, &r->broker_io);
    swap_reject(&r->swap);
    if (!r->swap.now) {
        // It has told why by itself.
        relay_stop(r, EXIT_FAILURE);
        return;
    }
    log_error("broker", "reason=\"%s\" effect=\"forwarding goes on; reloads are refused until mcrd is restarted\"",
              reason);
    if (load)
        refuse_load(r, "the broker ended during the load; restart mcrd to load a file");
    memset(r->wanted, 0, sizeof(r->wanted));
    end(r);
}

void request_send(struct relay *r, enum request what)
{
    if (r->broker_alive) {
        r->wanted[what] = true;
        begin_next(r);
    } else if (what == REQUEST_LOAD) {
        refuse_load(r, "the broker is gone: restart mcrd to load a file");
        memset(r->wanted, 0, sizeof(r->wanted));
        end(r);
    }
}

// Whether a message of this type may answer the request that is under way.
static bool is_answer(const struct relay *r, uint32_t type)
{
    switch (type) {
    case HANDOVER_OFFER:
    case HANDOVER_SOCKETS:
    case HANDOVER_COMMIT:
    case HANDOVER_REFUSED:
        return r->under_way == REQUEST_LOAD || r->under_way == REQUEST_LINKS;
    case HANDOVER_UNCHANGED:
        return r->under_way == REQUEST_LINKS;
    case HANDOVER_PROBED:
        return r->under_way == REQUEST_PROBE;
    default:
        return false;
    }
}

// The broker has found every output's interface as the table has it: one that was thought gone came back, or never
// went.
static void revive(struct relay *r)
{
    const struct table_view *t = relay_table(r);

    for (uint32_t i = 0; t && !r->wanted[REQUEST_LINKS] && !ev_is_active(&r->links_timer) && i < t->n_egress; i++) {
        struct egress *e = r->swap.now->forward->egress[i];
        e->dead = e->doubted = e->alone = false;
    }
}

// A message of the request that is under way. False: it makes no sense.
static bool take_message(struct relay *r, struct handover_message *m, const int *fds)
{
    char why[SWAP_WHY_MAX] = "";
    bool ok;

    m->text[sizeof(m->text) - 1] = '\0';
    switch (m->type) {
    case HANDOVER_OFFER:
    case HANDOVER_SOCKETS:
        ok = m->type == HANDOVER_OFFER ? swap_offer(&r->swap, m, fds, why) : swap_sockets(&r->swap, m, fds, why);
        // What follows of this offer finds none, and its COMMIT is rejected.
        if (!ok)
            swap_fail(&r->swap, why);
        return true;
    case HANDOVER_COMMIT:
        commit(r, &m->file);
        break;
    case HANDOVER_REFUSED:
        swap_reject(&r->swap); // it may have begun to offer
        refused(r, &m->file, m->text);
        break;
    case HANDOVER_UNCHANGED:
        swap_reject(&r->swap);
        revive(r);
        break;
    case HANDOVER_PROBED:
        if (m->probe_state > HANDOVER_PROBE_INVALID)
            return false;
        probed(r, m);
        break;
    default:
        return false;
    }
    end(r);
    return true;
}

void request_on_message(struct relay *r)
{
    struct handover_message m;
    int fds[HANDOVER_FDS_MAX];

    // One message a turn: the rings are drained in between.
    switch (handover_receive(r->broker, &m, fds)) {
    case HANDOVER_EMPTY:
        return;
    case HANDOVER_GOT:
        if (m.serial != r->serial || !is_answer(r, m.type)) {
            handover_close(&m, fds);
            broker_gone(r, "unexpected message");
        } else if (!take_message(r, &m, fds)) {
            broker_gone(r, "unexpected message");
        }
        return;
    case HANDOVER_SHORT:
        swap_fail(&r->swap, "too few open files allowed for the descriptors of the table (LimitNOFILE)");
        return;
    case HANDOVER_CLOSED:
        broker_gone(r, "ended");
        return;
    case HANDOVER_BOGUS:
        broker_gone(r, "bogus message");
        return;
    }
}
