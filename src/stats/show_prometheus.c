// SPDX-License-Identifier: Apache-2.0
// The text exposition format of Prometheus, version 0.0.4. The lines of one metric stand together, below its HELP and
// TYPE; counters follow from the tables of counters.h.
#include <config.h>

#include "common/clock.h"
#include "common/digest.h"
#include "stats/show.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "stats/counters.h"
#include "stats/merge_doubt.h"
#include "stats/text.h"

#define MS_PER_S UINT64_C(1000)
#define US_PER_S UINT64_C(1000000)

// MOMENT: a gauge of ms since the epoch, which are shown in seconds. BRIEF: a gauge of microseconds, shown in seconds.
// HISTOGRAM: its lines have names of their own.
enum kind { COUNTER, GAUGE, MOMENT, BRIEF, HISTOGRAM };

struct exposition {
    FILE *to;
    const char *stats_file; // a label of every line; NULL where there is only one relay on the host
    const char *name;       // of the metric that was begun
    enum kind kind;
};

#define LABELS 6 // of a line, at most; one without a name ends them

struct label {
    const char *name, *value; // as text_repair() leaves it: without a line end
};

static void begin(struct exposition *e, enum kind kind, const char *name, const char *help)
{
    e->name = name;
    e->kind = kind;
    fprintf(e->to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
            kind == COUNTER     ? "counter"
            : kind == HISTOGRAM ? "histogram"
                                : "gauge");
}

static void put_label(FILE *to, char before, const struct label *l)
{
    fprintf(to, "%c%s=\"", before, l->name);
    for (const char *c = l->value; *c; c++) {
        if (*c == '\\' || *c == '"')
            fputc('\\', to);
        fputc(*c, to);
    }
    fputc('"', to);
}

// NAME{LABEL="VALUE",...} up to its figure.
static void put_name(const struct exposition *e, const char *suffix, const struct label labels[LABELS])
{
    char before = '{';

    fprintf(e->to, "%s%s", e->name, suffix);
    for (; labels->name; labels++, before = ',')
        put_label(e->to, before, labels);
    if (e->stats_file) {
        put_label(e->to, before, &(struct label){"stats_file", e->stats_file});
        before = ',';
    }
    fputs(before == ',' ? "} " : " ", e->to);
}

static void put(const struct exposition *e, const struct label labels[LABELS], uint64_t value)
{
    put_name(e, "", labels);
    if (e->kind == MOMENT)
        fprintf(e->to, "%" PRIu64 ".%03u\n", value / MS_PER_S, (unsigned) (value % MS_PER_S));
    else if (e->kind == BRIEF)
        fprintf(e->to, "%" PRIu64 ".%06u\n", value / US_PER_S, (unsigned) (value % US_PER_S));
    else
        fprintf(e->to, "%" PRIu64 "\n", value);
}

#define SECONDS "%" PRIu64 ".%09" PRIu64

// The bounds of a histogram are powers of two, from about a microsecond to 17 s.
#define LEAST_BIT 10
#define MOST_BIT  34

// Buckets of a histogram of the format hold all that is below their bound, too.
static void put_residence(const struct exposition *e, const char *rule, const struct residence *h)
{
    uint64_t count = 0;
    unsigned i = 0;
    char le[40];

    for (unsigned bit = LEAST_BIT; bit <= MOST_BIT; bit++) {
        uint64_t bound = UINT64_C(1) << bit;
        for (; i < RESIDENCE_BUCKETS && residence_least_ns(i + 1) <= bound; i++)
            count += h->buckets[i];
        snprintf(le, sizeof(le), SECONDS, bound / NS_PER_S, bound % NS_PER_S);
        put_name(e, "_bucket", (struct label[LABELS]){{"rule", rule}, {"le", le}});
        fprintf(e->to, "%" PRIu64 "\n", count);
    }
    for (; i < RESIDENCE_BUCKETS; i++)
        count += h->buckets[i];
    put_name(e, "_bucket", (struct label[LABELS]){{"rule", rule}, {"le", "+Inf"}});
    fprintf(e->to, "%" PRIu64 "\n", count);
    put_name(e, "_sum", (struct label[LABELS]){{"rule", rule}});
    fprintf(e->to, SECONDS "\n", h->sum_ns / NS_PER_S, h->sum_ns % NS_PER_S);
    put_name(e, "_count", (struct label[LABELS]){{"rule", rule}});
    fprintf(e->to, "%" PRIu64 "\n", count);
}

