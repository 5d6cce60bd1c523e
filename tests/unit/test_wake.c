// SPDX-License-Identifier: Apache-2.0
// A table that was made some time before it is put in force (a trial's way back): its alarms count from then on.
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>

#include "relay/forward.h"
#include "../make_table.h"

#define S UINT64_C(1000000000)

#define RULES                                                                                                          \
    "version=1;rules=({name=\"silent\";silence_ms=1000;input={interface=\"in0\";group=\"239.255.0.1\";port=5000;};"    \
    "outputs=({interface=\"out0\";group=\"239.255.1.1\";port=6000;});},"                                               \
    "{name=\"limited\";limit={packets_per_second=1;};input={interface=\"in0\";group=\"239.255.0.2\";port=5000;};"      \
    "outputs=({interface=\"out0\";group=\"239.255.1.2\";port=6000;});},"                                               \
    "{name=\"slow\";min_packets_per_second=5;input={interface=\"in0\";group=\"239.255.0.3\";port=5000;};"              \
    "outputs=({interface=\"out0\";group=\"239.255.1.3\";port=6000;});});"

static unsigned n_told;

static void tell(const struct table_rule *rule, const struct health *health, uint32_t changed)
{
    (void) rule, (void) health, (void) changed;
    n_told++;
}

static struct forward *make(struct table_view *view, const struct table_view *before, struct stats_segment *stats)
{
    make_view(view, before, RULES);
    stats_segment_place(
        stats, calloc(1, stats_segment_size(view->n_interfaces, view->n_rules, view->n_inputs, view->n_counters)),
        view->n_interfaces, view->n_rules, view->n_inputs);
    struct forward *f = forward_new(view, stats, NULL, 1);
    cr_assert_not_null(f);
    return f;
}

static void end(struct forward *f, struct table_view *view, struct stats_segment *stats)
{
    forward_free(f);
    free(stats->header);
    free((void *) view->header);
}

Test(state, what_waited_is_not_silent_before_its_time)
{
    struct table_view view;
    struct stats_segment stats;
    struct forward *f = make(&view, NULL, &stats);

    // While it rested its rules were counted for: other than at its beginning.
    f->flows[0].counters.packets = 5;
    f->flows[1].counters.packets = 7;
    f->flows[1].counters.drops.rate = 3;
    f->flows[2].counters.packets = 9;
    for (uint32_t i = 0; i < view.n_rules; i++)
        f->flows[i].health.alarms = 1;
    forward_wake(f, 100 * S);
    for (uint32_t i = 0; i < view.n_rules; i++) {
        cr_expect_eq(f->flows[i].health.alarms, 0, "%u", i);
        cr_expect_eq(f->flows[i].blockage.packets, f->flows[i].counters.packets, "%u", i);
        cr_expect_eq(f->flows[i].blockage.window_ns, 100 * S, "%u", i);
    }
    // Nothing has been dropped or come since.
    cr_expect(!forward_look(f, 100 * S + S / 2, tell));
    cr_expect_eq(n_told, 0);
    // What came before says nothing of the time since.
    cr_expect(forward_look(f, 101 * S + 1, tell));
    cr_expect_eq(stats.rules[0].alarms, 1u << STATS_ALARM_SILENCE);
    cr_expect_eq(stats.rules[1].alarms, 0);
    cr_expect_eq(stats.rules[2].alarms, 1u << STATS_ALARM_RATE);
    end(f, &view, &stats);
}

Test(state, what_goes_on_is_not_woken)
{
    struct table_view before, view;
    struct stats_segment before_stats, stats;
    struct forward *was = make(&before, NULL, &before_stats), *f = make(&view, &before, &stats);

    cr_assert_eq(view.rules[0].carried_from, 0);
    f->flows[0].health.alarms = 1;
    forward_wake(f, 100 * S);
    cr_expect_eq(f->flows[0].health.alarms, 1);
    cr_expect_eq(f->now_ns, 100 * S);
    end(f, &view, &stats);
    end(was, &before, &before_stats);
}
