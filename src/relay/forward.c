// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/forward.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "relay/martian.h"
#include "relay/prefetch.h"

// --- send ------------------------------------------------------------------------------------------------------------

// Sends b by all outputs of the path. more: another batch follows at once.
static void send_batch(struct forward *f, const struct table_path *path, struct batch *b, bool more)
{
    uint32_t end = path->first_output + f->table->rules[path->rule].n_outputs;

    for (uint32_t i = path->first_output; i < end; i++) {
        const struct table_output *o = &f->table->outputs[i];
        struct egress *e = o->egress == TABLE_NONE ? NULL : f->egress[o->egress];
        egress_send(e, o, b, &f->outputs[o->counter], more || i + 1 < end);
        if (e && !e->noted && egress_waits(e)) {
            e->noted = true;
            f->waiting[f->n_waiting++] = e;
        }
    }
}

// Empties a batch that has left. How long its datagrams stayed here is from the kernel's stamps until now.
static void finish_batch(struct forward *f, const struct table_path *path, struct batch *b, uint64_t now_ns)
{
    if (!f->untimed)
        residence_add_runs(&f->residence[path->rule], &b->stay, b->n_pieces, now_ns);
    b->n_datagrams = b->n_pieces = 0;
    b->bytes = 0;
}

static void flush_waiting(struct forward *f)
{
    for (uint32_t i = 0; i < f->n_waiting; i++) {
        egress_flush(f->waiting[i]);
        f->waiting[i]->noted = false;
    }
    f->n_waiting = 0;
}

// Sends the i-th pending batch, and finishes it unless frames of it may wait in a transmit ring.
static void send_pending(struct forward *f, uint32_t i, bool more)
{
    const struct table_path *path = &f->table->paths[f->pending[i]];

    send_batch(f, path, &f->batches[i], more);
    if (f->n_waiting == 0)
        finish_batch(f, path, &f->batches[i], clock_realtime_ns());
}

void forward_flush(struct forward *f)
{
    uint64_t now_ns;

    if (f->n_pending == 0)
        return;
    // Batches of several datagrams come first, and need a call each. Single frames wait, and one call sends them all.
    for (uint32_t i = 0; i < f->n_pending; i++)
        if (f->batches[i].n_datagrams > 1)
            send_pending(f, i, true);
    for (uint32_t i = 0; i < f->n_pending; i++) {
        if (f->batches[i].n_datagrams == 1)
            send_pending(f, i, i + 1 < f->n_pending);
        f->batch[f->pending[i]] = NULL;
    }
    flush_waiting(f);
    now_ns = clock_realtime_ns();
    for (uint32_t i = 0; i < f->n_pending; i++)
        if (f->batches[i].n_datagrams > 0)
            finish_batch(f, &f->table->paths[f->pending[i]], &f->batches[i], now_ns);
    f->flushed += f->n_pending;
    f->n_pending = 0;
}

uint32_t forward_pending(const struct forward *f)
{
    return f->n_pending > 0 ? f->pending[0] : TABLE_NONE;
}

// --- batch -----------------------------------------------------------------------------------------------------------

static struct batch *batch_of(struct forward *f, uint32_t path)
{
    if (f->batch[path])
        return f->batch[path];
    if (f->n_pending == FORWARD_BATCHES)
        forward_flush(f);
    f->batch[path] = &f->batches[f->n_pending];
    f->pending[f->n_pending++] = path;
    return f->batch[path];
}

// Returns whether a datagram of this size, with the header values of p, may join b.
static bool joins(const struct table_rule *r, const struct batch *b, const struct packet *p, size_t size)
{
    return b->n_datagrams < BATCH_DATAGRAMS && size > 0 && size <= b->segment && b->dscp == p->dscp &&
           b->bytes == b->n_datagrams * b->segment && b->bytes + size <= BATCH_BYTES &&
           (!(r->flags & TABLE_RULE_TTL_ANY) || b->ttl == p->ttl) &&
           (!(r->flags & TABLE_RULE_KEEPS) || (b->source_port == p->source_port && addr_equal(&b->source, &p->source)));
}

// Returns how many datagrams of its size b has room for, but at least one.
static uint32_t room_of(const struct batch *b)
{
    size_t n = (BATCH_BYTES - b->bytes) / b->segment;

    if (n > BATCH_DATAGRAMS - b->n_datagrams)
        n = BATCH_DATAGRAMS - b->n_datagrams;
    return n > 0 ? (uint32_t) n : 1;
}

