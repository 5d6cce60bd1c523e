// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/merge.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define LINES     2
#define STEP      64 // what may be missing at once, whatever time has passed: so many numbers, or room / STEP_OF
#define STEP_OF   256
#define PROBATION 256      // sessions that may be about to get a line
#define CHAIN     256      // datagrams with one hash that are looked at
#define SLACK     1000000u // us; how far the stamps of two legs may be out of order. More is a step of the clock
#define BLOCK     10       // a time stamp is kept of each 2^BLOCK numbers
#define TURN      100000u  // us; how far stamps may be ahead of the caller's time, which is that of its loop
#define ALIGN     64       // bytes of a cache line

// What each datagram goes through is one function for the compiler, and what few go through is no part of it.
#define HOT  static inline __attribute__((always_inline))
#define COLD static __attribute__((noinline))

// --- what is kept ----------------------------------------------------------------------------------------------------

enum { SEEN = 0x80, HELD = 0x40, COVERED = 0x20, FIRST_LEG = 0x0f };

// What is known of one number.
struct slot {
    uint32_t us;    // of its first copy; while there is none, of the datagram that showed the gap
    uint16_t check; // of what its copies have in common
    uint8_t legs;   // mask: who has brought it within the window
    uint8_t state;  // SEEN, HELD, or COVERED: by a datagram of several numbers; and the leg of the first copy
};
_Static_assert(sizeof(struct slot) == 8, "eight in a cache line");

struct session {
    uint64_t a, b;
};

struct line {
    bool used;
    struct session session;
    uint64_t head;    // the highest number, extended to 64 bits
    uint64_t tail;    // the lowest one that is still in the window
    uint64_t base;    // its first number
    uint32_t base_us; // when that came
    uint64_t next;    // whose turn it is (reorder)
    uint32_t last_us; // of its last datagram
    uint32_t head_us; // of the first one with the number head
    uint32_t time;    // RTP time stamp of head
    uint32_t n_held;
    uint32_t run; // numbers in a row before tail that no leg brought
    struct {
        bool known;
        uint32_t us;   // of its last datagram
        uint64_t high; // its highest number
    } legs[MERGE_LEGS_MAX];
    struct slot *slots; // of head - room + 1 to head
    uint32_t *times;    // RTP time stamp of each block; only where the number alone is ambiguous
    uint32_t *buffers;  // of each slot that is HELD
};

// A session without a line: where it was last.
struct candidate {
    struct session session;
    uint64_t number;
    uint32_t count;
    uint32_t us;
    uint16_t check;
    bool used;
};

// One datagram in recent.
struct entry {
    uint64_t tag; // digest; its low 8 bits are the legs that have brought it
    uint32_t us;
    uint32_t before; // the one before with the same hash
};

// The last datagrams, by digest: a ring, and chains through it by hash. An entry is named by its serial number; what
// the ring has overwritten ends a chain.
struct recent {
    uint32_t size; // a power of two
    uint32_t serial;
    uint32_t tail; // the oldest one that is still in the window
    uint32_t *heads;
    struct entry *entries;
};

struct held {
    uint64_t tag;
    uint32_t length;
    uint32_t leg;
};

struct merge {
    void *memory; // that it lies in
    struct merge_settings s;
    uint32_t room;     // numbers that a line knows
    uint32_t width;    // bits of a number
    uint32_t header;   // bytes up to the end of number, session and count
    uint32_t step;     // numbers that may be missing at once, whatever time has passed
    uint32_t most;     // numbers that may be missing at once
    uint32_t n_blocks; // of times
    uint32_t store;    // datagrams that are held at most
    uint32_t stride;   // bytes of a buffer
    uint32_t window_us, reorder_us;
    uint8_t all; // mask of the legs
    uint32_t newest;
    uint32_t us; // the highest stamp
    uint64_t ns;
    uint32_t crowd_us; // when a session without a line last passed
    bool crowded;
    struct line lines[LINES];
    struct candidate *candidates;
    struct recent recent;
    uint32_t n_free;
    uint32_t *free; // buffers
    struct held *held;
    uint8_t *bytes;
    struct {
        bool known;
        uint64_t since_ns, last_ns; // alive since, last datagram
    } alive[MERGE_LEGS_MAX];        // by active
    uint64_t begun_ns;
    struct merge_counters counters;
};

// One datagram that has a number.
struct datagram {
    struct session session;
    uint64_t number;
    uint32_t count; // numbers that it brings, from number on
    uint32_t time;  // RTP time stamp
    uint16_t check;
    uint32_t leg;
    uint32_t us;
    const uint8_t *payload;
    size_t length;
    uint64_t tag;
};

// --- life ------------------------------------------------------------------------------------------------------------

static bool has_lines(const struct merge_settings *s)
{
    return s->by == MERGE_RTP || s->by == MERGE_FIELD;
}

// Where number, session and count end; what lies behind is the datagram's own.
static uint32_t header_of(const struct merge_settings *s)
{
    uint32_t number = s->field.at + s->field.bytes, session = s->field.session_at + s->field.session_bytes;
    uint32_t count = s->field.count_at + s->field.count_bytes, end = number;

    if (s->field.session_bytes > 0 && session > end)
        end = session;
    return s->field.count_bytes > 0 && count > end ? count : end;
}

// A quarter of the numbers ahead and a quarter behind belong to a line; the rest is a jump. RTP's time stamp tells
// apart what lies further behind.
static uint32_t room_of(const struct merge_settings *s)
{
    uint32_t bits = s->by == MERGE_RTP ? 32 : s->field.bytes * 8u;

    if (!has_lines(s))
        return 0;
    return bits < 32 && s->numbers > 1u << (bits - 2) ? 1u << (bits - 2) : s->numbers;
}

static bool is_wide(const struct merge_settings *s)
{
    return s->by == MERGE_RTP && s->numbers > 1u << 14;
}

