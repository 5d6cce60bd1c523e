// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

// In this order in the text and in JSON.
static const struct {
    const char *name;
    unsigned permille;
} percentiles[] = {{"p50", 500}, {"p90", 900}, {"p99", 990}, {"p99.9", 999}};

#define PERCENTILES (sizeof(percentiles) / sizeof(percentiles[0]))

double gen_report_rate(uint64_t events, uint64_t ns)
{
    return events < 2 || ns == 0 ? 0 : (double) (events - 1) * 1e9 / (double) ns;
}

static double seconds(uint64_t ns)
{
    return (double) ns / 1e9;
}

static double micro(int64_t ns)
{
    return (double) ns / 1e3;
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t) value);
}

// Consumes root.
static bool print_json(json_t *root)
{
    // Real numbers with all their digits would read as 0.10000000000000001.
    bool done = root && json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10)) == 0;

    json_decref(root);
    putchar('\n');
    if (!done)
        fprintf(stderr, "mcrgen: the report could not be written\n");
    return done;
}

static bool finish(bool done)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return done;
    perror("mcrgen: stdout");
    return false;
}

static json_t *errors_json(const struct gen_sent *r)
{
    json_t *errors = json_object();

    for (unsigned i = 0; i < r->errors_used; i++) {
        const char *name = strerrorname_np(r->errors[i].number);
        json_object_set_new(errors, name ? name : "other", number(r->errors[i].times));
    }
    return errors;
}

bool gen_report_sent(const struct gen_options *o, const struct gen_sent *r)
{
    char to[ADDR_TEXT_MAX];
    uint64_t tried = r->sent + r->failed;
    double rate = gen_report_rate(r->sent, r->duration_ns);
    bool one = tried > 0 && o->flows == 1;

    addr_format(&o->destination, to);
    if (gen_given(o, GEN_JSON)) {
        json_t *root = json_object();
        json_object_set_new(root, "interface", json_string(o->interface));
        json_object_set_new(root, "destination", json_string(to));
        json_object_set_new(root, "port", number(o->port));
        json_object_set_new(root, "stream", number(o->stream));
        json_object_set_new(root, "size", number(o->size));
        json_object_set_new(root, "flows", number(o->flows));
        json_object_set_new(root, "first_seq", one ? number(o->first) : json_null());
        json_object_set_new(root, "last_seq", one ? number(o->first + tried - 1) : json_null());
        json_object_set_new(root, "sent", number(r->sent));
        json_object_set_new(root, "failed", number(r->failed));
        json_object_set_new(root, "errors", errors_json(r));
        json_object_set_new(root, "bytes", number(r->bytes));
        json_object_set_new(root, "duration_s", json_real(seconds(r->duration_ns)));
        json_object_set_new(root, "rate_pps", json_real(rate));
        json_object_set_new(root, "given_up_s", json_real(seconds(r->given_up_ns)));
        return finish(print_json(root));
    }
    printf("sent         %" PRIu64 " datagrams of %" PRIu64 " bytes to %s port %" PRIu64 " by %s\n", r->sent, o->size,
           to, o->port, o->interface);
    if (o->flows > 1)
        printf("flows        %" PRIu64 ", to as many addresses in turn\n", o->flows);
    if (one)
        printf("sequence     %" PRIu64 " to %" PRIu64 ", stream %" PRIu64 "\n", o->first, o->first + tried - 1,
               o->stream);
    printf("failed       %" PRIu64 "\n", r->failed);
    for (unsigned i = 0; i < r->errors_used; i++)
        printf("  %" PRIu64 " times   %s\n", r->errors[i].times, strerror(r->errors[i].number));
    printf("duration     %.3f s\n", seconds(r->duration_ns));
    printf("rate         %.1f datagrams/s, %.3f Mbit/s of payload\n", rate, rate * (double) o->size * 8 / 1e6);
    if (r->given_up_ns)
        printf("behind       %.3f s of the schedule were given up: this host is too slow for the rate\n",
               seconds(r->given_up_ns));
    return finish(true);
}

static json_t *latency_json(const struct histogram *h)
{
    json_t *latency = json_object();

    json_object_set_new(latency, "min", json_real(micro(h->min)));
    for (unsigned i = 0; i < PERCENTILES; i++)
        json_object_set_new(latency, percentiles[i].name,
                            json_real(micro(histogram_percentile(h, percentiles[i].permille))));
    json_object_set_new(latency, "max", json_real(micro(h->max)));
    return latency;
}

