// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

// Explanations of members that are not zero, for the output as lines.
static const struct {
    const char *member, *hint;
} hints[] = {
    {"given_up_s", "of the schedule: this host is too slow for the rate"},
    {"foreign", "of another stream, or not mcrgen's"},
    {"unexpected", "not among those expected"},
    {"too_old", "too far behind to be judged"},
    {"socket_drops", "lost here, by this receiver or for a wrong UDP checksum"},
    {"checksum_errors", "datagrams to this host had a wrong UDP checksum"},
};

// Returns a number; null for GEN_NONE.
static json_t *number(uint64_t value)
{
    return value == GEN_NONE ? json_null() : json_integer((json_int_t) value);
}

// Returns a time in units of unit_ns nanoseconds.
static json_t *time_in(double unit_ns, int64_t ns)
{
    return json_real((double) ns / unit_ns);
}

// Returns the rate a second of the events after the first one, in a time of ns; 0 if the time is 0.
static double rate_of(uint64_t events, uint64_t ns)
{
    return events < 2 || ns == 0 ? 0 : (double) (events - 1) * 1e9 / (double) ns;
}

// " name value name value"
static void print_parts(json_t *object)
{
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        if (json_is_string(value))
            printf(" %s %s", name, json_string_value(value));
        else
            printf(" %s %.10g", name, json_number_value(value));
    }
}

// A member a line, each object of an array a line; what is not known is left out.
static void print_lines(json_t *root)
{
    const char *name;
    json_t *value, *item;
    size_t at;

    json_object_foreach(root, name, value)
    {
        json_array_foreach(value, at, item)
        {
            printf("%-13s %zu", name, at + 1);
            print_parts(item);
            putchar('\n');
        }
        if (json_is_null(value) || json_is_array(value))
            continue;
        printf("%-15s", name);
        if (json_is_object(value))
            print_parts(value);
        else if (json_is_boolean(value))
            printf(" %s", json_is_true(value) ? "yes" : "no");
        else if (json_is_string(value))
            printf(" %s", json_string_value(value));
        else if (json_is_real(value))
            printf(" %.3f", json_real_value(value));
        else
            printf(" %" JSON_INTEGER_FORMAT, json_integer_value(value));
        for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
            if (strcmp(name, hints[i].member) == 0 && json_number_value(value) > 0)
                printf(", %s", hints[i].hint);
        putchar('\n');
    }
}

#define VERDICT_MAX 256

// Prints root and frees it. datagrams, bytes and rate give the rate of payload in the output as lines, which ends with
// the verdict. Returns false if not all could be written.
static bool print(const struct gen_options *o, json_t *root, uint64_t datagrams, uint64_t bytes, double rate,
                  const char *verdict)
{
    bool done = root != NULL;

    if (o->json) {
        // With all digits a real number would print as 0.10000000000000001.
        done = root && json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10)) == 0;
        putchar('\n');
    } else {
        print_lines(root);
        printf("%-15s %.3f, of payload\n", "mbit_s",
               datagrams ? rate * (double) bytes / (double) datagrams * 8 / 1e6 : 0);
        puts(verdict);
    }
    json_decref(root);
    if (fflush(stdout) == 0 && !ferror(stdout) && done)
        return true;
    perror("mcrgen: the report could not be written");
    return false;
}

// Without legs, null.
static json_t *legs(const struct gen_options *o, const struct gen_sent *r)
{
    json_t *array = o->n_legs ? json_array() : json_null();
    char to[ADDR_TEXT_MAX];

    for (unsigned i = 0; i < o->n_legs; i++) {
        json_t *leg = json_object();
        json_object_set_new(leg, "interface", json_string(o->legs[i].interface));
        json_object_set_new(leg, "destination", json_string(addr_format(&o->legs[i].to, to)));
        json_object_set_new(leg, "port", number(o->legs[i].port));
        json_object_set_new(leg, "sent", number(r->legs[i].sent));
        json_object_set_new(leg, "failed", number(r->legs[i].failed));
        json_object_set_new(leg, "lost", number(r->legs[i].lost));
        json_object_set_new(leg, "repeated", number(r->legs[i].repeated));
        json_object_set_new(leg, "reordered", number(r->legs[i].reordered));
        json_array_append_new(array, leg);
    }
    return array;
}

