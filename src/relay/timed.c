// SPDX-License-Identifier: Apache-2.0
// Rules and files that begin and end by the wall clock. The broker decides (broker/validity.c); the relay asks it in
// time, and closes a rule that has ended at once, also where there is no broker.
#include <config.h>

#include "relay/state.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/schedule.h"
#include "log/log.h"

#define STEP_NS  (100 * INT64_C(1000000)) // what a clock that is only slewed cannot gain between two looks
#define AGAIN_NS NS_PER_S

// Whether the wall clock was set since the last look.
static bool clock_was_set(struct relay *r, uint64_t real_ns, bool matters)
{
    int64_t ahead_ns = (int64_t) (real_ns - clock_ns(CLOCK_BOOTTIME)), step_ns = ahead_ns - r->clock_ahead_ns;
    bool stepped = r->clock_ahead_ns != 0 && llabs(step_ns) > STEP_NS;

    r->clock_ahead_ns = ahead_ns;
    if (stepped && matters)
        log_warn(EVENT_CLOCK, "step_ms=%lld effect=\"what begins and ends is judged anew\"",
                 (long long) (step_ns / 1000000));
    return stepped && matters;
}

static void show(struct relay *r, const struct table_header *h, uint64_t now_s)
{
    struct schedule valid = {.until = h->valid_until};
    bool expired = schedule_phase(valid, now_s) == SCHEDULE_AFTER;

    if (expired && !r->shown.expired)
        log_error(EVENT_CONFIG_EXPIRED, "valid_until=%llu effect=\"what runs goes on; no load takes this file\"",
                  (unsigned long long) h->valid_until);
    r->shown.expired = expired;
    r->shown.clock = now_s < h->clock_least ? STATS_CLOCK_UNSET : STATS_CLOCK_SET;
    r->shown.timed = h->flags & TABLE_TIMED;
}

void timed_adopted(struct relay *r)
{
    const struct table_header *h = relay_table(r)->header;

    r->shown.serial = h->serial;
    r->shown.valid_from = h->valid_from;
    r->shown.valid_until = h->valid_until;
    if (r->clock_ahead_ns == 0)
        clock_was_set(r, clock_realtime_ns(), false);
    show(r, h, clock_realtime_ns() / NS_PER_S);
}

bool timed_look(struct relay *r)
{
    const struct table_view *t = relay_table(r);
    uint64_t real_ns = clock_realtime_ns(), real_s = real_ns / NS_PER_S, now_ns = clock_monotonic_ns();

    r->clock_stepped |= clock_was_set(r, real_ns, t && t->header->flags & TABLE_TIMED);
    if (!t || !(t->header->flags & TABLE_TIMED))
        return false; // timed_adopted() has shown that there are none
    if (forward_end_rules(r->swap.now, real_s) > 0)
        publish_everything(r);
    show(r, t->header, real_s);
    bool due = t->header->next_change != 0 && real_s >= t->header->next_change;
    if (now_ns < r->times_next_ns || r->links_retry_ns != 0 || !(due || r->clock_stepped))
        return false;
    r->times_next_ns = now_ns + AGAIN_NS;
    r->clock_stepped = false;
    return true;
}