// Converts a CLOCK_MONOTONIC time to ms since the epoch.
static uint64_t moment_ms(const struct stats_snapshot *s, uint64_t monotonic_ns)
{
    uint64_t now = s->realtime_ns / 1000000, age = stats_age_ms(s, monotonic_ns);

    return age < now ? now - age : 0;
}

// Writes a metric of one line, without labels of its own.
static void put_one(struct exposition *e, enum kind kind, const char *name, const char *help, uint64_t value)
{
    begin(e, kind, name, help);
    put(e, (struct label[LABELS]){{NULL, NULL}}, value);
}

// --- the daemon ------------------------------------------------------------------------------------------------------

static void put_daemon(struct exposition *e, const struct stats_snapshot *s)
{
    const struct stats_header *h = s->at.header;

    begin(e, GAUGE, "mcr_build_info", "Version of the running mcrd; always 1.");
    put(e, (struct label[LABELS]){{"version", h->program_version}}, 1);
    put_one(e, MOMENT, "mcr_start_time_seconds", "When the daemon started, in seconds since the epoch.",
            h->started_ns / 1000000);
    put_one(e, MOMENT, "mcr_heartbeat_seconds", "When the relay process last wrote, in seconds since the epoch.",
            moment_ms(s, h->heartbeat_ns));
    put_one(e, GAUGE, "mcr_broker_up", "Whether the broker process lives, without which nothing can be loaded.",
            h->broker_alive != 0);
    put_one(e, GAUGE, "mcr_sandbox_enforced",
            "Whether the relay process has no capability and its system calls are filtered.",
            h->seccomp == STATS_SECCOMP_ENFORCE && h->capabilities == 0);
}

// The head of the records of loads: what is scraped elsewhere proves what was in the record by then.
static void put_audit(struct exposition *e, const struct stats_audit *a)
{
    char hash[DIGEST_TEXT_MAX], n[TEXT_NUMBER_MAX];

    if (a->n == 0)
        return;
    snprintf(n, sizeof(n), "%" PRIu64, a->n);
    put_one(e, GAUGE, "mcr_audit_records", "The number of the last record of a load.", a->n);
    begin(e, GAUGE, "mcr_audit_head_info", "The last record of a load, its number and hash; always 1.");
    put(e, (struct label[LABELS]){{"n", n}, {"hash", digest_text(a->hash, hash)}}, 1);
    if (!a->file[0])
        return;
    put_one(e, GAUGE, "mcr_audit_file_ok", "Whether all records of loads are in audit_file.",
            !a->error[0] && a->waiting == 0 && a->lost == 0);
    put_one(e, COUNTER, "mcr_audit_lost_total", "Records of loads that will never be in audit_file.", a->lost);
    put_one(e, COUNTER, "mcr_audit_file_changes_total",
            "How often audit_file was not as mcrd had left it: changed, moved or removed by somebody else.",
            a->changes);
}

