// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/pace.h"
#include "common/clock.h"

// Returns when number n is due, rounded up. In two steps, because n * NS_PER_S overflows.
static uint64_t due_at(const struct pace *p, uint64_t n)
{
    return p->start_ns + n / p->rate * NS_PER_S + (n % p->rate * NS_PER_S + p->rate - 1) / p->rate;
}

// Returns how many numbers are due at now_ns.
static uint64_t due_by(const struct pace *p, uint64_t now_ns)
{
    if (now_ns < p->start_ns)
        return 0;
    uint64_t elapsed = now_ns - p->start_ns;
    return elapsed / NS_PER_S * p->rate + elapsed % NS_PER_S * p->rate / NS_PER_S + 1;
}

void pace_init(struct pace *p, uint64_t rate, uint64_t unit, uint64_t most, uint64_t now_ns)
{
    uint64_t group = rate * PACE_GROUP_NS / NS_PER_S / unit * unit;

    if (group < unit)
        group = unit;
    if (group > most)
        group = most;
    *p = (struct pace){.rate = rate, .start_ns = now_ns, .unit = unit, .group = group};
}

uint64_t pace_take(struct pace *p, uint64_t most, uint64_t now_ns, uint64_t *wait_ns)
{
    if (p->rate == 0) {
        p->done += most;
        return most;
    }
    uint64_t want = p->group < most ? p->group : most;
    uint64_t ready = due_at(p, p->done + want - 1);
    if (now_ns < ready || now_ns < p->not_before) {
        *wait_ns = ready > p->not_before ? ready : p->not_before;
        return 0;
    }
    if (now_ns - ready > PACE_LAG_NS) {
        uint64_t move = now_ns - ready - PACE_LAG_NS;
        p->start_ns += move;
        p->given_up_ns += move;
    }
    uint64_t n = due_by(p, now_ns) - p->done;
    if (n >= most)
        n = most;
    else
        n = n / p->unit * p->unit;
    p->done += n;
    p->not_before = now_ns + n * NS_PER_S / (2 * p->rate);
    return n;
}
