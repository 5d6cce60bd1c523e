// SPDX-License-Identifier: Apache-2.0
// What the relay asks the broker for, and what comes of it: take-over or refusal.
#include <config.h>

#include "relay/state.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/digest.h"
#include "log/log.h"
#include "stats/counters.h"

// --- asking ----------------------------------------------------------------------------------------------------------

// Returns whether it was sent; else it is asked again (request_again()), unless the broker is gone, which
// request_on_message() learns.
static bool begin(struct relay *r, enum request what)
{
    static const enum handover_type types[] = {[REQUEST_RETURNED] = HANDOVER_RETURNED,
                                               [REQUEST_CONFIRM] = HANDOVER_CONFIRM,
                                               [REQUEST_LOAD] = HANDOVER_LOAD,
                                               [REQUEST_LINKS] = HANDOVER_LINKS,
                                               [REQUEST_PROBE] = HANDOVER_PROBE};
    struct handover_message m = {.type = types[what], .serial = ++r->serial};

    r->wanted[what] = false;
    if (what == REQUEST_LINKS) {
        m.ring = r->stuck_ring;
        r->stuck_ring = 0;
    }
    if (what == REQUEST_RETURNED)
        snprintf(m.text, sizeof(m.text), "%s", r->shown.returned);
    if (what == REQUEST_CONFIRM) {
        m.asker = r->asker = r->next_confirmer;
        r->asked_then = r->shown.asked;
    }
    if (what == REQUEST_LOAD) {
        m.asker = r->asker = r->next_asker;
        r->asked_then = r->shown.asked;
        // systemd expects RELOADING=1 and MONOTONIC_USEC, then READY=1 however the load ends (sd_notify(3)).
        if (r->swap.now)
            notify_reloading(&r->notify, clock_monotonic_ns() / 1000);
    }
    r->swap.why[0] = '\0'; // the reason of the previous request
    r->under_way = what;
    if (handover_send(r->broker, &m, NULL))
        return true;
    log_errno(LOG_LEVEL_ERR, EVENT_BROKER, "reason=\"cannot be asked\"");
    r->under_way = REQUEST_NONE;
    r->wanted[what] = true;
    if (what == REQUEST_LINKS)
        r->stuck_ring = m.ring;
    return false;
}

static void begin_next(struct relay *r)
{
    for (int what = 0; what < REQUESTS && r->under_way == REQUEST_NONE; what++)
        if (r->wanted[what] && !begin(r, (enum request) what))
            return;
}

static void end(struct relay *r)
{
    if (r->under_way == REQUEST_LOAD || r->under_way == REQUEST_CONFIRM)
        r->shown.answered = r->asked_then;
    // READY=1 is not sent if the start was refused.
    if (r->under_way == REQUEST_LOAD && r->swap.now)
        notify_ready(&r->notify);
    r->under_way = REQUEST_NONE;
    on_trial_ended(r); // it may have waited for this answer
    publish_header(r, STATS_LIVE);
    publish_status(r);
    begin_next(r);
}

// --- refusals --------------------------------------------------------------------------------------------------------

// A refused REQUEST_LINKS is tried again, because the reason may be temporary (no memory, an unusable interface).
#define LINKS_RETRY_SECONDS 5

static void refused(struct relay *r, const char *why)
{
    char quoted[1100];

    if (r->under_way == REQUEST_LINKS || r->under_way == REQUEST_RETURNED) {
        log_error(EVENT_LINKS, "result=refused reason=%s effect=\"the table stays as it is; tried again in %d s\"",
                  log_quote(why, quoted, sizeof(quoted)), LINKS_RETRY_SECONDS);
        r->links_retry_ns = clock_monotonic_ns() + LINKS_RETRY_SECONDS * NS_PER_S;
        return;
    }
    if (!r->swap.now) {
        relay_stop(r, EXIT_FAILURE);
        return;
    }
    snprintf(r->shown.refusal, sizeof(r->shown.refusal), "%s", why);
    r->shown.verdict = STATS_VERDICT_REFUSED;
    // The file on disk may be the refused one or a newer one, so probe it.
    r->wanted[REQUEST_PROBE] = true;
}