static void put_config(struct exposition *e, const struct stats_snapshot *s)
{
    const struct stats_header *h = s->at.header;
    char sha256[DIGEST_TEXT_MAX];

    begin(e, GAUGE, "mcr_config_info", "The config file that runs, its digest and the instance it names; always 1.");
    put(e,
        (struct label[LABELS]){{"file", h->file}, {"sha256", digest_text(h->sha256, sha256)}, {"relay", h->instance}},
        1);
    put_one(e, GAUGE, "mcr_config_generation", "How many times a config file was taken over, the start included.",
            h->generation);
    put_one(e, MOMENT, "mcr_config_last_reload_success_seconds",
            "When a config file was last taken over, in seconds since the epoch.", h->loaded_ns / 1000000);
    put_one(e, GAUGE, "mcr_config_last_reload_successful",
            "Whether the last file that was to be taken over was not refused.", h->verdict != STATS_VERDICT_REFUSED);
    put_one(e, GAUGE, "mcr_config_pending", "Whether the file on disk is valid, but not the one that runs.",
            stats_disk_state(h) == STATS_CONFIG_PENDING);
    put_one(e, GAUGE, "mcr_config_invalid", "Whether the file on disk would be refused.",
            stats_disk_state(h) == STATS_CONFIG_INVALID);
    put_one(e, GAUGE, "mcr_config_trial", "Whether the file that runs is on trial: it waits to be confirmed.",
            h->trial_ends_ns != 0);
    put_one(e, GAUGE, "mcr_config_trial_remaining_seconds",
            "How long it waits until what ran before runs again; 0: it is not on trial.",
            h->trial_ends_ns ? stats_remaining_s(s, h->trial_ends_ns) : 0);
    put_one(e, GAUGE, "mcr_config_returned",
            "Whether the last trial was not confirmed, so that what ran before runs again.", h->returned[0] != '\0');
    put_one(e, GAUGE, "mcr_config_signatures_required", "How many keys must have signed the config file; 0: none.",
            h->signatures.required);
    put_audit(e, &h->audit);
    if (h->serial)
        put_one(e, GAUGE, "mcr_config_serial", "The serial of the config file that runs; absent where it has none.",
                h->serial);
    if (h->valid_until)
        put_one(
            e, GAUGE, "mcr_config_valid_until_seconds",
            "Until when the config file that runs is valid, in seconds since the epoch; absent where it is for good.",
            h->valid_until);
    put_one(e, GAUGE, "mcr_config_expired", "Whether valid_until of the config file that runs has passed.", h->expired);
    begin(e, GAUGE, "mcr_clock_state", "1 for what is known of the clock, where the config file has times; else set.");
    for (uint32_t clock = STATS_CLOCK_SET; clock <= STATS_CLOCK_UNSET; clock++)
        put(e, (struct label[LABELS]){{"state", stats_clock_name(clock)}}, h->clock == clock);
}

// --- interfaces ------------------------------------------------------------------------------------------------------

static void put_interfaces(struct exposition *e, const struct stats_segment *at)
{
    const struct stats_interface *end = at->interfaces + at->header->n_interfaces;

    begin(e, GAUGE, "mcr_interface_up", "Whether the interface is there and up.");
    for (const struct stats_interface *i = at->interfaces; i < end; i++)
        put(e, (struct label[LABELS]){{"interface", i->name}}, i->state == STATS_INTERFACE_UP);
    for (const struct stats_counter *c = stats_interface_counters; c->name; c++) {
        char name[64], help[128];
        if (c->drop)
            continue;
        snprintf(name, sizeof(name), "mcr_interface_%s_packets_total", c->name);
        snprintf(help, sizeof(help), "Of an interface, %s.", c->help);
        begin(e, COUNTER, name, help);
        for (const struct stats_interface *i = at->interfaces; i < end; i++)
            put(e, (struct label[LABELS]){{"interface", i->name}}, stats_counter_value(c, &i->counters));
    }
    begin(e, COUNTER, "mcr_interface_dropped_packets_total", "Datagrams that came no further than the interface.");
    for (const struct stats_interface *i = at->interfaces; i < end; i++)
        for (const struct stats_counter *c = stats_interface_counters; c->name; c++)
            if (c->drop)
                put(e, (struct label[LABELS]){{"interface", i->name}, {"reason", c->name}},
                    stats_counter_value(c, &i->counters));
}

// --- rules -----------------------------------------------------------------------------------------------------------

// Writes one counter of every leg, whose struct lies so far into the leg's record; or only of those that are merged.
static void put_legs(struct exposition *e, const struct stats_snapshot *s, const struct stats_counter *c, size_t at,
                     bool all)
{
    char name[64], help[128];

    snprintf(name, sizeof(name), "mcr_rule_input_%s_total", c->name);
    snprintf(help, sizeof(help), "Of a leg, %s.", c->help);
    begin(e, COUNTER, name, help);
    for (uint32_t i = 0; i < s->at.header->n_rules; i++) {
        const struct stats_rule *r = &s->at.rules[i];
        for (uint32_t j = r->first_input; j < r->first_input + r->n_inputs &&
                                          (all || (r->merge != STATS_MERGE_NONE && stats_counter_known(c, r->merge)));
             j++)
            put(e, (struct label[LABELS]){{"rule", r->name}, {"leg", s->at.inputs[j].leg}},
                stats_counter_value(c, (const char *) &s->at.inputs[j] + at));
    }
}

