// SPDX-License-Identifier: Apache-2.0
// What the statistics show of a rule of several paths: each number of each of them, once.
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "relay/forward.h"
#include "../make_table.h"

struct rig {
    struct table_view view;
    struct stats_segment stats;
    struct forward *f;
};

static void make(struct rig *x, const char *rules)
{
    const struct table_view *v = &x->view;

    make_view(&x->view, NULL, "version=1;rules=(%s);", rules);
    stats_segment_place(&x->stats,
                        calloc(1, stats_segment_size(v->n_interfaces, v->n_rules, v->n_inputs, v->n_counters)),
                        v->n_interfaces, v->n_rules, v->n_inputs);
    x->f = forward_new(v, &x->stats, NULL, 1);
    cr_assert_not_null(x->f);
}

static void end(struct rig *x)
{
    forward_free(x->f);
    free(x->stats.header);
    free((void *) x->view.header);
}

Test(merge, all_paths_of_a_rule_are_added_up)
{
    struct rig x;

    make(&x,
         "{name=\"r\";merge={by=\"rtp\";};inputs=({interface=\"in0\";group=\"239.10.2.0/31\";port=5004;},"
         "{interface=\"in1\";group=\"239.10.4.0/31\";port=5004;});"
         "outputs=({interface=\"out0\";group=\"239.20.2.1\";port=5004;});}");
    cr_assert_eq(x.view.n_paths, 2);
    for (uint64_t path = 0; path < 2; path++) {
        struct merge_counters *c = (struct merge_counters *) merge_counters(x.f->merges[path]);
        const uint64_t by = path ? 1000 : 1; // so that each sum shows what it has been made of
        c->recovered = by;
        c->lost = 2 * by;
        c->lost_together = 3 * by;
        c->resets = 4 * by;
        for (uint64_t leg = 0; leg < 2; leg++)
            c->legs[leg] = (struct merge_leg_counters){.first = (5 + leg) * by,
                                                       .missing = (15 + leg) * by,
                                                       .reordered = (25 + leg) * by,
                                                       .repeated = (35 + leg) * by,
                                                       .skew_us = (45 + leg) * by,
                                                       .skew_count = (55 + leg) * by,
                                                       .skew_max_us = leg ? 65 * by : 65000 / by};
    }
    forward_publish_merges(x.f, 0);
    const struct stats_merge_counters *m = &x.stats.rules[0].merged;
    cr_expect_eq(m->recovered, 1001);
    cr_expect_eq(m->lost, 2002);
    cr_expect_eq(m->lost_together, 3003);
    cr_expect_eq(m->resets, 4004);
    for (uint64_t leg = 0; leg < 2; leg++) {
        const struct stats_input *i = &x.stats.inputs[leg];
        cr_expect_eq(i->merged.first, (5 + leg) * 1001);
        cr_expect_eq(i->merged.missing, (15 + leg) * 1001);
        cr_expect_eq(i->merged.reordered, (25 + leg) * 1001);
        cr_expect_eq(i->merged.repeated, (35 + leg) * 1001);
        cr_expect_eq(i->skew_us, (45 + leg) * 1001);
        cr_expect_eq(i->skew_count, (55 + leg) * 1001);
        cr_expect_eq(i->skew_max_us, 65000, "the most, whichever path has it");
        cr_expect_eq(i->sequence % 2, 0);
    }
    cr_expect_eq(x.stats.rules[0].two_streams, 0);
    // One path is enough for it.
    for (int path = 0; path < 2; path++) {
        for (int i = 0; i < 2; i++)
            ((struct merge_counters *) merge_counters(x.f->merges[i]))->two_streams = i == path;
        forward_publish_merges(x.f, 0);
        cr_expect_eq(x.stats.rules[0].two_streams, 1);
    }
    end(&x);
}

static unsigned n_told;

static void tell(const struct table_rule *rule, const struct table_interface *interface, const struct refusal *refusal,
                 const struct spell *spell)
{
    (void) rule, (void) interface, (void) refusal, (void) spell;
    n_told++;
}

#define TO(name, port)                                                                                                 \
    "{name=\"" name "\";input={interface=\"in0\";group=\"239.10.0.1\";port=" port                                      \
    ";};outputs=({interface=\"out0\";group=\"239.20.0.1\";port=" port ";});}"

// Whichever rule's output fails, the news are told.
Test(state, one_failing_output_of_any_rule_is_news)
{
    for (uint32_t failing = 0; failing < 3; failing++) {
        struct rig x;
        make(&x, TO("a", "5000") "," TO("b", "5001") "," TO("c", "5002"));
        forward_publish_part(x.f, 0, UINT32_MAX);
        n_told = 0;
        cr_expect(!forward_look_at_sends(x.f, 1000000000, tell));
        refusals_note(&x.f->refusals, &x.view.outputs[failing], 1, ENETUNREACH, true);
        cr_expect(forward_look_at_sends(x.f, 2000000000, tell), "%u", failing);
        cr_expect_eq(n_told, 1);
        for (uint32_t i = 0; i < 3; i++)
            cr_expect_eq(x.stats.rules[i].state != STATS_RULE_ACTIVE, i == failing, "%u", i);
        cr_expect(!forward_look_at_sends(x.f, 2000000001, tell), "no news");
        end(&x);
    }
}