static bool received_json(const struct gen_options *o, const struct gen_received *r)
{
    const struct sequence *s = &r->sequence;
    uint64_t duration = r->last_ns - r->first_ns;
    char to[ADDR_TEXT_MAX];
    json_t *root = json_object();

    json_object_set_new(root, "ok", json_boolean(r->ok));
    json_object_set_new(root, "interface", json_string(o->interface));
    json_object_set_new(root, "destination",
                        o->destination.family ? json_string(addr_format(&o->destination, to)) : json_null());
    json_object_set_new(root, "port", number(o->port));
    json_object_set_new(root, "stream", r->stream_known ? number(r->stream) : json_null());
    json_object_set_new(root, "expected", gen_given(o, GEN_EXPECT) ? number(o->expect) : json_null());
    json_object_set_new(root, "received", number(r->received));
    json_object_set_new(root, "bytes", number(r->bytes));
    json_object_set_new(root, "lost", number(r->lost));
    json_object_set_new(root, "duplicates", number(s->duplicates));
    json_object_set_new(root, "reordered", number(s->reordered));
    json_object_set_new(root, "corrupt", number(r->corrupt));
    json_object_set_new(root, "foreign", number(r->foreign));
    json_object_set_new(root, "unexpected", number(r->unexpected));
    json_object_set_new(root, "too_old", number(s->too_old));
    json_object_set_new(root, "first_seq", s->any ? number(s->lowest) : json_null());
    json_object_set_new(root, "last_seq", s->any ? number(s->highest) : json_null());
    json_object_set_new(root, "duration_s", json_real(seconds(duration)));
    json_object_set_new(root, "rate_pps", json_real(gen_report_rate(r->received, duration)));
    json_object_set_new(root, "gap_max_ms", json_real((double) r->gap_max_ns / 1e6));
    json_object_set_new(root, "latency_us", r->latency.count ? latency_json(&r->latency) : json_null());
    json_object_set_new(root, "socket_drops", number(r->socket_drops));
    json_object_set_new(root, "checksum_errors",
                        r->checksum_errors < 0 ? json_null() : json_integer(r->checksum_errors));
    json_object_set_new(root, "receive_buffer", number(r->receive_buffer));
    json_object_set_new(root, "stopped_by", json_string(r->stopped_by));
    return print_json(root);
}

static void received_text(const struct gen_options *o, const struct gen_received *r)
{
    const struct sequence *s = &r->sequence;
    uint64_t duration = r->last_ns - r->first_ns;
    double rate = gen_report_rate(r->received, duration);

    printf("received     %" PRIu64 " datagrams, %" PRIu64 " bytes", r->received, r->bytes);
    if (gen_given(o, GEN_EXPECT))
        printf(", expected %" PRIu64, o->expect);
    printf("\nlost         %" PRIu64 "\n", r->lost);
    if (!r->counted_only) {
        printf("duplicates   %" PRIu64 "\n", s->duplicates);
        printf("reordered    %" PRIu64 "\n", s->reordered);
    }
    printf("corrupt      %" PRIu64 "\n", r->corrupt);
    printf("foreign      %" PRIu64 "\n", r->foreign);
    if (r->unexpected)
        printf("unexpected   %" PRIu64 ", not among those expected\n", r->unexpected);
    if (s->too_old)
        printf("too old      %" PRIu64 ", too far behind to be judged\n", s->too_old);
    if (s->any)
        printf("sequence     %" PRIu64 " to %" PRIu64 "\n", s->lowest, s->highest);
    if (r->stream_known)
        printf("stream       %" PRIu32 "\n", r->stream);
    if (r->received) {
        printf("duration     %.3f s\n", seconds(duration));
        printf("rate         %.1f datagrams/s, %.3f Mbit/s of payload\n", rate,
               rate * (double) r->bytes / (double) r->received * 8 / 1e6);
        printf("longest gap  %.3f ms\n", (double) r->gap_max_ns / 1e6);
    }
    if (r->latency.count) {
        printf("latency      min %.1f", micro(r->latency.min));
        for (unsigned i = 0; i < PERCENTILES; i++)
            printf("  %s %.1f", percentiles[i].name, micro(histogram_percentile(&r->latency, percentiles[i].permille)));
        printf("  max %.1f us%s\n", micro(r->latency.max),
               r->latency.min < 0 ? " (the clocks of the two hosts differ)" : "");
    }
    printf("socket drops %" PRIu64 "%s\n", r->socket_drops,
           r->socket_drops ? " (lost here, by this receiver or for a wrong UDP checksum)" : "");
    if (r->checksum_errors > 0)
        printf("checksum     %" PRId64 " datagrams to this host had a wrong UDP checksum\n", r->checksum_errors);
    printf("stopped by   %s\n", r->stopped_by);
    printf("verdict      %s\n", r->ok ? "ok" : "FAILED");
}

bool gen_report_received(const struct gen_options *o, const struct gen_received *r)
{
    bool done = true;

    if (gen_given(o, GEN_JSON))
        done = received_json(o, r);
    else
        received_text(o, r);
    return finish(done);
}