// Writes one counter of every leg that is monitored, or, with `only`, as this; its struct lies so far into the leg's
// record. prefix: of its name.
static void put_stream(struct exposition *e, const struct stats_snapshot *s, const struct stats_counter *c, size_t at,
                       const char *prefix, enum stats_stream only)
{
    bool jitter = strcmp(c->name, "jitter_us") == 0, begun = false;
    char name[64], help[128];

    if (jitter)
        snprintf(name, sizeof(name), "mcr_rule_input_stream_jitter_seconds");
    else
        snprintf(name, sizeof(name), "mcr_rule_input_stream_%s%s%s", prefix, c->name, c->gauge ? "" : "_total");
    snprintf(help, sizeof(help), "Of the stream of a leg, %s.", jitter ? "interarrival jitter (RFC 3550)" : c->help);
    for (uint32_t i = 0; i < s->at.header->n_rules; i++) {
        const struct stats_rule *r = &s->at.rules[i];
        for (uint32_t j = r->first_input; j < r->first_input + r->n_inputs; j++) {
            const struct stats_input *in = &s->at.inputs[j];
            if (in->as == STATS_STREAM_NONE || (only ? in->as != only : !stats_stream_known(c, in)))
                continue;
            if (!begun)
                begin(e, jitter ? BRIEF : c->gauge ? GAUGE : COUNTER, name, help);
            begun = true;
            put(e, (struct label[LABELS]){{"rule", r->name}, {"leg", in->leg}},
                stats_counter_value(c, (const char *) in + at));
        }
    }
}

// Metrics that no leg has are left out.
static void put_streams(struct exposition *e, const struct stats_snapshot *s)
{
    bool any = false, ts = false;

    for (uint32_t i = 0; i < s->at.header->n_inputs; i++) {
        any = any || s->at.inputs[i].as != STATS_STREAM_NONE;
        ts = ts || s->at.inputs[i].as == STATS_STREAM_TS;
    }
    for (const struct stats_counter *c = stats_stream_counters; any && c->name; c++)
        put_stream(e, s, c, offsetof(struct stats_input, stream), "", STATS_STREAM_NONE);
    for (const struct stats_counter *c = stats_ts_counters; ts && c->name; c++)
        put_stream(e, s, c, offsetof(struct stats_input, ts), "ts_", STATS_STREAM_TS);
}

// Metrics that no rule has are left out.
static void put_times(struct exposition *e, const struct stats_rule *rules, const struct stats_rule *end)
{
    bool begun = false;

    for (const struct stats_rule *r = rules; r < end; r++) {
        if (!r->active_until)
            continue;
        if (!begun)
            begin(e, GAUGE, "mcr_rule_active_until_seconds",
                  "When the rule ends, in seconds since the epoch; absent for one that does not.");
        begun = true;
        put(e, (struct label[LABELS]){{"rule", r->name}}, r->active_until);
    }
}