// A packet on its way.
struct arrival {
    const struct packet *packet;
    const struct packet_meta *meta;       // NULL: it has been merged
    const struct table_destination *came; // the same
    uint64_t stamp_ns;                    // when the kernel received it, CLOCK_REALTIME
    const struct table_path *path;
    const struct table_rule *rule;
    struct rule_state *flow;
};

// Batches n datagrams that lie side by side: all of `segment` bytes but the last, which has what is left of `bytes`.
static void batch_run(struct forward *f, const struct arrival *a, const uint8_t *at, size_t bytes, size_t segment)
{
    const struct packet *p = a->packet;
    struct batch *b = batch_of(f, (uint32_t) (a->path - f->table->paths));

    // A super-frame lies in the spill, not in a slot, so its bytes need no prefetch.
    if (p->datagrams == 1)
        prefetch_later(at, bytes);
    do {
        size_t size = bytes < segment ? bytes : segment;
        if (b->n_datagrams > 0 && !joins(a->rule, b, p, size)) {
            send_batch(f, a->path, b, true);
            flush_waiting(f);
            finish_batch(f, a->path, b, clock_realtime_ns());
        }
        if (b->n_datagrams == 0) {
            b->segment = size;
            b->dscp = p->dscp;
            b->ttl = p->ttl;
            b->source = p->source;
            b->source_port = p->source_port;
            residence_begin(&b->stay);
        }
        // Takes as many datagrams as fit, as one piece. A shorter one is the last of its batch: joins() refuses the
        // next.
        size_t take = size;
        uint32_t n = 1;
        if (size < bytes && size == b->segment) {
            n = room_of(b);
            if (n * size >= bytes)
                n = (uint32_t) ((bytes + size - 1) / size);
            take = n * size < bytes ? n * size : bytes;
        }
        b->pieces[++b->n_pieces] = (struct iovec){.iov_base = (void *) at, .iov_len = take};
        b->n_datagrams += n;
        residence_note(&b->stay, b->n_pieces, a->stamp_ns, n, b->n_datagrams);
        b->bytes += take;
        at += take;
        bytes -= take;
    } while (bytes > 0);
}

// --- limit -----------------------------------------------------------------------------------------------------------

// Whether the deadline of a datagram has passed. One from the future, or too old to be true, is a step of the clock.
static bool is_stale(const struct forward *f, const struct arrival *a)
{
    uint64_t ns = clock_realtime_ns() - a->stamp_ns;

    return !f->untimed && ns <= RESIDENCE_MOST_NS && ns > a->rule->deadline_us * UINT64_C(1000);
}

static __attribute__((noinline)) void merge_run(struct forward *f, const struct arrival *a, const uint8_t *at,
                                                uint64_t n, size_t size);

// Monitor, merge, deadline, limit: of a rule that asks for one of them.
static __attribute__((noinline)) void judge_run(struct forward *f, const struct arrival *a, const uint8_t *at,
                                                uint64_t n, size_t size)
{
    struct rule_state *flow = a->flow;

    if (flow->ended) {
        flow->counters.drops.outside += n;
        return;
    }
    // What a leg brings is looked at before the merge, which lets only one copy pass.
    if ((a->rule->flags & TABLE_RULE_MONITORS) && a->meta)
        streams_take(f->streams, (uint32_t) (a->path - f->table->paths), a->came->leg, a->stamp_ns, at, n, size);
    if ((a->rule->flags & TABLE_RULE_MERGES) && a->meta) {
        merge_run(f, a, at, n, size);
        return;
    }
    if (a->rule->deadline_us > 0 && is_stale(f, a)) {
        flow->counters.drops.stale += n;
        return;
    }
    struct limiter *limiter =
        flow->senders ? senders_find(flow->senders, &a->packet->source, f->now_ns) : &flow->limiter;
    uint64_t passed = limiter_admit(limiter, n, size, f->now_ns);
    flow->counters.drops.rate += n - passed;
    if (a->rule->flags & TABLE_RULE_SHADOW)
        flow->counters.drops.shadow += passed;
    else if (passed > 0)
        batch_run(f, a, at, (size_t) passed * size, size);
}