// --- take-over -------------------------------------------------------------------------------------------------------

static void add(struct handover_receipt *t, const struct stats_interface_counters *c)
{
    t->received += c->received;
    t->ring_drops += c->ring_drops;
}

// Returns what all interfaces have received and lost so far, including those whose ring is gone.
static struct handover_receipt count(struct relay *r)
{
    const struct table_view *view = relay_table(r);
    struct handover_receipt t = {0};

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
        ingress_count_drops(r->swap.rings[i], clock_monotonic_ns());
        add(&t, &r->swap.rings[i]->counters);
    }
    return t;
}

// Logs the interfaces whose state or index differs from that in the previous table.
static void log_links(const struct table_view *t, const struct table_interface *before, uint32_t n_before)
{
    for (uint32_t i = 0; i < t->n_interfaces; i++)
        for (uint32_t j = 0; j < n_before; j++)
            if (strcmp(t->interfaces[i].name, before[j].name) == 0 &&
                (t->interfaces[i].state != before[j].state || t->interfaces[i].ifindex != before[j].ifindex))
                log_event(t->interfaces[i].state == TABLE_INTERFACE_UP ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, EVENT_LINK,
                          "interface=%s state=%s before=%s index=%u", t->interfaces[i].name,
                          stats_interface_state_name(t->interfaces[i].state),
                          stats_interface_state_name(before[j].state), t->interfaces[i].ifindex);
}

// Keeps and logs what the start has taken over of the mcrd before.
static void note_continued(struct relay *r)
{
    const struct stats_continued *c = &r->swap.now->stats.header->continued;

    r->shown.continued = *c;
    // It may have gone on with the file that ran, whatever lies on the disk.
    r->wanted[REQUEST_PROBE] |= c->kept != 0;
    if (c->rings > 0 || c->from_pid != 0)
        log_notice(EVENT_CONTINUED, "from_pid=%u rings=%u replaced=%u gap_ms=%.1f waiting=%llu dropped=%llu",
                   c->from_pid, c->rings, c->replaced, (double) c->gap_ns / 1e6, (unsigned long long) c->waiting,
                   (unsigned long long) c->dropped);
}

static void adopted(struct relay *r, const struct handover_receipt *then, struct handover_receipt *receipt)
{
    const struct table_view *t = relay_table(r);
    bool had_table = r->shown.generation > 0;

    // The receipt includes a first pass over each ring under the new table.
    for (size_t i = 0; i < r->swap.n_rings; i++)
        rings_pass(r, r->swap.rings[i]);
    *receipt = count(r);
    receipt->received -= then->received;
    receipt->ring_drops -= then->ring_drops;
    receipt->capabilities = r->shown.capabilities;
    receipt->landlock = r->shown.landlock;
    receipt->isolation = r->shown.isolation;
    log_setup("relay", t->header->instance);
    if (!had_table)
        note_continued(r);
    r->shown.generation = t->header->generation;
    memcpy(r->shown.sha256, t->header->sha256, sizeof(r->shown.sha256));
    timed_adopted(r);
    on_trial_adopted(r, !had_table);
    if (r->under_way == REQUEST_LOAD) {
        r->goes_on = false; // somebody has asked for this file
        r->shown.loaded_ns = clock_realtime_ns();
        r->shown.refusal[0] = r->shown.disk_error[0] = '\0';
        r->shown.verdict = STATS_VERDICT_ACCEPTED;
        r->shown.config_state = on_trial_config_state(r, STATS_CONFIG_CURRENT);
        r->shown.disk_state = STATS_CONFIG_CURRENT;
        memcpy(r->shown.disk_sha256, t->header->sha256, sizeof(r->shown.disk_sha256));
    }
    if (r->under_way == REQUEST_CONFIRM) {
        r->shown.refusal[0] = '\0';
        r->shown.verdict = STATS_VERDICT_ACCEPTED;
        r->shown.config_state = STATS_CONFIG_CURRENT;
        r->wanted[REQUEST_PROBE] = true; // another file may lie on the disk by now
    }
    publish_alarms_watch(r);
    publish_everything(r);
}

#define KEPT_MS 200 // longest wait: a broker that hangs stops no stream