static void put_rules(struct exposition *e, const struct stats_snapshot *s)
{
    const struct stats_rule *rules = s->at.rules, *end = rules + s->at.header->n_rules;
    bool merges = false;

    for (const struct stats_rule *r = rules; r < end; r++)
        merges = merges || r->merge != STATS_MERGE_NONE;
    begin(e, GAUGE, "mcr_rule_info", "A rule and the note of the config file about it; always 1.");
    for (const struct stats_rule *r = rules; r < end; r++)
        put(e, (struct label[LABELS]){{"rule", r->name}, {"note", r->note}}, 1);
    begin(e, GAUGE, "mcr_rule_state", "1 for the state that the rule is in, 0 for the others.");
    for (const struct stats_rule *r = rules; r < end; r++)
        for (uint32_t state = 0; state < STATS_RULE_END; state++)
            put(e, (struct label[LABELS]){{"rule", r->name}, {"state", stats_rule_state_name(state)}},
                r->state == state);
    put_times(e, rules, end);
    begin(e, GAUGE, "mcr_rule_reason",
          "Why the rule is in its state, and what it lacks; 1, and absent while all is well.");
    for (const struct stats_rule *r = rules; r < end; r++)
        if (r->reason[0])
            put(e, (struct label[LABELS]){{"rule", r->name}, {"reason", r->reason}}, 1);
    begin(e, GAUGE, "mcr_rule_input_info", "What the rule takes in; always 1.");
    for (const struct stats_rule *r = rules; r < end; r++)
        for (uint32_t i = 0; i < r->n_inputs; i++) {
            const struct stats_input *in = &s->at.inputs[r->first_input + i];
            char vlan[16];
            snprintf(vlan, sizeof(vlan), "%u", in->vlan);
            put(e,
                (struct label[LABELS]){{"rule", r->name},
                                       {"leg", in->leg},
                                       {"interface", s->at.interfaces[in->interface].name},
                                       {"to", in->to},
                                       {in->vlan ? "vlan" : NULL, vlan}},
                1);
        }
    for (const struct stats_counter *c = stats_input_counters; c->name; c++)
        put_legs(e, s, c, offsetof(struct stats_input, counters), true);
    for (const struct stats_counter *c = stats_leg_counters; merges && c->name; c++)
        put_legs(e, s, c, offsetof(struct stats_input, merged), false);
    for (const struct stats_counter *c = stats_merge_counters; merges && c->name; c++) {
        char name[64], help[128];
        snprintf(name, sizeof(name), "mcr_rule_merge_%s_total", c->name);
        snprintf(help, sizeof(help), "Of a rule that merges, %s.", c->help);
        begin(e, COUNTER, name, help);
        for (const struct stats_rule *r = rules; r < end; r++)
            if (r->merge != STATS_MERGE_NONE && stats_counter_known(c, r->merge))
                put(e, (struct label[LABELS]){{"rule", r->name}}, stats_counter_value(c, &r->merged));
    }
    if (merges)
        begin(e, GAUGE, "mcr_rule_merge_two_streams",
              "1 while the legs of a rule that merges by number have none in common, 0 otherwise.");
    for (const struct stats_rule *r = rules; r < end; r++)
        if (stats_merge_numbered(r->merge))
            put(e, (struct label[LABELS]){{"rule", r->name}}, merge_doubt_two_streams(r));
    put_streams(e, s);
    if (merges)
        begin(e, GAUGE, "mcr_rule_active_leg",
              "1 for the leg that is active, of a rule by \"active\"; 0 for the others.");
    for (const struct stats_rule *r = rules; r < end; r++)
        for (uint32_t i = 0; r->merge == STATS_MERGE_ACTIVE && i < r->n_inputs; i++)
            put(e, (struct label[LABELS]){{"rule", r->name}, {"leg", s->at.inputs[r->first_input + i].leg}},
                r->active_leg == i);
    begin(e, GAUGE, "mcr_rule_alarm", "1 while this alarm of the rule is raised, 0 otherwise.");
    for (const struct stats_rule *r = rules; r < end; r++)
        for (unsigned alarm = 0; alarm < STATS_ALARMS; alarm++)
            put(e, (struct label[LABELS]){{"rule", r->name}, {"alarm", stats_alarm_name(alarm)}},
                r->alarms >> alarm & 1);
    begin(e, COUNTER, "mcr_rule_received_packets_total", "Datagrams that matched the rule: sent and dropped.");
    for (const struct stats_rule *r = rules; r < end; r++)
        put(e, (struct label[LABELS]){{"rule", r->name}}, r->counters.packets);
    begin(e, COUNTER, "mcr_rule_received_bytes_total", "Payload of the datagrams that matched the rule.");
    for (const struct stats_rule *r = rules; r < end; r++)
        put(e, (struct label[LABELS]){{"rule", r->name}}, r->counters.bytes);
    begin(e, MOMENT, "mcr_rule_last_packet_seconds",
          "When the last datagram of the rule came, in seconds since the epoch; absent until one has.");
    for (const struct stats_rule *r = rules; r < end; r++)
        if (r->counters.last_packet_ns)
            put(e, (struct label[LABELS]){{"rule", r->name}}, moment_ms(s, r->counters.last_packet_ns));
    begin(e, COUNTER, "mcr_rule_dropped_packets_total", "Datagrams that matched the rule and were sent nowhere.");
    for (const struct stats_rule *r = rules; r < end; r++)
        for (const struct stats_counter *c = stats_rule_drops; c->name; c++)
            put(e, (struct label[LABELS]){{"rule", r->name}, {"reason", c->name}},
                stats_counter_value(c, &r->counters.drops));
}