// A run of n datagrams of one size.
static void pass_run(struct forward *f, const struct arrival *a, const uint8_t *at, uint64_t n, size_t size)
{
    if (size > a->rule->max_payload)
        a->flow->counters.drops.size += n;
    else if (a->rule->flags & TABLE_RULE_JUDGED)
        judge_run(f, a, at, n, size);
    else
        batch_run(f, a, at, (size_t) n * size, size);
}

static struct rule_state *touch(struct forward *f, uint32_t rule)
{
    struct rule_state *flow = &f->flows[rule];

    if (!flow->touched) {
        flow->touched = true;
        f->touched[f->n_touched++] = rule;
    }
    return flow;
}

// --- merge -----------------------------------------------------------------------------------------------------------

// What is held back is told by its tag how it leaves, and when it came: the stamp's last 48 bits, which come round
// after 78 hours. A reader takes the time next to `near_ns`.
static uint64_t tag_of(const struct packet *p, uint64_t stamp_ns)
{
    return stamp_ns << 16 | (uint64_t) p->dscp << 8 | p->ttl;
}

static uint64_t stamp_of(uint64_t tag, uint64_t near_ns)
{
    return near_ns - (uint64_t) ((int64_t) ((near_ns << 16) - (tag & ~UINT64_C(0xffff))) >> 16);
}

// The bytes of what is held back stay where they are until the next datagram of the path, so that all leave at once.
void forward_release_path(struct forward *f, uint32_t path, uint64_t now_ns)
{
    const struct table_path *p = &f->table->paths[path];
    struct merge_held held;
    uint64_t present_ns = 0;

    while (merge_next(f->merges[path], now_ns, &held)) {
        present_ns = present_ns ? present_ns : clock_realtime_ns();
        struct packet packet = {
            .datagrams = 1, .dscp = (uint8_t) (held.tag >> 8), .ttl = (uint8_t) held.tag, .length = held.length};
        struct arrival a = {
            .packet = &packet,
            .path = p,
            .rule = &f->table->rules[p->rule],
            .flow = &f->flows[p->rule],
            .stamp_ns = stamp_of(held.tag, present_ns),
        };
        pass_run(f, &a, held.payload, 1, held.length);
        f->released++;
    }
    if (!present_ns)
        return;
    forward_flush(f);
    merge_sent(f->merges[path]);
    touch(f, p->rule);
}

static void count_verdict(struct stats_drops *drops, enum merge_verdict verdict)
{
    drops->copy += verdict == MERGE_COPY;
    drops->late += verdict == MERGE_LATE;
    drops->no_sequence += verdict == MERGE_NO_SEQUENCE;
    drops->standby += verdict == MERGE_STANDBY;
}

// Each datagram of a run is judged by itself; neighbours that pass stay together.
static __attribute__((noinline)) void merge_run(struct forward *f, const struct arrival *a, const uint8_t *at,
                                                uint64_t n, size_t size)
{
    uint32_t path = (uint32_t) (a->path - f->table->paths);
    struct merge *m = f->merges[path];
    struct arrival merged = {
        .packet = a->packet, .path = a->path, .rule = a->rule, .flow = a->flow, .stamp_ns = a->stamp_ns};
    const bool holds = a->rule->merge.reorder_ms > 0;
    uint64_t passed = 0;

    if (f->by_active)
        merge_settled(m, f->others_ns);
    for (uint64_t i = 0; i < n; i++) {
        const uint8_t *here = at + i * size;
        enum merge_verdict verdict =
            merge_take(m, a->came->leg, a->meta->stamp_ns, here, size, tag_of(a->packet, a->stamp_ns));
        passed += verdict == MERGE_PASSES;
        if (passed > 0 && (verdict != MERGE_PASSES || holds || i + 1 == n)) {
            pass_run(f, &merged, here - (passed - (verdict == MERGE_PASSES)) * size, passed, size);
            passed = 0;
        }
        count_verdict(&a->flow->counters.drops, verdict);
        if (holds && !f->judges)
            forward_release_path(f, path, 0);
    }
    if (holds)
        forward_note_held(f, path);
}

