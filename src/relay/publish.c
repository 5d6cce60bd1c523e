// SPDX-License-Identifier: Apache-2.0
// What others may see of the relay: the statistics segment, systemd's status line, the summary in the log.
#include <config.h>

#include "relay/state.h"

#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "log/log.h"
#include "stats/counters.h"

#define SUMMARY_PART 32 // rules in one turn of the loop

void publish_header(struct relay *r, enum stats_segment_state state)
{
    if (!r->swap.now)
        return;
    struct stats_header *h = r->swap.now->stats.header;
    const size_t first = offsetof(struct stats_header, pid);

    r->shown.heartbeat_ns = clock_monotonic_ns();
    stats_write_begin(&h->sequence);
    h->state = state;
    memcpy((char *) h + first, (const char *) &r->shown + first, sizeof(*h) - first);
    stats_write_end(&h->sequence);
}

void publish_everything(struct relay *r)
{
    if (!r->swap.now)
        return;
    rings_publish(r);
    forward_publish_all(r->swap.now);
    publish_header(r, STATS_LIVE);
}

void publish_status(struct relay *r)
{
    static const char *const files[] = {"file is current", "a changed file is PENDING", "the file on disk is INVALID"};
    const struct table_view *t = relay_table(r);
    uint32_t waiting = 0, silent = 0;

    if (!t)
        return;
    for (uint32_t i = 0; i < t->n_rules; i++) {
        waiting += (t->rules[i].flags & TABLE_RULE_WAITING) != 0;
        silent += r->swap.now->flows[i].health.alarms != 0;
    }
    notify_send(
        &r->notify, "STATUS=generation %llu, %u rule%s, %u waiting, %u silent or slow; sandbox %s, landlock %u; %s%s%s",
        (unsigned long long) t->header->generation, t->n_rules, t->n_rules == 1 ? "" : "s", waiting, silent,
        stats_seccomp_name(r->shown.seccomp), r->shown.landlock, files[r->shown.config_state],
        r->shown.refusal[0] ? "; last reload REFUSED" : "", r->shown.broker_alive ? "" : "; the broker is GONE");
}

#define FORMAT(name, help)  " " #name "=%llu"
#define DROPPED(name, help) " dropped_" #name "=%llu"
#define VALUE(name, help)   , (unsigned long long) c->name

static void log_interface(const struct relay *r, const struct ingress *in)
{
    const struct stats_interface_counters *c = &in->counters;

    log_notice("interface", "interface=%s" STATS_INTERFACE_COUNTERS(FORMAT),
               relay_table(r)->interfaces[in->interface].name STATS_INTERFACE_COUNTERS(VALUE));
}

static void log_rule(const struct relay *r, uint32_t i)
{
    const struct table_rule *rule = &relay_table(r)->rules[i];
    const struct stats_rule_counters *counters = &r->swap.now->flows[i].counters;
    const struct stats_drops *c = &counters->drops;
    uint64_t out = 0;

    for (uint32_t j = 0; j < rule->n_outputs; j++)
        out += r->swap.now->outputs[rule->first_counter + j].packets;
    log_notice("rule", "rule=%s packets=%llu bytes=%llu sent=%llu" STATS_RULE_DROPS(DROPPED), rule->name,
               (unsigned long long) counters->packets, (unsigned long long) counters->bytes,
               (unsigned long long) out STATS_RULE_DROPS(VALUE));
}

void publish_summary_begin(struct relay *r)
{
    r->summary_next = 0;
    if (!relay_table(r))
        return;
    publish_everything(r);
    for (size_t i = 0; i < r->swap.n_rings; i++)
        log_interface(r, r->swap.rings[i]);
}

// If the table changes meanwhile, the summary goes on with the new one.
bool publish_summary_next(struct relay *r)
{
    const struct table_view *t = relay_table(r);

    for (unsigned i = 0; t && i < SUMMARY_PART && r->summary_next < t->n_rules; i++)
        log_rule(r, r->summary_next++);
    return t && r->summary_next < t->n_rules;
}

void publish_summary(struct relay *r)
{
    publish_summary_begin(r);
    while (publish_summary_next(r))
        ;
}
