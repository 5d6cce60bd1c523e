// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/merge_active.h"

#include "wire/merge_time.h"

static bool is_alive(const struct active *a, uint32_t leg, uint64_t ns)
{
    // A stamp from ahead: another leg's ring was emptied before.
    int64_t silent = (int64_t) (ns - a->legs[leg].last_ns);

    return a->legs[leg].known && silent < (int64_t) a->switch_after_ns;
}

static uint32_t first_alive(const struct active *a, uint64_t ns)
{
    for (uint32_t i = 0; i < a->n_legs; i++)
        if (is_alive(a, i, ns))
            return i;
    return MERGE_NO_LEG;
}

// After a step of the clock nothing lies ahead of it.
static void step_back(struct active *a, uint64_t newest_ns)
{
    for (uint32_t i = 0; i < a->n_legs; i++)
        if ((int64_t) (a->legs[i].last_ns - newest_ns) > MERGE_SLACK * INT64_C(1000)) {
            a->legs[i].last_ns = newest_ns;
            a->legs[i].since_ns = newest_ns;
        }
}

void active_begin(struct active *a, const struct merge_settings *s)
{
    *a = (struct active){.n_legs = s->n_legs,
                         .switch_after_ns = s->switch_after_ms * UINT64_C(1000000),
                         .return_after_ns = s->return_after_ms * UINT64_C(1000000),
                         .settled_ns = UINT64_MAX};
}

uint32_t active_take(struct active *a, uint32_t was, uint32_t leg, uint64_t ns, uint64_t newest_ns)
{
    if (was == MERGE_NO_LEG)
        a->begun_ns = ns;
    step_back(a, newest_ns);
    if (!is_alive(a, leg, ns))
        a->legs[leg].since_ns = ns;
    a->legs[leg].known = true;
    a->legs[leg].last_ns = ns;
    bool beginning = ns - a->begun_ns < a->switch_after_ns;
    bool returned = a->return_after_ns > 0 && ns - a->legs[leg].since_ns >= a->return_after_ns;
    // By the stamps of the legs alone: whoever speaks is alive, so that there is always one.
    if (was == MERGE_NO_LEG || !is_alive(a, was, ns < a->settled_ns ? ns : a->settled_ns))
        return first_alive(a, ns);
    return leg < was && (beginning || returned) ? leg : was;
}
