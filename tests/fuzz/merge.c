// SPDX-License-Identifier: Apache-2.0
// merge: wire/merge.c with any settings, payloads, stamps and legs. Each datagram gets one verdict that its settings
// allow, what is held leaves exactly once and as it came, and only what has come before is a copy. The input is the
// settings, and then a list of what happens, each as happen() reads it.
#include <config.h>

#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "wire/merge.h"

#define DATAGRAMS_MAX 600
#define PAYLOAD_MAX   64u // of a held one; more can come

// What has come.
struct record {
    uint8_t bytes[PAYLOAD_MAX];
    size_t length;
    uint32_t leg;
    bool held;
};

struct rig {
    struct merge_settings s;
    struct merge *m;
    struct record records[DATAGRAMS_MAX];
    size_t n_records, n_held;
    uint32_t most;                              // numbers of the largest of its merges
    uint64_t now_ns, number, n_passed, n_first; // n_first: of legs that a reload took away
};

static void read_settings(struct merge_settings *s, struct fuzz_input *in)
{
    static const uint8_t widths[] = {1, 2, 4, 8};
    uint8_t by = fuzz_u8(in), flags = fuzz_u8(in);

    *s = (struct merge_settings){.by = by % 4,
                                 .n_legs = 1 + (by >> 2 & 7),
                                 .window_ms = 1 + fuzz_u8(in) * 40u,
                                 .numbers = 64u << (flags & 3),
                                 .max_payload = PAYLOAD_MAX,
                                 .switch_after_ms = 200,
                                 .return_after_ms = flags & 4 ? 5000 : 0,
                                 .key = {UINT64_C(0x243f6a8885a308d3), flags}};
    if (flags & 8)
        s->numbers = 1u << 15;
    if (flags & 16 && s->by < MERGE_PAYLOAD)
        s->reorder_ms = 1 + fuzz_u8(in) % s->window_ms;
    s->field.bytes = widths[flags >> 5 & 3];
    s->field.little = flags & 128;
    s->field.at = fuzz_u8(in) % 32;
    s->field.session_at = fuzz_u8(in) % 32;
    s->field.session_bytes = fuzz_u8(in) % 17;
    s->field.count_at = fuzz_u8(in) % 32;
    s->field.count_bytes = (uint8_t[]){0, 0, 1, 2}[fuzz_u8(in) % 4];
}

// Whether these bytes, or by number their session and number, have come before.
static bool has_come(const struct rig *x, const uint8_t *bytes, size_t length)
{
    const struct merge_settings *s = &x->s;

    for (size_t i = 0; i < x->n_records; i++) {
        const uint8_t *b = x->records[i].bytes;
        bool same = x->records[i].length == length && memcmp(b, bytes, length) == 0;
        if (s->by == MERGE_RTP && x->records[i].length >= 12 && length >= 12)
            same = memcmp(b + 2, bytes + 2, 2) == 0 && memcmp(b + 8, bytes + 8, 4) == 0;
        size_t end = s->field.at + s->field.bytes;
        if (s->by == MERGE_FIELD && x->records[i].length >= end && length >= end)
            same = same || memcmp(b + s->field.at, bytes + s->field.at, s->field.bytes) == 0;
        if (same)
            return true;
    }
    return false;
}

// Takes what leaves, until nothing more does.
static void drain(struct rig *x, uint64_t now_ns)
{
    struct merge_held h;

    while (merge_next(x->m, now_ns, &h)) {
        FUZZ_ASSERT(h.tag < x->n_records);
        struct record *r = &x->records[h.tag];
        FUZZ_ASSERT(r->held && h.leg == r->leg && h.length == r->length && memcmp(h.payload, r->bytes, h.length) == 0);
        r->held = false;
        x->n_held--;
    }
    FUZZ_ASSERT((merge_due_ns(x->m) == UINT64_MAX) == (x->n_held == 0));
    if (now_ns == UINT64_MAX)
        FUZZ_ASSERT(x->n_held == 0);
}

static uint64_t first(const struct rig *x)
{
    uint64_t n = x->n_first;

    for (uint32_t i = 0; i < x->s.n_legs; i++)
        n += merge_counters(x->m)->legs[i].first;
    return n;
}

// A merge of few numbers has room for 64, and one more comes before the oldest leaves. A reload may have brought those
// of a larger one.
static size_t most_held(const struct rig *x)
{
    return (x->most > 64 ? x->most : 64) + 1;
}

static void judge(struct rig *x, uint32_t leg, const uint8_t *bytes, size_t length)
{
    struct record *r = &x->records[x->n_records];
    // Where it ends, a sanitizer sees what is read beyond.
    uint8_t *payload = malloc(length + (length == 0));

    memcpy(payload, bytes, length);
    bool come = has_come(x, bytes, length);
    enum merge_verdict v = merge_take(x->m, leg, x->now_ns, payload, length, x->n_records);
    free(payload);
    *r = (struct record){.length = length, .leg = leg, .held = v == MERGE_HELD};
    memcpy(r->bytes, bytes, length);
    x->n_records++;
    x->n_held += v == MERGE_HELD;
    x->n_passed += v == MERGE_PASSES || v == MERGE_HELD;

    FUZZ_ASSERT(v <= MERGE_HELD && (v != MERGE_HELD || x->s.reorder_ms > 0));
    FUZZ_ASSERT(v != MERGE_COPY || come);
    FUZZ_ASSERT((v == MERGE_STANDBY) <= (x->s.by == MERGE_ACTIVE));
    FUZZ_ASSERT(v != MERGE_NO_SEQUENCE || x->s.by < MERGE_PAYLOAD);
    FUZZ_ASSERT(v != MERGE_LATE || x->s.by < MERGE_PAYLOAD);
    FUZZ_ASSERT(x->n_held <= most_held(x));
    FUZZ_ASSERT(first(x) == x->n_passed);
    drain(x, x->now_ns);
}