// Waits until the service manager has been told of the table and its state, before the first pass: a kill in that pass
// otherwise is gone on with by a state that knows nothing of it.
static void wait_until_kept(struct relay *r)
{
    struct handover_message m = {.type = HANDOVER_SWAPPED, .serial = r->serial};
    struct pollfd p = {.fd = r->broker, .events = POLLIN};

    if (r->notify.keeps && handover_send(r->broker, &m, NULL))
        poll(&p, 1, KEPT_MS);
}

// Handles COMMIT: puts the table in force and sends the verdict. The broker answers it with ADOPTED when the change is
// in the record, or with REFUSED. Returns false if the verdict cannot be sent.
static bool commit(struct relay *r)
{
    struct handover_message verdict = {.type = HANDOVER_REJECTED, .serial = r->serial};
    struct table_interface links[TABLE_INTERFACES_MAX];
    const struct table_view *old = relay_table(r);
    uint32_t n_links = old ? old->n_interfaces : 0;

    if (old)
        memcpy(links, old->interfaces, n_links * sizeof(links[0]));
    struct handover_receipt then = count(r);
    r->unrecorded = swap_commit(&r->swap, clock_monotonic_ns(), r->spill);
    if (r->unrecorded) {
        verdict.type = HANDOVER_ADOPTED;
        wait_until_kept(r);
        adopted(r, &then, &verdict.receipt);
    } else {
        swap_reject(&r->swap);
        snprintf(verdict.text, sizeof(verdict.text), "%s", r->swap.why);
    }
    bool told = handover_send(r->broker, &verdict, NULL);
    if (!told)
        log_errno(LOG_LEVEL_ERR, EVENT_BROKER, "reason=\"cannot be told\"");
    if (r->unrecorded)
        log_links(relay_table(r), links, n_links);
    return told;
}

// --- answers ---------------------------------------------------------------------------------------------------------

#define PROBE_SECONDS 60 // how often a file on disk is judged again that is not what runs

static void probed(struct relay *r, const struct handover_message *m)
{
    bool other = memcmp(m->file.sha256, r->shown.disk_sha256, sizeof(r->shown.disk_sha256)) != 0;
    memcpy(r->shown.disk_sha256, m->file.sha256, sizeof(r->shown.disk_sha256));
    enum stats_config_state state = on_trial_config_state(r, m->probe_state);
    // A file whose signatures may still arrive has a reason, and is not invalid yet.
    bool waits = m->probe_state != STATS_CONFIG_INVALID && m->text[0] != '\0';
    bool news = state != r->shown.config_state || other ||
                (state == STATS_CONFIG_TRIAL && m->probe_state != r->shown.disk_state) ||
                (m->probe_state == STATS_CONFIG_PENDING && state != STATS_CONFIG_RETURNED &&
                 waits != (r->shown.disk_error[0] != '\0'));
    // In a trial only the file before may be loaded, which ends it.
    bool loads = state == STATS_CONFIG_PENDING ||
                 (state == STATS_CONFIG_TRIAL && m->probe_state == STATS_CONFIG_PENDING &&
                  memcmp(m->file.sha256, r->shown.returns_to, sizeof(r->shown.returns_to)) == 0);
    char sha256[DIGEST_TEXT_MAX], quoted[1100];

    r->shown.config_state = state;
    r->shown.disk_state = m->probe_state;
    snprintf(r->shown.disk_error, sizeof(r->shown.disk_error), "%s", m->text);
    // The time of its signatures passes, or its own comes.
    uint64_t again_ns = clock_monotonic_ns() + (waits ? HANDOVER_WAITS_NS : PROBE_SECONDS * NS_PER_S);
    if ((waits || state != STATS_CONFIG_CURRENT) && (r->probe_again_ns == 0 || again_ns < r->probe_again_ns))
        r->probe_again_ns = again_ns;
    if (!news)
        return;
    if (m->probe_state == STATS_CONFIG_INVALID)
        log_warn(EVENT_FILE, "state=invalid sha256=%s reason=%s", digest_or_none(m->file.sha256, sha256),
                 log_quote(m->text, quoted, sizeof(quoted)));
    else
        log_notice(EVENT_FILE, "state=%s sha256=%s size=%llu owner=%u%s%s",
                   stats_config_state_name(state == STATS_CONFIG_TRIAL ? m->probe_state : state),
                   digest_text(m->file.sha256, sha256), (unsigned long long) m->file.size, m->file.owner,
                   waits ? " reason=" : "", waits ? log_quote(m->text, quoted, sizeof(quoted)) : "");
    if (loads && !waits && (relay_table(r)->header->flags & TABLE_RELOAD_ON_CHANGE)) {
        // A load that somebody has asked for already keeps its asker.
        if (!r->wanted[REQUEST_LOAD])
            r->next_asker = (struct handover_asker){.loginuid = UINT32_MAX};
        r->shown.asked++;
        r->wanted[REQUEST_LOAD] = true;
    }
}

