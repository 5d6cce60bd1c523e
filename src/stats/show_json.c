// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/digest.h"
#include "common/moment.h"
#include "stats/show.h"

#include <jansson.h>
#include <string.h>

#include "stats/counters.h"
#include "stats/merge_doubt.h"
#include "stats/text.h"

// Returns false if there was no memory for the value, so that no member is missing unnoticed.
static bool put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

// jansson's integers are signed; no counter reaches their limit.
static json_t *number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t) value);
}

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

// Adds those of a merge of this kind; null is one that it cannot know.
static bool put_merged(json_t *object, const struct stats_counter *table, const void *counters, uint32_t merge)
{
    bool ok = true;

    for (const struct stats_counter *c = table; c->name; c++)
        ok &= put(object, c->name,
                  stats_counter_known(c, merge) ? number(stats_counter_value(c, counters)) : json_null());
    return ok;
}

static bool put_counters(json_t *object, const struct stats_counter *table, const void *counters)
{
    return put_merged(object, table, counters, STATS_MERGE_RTP);
}

// Each of these adds one member to an object or an array, and returns whether all went well.

static bool put_audit(json_t *to, const struct stats_audit *a)
{
    char hash[DIGEST_TEXT_MAX];
    json_t *o = a->n > 0 ? json_object() : json_null();

    return put(to, "audit", o) &&
           (a->n == 0 || (put(o, "n", number(a->n)) && put(o, "hash", json_string(digest_text(a->hash, hash))) &&
                          put(o, "file", text_or_null(a->file)) && put(o, "error", text_or_null(a->error)) &&
                          put(o, "waiting", number(a->waiting)) && put(o, "lost", number(a->lost)) &&
                          put(o, "changes", number(a->changes)) && put(o, "changed", text_or_null(a->changed))));
}

// Seconds since the epoch; 0: none.
static json_t *moment(uint64_t seconds)
{
    char text[MOMENT_TEXT_MAX];

    return seconds ? json_string(moment_format(seconds, text)) : json_null();
}

// null: no signatures are asked for.
static bool put_signatures(json_t *to, const struct stats_signatures *s)
{
    json_t *names = s->required ? json_array() : json_null();
    char sha256[DIGEST_TEXT_MAX];
    bool ok = true;

    for (const char *at = s->signed_by; s->required && *at; at += strspn(at, ",")) {
        size_t length = strcspn(at, ",");
        ok &= json_array_append_new(names, json_stringn(at, length)) == 0;
        at += length;
    }
    ok &= put(to, "signed_by", names);
    ok &= put(to, "signatures_required", number(s->required));
    return put(to, "trust_sha256", s->required ? json_string(digest_text(s->trust_sha256, sha256)) : json_null()) && ok;
}

static bool put_config(json_t *to, const struct stats_snapshot *s)
{
    const struct stats_header *h = s->at.header;
    static const uint8_t unread[32];
    bool on_disk = memcmp(h->disk_sha256, unread, sizeof(unread)) != 0;
    json_t *o = json_object();
    char sha256[DIGEST_TEXT_MAX], loaded[TEXT_NUMBER_MAX];

    bool ok = put(o, "file", json_string(h->file));
    ok &= put(o, "sha256", json_string(digest_text(h->sha256, sha256)));
    ok &= put(o, "loaded_at", json_string(text_time(loaded, h->loaded_ns)));
    ok &= put(o, "state", json_string(stats_config_state_name(h->config_state)));
    ok &= put(o, "trial_remaining_s", h->trial_ends_ns ? number(stats_remaining_s(s, h->trial_ends_ns)) : json_null());
    ok &= put(o, "returned", text_or_null(h->returned));
    ok &= put(o, "not_continued", text_or_null(h->signatures.left));
    ok &= put(o, "last_error", text_or_null(stats_last_error(h)));
    ok &= put(o, "disk_sha256", on_disk ? json_string(digest_text(h->disk_sha256, sha256)) : json_null());
    ok &= put(o, "last_load", json_string(stats_verdict_name(h->verdict)));
    ok &= put_audit(o, &h->audit);
    ok &= put(o, "serial", h->serial ? number(h->serial) : json_null());
    ok &= put(o, "valid_from", moment(h->valid_from));
    ok &= put(o, "valid_until", moment(h->valid_until));
    ok &= put(o, "expired", json_boolean(h->expired));
    ok &= put(o, "clock", json_string(stats_clock_name(h->clock)));
    ok &= put_signatures(o, &h->signatures);
    return put(to, "config", o) && ok;
}