// A reload: legs change places, go, and come; window, room and payload may be others.
static void reload(struct rig *x, struct fuzz_input *in)
{
    struct merge_settings s = x->s;
    uint8_t map[MERGE_LEGS_MAX];

    s.n_legs = 1 + fuzz_u8(in) % MERGE_LEGS_MAX;
    for (uint32_t i = 0; i < MERGE_LEGS_MAX; i++)
        map[i] = (uint8_t) ((i + fuzz_u8(in)) % (x->s.n_legs + 1) < x->s.n_legs ? i : 0xff);
    for (uint32_t i = 0; i < MERGE_LEGS_MAX; i++)
        if (map[i] >= x->s.n_legs)
            map[i] = 0xff;
    uint8_t what = fuzz_u8(in);
    if (what & 1)
        s.numbers = 64u << (what >> 4 & 3);
    if (what & 2)
        s.max_payload = fuzz_u8(in);
    if (what & 4)
        s.window_ms = 10u + (what >> 6) * 100u;
    if (what & 8 && s.by < MERGE_PAYLOAD)
        s.reorder_ms = what & 16 ? s.window_ms : 0;
    s.reorder_ms = s.reorder_ms < s.window_ms ? s.reorder_ms : s.window_ms;
    struct merge *m = merge_new(&s);
    FUZZ_ASSERT(m);
    merge_carry(m, x->m, map);
    // What did not go over leaves; all else is still held.
    struct merge_held h;
    while (merge_next(x->m, UINT64_MAX, &h)) {
        FUZZ_ASSERT(h.tag < x->n_records && x->records[h.tag].held);
        x->records[h.tag].held = false;
        x->n_held--;
    }
    FUZZ_ASSERT((merge_due_ns(m) == UINT64_MAX) == (x->n_held == 0));
    merge_free(x->m);
    x->m = m;
    x->s = s;
    x->most = s.numbers > x->most ? s.numbers : x->most;
    x->n_first = 0;
    x->n_first = x->n_passed - first(x);
}

// What happens (flags), by which leg, after how many ms, with which step of the number, and the bytes that differ.
static void happen(struct rig *x, struct fuzz_input *in)
{
    uint8_t flags = fuzz_u8(in), bytes[PAYLOAD_MAX] = {0x80};
    uint32_t leg = fuzz_u8(in) % x->s.n_legs;
    uint64_t ns = fuzz_u8(in) * UINT64_C(1000000);

    if ((flags & 0x0f) == 15)
        ns *= 1000;
    x->now_ns = (flags & 0x1f) == 14 ? x->now_ns - ns * 100 : x->now_ns + ns;
    if (flags & 0x10)
        drain(x, x->now_ns);
    if ((flags & 0x1f) == 13)
        reload(x, in);
    if ((flags & 0x1f) == 12)
        merge_look(x->m, x->now_ns);
    x->number += (uint64_t) (int64_t) (int8_t) fuzz_u8(in) * (flags & 0x20 ? 4000 : 1);
    size_t length = flags & 0x40 ? fuzz_u8(in) % (PAYLOAD_MAX + 1) : PAYLOAD_MAX;
    if (x->s.by == MERGE_FIELD)
        for (uint32_t i = 0; i < x->s.field.bytes; i++)
            bytes[x->s.field.at + (x->s.field.little ? i : x->s.field.bytes - 1 - i)] = (uint8_t) (x->number >> 8 * i);
    else
        for (uint32_t i = 0; i < 2; i++)
            bytes[3 - i] = (uint8_t) (x->number >> 8 * i);
    if (flags & 0x80)
        fuzz_patch(in, bytes, sizeof(bytes));
    judge(x, leg % x->s.n_legs, bytes, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig x;
    struct fuzz_input in = {.at = data, .left = size};

    memset(&x, 0, sizeof(x));
    x.now_ns = UINT64_C(1800000000000000000);
    read_settings(&x.s, &in);
    x.m = merge_new(&x.s);
    x.most = x.s.numbers;
    FUZZ_ASSERT(x.m);
    while (in.left > 0 && x.n_records < DATAGRAMS_MAX)
        happen(&x, &in);
    // Nothing stalls: when something is due, a number leaves or is given up.
    for (uint32_t i = 0; x.n_held > 0 && i < 2 * most_held(&x); i++) {
        uint64_t due = merge_due_ns(x.m);
        x.now_ns = due > x.now_ns ? due : x.now_ns;
        drain(&x, x.now_ns);
        FUZZ_ASSERT(merge_due_ns(x.m) > due);
    }
    FUZZ_ASSERT(x.n_held == 0);
    merge_look(x.m, x.now_ns + UINT64_C(60000000000));
    const struct merge_counters *c = merge_counters(x.m);
    FUZZ_ASSERT(c->lost_together <= c->lost / MERGE_TOGETHER);
    merge_free(x.m);
    return 0;
}