// Refuses a load after the broker has gone. The relay writes the record in its place.
static void refuse_load(struct relay *r, const char *why)
{
    uint64_t generation = r->swap.now ? relay_table(r)->header->generation : 0;

    if (r->under_way != REQUEST_LOAD) {
        r->under_way = REQUEST_LOAD;
        r->asker = r->next_asker;
    }
    r->asked_then = r->shown.asked;
    log_record(LOG_LEVEL_ERR, EVENT_RELOAD, "result=refused generation=%llu pid=%u uid=%u loginuid=%d reason=\"%s\"",
               (unsigned long long) generation, r->asker.pid, r->asker.uid, (int) r->asker.loginuid, why);
    refused(r, why);
}

// Records a change after which the broker ended. The broker may have recorded it, too: twice is better than never.
static void record_adopted(const struct relay *r)
{
    const struct table_header *h = relay_table(r)->header;
    char sha256[DIGEST_TEXT_MAX], daemon[32] = "";

    if (h->generation == 1)
        snprintf(daemon, sizeof(daemon), "pid=%u by_", r->shown.pid);
    log_record(
        LOG_LEVEL_NOTICE,
        r->under_way == REQUEST_CONFIRM ? EVENT_CONFIRMED
        : h->generation == 1            ? EVENT_STARTED
                                        : EVENT_RELOAD,
        "result=accepted generation=%llu sha256=%s %spid=%u uid=%u loginuid=%d reason=\"the broker ended meanwhile\"",
        (unsigned long long) h->generation, digest_text(h->sha256, sha256), daemon, r->asker.pid, r->asker.uid,
        (int) r->asker.loginuid);
}

static void broker_gone(struct relay *r, const char *reason)
{
    bool load = (r->under_way == REQUEST_LOAD && !r->unrecorded) || r->wanted[REQUEST_LOAD];

    r->shown.broker_alive = false;
    ev_io_stop(r->loop, &r->from_broker.io);
    swap_reject(&r->swap);
    if (!r->swap.now) {
        // A refusal comes as an answer: it could not log why.
        log_error(EVENT_BROKER, "reason=\"%s\" effect=\"the start ends\"", reason);
        relay_stop(r, EXIT_FAILURE);
        return;
    }
    log_error(EVENT_BROKER, "reason=\"%s\" effect=\"forwarding goes on; %s\"", reason,
              r->notify.keeps ? "a restart follows, which goes on with all that runs"
                              : "reloads are refused until mcrd is restarted");
    if (r->unrecorded && (r->under_way == REQUEST_LOAD || r->under_way == REQUEST_CONFIRM))
        record_adopted(r);
    else if (r->under_way == REQUEST_CONFIRM)
        refused(r, "the broker ended meanwhile: it was not confirmed");
    r->unrecorded = false;
    if (load)
        refuse_load(r, "the broker ended during the load; restart mcrd to load a file");
    memset(r->wanted, 0, sizeof(r->wanted));
    end(r);
}

void request_send(struct relay *r, enum request what)
{
    if (r->shown.broker_alive) {
        r->wanted[what] = true;
        begin_next(r);
    } else if (what == REQUEST_LOAD) {
        refuse_load(r, "the broker is gone: restart mcrd to load a file");
        memset(r->wanted, 0, sizeof(r->wanted));
        end(r);
    }
}