static bool put_sandbox(json_t *to, const struct stats_header *h)
{
    json_t *o = json_object(), *capabilities = json_array();
    char name[STATS_CAPABILITY_MAX];
    bool ok = true;

    for (unsigned i = 0; i < 64; i++)
        if (h->capabilities >> i & 1)
            ok &= json_array_append_new(capabilities, json_string(stats_capability_name(i, name))) == 0;
    ok &= put(o, "capabilities", capabilities);
    ok &= put(o, "seccomp", json_string(stats_seccomp_name(h->seccomp)));
    ok &= put(o, "landlock", number(h->landlock));
    ok &= put(o, "network", json_string(h->isolation & STATS_OWN_NETWORK ? "own" : "host"));
    ok &= put(o, "root", json_string(h->isolation & STATS_EMPTY_ROOT ? "empty" : "host"));
    return put(to, "sandbox", o) && ok;
}

static bool put_features(json_t *to, const struct stats_features *f)
{
    json_t *o = json_object();
    bool ok = true;

#define PUT_FEATURE(NAME, field, name, help) ok &= put(o, #field, json_string(stats_feature_name(f->field)));
    STATS_FEATURES(PUT_FEATURE)
#undef PUT_FEATURE
    return put(to, "features", o) && ok;
}

static bool add_interface(json_t *to, const struct stats_interface *i)
{
    json_t *o = json_object();

    return json_array_append_new(to, o) == 0 && put(o, "name", json_string(i->name)) &&
           put(o, "state", json_string(stats_interface_state_name(i->state))) &&
           put_counters(o, stats_interface_counters, &i->counters);
}

static bool put_skew(json_t *to, const struct stats_input *in)
{
    json_t *o = json_object();

    return put(to, "skew_us", o) && put(o, "mean", number(in->skew_count ? in->skew_us / in->skew_count : 0)) &&
           put(o, "max", number(in->skew_max_us));
}

static bool put_alarms(json_t *to, uint32_t alarms)
{
    json_t *list = json_array();
    bool ok = true;

    for (unsigned i = 0; i < STATS_ALARMS; i++)
        if (alarms >> i & 1)
            ok &= json_array_append_new(list, json_string(stats_alarm_name(i))) == 0;
    return put(to, "alarms", list) && ok;
}

static bool put_ts(json_t *to, const struct stats_input *in)
{
    json_t *o = json_object();

    return put(to, "ts", o) && put_counters(o, stats_ts_counters, &in->ts);
}

static bool put_stream(json_t *to, const struct stats_input *in)
{
    json_t *o;
    bool ok;

    if (in->as == STATS_STREAM_NONE)
        return put(to, "stream", json_null());
    o = json_object();
    ok = put(to, "stream", o) && put(o, "as", json_string(stats_stream_name(in->as)));
    for (const struct stats_counter *c = stats_stream_counters; c->name; c++)
        ok = ok &&
             put(o, c->name, stats_stream_known(c, in) ? number(stats_counter_value(c, &in->stream)) : json_null());
    return ok && (in->as != STATS_STREAM_TS || put_ts(o, in));
}

// Without numbers nobody knows.
static json_t *two_streams(const struct stats_rule *r)
{
    return stats_merge_numbered(r->merge) ? json_boolean(merge_doubt_two_streams(r)) : json_null();
}

static bool put_merge(json_t *to, const struct stats_snapshot *s, const struct stats_rule *r)
{
    const char *leg = r->active_leg < r->n_inputs ? s->at.inputs[r->first_input + r->active_leg].leg : NULL;
    json_t *o = r->merge == STATS_MERGE_NONE ? json_null() : json_object();

    return put(to, "merge", o) &&
           (r->merge == STATS_MERGE_NONE ||
            (put(o, "by", json_string(stats_merge_name(r->merge))) &&
             put_merged(o, stats_merge_counters, &r->merged, r->merge) && put(o, "two_streams", two_streams(r)) &&
             put(o, "active_leg", leg ? json_string(leg) : json_null())));
}

// merge: how its rule merges its legs.
static bool add_input(json_t *to, const struct stats_snapshot *s, const struct stats_input *in, uint32_t merge)
{
    const struct stats_interface *i = &s->at.interfaces[in->interface];
    json_t *o = json_object();

    return json_array_append_new(to, o) == 0 && put(o, "leg", json_string(in->leg)) &&
           put(o, "interface", json_string(i->name)) && put(o, "to", json_string(in->to)) &&
           put(o, "vlan", in->vlan ? number(in->vlan) : json_null()) &&
           put(o, "state", json_string(stats_interface_state_name(i->state))) && put_alarms(o, in->alarms) &&
           put_counters(o, stats_input_counters, &in->counters) &&
           (merge == STATS_MERGE_NONE || (put_merged(o, stats_leg_counters, &in->merged, merge) && put_skew(o, in))) &&
           put_stream(o, in);
}

static bool add_output(json_t *to, const struct stats_output *output)
{
    json_t *o = json_object();

    return json_array_append_new(to, o) == 0 && put(o, "to", json_string(output->to)) &&
           put_counters(o, stats_output_counters, &output->counters) &&
           put(o, "largest_run", number(output->counters.largest_run));
}