static void say_sent(const struct gen_options *o, const struct gen_sent *r, char verdict[VERDICT_MAX])
{
    if (r->failed > 0)
        snprintf(verdict, VERDICT_MAX, "FAILED: %" PRIu64 " of %" PRIu64 " datagrams were not sent", r->failed,
                 r->sent + r->failed);
    else if (o->n_legs > 0)
        snprintf(verdict, VERDICT_MAX,
                 "ok: %" PRIu64 " datagrams sent, of %" PRIu64
                 " numbers by %u legs; lost on purpose by all of them: %" PRIu64,
                 r->sent, r->made, o->n_legs, r->lost_by_all);
    else
        snprintf(verdict, VERDICT_MAX, "ok: %" PRIu64 " datagrams sent", r->sent);
}

bool gen_report_sent(const struct gen_options *o, const struct gen_sent *r)
{
    double rate = rate_of(r->sent, r->duration_ns);
    bool one = r->made > 0 && o->flows == 1, plain = o->n_legs == 0;
    char to[ADDR_TEXT_MAX], verdict[VERDICT_MAX];
    json_t *root = json_object(), *errors = json_object();

    for (int i = 0; i < GEN_ERRNOS; i++) {
        const char *name = strerrorname_np(i);
        if (r->errors[i] > 0)
            json_object_set_new(errors, name ? name : "other", number(r->errors[i]));
    }
    json_object_set_new(root, "interface", plain ? json_string(o->interface) : json_null());
    json_object_set_new(root, "destination", plain ? json_string(addr_format(&o->destination, to)) : json_null());
    json_object_set_new(root, "port", number(plain ? o->port : GEN_NONE));
    json_object_set_new(root, "legs", legs(o, r));
    json_object_set_new(root, "lost_by_all", number(plain ? GEN_NONE : r->lost_by_all));
    json_object_set_new(root, "stream", number(o->stream));
    json_object_set_new(root, "size", number(o->size));
    json_object_set_new(root, "flows", number(o->flows));
    json_object_set_new(root, "first_seq", number(one ? o->first : GEN_NONE));
    json_object_set_new(root, "last_seq", number(one ? o->first + r->made - 1 : GEN_NONE));
    json_object_set_new(root, "sent", number(r->sent));
    json_object_set_new(root, "failed", number(r->failed));
    json_object_set_new(root, "errors", errors);
    json_object_set_new(root, "bytes", number(r->bytes));
    json_object_set_new(root, "duration_s", time_in(1e9, (int64_t) r->duration_ns));
    json_object_set_new(root, "rate_pps", json_real(rate));
    json_object_set_new(root, "given_up_s", time_in(1e9, (int64_t) r->given_up_ns));
    say_sent(o, r, verdict);
    return print(o, root, r->sent, r->bytes, rate, verdict);
}