void request_again(struct relay *r, uint64_t now)
{
    bool links = r->links_retry_ns != 0 && now >= r->links_retry_ns;

    if (links)
        r->links_retry_ns = 0;
    if ((links || r->stuck_ring != 0) && !r->wanted[REQUEST_LINKS])
        request_send(r, REQUEST_LINKS);
    if (r->probe_again_ns != 0 && now >= r->probe_again_ns) {
        r->probe_again_ns = 0;
        request_send(r, REQUEST_PROBE);
    }
    begin_next(r);
}

// Trusts all outputs again: the broker has found every interface as in the table, so none is gone. Does nothing if
// another look at the links is due.
static void revive(struct relay *r)
{
    bool looks_again = r->wanted[REQUEST_LINKS] || ev_is_active(&r->links_timer.timer);

    for (size_t i = 0; !looks_again && i < r->swap.n_sockets; i++)
        if (r->swap.sockets[i].egress)
            r->swap.sockets[i].egress->trust = EGRESS_SURE;
}

// Returns whether the broker has ended. Its offer is then not committed: nobody would record the change, and the broker
// may have revoked the sockets.
static bool broker_has_ended(const struct relay *r)
{
    struct pollfd p = {.fd = r->broker};

    return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

// Handles a message that answers the request under way. Returns NULL, or the reason to give the broker up.
static const char *take_message(struct relay *r, struct handover_message *m, const int *fds)
{
    static const char unexpected[] = "unexpected message";
    bool follows = r->under_way == REQUEST_LINKS || r->under_way == REQUEST_RETURNED;
    bool offering = !r->unrecorded && (r->under_way == REQUEST_LOAD || r->under_way == REQUEST_CONFIRM || follows);

    if (m->serial != r->serial)
        return unexpected;
    m->text[sizeof(m->text) - 1] = '\0';
    switch (m->type) {
    case HANDOVER_OFFER:
    case HANDOVER_POOL:
    case HANDOVER_SOCKETS:
        if (!offering)
            return unexpected;
        swap_take(&r->swap, m, fds);
        return NULL;
    case HANDOVER_COMMIT:
        if (!offering || broker_has_ended(r))
            return offering ? "ended" : unexpected;
        if (r->wanted[REQUEST_RETURNED]) // the relay has gone back from a trial since it asked
            swap_fail(&r->swap, "the trial has ended meanwhile");
        return commit(r) ? NULL : "cannot be told";
    case HANDOVER_KEPT: // what has waited for it goes on already
        return r->unrecorded ? NULL : unexpected;
    case HANDOVER_ADOPTED:
        if (!r->unrecorded)
            return unexpected;
        r->unrecorded = false;
        break;
    case HANDOVER_REFUSED:
        if (!offering)
            return unexpected;
        swap_reject(&r->swap); // part of an offer may have come
        refused(r, m->text);
        break;
    case HANDOVER_UNCHANGED:
        if (!offering || !follows)
            return unexpected;
        swap_reject(&r->swap);
        revive(r);
        break;
    case HANDOVER_PROBED:
        if (r->under_way != REQUEST_PROBE || m->probe_state > STATS_CONFIG_INVALID)
            return unexpected;
        probed(r, m);
        break;
    default:
        return unexpected;
    }
    end(r);
    return NULL;
}

void request_on_message(struct relay *r)
{
    struct handover_message m;
    int fds[HANDOVER_FDS_MAX];
    const char *reason = NULL;

    // One message in each turn of the loop, so that the rings are read in between.
    switch (handover_receive(r->broker, &m, fds)) {
    case HANDOVER_EMPTY:
        break;
    case HANDOVER_GOT:
        if ((reason = take_message(r, &m, fds)))
            handover_close(&m, fds);
        break;
    case HANDOVER_SHORT:
        swap_fail(&r->swap, "too few open files allowed for the descriptors of the table (LimitNOFILE)");
        break;
    case HANDOVER_CLOSED:
        reason = "ended";
        break;
    case HANDOVER_BOGUS:
        reason = "bogus message";
        break;
    }
    if (reason)
        broker_gone(r, reason);
}