// Microseconds, to three places.
static json_t *micros(uint64_t ns)
{
    return json_real((double) ns / 1e3);
}

static bool put_residence(json_t *to, const struct residence *h)
{
    struct residence_summary s;
    json_t *o = json_object();

    residence_summarise(h, &s);
    return put(to, "residence_us", o) && put(o, "count", number(s.count)) && put(o, "p50", micros(s.p50_ns)) &&
           put(o, "p90", micros(s.p90_ns)) && put(o, "p99", micros(s.p99_ns)) && put(o, "p999", micros(s.p999_ns)) &&
           put(o, "max", micros(s.max_ns)) && put(to, "clock_steps", number(h->clock_steps));
}

static bool add_rule(json_t *to, const struct stats_snapshot *s, const struct stats_rule *r)
{
    const struct stats_rule_counters *c = &r->counters;
    json_t *o = json_object(), *drops = json_object(), *inputs = json_array(), *outputs = json_array();

    bool ok = put(o, "name", json_string(r->name));
    ok &= put(o, "note", text_or_null(r->note));
    ok &= put(o, "state", json_string(stats_rule_state_name(r->state)));
    ok &= put(o, "reason", text_or_null(r->reason));
    ok &= put(o, "active_from", moment(r->active_from));
    ok &= put(o, "active_until", moment(r->active_until));
    ok &= put_alarms(o, r->alarms);
    ok &= put(o, "packets", number(c->packets));
    ok &= put(o, "bytes", number(c->bytes));
    ok &= put(o, "last_packet_ms", c->last_packet_ns ? number(stats_age_ms(s, c->last_packet_ns)) : json_null());
    ok &= put_counters(drops, stats_rule_drops, &c->drops);
    ok &= put(o, "drops", drops);
    for (uint32_t i = 0; i < r->n_inputs; i++)
        ok &= add_input(inputs, s, &s->at.inputs[r->first_input + i], r->merge);
    ok &= put(o, "inputs", inputs);
    ok &= put_merge(o, s, r);
    ok &= put_residence(o, &r->residence);
    for (uint32_t i = 0; i < r->n_outputs; i++)
        ok &= add_output(outputs, &s->at.outputs[r->first_output + i]);
    ok &= put(o, "outputs", outputs);
    return json_array_append_new(to, o) == 0 && ok;
}

// null: the start was one of its own.
static bool put_continued(json_t *root, const struct stats_continued *c)
{
    if (c->rings == 0 && c->from_pid == 0)
        return put(root, "continued", json_null());
    json_t *o = json_object();

    return put(root, "continued", o) && put(o, "from_pid", c->from_pid ? number(c->from_pid) : json_null()) &&
           put(o, "gap_ms", c->gap_ns ? json_real((double) (c->gap_ns / 100000) / 10.) : json_null()) &&
           put(o, "rings", number(c->rings)) && put(o, "replaced", number(c->replaced)) &&
           put(o, "waiting", number(c->waiting)) && put(o, "dropped", number(c->dropped));
}

static bool put_everything(json_t *root, const struct stats_snapshot *s)
{
    const struct stats_header *h = s->at.header;
    json_t *interfaces = json_array(), *rules = json_array();

    bool ok = put(root, "instance", text_or_null(h->instance));
    ok &= put(root, "pid", number(h->pid));
    ok &= put(root, "version", json_string(h->program_version));
    ok &= put(root, "generation", number(h->generation));
    ok &= put_config(root, s);
    ok &= put(root, "uptime_s", number(stats_age_s(s, h->started_boottime_ns)));
    ok &= put_continued(root, &h->continued);
    ok &= put(root, "not_kept", h->keeps ? number(h->not_kept) : json_null());
    ok &= put_sandbox(root, h);
    ok &= put_features(root, &h->features);
    ok &= put(root, "broker", json_string(h->broker_alive ? "alive" : "gone"));
    ok &= put(root, "heartbeat_ms", number(stats_age_ms(s, h->heartbeat_ns)));
    for (uint32_t i = 0; i < h->n_interfaces; i++)
        ok &= add_interface(interfaces, &s->at.interfaces[i]);
    ok &= put(root, "interfaces", interfaces);
    for (uint32_t i = 0; i < h->n_rules; i++)
        ok &= add_rule(rules, s, &s->at.rules[i]);
    return put(root, "rules", rules) && ok;
}

bool show_json(const struct stats_snapshot *s, FILE *to, bool one_line)
{
    json_t *root = json_object();
    bool ok = put_everything(root, s) && json_dumpf(root, to,
                                                    JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12) |
                                                        (one_line ? JSON_COMPACT : JSON_INDENT(2))) == 0;

    json_decref(root);
    fputc('\n', to);
    return fflush(to) == 0 && ok;
}