static json_t *latency(const struct histogram *h)
{
    static const struct {
        const char *name;
        unsigned permille;
    } percentiles[] = {{"p50", 500}, {"p90", 900}, {"p99", 990}, {"p99.9", 999}};

    if (h->count == 0)
        return json_null();
    json_t *object = json_object();
    json_object_set_new(object, "min", time_in(1e3, h->min));
    for (unsigned i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
        json_object_set_new(object, percentiles[i].name,
                            time_in(1e3, histogram_percentile(h, percentiles[i].permille)));
    json_object_set_new(object, "max", time_in(1e3, h->max));
    return object;
}

static void add_reason(char verdict[VERDICT_MAX], uint64_t n, const char *what)
{
    size_t used = strlen(verdict);

    if (n > 0)
        snprintf(verdict + used, VERDICT_MAX - used, "%s%" PRIu64 " %s", used ? ", " : "FAILED: ", n, what);
}

// Of those that are lost, the ones behind the last that came: their time had not come.
static uint64_t not_yet(const struct gen_options *o, const struct gen_received *r)
{
    const struct sequence *s = &r->sequence;
    uint64_t last = s->wanted_first + s->wanted_count - 1;

    if (!r->coming || o->expect == GEN_NONE)
        return 0;
    if (o->size == 0) // without sequence numbers
        return r->lost;
    return s->any && s->highest >= s->wanted_first && s->highest < last ? last - s->highest : 0;
}

// Writes the last line, which says in words what `ok` means. Returns verdict.
static const char *verdict_of(const struct gen_options *o, const struct gen_received *r, char verdict[VERDICT_MAX])
{
    uint64_t later = not_yet(o, r);

    verdict[0] = '\0';
    if (later > 0)
        snprintf(verdict, VERDICT_MAX, "FAILED: stopped after %.10g s while datagrams still came", o->seconds);
    add_reason(verdict, r->lost - later, "lost");
    add_reason(verdict, r->sequence.duplicates, "duplicate");
    add_reason(verdict, r->corrupt, "corrupt");
    add_reason(verdict, r->unexpected, "unexpected");
    add_reason(verdict, r->sequence.too_old, "too old");
    add_reason(verdict, o->in_order ? r->sequence.reordered : 0, "out of order");
    if (!r->ok && r->received == 0)
        add_reason(verdict, r->foreign, "foreign came and no other: is --as, --stream or --size missing or wrong?");
    if (r->not_judged)
        return "FAILED: what was lost on purpose is not known";
    if (!r->ok && !*verdict && o->expect == GEN_NONE)
        add_reason(verdict, r->socket_drops, "dropped by the socket, so that the end may be missing");
    if (!r->ok && !*verdict)
        return r->received > 0 ? "FAILED: the socket failed" : "FAILED: nothing came";
    if (r->ok && r->received == 0 && r->foreign > 0)
        snprintf(verdict, VERDICT_MAX, "ok: nothing of the stream came, as expected; %" PRIu64 " foreign", r->foreign);
    else if (r->ok && r->received == 0)
        return "ok: nothing came, as expected";
    else if (r->ok)
        snprintf(verdict, VERDICT_MAX, "ok: %" PRIu64 " datagrams, nothing lost, duplicate or corrupt", r->received);
    return verdict;
}

bool gen_report_received(const struct gen_options *o, const struct gen_received *r)
{
    const struct sequence *s = &r->sequence;
    uint64_t duration_ns = r->last_ns - r->first_ns;
    double rate = rate_of(r->received, duration_ns);
    char to[ADDR_TEXT_MAX], verdict[VERDICT_MAX];
    json_t *root = json_object();

    json_object_set_new(root, "ok", json_boolean(r->ok));
    json_object_set_new(root, "interface", json_string(o->interface));
    json_object_set_new(root, "destination",
                        o->destination.family ? json_string(addr_format(&o->destination, to)) : json_null());
    json_object_set_new(root, "port", number(o->port));
    json_object_set_new(root, "stream", number(r->stream));
    json_object_set_new(root, "expected", number(r->expected));
    json_object_set_new(root, "received", number(r->received));
    json_object_set_new(root, "bytes", number(r->bytes));
    json_object_set_new(root, "lost", number(r->lost));
    json_object_set_new(root, "lost_by_all", number(r->lost_by_all));
    json_object_set_new(root, "duplicates", number(s->duplicates));
    json_object_set_new(root, "reordered", number(s->reordered));
    json_object_set_new(root, "corrupt", number(r->corrupt));
    json_object_set_new(root, "foreign", number(r->foreign));
    json_object_set_new(root, "unexpected", number(r->unexpected));
    json_object_set_new(root, "too_old", number(s->too_old));
    json_object_set_new(root, "first_seq", number(s->any ? s->lowest : GEN_NONE));
    json_object_set_new(root, "last_seq", number(s->any ? s->highest : GEN_NONE));
    json_object_set_new(root, "duration_s", time_in(1e9, (int64_t) duration_ns));
    json_object_set_new(root, "rate_pps", json_real(rate));
    json_object_set_new(root, "gap_max_ms", time_in(1e6, (int64_t) r->gap_max_ns));
    json_object_set_new(root, "latency_us", latency(&r->latency));
    json_object_set_new(root, "socket_drops", number(r->socket_drops));
    json_object_set_new(root, "checksum_errors", number(r->checksum_errors));
    json_object_set_new(root, "receive_buffer", number(r->receive_buffer));
    json_object_set_new(root, "stopped_by", json_string(r->stopped_by));
    return print(o, root, r->received, r->bytes, rate, verdict_of(o, r, verdict));
}