void forward_note_held(struct forward *f, uint32_t path)
{
    uint64_t due_ns = merge_due_ns(f->merges[path]);

    if (due_ns == UINT64_MAX)
        return;
    if (due_ns < f->due_ns)
        f->due_ns = due_ns;
    if (f->holds[path])
        return;
    f->holds[path] = true;
    f->holding[f->n_holding++] = path;
}

void forward_release(struct forward *f, uint64_t now_ns)
{
    uint32_t n = f->n_holding;

    f->due_ns = UINT64_MAX;
    f->n_holding = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t path = f->holding[i];
        f->holds[path] = false;
        forward_release_path(f, path, now_ns);
        forward_note_held(f, path);
    }
}

// --- match -----------------------------------------------------------------------------------------------------------

static bool keeps_senders(const struct table_view *t, const struct table_path *path)
{
    for (uint32_t i = 0; i < t->rules[path->rule].n_outputs; i++)
        if (t->outputs[path->first_output + i].flags & TABLE_OUTPUT_KEEP_SOURCE)
            return true;
    return false;
}

// Returns whether a source that martian_suspect() found is a martian on this interface, for this path.
static __attribute__((noinline)) bool is_martian(const struct table_view *t, uint32_t interface,
                                                 const struct table_path *path, const struct addr *source)
{
    const struct table_interface *i = &t->interfaces[interface];

    // A host without an address sends broadcasts, as DHCP does. An output cannot keep 0.0.0.0 as the sender.
    if (martian_nameless(source))
        return !(t->rules[path->rule].flags & TABLE_RULE_BROADCAST) || keeps_senders(t, path);
    return martian_is(source, i->loopback, &t->own[i->first_own], i->n_own);
}

static bool source_allowed(const struct forward *f, const struct table_input *in, const struct addr *source)
{
    for (uint32_t i = in->first_source; i < in->first_source + in->n_sources; i++)
        if (addr_prefix_contains(&f->table->sources[i], source))
            return true;
    return false;
}

enum forward_verdict forward_packet(struct forward *f, uint32_t interface, const struct packet *p,
                                    const struct packet_meta *meta)
{
    struct table_key key = {.destination = p->destination, .port = p->port, .vlan = p->vlan, .interface = interface};
    const struct table_destination *to = table_lookup(f->table, &key);

    if (!to)
        return FORWARD_UNMATCHED;
    const struct table_path *path = &f->table->paths[to->path];
    if (martian_suspect(f->own[interface], &p->source) && is_martian(f->table, interface, path, &p->source))
        return FORWARD_MARTIAN;
    // The checksum is verified only after a rule matched, because it costs a pass over the payload.
    if (!packet_checksum_ok(p, meta))
        return FORWARD_BAD_CHECKSUM;

    const struct table_rule *r = &f->table->rules[path->rule];
    struct rule_state *flow = touch(f, path->rule);
    flow->counters.packets += p->datagrams;
    flow->counters.bytes += p->length;
    flow->counters.last_packet_ns = f->now_ns;
    // The only leg has the rule's numbers.
    if (r->n_inputs > 1) {
        f->legs[r->first_input + to->leg].packets += p->datagrams;
        f->legs[r->first_input + to->leg].bytes += p->length;
    }
    if ((to->flags & TABLE_DESTINATION_SOURCES) && !source_allowed(f, table_input_of(f->table, to), &p->source)) {
        flow->counters.drops.source += p->datagrams;
        f->streams->legs[r->first_input + to->leg].strangers += p->datagrams;
        return FORWARD_TAKEN;
    }
    if ((r->flags & TABLE_RULE_TTL_ALL) && p->ttl <= 1) {
        flow->counters.drops.ttl += p->datagrams;
        return FORWARD_TAKEN;
    }

    f->sends += (uint64_t) p->datagrams * r->n_outputs;
    // A super-frame is a run of datagrams of one size; the last one may be shorter.
    uint64_t whole = p->datagrams;
    size_t last = p->length - (p->datagrams - 1) * p->segment;
    if (last < p->segment)
        whole--;
    struct arrival a = {
        .packet = p, .meta = meta, .came = to, .path = path, .rule = r, .flow = flow, .stamp_ns = meta->stamp_ns};
    if (whole > 0)
        pass_run(f, &a, p->payload, whole, p->segment);
    if (whole < p->datagrams)
        pass_run(f, &a, p->payload + whole * p->segment, 1, last);
    return FORWARD_TAKEN;
}