// As many as come in reorder_ms; with a jump of as many more, the ring still holds all that waits.
static uint32_t store_of(const struct merge_settings *s)
{
    uint32_t n = room_of(s) / 2;

    if (!has_lines(s) || s->reorder_ms == 0)
        return 0;
    while (n > STEP && (uint64_t) n / 2 * s->window_ms * 2 >= (uint64_t) s->numbers * s->reorder_ms)
        n /= 2;
    return n;
}

static void *place(uint8_t *base, size_t *at, size_t n, size_t size)
{
    size_t here = *at;

    *at += (n * size + ALIGN - 1) / ALIGN * ALIGN;
    return base ? base + here : NULL;
}

// Lays out what a merge takes, in one piece of memory. Returns its size. base NULL: only that.
static size_t lay_out(struct merge *m, const struct merge_settings *s, uint8_t *base)
{
    size_t at = 0;
    uint32_t room = room_of(s);

    m->stride = (s->max_payload + ALIGN - 1) / ALIGN * ALIGN;
    m->store = store_of(s);
    m->recent.size = has_lines(s) ? MERGE_CROWD : s->numbers;
    m->n_blocks = is_wide(s) ? 2 * room >> BLOCK : 0;
    place(base, &at, 1, sizeof(*m));
    if (s->by == MERGE_ACTIVE)
        return at;
    m->recent.heads = place(base, &at, m->recent.size, sizeof(*m->recent.heads));
    m->recent.entries = place(base, &at, m->recent.size, sizeof(*m->recent.entries));
    if (!has_lines(s))
        return at;
    m->candidates = place(base, &at, PROBATION, sizeof(*m->candidates));
    for (struct line *l = m->lines; l < m->lines + LINES; l++) {
        l->slots = place(base, &at, room, sizeof(*l->slots));
        l->times = place(base, &at, m->n_blocks, sizeof(*l->times));
        l->buffers = place(base, &at, m->store > 0 ? room : 0, sizeof(*l->buffers));
    }
    if (m->store == 0)
        return at;
    // One more, so that a datagram can come before the oldest one leaves.
    m->free = place(base, &at, m->store + 1, sizeof(*m->free));
    m->held = place(base, &at, m->store + 1, sizeof(*m->held));
    m->bytes = place(base, &at, m->store + 1, m->stride);
    return at;
}

_Static_assert(TABLE_MERGE_RTP + MERGE_FIELD == TABLE_MERGE_FIELD &&
                   TABLE_MERGE_RTP + MERGE_PAYLOAD == TABLE_MERGE_PAYLOAD &&
                   TABLE_MERGE_RTP + MERGE_ACTIVE == TABLE_MERGE_ACTIVE,
               "the table's words for a merge, behind that for none");

struct merge_settings merge_settings_of(const struct table_rule *rule, const uint64_t key[2])
{
    const struct table_merge *m = &rule->merge;

    return (struct merge_settings){
        .by = (enum merge_by)(m->by - TABLE_MERGE_RTP),
        .n_legs = rule->n_inputs,
        .window_ms = m->window_ms,
        .reorder_ms = m->reorder_ms,
        .field = {m->at, m->bytes, m->little == 1, m->session_at, m->session_bytes, m->count_at, m->count_bytes},
        .switch_after_ms = m->switch_after_ms,
        .return_after_ms = m->return_after_ms,
        .numbers = m->numbers,
        .max_payload = rule->max_payload,
        .key = {key[0], key[1]},
    };
}

size_t merge_bytes(const struct merge_settings *settings)
{
    struct merge m;

    return lay_out(&m, settings, NULL) + ALIGN;
}

struct merge *merge_new(const struct merge_settings *settings)
{
    // Pages are taken from the kernel when they are first written to.
    uint8_t *memory = calloc(1, merge_bytes(settings));

    if (!memory)
        return NULL;
    uint8_t *base = memory + (ALIGN - (uintptr_t) memory % ALIGN) % ALIGN;
    struct merge *m = (struct merge *) base;
    lay_out(m, settings, base);
    m->memory = memory;
    m->s = *settings;
    m->room = room_of(settings);
    m->width = settings->by == MERGE_RTP ? 16 : settings->field.bytes * 8u;
    m->most = m->store > 0 ? m->room / 2 : m->room;
    m->step = m->room / STEP_OF > STEP ? m->room / STEP_OF : STEP;
    m->step = m->step < m->most / 2 ? m->step : m->most / 2;
    m->header = header_of(settings);
    m->window_us = settings->window_ms * 1000;
    m->reorder_us = settings->reorder_ms * 1000;
    m->all = (uint8_t) ((1u << settings->n_legs) - 1);
    m->recent.serial = m->recent.tail = m->recent.size + 1; // heads of 0 are out of the ring
    if (m->store > 0)
        for (m->n_free = 0; m->n_free <= m->store; m->n_free++)
            m->free[m->n_free] = m->n_free;
    m->counters.active_leg = MERGE_NO_LEG;
    return m;
}

void merge_free(struct merge *m)
{
    if (m)
        free(m->memory);
}

const struct merge_counters *merge_counters(const struct merge *m)
{
    return &m->counters;
}

// --- time ------------------------------------------------------------------------------------------------------------

// Whether `span` has passed from `since` to `now`, by stamps in us that come round. A time that lies more than SLACK
// ahead is one from before a step of the clock, and over.
static bool is_over(uint32_t now, uint32_t since, uint32_t span)
{
    return now - since + SLACK >= span + SLACK;
}

// The same for a number that others wait for, so that no step of the clock makes them wait for long.
static bool is_turn_over(uint32_t now, uint32_t since, uint32_t span)
{
    return now - since + TURN >= span + TURN;
}

static uint32_t tick(struct merge *m, uint64_t stamp_ns)
{
    uint32_t us = (uint32_t) (stamp_ns / 1000), ahead = us - m->us;

    if (ahead < UINT32_MAX - SLACK) {
        m->us = us;
        m->ns = stamp_ns;
    }
    return us;
}

// --- digests ---------------------------------------------------------------------------------------------------------

static uint64_t load64(const uint8_t *at)
{
    uint64_t v;

    memcpy(&v, at, sizeof(v));
    return v;
}