static void put_residences(struct exposition *e, const struct stats_segment *at)
{
    const struct stats_rule *rules = at->rules, *end = rules + at->header->n_rules;

    begin(e, HISTOGRAM, "mcr_rule_residence_seconds",
          "How long datagrams of the rule stayed in the relay, from the kernel's stamp until they were sent.");
    for (const struct stats_rule *r = rules; r < end; r++)
        put_residence(e, r->name, &r->residence);
    begin(e, COUNTER, "mcr_rule_clock_steps_total",
          "Datagrams of the rule whose residence is not known, because the clock was set.");
    for (const struct stats_rule *r = rules; r < end; r++)
        put(e, (struct label[LABELS]){{"rule", r->name}}, r->residence.clock_steps);
}

// --- outputs ---------------------------------------------------------------------------------------------------------

// Writes one counter of every output; a drop has its name as the label reason.
static void put_outputs_of(const struct exposition *e, const struct stats_segment *at, const struct stats_counter *c)
{
    for (uint32_t i = 0; i < at->header->n_rules; i++)
        for (uint32_t j = 0; j < at->rules[i].n_outputs; j++) {
            const struct stats_output *o = &at->outputs[at->rules[i].first_output + j];
            put(e,
                (struct label[LABELS]){
                    {"rule", at->rules[i].name}, {"output", o->to}, {c->drop ? "reason" : NULL, c->name}},
                stats_counter_value(c, &o->counters));
        }
}

static void put_outputs(struct exposition *e, const struct stats_segment *at)
{
    for (const struct stats_counter *c = stats_output_counters; c->name; c++) {
        char name[64], help[128];
        if (c->drop)
            continue;
        snprintf(name, sizeof(name), "mcr_output_sent_%s_total", c->name);
        snprintf(help, sizeof(help), "Of an output, %s.", c->help);
        begin(e, COUNTER, name, help);
        put_outputs_of(e, at, c);
    }
    begin(e, COUNTER, "mcr_output_dropped_packets_total", "Datagrams that were not sent to this output.");
    for (const struct stats_counter *c = stats_output_counters; c->name; c++)
        if (c->drop)
            put_outputs_of(e, at, c);
    begin(e, GAUGE, "mcr_output_largest_run", "Most datagrams of an output that one system call has sent.");
    for (uint32_t i = 0; i < at->header->n_rules; i++)
        for (uint32_t j = at->rules[i].first_output; j < at->rules[i].first_output + at->rules[i].n_outputs; j++)
            put(e, (struct label[LABELS]){{"rule", at->rules[i].name}, {"output", at->outputs[j].to}},
                at->outputs[j].counters.largest_run);
}

bool show_prometheus(const struct stats_snapshot *s, const char *path, FILE *to)
{
    char label[PATH_MAX];
    struct exposition e = {.to = to};

    if (strcmp(path, STATS_DEFAULT_PATH) != 0) {
        snprintf(label, sizeof(label), "%s", path);
        text_repair(label);
        e.stats_file = label;
    }
    put_one(&e, GAUGE, "mcr_up", "Whether a daemon runs and its statistics could be read.", s != NULL);
    if (s) {
        put_daemon(&e, s);
        put_config(&e, s);
        put_interfaces(&e, &s->at);
        put_rules(&e, s);
        put_residences(&e, &s->at);
        put_outputs(&e, &s->at);
    }
    return fflush(to) == 0 && !ferror(to);
}
