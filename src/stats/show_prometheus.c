// SPDX-License-Identifier: Apache-2.0
// The text exposition format of Prometheus, version 0.0.4. The lines of one metric stand together, below its HELP and
// TYPE; counters follow from the tables of counters.h.
#include <config.h>

#include "common/digest.h"
#include "stats/show.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "stats/counters.h"
#include "stats/text.h"

#define MS_PER_S UINT64_C(1000)

struct exposition {
    FILE *to;
    const char *stats_file; // a label of every line; NULL where there is only one relay on the host
};

struct label {
    const char *name, *value; // as text_repair() leaves it: without a line end
};

static void begin(const struct exposition *e, const char *name, const char *type, const char *help)
{
    fprintf(e->to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
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

// NAME{LABEL="VALUE",...} and the blank before the figure; n labels.
static void put_name(const struct exposition *e, const char *name, const struct label *labels, size_t n)
{
    char before = '{';

    fputs(name, e->to);
    for (size_t i = 0; i < n; i++, before = ',')
        put_label(e->to, before, &labels[i]);
    if (e->stats_file) {
        put_label(e->to, before, &(struct label){"stats_file", e->stats_file});
        before = ',';
    }
    fputs(before == ',' ? "} " : " ", e->to);
}

static void put(const struct exposition *e, const char *name, const struct label *labels, size_t n, uint64_t value)
{
    put_name(e, name, labels, n);
    fprintf(e->to, "%" PRIu64 "\n", value);
}

// A gauge that is a moment, in seconds since the epoch.
static void put_time(const struct exposition *e, const char *name, const struct label *labels, size_t n, uint64_t ms)
{
    put_name(e, name, labels, n);
    fprintf(e->to, "%" PRIu64 ".%03u\n", ms / MS_PER_S, (unsigned) (ms % MS_PER_S));
}

// When it was, in ms since the epoch, of a CLOCK_MONOTONIC time.
static uint64_t moment_ms(const struct stats_snapshot *s, uint64_t monotonic_ns)
{
    uint64_t now = s->realtime_ns / 1000000, age = stats_age_ms(s, monotonic_ns);

    return age < now ? now - age : 0;
}

static void gauge(const struct exposition *e, const char *name, const char *help, uint64_t value)
{
    begin(e, name, "gauge", help);
    put(e, name, NULL, 0, value);
}

static void gauge_time(const struct exposition *e, const char *name, const char *help, uint64_t ms)
{
    begin(e, name, "gauge", help);
    put_time(e, name, NULL, 0, ms);
}

// --- the daemon ------------------------------------------------------------------------------------------------------

static void put_daemon(const struct exposition *e, const struct stats_snapshot *s)
{
    const struct stats_header *h = s->at.header;
    bool enforced = h->seccomp == STATS_SECCOMP_ENFORCE && h->capabilities == 0;

    begin(e, "mcr_build_info", "gauge", "Version of the running mcrd; always 1.");
    put(e, "mcr_build_info", &(struct label){"version", h->program_version}, 1, 1);
    gauge_time(e, "mcr_start_time_seconds", "When the daemon started, in seconds since the epoch.",
               h->started_ns / 1000000);
    gauge_time(e, "mcr_heartbeat_seconds", "When the relay process last wrote, in seconds since the epoch.",
               moment_ms(s, h->heartbeat_ns));
    gauge(e, "mcr_broker_up", "Whether the broker process lives, without which nothing can be loaded.",
          h->broker_alive != 0);
    gauge(e, "mcr_sandbox_enforced", "Whether the relay process has no capability and its system calls are filtered.",
          enforced);
}

static void put_config(const struct exposition *e, const struct stats_header *h)
{
    char sha256[DIGEST_TEXT_MAX];
    struct label labels[] = {{"file", h->file}, {"sha256", digest_text(h->sha256, sha256)}, {"relay", h->instance}};

    begin(e, "mcr_config_info", "gauge", "The config file that runs, its digest and the instance it names; always 1.");
    put(e, "mcr_config_info", labels, sizeof(labels) / sizeof(labels[0]), 1);
    gauge(e, "mcr_config_generation", "How many times a config file was taken over, the start included.",
          h->generation);
    gauge_time(e, "mcr_config_last_reload_success_seconds",
               "When a config file was last taken over, in seconds since the epoch.", h->loaded_ns / 1000000);
    gauge(e, "mcr_config_last_reload_successful", "Whether the last file that was to be taken over was not refused.",
          h->verdict != STATS_VERDICT_REFUSED);
    gauge(e, "mcr_config_pending", "Whether the file on disk is valid, but not the one that runs.",
          h->config_state == STATS_CONFIG_PENDING);
    gauge(e, "mcr_config_invalid", "Whether the file on disk would be refused.",
          h->config_state == STATS_CONFIG_INVALID);
}

// --- interfaces ------------------------------------------------------------------------------------------------------

static void put_interfaces(const struct exposition *e, const struct stats_segment *at)
{
    begin(e, "mcr_interface_up", "gauge", "Whether the interface is there and up.");
    for (uint32_t i = 0; i < at->header->n_interfaces; i++)
        put(e, "mcr_interface_up", &(struct label){"interface", at->interfaces[i].name}, 1,
            at->interfaces[i].state == STATS_INTERFACE_UP);
    for (const struct stats_counter *c = stats_interface_counters; c->name; c++) {
        char name[64], help[128];
        if (c->drop)
            continue;
        snprintf(name, sizeof(name), "mcr_interface_%s_packets_total", c->name);
        snprintf(help, sizeof(help), "Of an interface, %s.", c->help);
        begin(e, name, "counter", help);
        for (uint32_t i = 0; i < at->header->n_interfaces; i++)
            put(e, name, &(struct label){"interface", at->interfaces[i].name}, 1,
                stats_counter_value(c, &at->interfaces[i].counters));
    }
    begin(e, "mcr_interface_dropped_packets_total", "counter", "Datagrams that came no further than the interface.");
    for (uint32_t i = 0; i < at->header->n_interfaces; i++)
        for (const struct stats_counter *c = stats_interface_counters; c->name; c++) {
            struct label labels[] = {{"interface", at->interfaces[i].name}, {"reason", c->name}};
            if (c->drop)
                put(e, "mcr_interface_dropped_packets_total", labels, 2,
                    stats_counter_value(c, &at->interfaces[i].counters));
        }
}

// --- rules -----------------------------------------------------------------------------------------------------------

static void put_rule_states(const struct exposition *e, const struct stats_segment *at)
{
    begin(e, "mcr_rule_info", "gauge", "A rule and the note of the config file about it; always 1.");
    for (uint32_t i = 0; i < at->header->n_rules; i++) {
        struct label labels[] = {{"rule", at->rules[i].name}, {"note", at->rules[i].note}};
        put(e, "mcr_rule_info", labels, 2, 1);
    }
    begin(e, "mcr_rule_state", "gauge", "1 for the state that the rule is in, 0 for the others.");
    for (uint32_t i = 0; i < at->header->n_rules; i++)
        for (uint32_t state = STATS_RULE_ACTIVE; state <= STATS_RULE_DISABLED; state++) {
            struct label labels[] = {{"rule", at->rules[i].name}, {"state", stats_rule_state_name(state)}};
            put(e, "mcr_rule_state", labels, 2, at->rules[i].state == state);
        }
    begin(e, "mcr_rule_alarm", "gauge", "1 while this alarm of the rule is raised, 0 otherwise.");
    for (uint32_t i = 0; i < at->header->n_rules; i++)
        for (unsigned alarm = 0; alarm < STATS_ALARMS; alarm++) {
            struct label labels[] = {{"rule", at->rules[i].name}, {"alarm", stats_alarm_name(alarm)}};
            put(e, "mcr_rule_alarm", labels, 2, at->rules[i].alarms >> alarm & 1);
        }
}

static void put_rules(const struct exposition *e, const struct stats_snapshot *s)
{
    const struct stats_rule *rules = s->at.rules;
    uint32_t n = s->at.header->n_rules;

    put_rule_states(e, &s->at);
    begin(e, "mcr_rule_received_packets_total", "counter", "Datagrams that matched the rule: sent and dropped.");
    for (uint32_t i = 0; i < n; i++)
        put(e, "mcr_rule_received_packets_total", &(struct label){"rule", rules[i].name}, 1, rules[i].counters.packets);
    begin(e, "mcr_rule_received_bytes_total", "counter", "Payload of the datagrams that matched the rule.");
    for (uint32_t i = 0; i < n; i++)
        put(e, "mcr_rule_received_bytes_total", &(struct label){"rule", rules[i].name}, 1, rules[i].counters.bytes);
    begin(e, "mcr_rule_last_packet_seconds", "gauge",
          "When the last datagram of the rule came, in seconds since the epoch; absent until one has.");
    for (uint32_t i = 0; i < n; i++)
        if (rules[i].counters.last_packet_ns)
            put_time(e, "mcr_rule_last_packet_seconds", &(struct label){"rule", rules[i].name}, 1,
                     moment_ms(s, rules[i].counters.last_packet_ns));
    begin(e, "mcr_rule_dropped_packets_total", "counter", "Datagrams that matched the rule and were sent nowhere.");
    for (uint32_t i = 0; i < n; i++)
        for (const struct stats_counter *c = stats_rule_drops; c->name; c++) {
            struct label labels[] = {{"rule", rules[i].name}, {"reason", c->name}};
            put(e, "mcr_rule_dropped_packets_total", labels, 2, stats_counter_value(c, &rules[i].counters.drops));
        }
}

// --- outputs ---------------------------------------------------------------------------------------------------------

// One counter of every output; drops have its name as their reason.
static void put_outputs_of(const struct exposition *e, const struct stats_segment *at, const char *name,
                           const struct stats_counter *c)
{
    for (uint32_t i = 0; i < at->header->n_rules; i++)
        for (uint32_t j = 0; j < at->rules[i].n_outputs; j++) {
            const struct stats_output *o = &at->outputs[at->rules[i].first_output + j];
            struct label labels[] = {{"rule", at->rules[i].name}, {"output", o->to}, {"reason", c->name}};
            put(e, name, labels, c->drop ? 3 : 2, stats_counter_value(c, &o->counters));
        }
}

static void put_outputs(const struct exposition *e, const struct stats_segment *at)
{
    for (const struct stats_counter *c = stats_output_counters; c->name; c++) {
        char name[64], help[128];
        if (c->drop)
            continue;
        snprintf(name, sizeof(name), "mcr_output_sent_%s_total", c->name);
        snprintf(help, sizeof(help), "Of an output, %s.", c->help);
        begin(e, name, "counter", help);
        put_outputs_of(e, at, name, c);
    }
    begin(e, "mcr_output_dropped_packets_total", "counter", "Datagrams that were not sent to this output.");
    for (const struct stats_counter *c = stats_output_counters; c->name; c++)
        if (c->drop)
            put_outputs_of(e, at, "mcr_output_dropped_packets_total", c);
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
    gauge(&e, "mcr_up", "Whether a daemon runs and its statistics could be read.", s != NULL);
    if (s) {
        put_daemon(&e, s);
        put_config(&e, s->at.header);
        put_interfaces(&e, &s->at);
        put_rules(&e, s);
        put_outputs(&e, &s->at);
    }
    return fflush(to) == 0 && !ferror(to);
}