static uint64_t rotate(uint64_t v, unsigned n)
{
    return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

// SipHash-1-3 (Aumasson and Bernstein, 2012), with words in the host's order.
static uint64_t digest(const uint64_t key[2], const uint8_t *bytes, size_t n)
{
    uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                     key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    uint64_t last = 0;
    size_t at = 0;

    for (; at + 8 <= n; at += 8) {
        uint64_t word = load64(bytes + at);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    if (at < n)
        memcpy(&last, bytes + at, n - at);
    last ^= (uint64_t) n << 56;
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static bool is_same(const struct session *a, const struct session *b)
{
    return a->a == b->a && a->b == b->b;
}

// --- counters --------------------------------------------------------------------------------------------------------

static void count_skew(struct merge *m, uint32_t leg, uint32_t us)
{
    struct merge_leg_counters *c = &m->counters.legs[leg];

    c->skew_us += us;
    c->skew_count++;
    if (us > c->skew_max_us)
        c->skew_max_us = us;
}

// The first copy that came need not have the lower stamp: the legs' rings are emptied one after the other.
static void count_copy(struct merge *m, uint32_t leg, uint32_t us, uint32_t first_leg, uint32_t first_us)
{
    int32_t behind = (int32_t) (us - first_us);

    if (behind >= 0)
        count_skew(m, leg, (uint32_t) behind);
    else if (first_leg < m->s.n_legs)
        count_skew(m, first_leg, 0u - (uint32_t) behind);
}

// A number, or by payload a datagram, has left the window. legs: who has brought it.
static void count_left(struct merge *m, uint8_t legs)
{
    for (unsigned missing = m->all & ~legs; missing != 0; missing &= missing - 1)
        m->counters.legs[__builtin_ctz(missing)].missing++;
    m->counters.recovered += (m->all & ~legs) != 0;
}

// --- recent datagrams ------------------------------------------------------------------------------------------------

static struct entry *entry_at(const struct recent *r, uint32_t serial)
{
    return &r->entries[serial & (r->size - 1)];
}

static uint32_t *chain_of(const struct recent *r, uint64_t tag)
{
    return &r->heads[tag >> 40 & (r->size - 1)];
}

// The oldest datagram of this digest in the window that `leg` has not brought; NULL: none. MERGE_NO_LEG: any leg.
static struct entry *recent_find(const struct merge *m, uint64_t tag, uint32_t leg, uint32_t us)
{
    const struct recent *r = &m->recent;
    uint64_t bit = leg == MERGE_NO_LEG ? 0 : UINT64_C(1) << leg;
    struct entry *found = NULL;
    uint32_t serial = *chain_of(r, tag);

    for (int i = 0; i < CHAIN && r->serial - serial - 1 < r->size; i++) {
        struct entry *e = entry_at(r, serial);
        if ((e->tag ^ tag) >> 8 == 0 && !(e->tag & bit) && !is_over(us, e->us, m->window_us + 1))
            found = e;
        serial = e->before;
    }
    return found;
}

static void recent_leave(struct merge *m)
{
    count_left(m, (uint8_t) entry_at(&m->recent, m->recent.tail++)->tag);
}

static void recent_age(struct merge *m)
{
    struct recent *r = &m->recent;

    while (r->tail != r->serial && is_over(m->us, entry_at(r, r->tail)->us, 2 * m->window_us))
        recent_leave(m);
}

static void recent_add(struct merge *m, uint64_t tag, uint32_t leg, uint32_t us)
{
    struct recent *r = &m->recent;
    uint32_t *chain = chain_of(r, tag);

    if (m->s.by == MERGE_PAYLOAD && r->serial - r->tail == r->size)
        recent_leave(m);
    *entry_at(r, r->serial) =
        (struct entry){.tag = (tag & ~UINT64_C(0xff)) | UINT64_C(1) << leg, .us = us, .before = *chain};
    *chain = r->serial++;
}

static uint32_t first_leg_of(const struct entry *e)
{
    return (uint32_t) __builtin_ctzll(e->tag | 1u << MERGE_LEGS_MAX);
}

// Each time that a leg brings a payload is matched with one time of the others.
COLD enum merge_verdict take_payload(struct merge *m, uint32_t leg, uint32_t us, const uint8_t *payload, size_t length)
{
    uint64_t tag = digest(m->s.key, payload, length);
    struct entry *e = recent_find(m, tag, leg, us);

    if (e) {
        if (__builtin_popcount((uint8_t) e->tag) == 1)
            count_copy(m, leg, us, first_leg_of(e), e->us);
        else
            count_copy(m, leg, us, MERGE_NO_LEG, e->us);
        e->tag |= UINT64_C(1) << leg;
        return MERGE_COPY;
    }
    m->counters.legs[leg].repeated += recent_find(m, tag, MERGE_NO_LEG, us) != NULL;
    m->counters.legs[leg].first++;
    recent_add(m, tag, leg, us);
    return MERGE_PASSES;
}

// --- lines -----------------------------------------------------------------------------------------------------------

static struct slot *slot_at(const struct merge *m, const struct line *l, uint64_t number)
{
    return &l->slots[number & (m->room - 1)];
}

static uint32_t *time_at(const struct merge *m, const struct line *l, uint64_t number)
{
    return &l->times[number >> BLOCK & (m->n_blocks - 1)];
}

// a - b, of numbers of so many bits.
static int64_t difference(uint32_t width, uint64_t a, uint64_t b)
{
    return (int64_t) ((a - b) << (64 - width)) >> (64 - width);
}

// The time stamp that a number at this distance from head should have, as far as the line knows.
static uint32_t expected_time(const struct merge *m, const struct line *l, int64_t distance)
{
    uint64_t back = distance > 0 ? (uint64_t) distance : 0 - (uint64_t) distance;

    if (back > l->head - l->base)
        back = l->head - l->base;
    uint32_t then = back < m->room ? *time_at(m, l, l->head - back) : l->time;
    return distance > 0 ? 2 * l->time - then : then;
}

// Where the line knows more numbers than 16 bits can tell apart: the distance whose time stamp fits best.
COLD int64_t wide_distance_of(const struct merge *m, const struct line *l, const struct datagram *d, int64_t nearest)
{
    int64_t best = nearest;
    uint32_t least = UINT32_MAX;

    for (int64_t at = nearest > 0 ? nearest : nearest + 65536; at > -(int64_t) m->room; at -= 65536) {
        int32_t apart = (int32_t) (d->time - expected_time(m, l, at));
        uint32_t off = apart < 0 ? 0 - (uint32_t) apart : (uint32_t) apart;
        if (off < least || (off == least && at == nearest)) {
            least = off;
            best = at;
        }
    }
    return best;
}

// The number's distance from head.
HOT int64_t distance_of(const struct merge *m, const struct line *l, const struct datagram *d)
{
    int64_t nearest = difference(m->width, d->number, l->head);

    return m->n_blocks == 0 ? nearest : wide_distance_of(m, l, d, nearest);
}

// Whether a leg can have lost so many numbers in the time since its last one: no more than the ring holds, and at the
// highest rate expected. So nobody can move a line far, or make it work much, by single datagrams.
COLD bool is_plausible(const struct merge *m, const struct line *l, const struct datagram *d, uint64_t distance)
{
    uint32_t elapsed = d->us - l->legs[d->leg].us;

    if (distance + d->count > m->most)
        return false;
    if (!l->legs[d->leg].known)
        return true;
    return elapsed < UINT32_MAX - SLACK && distance * 2 * m->window_us <= (uint64_t) elapsed * m->s.numbers;
}

// Whether a number goes on from where its leg was: a leg that is far behind, not a new beginning.
static bool follows(const struct merge *m, const struct line *l, const struct datagram *d, int64_t distance)
{
    int64_t ahead = (int64_t) (l->head + (uint64_t) distance - l->legs[d->leg].high);

    return l->legs[d->leg].known && ahead > 0 && ahead <= (int64_t) m->room;
}

// Whether a sender may have started again with what it has sent before, byte for byte: a leg goes back, and nothing new
// has come for a while.
static bool is_again(const struct merge *m, const struct line *l, const struct datagram *d, const struct slot *s)
{
    return is_over(d->us, s->us, m->window_us + SLACK) && is_over(d->us, l->head_us, m->window_us + SLACK) &&
           l->legs[d->leg].known && s->legs >> d->leg & 1;
}

enum fit { FOREIGN, OPEN, SURE };

// Whether d belongs to line l: SURE if what has come with its number looks the same, OPEN if nothing has come.
HOT enum fit fit(const struct merge *m, const struct line *l, const struct datagram *d, int64_t *distance)
{
    if (!l->used || !is_same(&l->session, &d->session))
        return FOREIGN;
    *distance = distance_of(m, l, d);
    if (*distance > 0)
        return *distance <= m->step || is_plausible(m, l, d, (uint64_t) *distance) ? OPEN : FOREIGN;
    if (*distance <= -(int64_t) m->room)
        return follows(m, l, d, *distance) ? SURE : FOREIGN;
    const struct slot *s = slot_at(m, l, l->head + (uint64_t) *distance);
    // Below its first number a line has nothing, but for the slower leg's beginning.
    if (!(s->state & SEEN))
        return m->store > 0 && (int64_t) (l->head + (uint64_t) *distance - l->base) < 0 &&
                       is_over(d->us, l->base_us, m->window_us)
                   ? FOREIGN
                   : OPEN;
    return s->check == d->check && !is_again(m, l, d, s) ? SURE : FOREIGN;
}

static bool is_silent(const struct merge *m, const struct line *l)
{
    return is_over(m->us, l->last_us, m->window_us);
}

// The line of d if the newest one is not it for sure. NULL: none. After a jump both lines can be of one session: the
// one before has what surely is a copy, and all else is the newest one's.
COLD struct line *find_elsewhere(struct merge *m, const struct datagram *d, enum fit of_newest, int64_t *distance)
{
    struct line *newest = &m->lines[m->newest], *other = &m->lines[1 - m->newest];
    int64_t elsewhere;
    enum fit of_other = fit(m, other, d, &elsewhere);

    if (of_other == FOREIGN || (of_other == OPEN && of_newest == OPEN))
        return of_newest == FOREIGN ? NULL : newest;
    if (of_other == OPEN && is_silent(m, newest)) {
        // The stream goes on as before the newest line.
        m->newest = 1 - m->newest;
        m->counters.resets++;
    }
    *distance = elsewhere;
    return other;
}

// The line of d, and its number's distance from there. NULL: none.
HOT struct line *find_line(struct merge *m, const struct datagram *d, int64_t *distance)
{
    struct line *newest = &m->lines[m->newest], *other = &m->lines[1 - m->newest];
    enum fit of_newest = fit(m, newest, d, distance);

    if (of_newest == SURE || (of_newest == OPEN && (!other->used || is_silent(m, other))))
        return newest;
    return find_elsewhere(m, d, of_newest, distance);
}

COLD void count_lost(struct merge *m, struct line *l, const struct slot *s)
{
    if (s->state & COVERED)
        return;
    for (uint32_t i = 0; i < m->s.n_legs; i++)
        m->counters.legs[i].missing++;
    m->counters.lost++;
    m->counters.lost_together += ++l->run == MERGE_TOGETHER && m->s.n_legs > 1;
}

HOT void leave(struct merge *m, struct line *l)
{
    const struct slot *s = slot_at(m, l, l->tail++);

    if (!(s->state & SEEN)) {
        count_lost(m, l, s);
        return;
    }
    l->run = 0;
    if (s->legs != m->all)
        count_left(m, s->legs);
}

// The grace of a second window covers that one leg's ring is emptied before the other's. What is late is told by the
// stamps all the same.
HOT void age(struct merge *m, struct line *l)
{
    while ((int64_t) (l->head - l->tail) >= 0 && is_over(m->us, slot_at(m, l, l->tail)->us, 2 * m->window_us))
        leave(m, l);
}

HOT void open_slot(struct merge *m, struct line *l, uint32_t us)
{
    l->head++;
    if (l->head - l->tail >= m->room)
        leave(m, l);
    *slot_at(m, l, l->head) = (struct slot){.us = us};
}

HOT void advance(struct merge *m, struct line *l, const struct datagram *d, uint64_t number)
{
    while (l->head != number) {
        open_slot(m, l, d->us);
        if (m->n_blocks > 0 && (l->head & ((1u << BLOCK) - 1)) == 0)
            *time_at(m, l, l->head) = d->time;
    }
    l->head_us = d->us;
    l->time = d->time;
}

// The numbers that a datagram brings besides its own are not missing.
COLD void cover(struct merge *m, struct line *l, uint64_t number, uint32_t count, uint32_t us)
{
    for (uint32_t i = 1; i < count; i++) {
        if (l->head == number + i - 1)
            open_slot(m, l, us);
        struct slot *s = slot_at(m, l, number + i);
        if (!(s->state & SEEN))
            s->state = COVERED;
    }
}

HOT void note_leg(struct merge *m, struct line *l, const struct datagram *d, uint64_t number, bool again)
{
    if (again)
        m->counters.legs[d->leg].repeated++;
    else if (!l->legs[d->leg].known || (int64_t) (number - l->legs[d->leg].high) > 0)
        l->legs[d->leg].high = number;
    else
        m->counters.legs[d->leg].reordered++;
    l->legs[d->leg].known = true;
    l->legs[d->leg].us = l->last_us = d->us;
}

// --- crowd -----------------------------------------------------------------------------------------------------------

static uint64_t crowd_tag(const struct merge *m, const struct session *session, uint64_t number, uint16_t check)
{
    uint64_t words[4] = {session->a, session->b, number, check};

    return digest(m->s.key, (const uint8_t *) words, sizeof(words));
}

COLD struct entry *crowd_find(const struct merge *m, const struct datagram *d)
{
    if (is_over(d->us, m->crowd_us, m->window_us + 1))
        return NULL;
    return recent_find(m, crowd_tag(m, &d->session, d->number, d->check), MERGE_NO_LEG, d->us);
}

// --- order -----------------------------------------------------------------------------------------------------------

// Holds d back. False: it cannot be held, and leaves out of order.
static bool hold(struct merge *m, struct line *l, struct slot *s, const struct datagram *d, uint64_t number)
{
    if (m->n_free == 0 || d->length > m->s.max_payload)
        return false;
    uint32_t buffer = m->free[--m->n_free];
    m->held[buffer] = (struct held){.tag = d->tag, .length = (uint32_t) d->length, .leg = d->leg};
    if (d->length > 0)
        memcpy(m->bytes + (size_t) buffer * m->stride, d->payload, d->length);
    l->buffers[number & (m->room - 1)] = buffer;
    s->state |= HELD;
    l->n_held++;
    return true;
}

// A number has passed. Where nothing is held, nothing waits for those before it.
static void pass_by(struct line *l, uint64_t number, uint32_t count)
{
    if (l->n_held == 0 && (int64_t) (number - l->next) >= 0)
        l->next = number + count;
}

// Behind a number whose turn it was: what the same datagram has covered has had its turn, too, but not what is held.
static void take_turn(const struct merge *m, struct line *l)
{
    l->next++;
    while ((int64_t) (l->head - l->next) >= 0 && (slot_at(m, l, l->next)->state & (COVERED | HELD)) == COVERED)
        l->next++;
}

COLD enum merge_verdict in_order(struct merge *m, struct line *l, struct slot *s, const struct datagram *d,
                                 uint64_t number)
{
    if (number == l->next)
        take_turn(m, l);
    else if (hold(m, l, s, d, number))
        return MERGE_HELD;
    pass_by(l, number, d->count);
    return MERGE_PASSES;
}

// Whether the oldest that waits must go: the store is full, or the ring could not take the longest jump.
static bool is_full(const struct merge *m, const struct line *l)
{
    return m->n_free == 0 || l->head + 1 - l->next > m->room / 2;
}

static void release(struct merge *m, struct line *l, struct slot *s, uint64_t number, struct merge_held *out)
{
    uint32_t buffer = l->buffers[number & (m->room - 1)];
    const struct held *h = &m->held[buffer];

    s->state &= (uint8_t) ~HELD;
    l->n_held--;
    m->free[m->n_free++] = buffer;
    *out = (struct merge_held){
        .payload = m->bytes + (size_t) buffer * m->stride, .length = h->length, .leg = h->leg, .tag = h->tag};
}

static bool next_of(struct merge *m, struct line *l, uint32_t us, bool all, struct merge_held *out)
{
    while (l->n_held > 0 && (int64_t) (l->head - l->next) >= 0) {
        uint64_t number = l->next;
        struct slot *s = slot_at(m, l, number);
        if (!(s->state & (SEEN | COVERED)) && !all && !is_full(m, l) && !is_turn_over(us, s->us, m->reorder_us))
            return false;
        if (!(s->state & HELD)) {
            l->next++;
            continue;
        }
        take_turn(m, l);
        release(m, l, s, number, out);
        return true;
    }
    return false;
}

bool merge_next(struct merge *m, uint64_t now_ns, struct merge_held *out)
{
    bool all = now_ns == UINT64_MAX;
    uint32_t us = (uint32_t) (now_ns / 1000);

    return next_of(m, &m->lines[1 - m->newest], us, all, out) || next_of(m, &m->lines[m->newest], us, all, out);
}

uint64_t merge_due_ns(const struct merge *m)
{
    uint64_t due = UINT64_MAX;

    for (const struct line *l = m->lines; l < m->lines + LINES; l++) {
        if (l->n_held == 0)
            continue;
        const struct slot *s = slot_at(m, l, l->next);
        int64_t in_us = s->state & (SEEN | COVERED) ? 0 : (int32_t) (s->us + m->reorder_us - m->us);
        uint64_t at = m->ns / 1000 * 1000 + (uint64_t) (in_us * 1000);
        due = at < due ? at : due;
    }
    return due;
}

// --- verdicts --------------------------------------------------------------------------------------------------------

HOT enum merge_verdict take_copy(struct merge *m, struct slot *s, const struct datagram *d, bool again)
{
    if (is_over(d->us, s->us, m->window_us + 1))
        return MERGE_LATE;
    if (!again) {
        count_copy(m, d->leg, d->us, s->legs & (s->legs - 1) ? MERGE_NO_LEG : s->state & FIRST_LEG, s->us);
        s->legs |= (uint8_t) (1u << d->leg);
    }
    return MERGE_COPY;
}

HOT enum merge_verdict take_number(struct merge *m, struct line *l, const struct datagram *d, int64_t distance)
{
    uint64_t number = l->head + (uint64_t) distance;

    if (distance <= -(int64_t) m->room) {
        note_leg(m, l, d, number, false);
        return MERGE_LATE;
    }
    if (distance > 0)
        advance(m, l, d, number);
    struct slot *s = slot_at(m, l, number);
    bool again = s->legs >> d->leg & 1;
    note_leg(m, l, d, number, again);
    if (s->state & SEEN)
        return take_copy(m, s, d, again);
    if (m->store > 0 && (int64_t) (number - l->next) < 0)
        return MERGE_LATE;
    const struct entry *e = m->crowded ? crowd_find(m, d) : NULL;
    *s = (struct slot){.us = d->us, .check = d->check, .legs = (uint8_t) (1u << d->leg), .state = SEEN};
    if (d->count > 1)
        cover(m, l, number, d->count, d->us);
    if (e) {
        // It has passed before the line was there.
        s->us = e->us;
        s->legs |= (uint8_t) e->tag;
        s->state |= FIRST_LEG;
        pass_by(l, number, d->count);
        return MERGE_COPY;
    }
    s->state |= (uint8_t) d->leg;
    m->counters.legs[d->leg].first++;
    age(m, l);
    return m->store > 0 ? in_order(m, l, s, d, number) : MERGE_PASSES;
}

static bool is_free(const struct merge *m, const struct line *l)
{
    return !l->used || (l->n_held == 0 && is_silent(m, l));
}

// Begins a line at one number; `first`: what is known of it. NULL: there are two that are alive.
static struct line *begin(struct merge *m, const struct session *session, uint64_t number, const struct slot *first,
                          uint32_t time)
{
    struct line *l = &m->lines[1 - m->newest];
    bool is_first = !m->lines[m->newest].used;

    if (is_first || !is_free(m, l))
        l = &m->lines[m->newest];
    if (!is_free(m, l))
        return NULL;
    while (l->used && (int64_t) (l->head - l->tail) >= 0)
        leave(m, l);
    *l = (struct line){.used = true,
                       .session = *session,
                       .head = number,
                       .tail = number,
                       .base = number,
                       .base_us = first->us,
                       .next = number,
                       .last_us = first->us,
                       .head_us = first->us,
                       .time = time,
                       .slots = l->slots,
                       .times = l->times,
                       .buffers = l->buffers};
    memset(l->slots, 0, m->room * sizeof(*l->slots));
    *slot_at(m, l, number) = *first;
    if (m->n_blocks > 0)
        *time_at(m, l, number) = time;
    m->newest = (uint32_t) (l - m->lines);
    m->counters.resets += !is_first;
    return l;
}

// The place where a session without a line stands. Sessions that share one put each other out.
static struct candidate *candidate_of(struct merge *m, const struct session *s)
{
    return &m->candidates[digest(m->s.key, (const uint8_t *) s, sizeof(*s)) % PROBATION];
}

static bool is_behind(const struct merge *m, const struct datagram *d, const struct candidate *c)
{
    int64_t ahead = difference(m->width, d->number, c->number);

    return c->used && is_same(&c->session, &d->session) && ahead <= 0 && ahead > -(int64_t) m->room;
}

// Begins the line of a session that has shown two numbers in order, with the first of them. NULL: not yet.
static struct line *prove(struct merge *m, const struct datagram *d, const struct candidate *c)
{
    int64_t ahead = difference(m->width, d->number, c->number);

    if (!c->used || !is_same(&c->session, &d->session) || ahead <= 0 || ahead >= (int64_t) (m->step + c->count) ||
        ahead > (int64_t) m->room / 2)
        return NULL;
    uint64_t tag = crowd_tag(m, &c->session, c->number, c->check);
    const struct entry *e = recent_find(m, tag, MERGE_NO_LEG, c->us);
    struct slot first = {.us = c->us, .check = c->check, .state = SEEN | FIRST_LEG};
    if (e)
        first.legs = (uint8_t) e->tag;
    struct line *l = begin(m, &d->session, c->number, &first, d->time);
    if (l) {
        cover(m, l, c->number, c->count, c->us);
        l->next = c->number + c->count;
    }
    return l;
}

// A datagram that belongs to no line passes, unless a copy of it is in the crowd.
static enum merge_verdict take_crowd(struct merge *m, const struct datagram *d)
{
    struct entry *e = m->crowded ? crowd_find(m, d) : NULL;
    uint64_t bit = UINT64_C(1) << d->leg;

    if (e) {
        m->counters.legs[d->leg].repeated += (e->tag & bit) != 0;
        e->tag |= bit;
        return MERGE_COPY;
    }
    m->counters.legs[d->leg].first++;
    recent_add(m, crowd_tag(m, &d->session, d->number, d->check), d->leg, d->us);
    m->crowded = true;
    m->crowd_us = d->us;
    return MERGE_PASSES;
}

// A line for a datagram that belongs to none: the very first, or that of a session that has shown two numbers in order.
// NULL: it has none yet.
static struct line *new_line(struct merge *m, const struct datagram *d)
{
    struct candidate *c = candidate_of(m, &d->session);

    if (!m->lines[m->newest].used)
        return begin(m, &d->session, d->number, &(struct slot){.us = d->us}, d->time);
    struct line *l = prove(m, d, c);
    // A slower leg does not take it back.
    if (!l && !is_behind(m, d, c))
        *c = (struct candidate){.session = d->session,
                                .number = d->number,
                                .count = d->count,
                                .us = d->us,
                                .check = d->check,
                                .used = true};
    return l;
}

COLD enum merge_verdict take_unknown(struct merge *m, const struct datagram *d)
{
    struct line *l = new_line(m, d);

    return l ? take_number(m, l, d, difference(m->width, d->number, l->head)) : take_crowd(m, d);
}

// --- by active -------------------------------------------------------------------------------------------------------

static bool is_alive(const struct merge *m, uint32_t leg, uint64_t ns)
{
    // A stamp from ahead: another leg's ring was emptied before.
    int64_t silent = (int64_t) (ns - m->alive[leg].last_ns);

    return m->alive[leg].known && silent < (int64_t) (m->s.switch_after_ms * UINT64_C(1000000));
}

static uint32_t first_alive(const struct merge *m, uint64_t ns)
{
    for (uint32_t i = 0; i < m->s.n_legs; i++)
        if (is_alive(m, i, ns))
            return i;
    return MERGE_NO_LEG;
}

// After a step of the clock nothing lies ahead of it.
static void step_back(struct merge *m)
{
    for (uint32_t i = 0; i < m->s.n_legs; i++)
        if ((int64_t) (m->alive[i].last_ns - m->ns) > SLACK * INT64_C(1000)) {
            m->alive[i].last_ns = m->ns;
            m->alive[i].since_ns = m->ns;
        }
}

COLD enum merge_verdict take_active(struct merge *m, uint32_t leg, uint64_t ns)
{
    uint32_t *active = &m->counters.active_leg;
    uint64_t return_ns = m->s.return_after_ms * UINT64_C(1000000);

    if (*active == MERGE_NO_LEG)
        m->begun_ns = ns;
    step_back(m);
    if (!is_alive(m, leg, ns))
        m->alive[leg].since_ns = ns;
    m->alive[leg].known = true;
    m->alive[leg].last_ns = ns;
    bool beginning = ns - m->begun_ns < m->s.switch_after_ms * UINT64_C(1000000);
    bool returned = return_ns > 0 && ns - m->alive[leg].since_ns >= return_ns;
    // By the stamps of the legs alone: whoever speaks is alive, so that there is always one.
    if (*active == MERGE_NO_LEG || !is_alive(m, *active, ns))
        *active = first_alive(m, ns);
    else if (leg < *active && (beginning || returned))
        *active = leg;
    if (leg != *active)
        return MERGE_STANDBY;
    m->counters.legs[leg].first++;
    return MERGE_PASSES;
}

// --- what a datagram says of itself ----------------------------------------------------------------------------------

static uint32_t load32(const uint8_t *at)
{
    uint32_t v;

    memcpy(&v, at, sizeof(v));
    return be32toh(v);
}

// RTP (RFC 3550, section 5.1). RTCP on the same port has packet types that RTP leaves out (RFC 5761, section 4).
HOT bool read_rtp(struct datagram *d)
{
    const uint8_t *p = d->payload;

    if (d->length < 12 || p[0] >> 6 != 2 || (p[1] >= 192 && p[1] <= 223))
        return false;
    d->number = load32(p) & 0xffff;
    d->time = load32(p + 4);
    d->session.a = load32(p + 8);
    d->check = (uint16_t) (d->time ^ d->time >> 16);
    return true;
}

static uint64_t read_number(const uint8_t *at, uint32_t bytes, bool little)
{
    uint64_t v = 0;

    if (bytes == 8)
        return little ? le64toh(load64(at)) : be64toh(load64(at));
    for (uint32_t i = 0; i < bytes; i++)
        v = v << 8 | at[little ? bytes - 1 - i : i];
    return v;
}

// The bytes of a session; where there are more than 8, those in the middle count twice.
static struct session read_session(const uint8_t *at, uint32_t bytes)
{
    if (bytes < 8)
        return (struct session){.a = read_number(at, bytes, false)};
    return (struct session){.a = load64(at), .b = load64(at + bytes - 8)};
}

// Of the length and of up to 32 bytes behind the header: another datagram with the same number is no copy. No more, so
// that a copy is read no further.
static uint16_t check_of(const uint64_t key[2], const uint8_t *behind, size_t length)
{
    uint64_t words[4] = {0};

    if (length >= sizeof(words))
        memcpy(words, behind, sizeof(words));
    else if (length > 0)
        memcpy(words, behind, length);
    uint64_t a = words[0] ^ rotate(words[2], 31) ^ key[0] ^ length, b = words[1] ^ rotate(words[3], 31) ^ key[1];
    __uint128_t product = (__uint128_t) a * b;
    return (uint16_t) (((uint64_t) (product >> 64) ^ (uint64_t) product) * UINT64_C(0x9e3779b97f4a7c15) >> 48);
}

// How many numbers a datagram brings. 0, and all bits set, say none (MoldUDP64: heartbeat, end of session). No more
// than it has bytes, and than the line could take.
static uint32_t read_count(const struct merge *m, const struct datagram *d)
{
    uint32_t bytes = m->s.field.count_bytes;
    uint64_t count = read_number(d->payload + m->s.field.count_at, bytes, m->s.field.little);
    uint64_t most = d->length < m->most / 2 ? d->length : m->most / 2;

    if (count == UINT64_MAX >> (64 - 8 * bytes))
        return 0;
    return (uint32_t) (count < most ? count : most);
}

HOT bool read_field(const struct merge *m, struct datagram *d)
{
    const struct merge_settings *s = &m->s;

    if (d->length < m->header)
        return false;
    d->number = read_number(d->payload + s->field.at, s->field.bytes, s->field.little);
    if (s->field.session_bytes > 0)
        d->session = read_session(d->payload + s->field.session_at, s->field.session_bytes);
    d->check = check_of(s->key, d->payload + m->header, d->length - m->header);
    if (s->field.count_bytes > 0)
        d->count = read_count(m, d);
    return true;
}

// A datagram that brings nothing with its number. Where its count does not say so, that is one that ends with its
// header, or with 2 bytes behind it: MoldUDP64's heartbeat and end of session, which tell the next number again and
// again.
HOT bool is_bare(const struct merge *m, const struct datagram *d)
{
    return m->s.by == MERGE_FIELD && (m->s.field.count_bytes > 0 ? d->count == 0 : d->length <= m->header + 2);
}

static enum merge_verdict take_other(struct merge *m, uint32_t leg, uint64_t stamp_ns, uint32_t us,
                                     const uint8_t *payload, size_t length)
{
    if (m->s.by == MERGE_ACTIVE)
        return take_active(m, leg, stamp_ns);
    recent_age(m);
    return take_payload(m, leg, us, payload, length);
}

enum merge_verdict merge_take(struct merge *m, uint32_t leg, uint64_t stamp_ns, const uint8_t *payload, size_t length,
                              uint64_t tag)
{
    uint32_t us = tick(m, stamp_ns);
    struct datagram d = {.count = 1, .leg = leg, .us = us, .payload = payload, .length = length, .tag = tag};

    if (m->s.by >= MERGE_PAYLOAD)
        return take_other(m, leg, stamp_ns, us, payload, length);
    if (m->s.by == MERGE_RTP ? !read_rtp(&d) : !read_field(m, &d))
        return MERGE_NO_SEQUENCE;
    if (is_bare(m, &d))
        return take_payload(m, leg, us, payload, length);
    int64_t distance;
    struct line *l = find_line(m, &d, &distance);
    return l ? take_number(m, l, &d, distance) : take_unknown(m, &d);
}

void merge_look(struct merge *m, uint64_t now_ns)
{
    tick(m, now_ns);
    if (m->s.by == MERGE_PAYLOAD)
        recent_age(m);
    for (struct line *l = m->lines; l < m->lines + LINES; l++)
        if (l->used)
            age(m, l);
}

// --- reload ----------------------------------------------------------------------------------------------------------

// The mask of legs as the new merge numbers them.
static uint8_t map_legs(const struct merge *m, uint8_t legs, const uint8_t leg_map[MERGE_LEGS_MAX])
{
    uint8_t mapped = 0;

    for (uint32_t i = 0; i < m->s.n_legs; i++)
        if (leg_map[i] < MERGE_LEGS_MAX && legs >> leg_map[i] & 1)
            mapped |= (uint8_t) (1u << i);
    return mapped;
}

// A leg that is new has missed nothing.
static uint8_t new_legs(const struct merge *m, const uint8_t leg_map[MERGE_LEGS_MAX])
{
    uint8_t legs = 0;

    for (uint32_t i = 0; i < m->s.n_legs; i++)
        legs |= (uint8_t) ((leg_map[i] >= MERGE_LEGS_MAX) << i);
    return legs;
}

static void carry_line(struct merge *m, struct line *l, const struct line *from, const uint8_t leg_map[MERGE_LEGS_MAX])
{
    struct slot *slots = l->slots;
    uint32_t *times = l->times, *buffers = l->buffers;

    *l = *from;
    l->slots = slots;
    l->times = times;
    l->buffers = buffers;
    l->n_held = 0;
    l->next = l->head + 1;
    uint8_t fresh = new_legs(m, leg_map);
    for (uint32_t i = 0; l->used && i < m->room; i++) {
        slots[i] = from->slots[i];
        slots[i].legs = (uint8_t) (map_legs(m, slots[i].legs, leg_map) | fresh);
        slots[i].state = (slots[i].state & (SEEN | COVERED)) | FIRST_LEG;
    }
    if (l->used && m->n_blocks > 0)
        memcpy(times, from->times, m->n_blocks * sizeof(*times));
    memset(l->legs, 0, sizeof(l->legs));
    for (uint32_t i = 0; i < m->s.n_legs; i++)
        if (leg_map[i] < MERGE_LEGS_MAX)
            l->legs[i] = from->legs[leg_map[i]];
}

static void carry_recent(struct merge *m, const struct recent *from, const uint8_t leg_map[MERGE_LEGS_MAX])
{
    struct recent *r = &m->recent;

    memcpy(r->heads, from->heads, r->size * sizeof(*r->heads));
    memcpy(r->entries, from->entries, r->size * sizeof(*r->entries));
    // By payload a leg that is new has brought nothing: its copies are copies.
    uint8_t fresh = has_lines(&m->s) ? new_legs(m, leg_map) : 0;
    for (struct entry *e = r->entries; e < r->entries + r->size; e++)
        e->tag = (e->tag & ~UINT64_C(0xff)) | map_legs(m, (uint8_t) e->tag, leg_map) | fresh;
    r->serial = from->serial;
    r->tail = from->tail;
}

static void carry_counters(struct merge *m, const struct merge *from, const uint8_t leg_map[MERGE_LEGS_MAX])
{
    uint32_t active = from->counters.active_leg;

    m->counters = from->counters;
    memset(m->counters.legs, 0, sizeof(m->counters.legs));
    m->counters.active_leg = MERGE_NO_LEG;
    for (uint32_t i = 0; i < m->s.n_legs; i++) {
        if (leg_map[i] >= MERGE_LEGS_MAX)
            continue;
        m->counters.legs[i] = from->counters.legs[leg_map[i]];
        m->alive[i] = from->alive[leg_map[i]];
        if (leg_map[i] == active)
            m->counters.active_leg = i;
    }
}

void merge_carry(struct merge *m, const struct merge *from, const uint8_t leg_map[MERGE_LEGS_MAX])
{
    if (m->s.by != from->s.by || m->room != from->room || m->width != from->width ||
        m->recent.size != from->recent.size || m->n_blocks != from->n_blocks)
        return;
    m->newest = from->newest;
    m->us = from->us;
    m->ns = from->ns;
    m->crowd_us = from->crowd_us;
    m->crowded = from->crowded;
    m->begun_ns = from->begun_ns;
    carry_counters(m, from, leg_map);
    if (m->s.by == MERGE_ACTIVE)
        return;
    carry_recent(m, &from->recent, leg_map);
    if (!has_lines(&m->s))
        return;
    memcpy(m->candidates, from->candidates, PROBATION * sizeof(*m->candidates));
    for (int i = 0; i < LINES; i++)
        carry_line(m, &m->lines[i], &from->lines[i], leg_map);
}
