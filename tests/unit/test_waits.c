// SPDX-License-Identifier: Apache-2.0
// How long the broker waits at most before it looks at what is due: never past it, and never without a pause.
#include <config.h>

#include <criterion/criterion.h>

#include <string.h>

#include "broker/state.h"
#include "common/clock.h"
#include "rig_parts.h"

#define MS UINT64_C(1000000)
#define S  (1000 * MS)

static uint64_t ago_ns(uint64_t ms)
{
    return clock_monotonic_ns() - ms * MS;
}

static void expect_between(int found, int least, int most, const char *what)
{
    cr_expect(found >= least && found <= most, "%s: %d ms, wanted %d to %d", what, found, least, most);
}

Test(offer, waits_for_the_end_of_a_rule)
{
    struct broker b = {.relay = -1};
    uint64_t now = clock_realtime_ns() / NS_PER_S;

    cr_expect_eq(validity_wait_ms(&b), -1, "nothing ends");
    b.revoke_s = now;
    cr_expect_eq(validity_wait_ms(&b), 1);
    b.revoke_s = now - 100;
    cr_expect_eq(validity_wait_ms(&b), 1);
    b.revoke_s = now + 5;
    expect_between(validity_wait_ms(&b), 4000, 5000, "soon");
    b.revoke_s = now + 1000000;
    cr_expect_eq(validity_wait_ms(&b), 10000, "the clock may be set");
    // It has ended, and the relay has 3 s to ask.
    b.late_ns = ago_ns(0);
    expect_between(validity_wait_ms(&b), 2900, 3000, "from now on");
    b.late_ns = ago_ns(2000);
    expect_between(validity_wait_ms(&b), 900, 1000, "for 2 s");
    b.late_ns = ago_ns(3000);
    cr_expect_eq(validity_wait_ms(&b), 1);
    b.late_ns = ago_ns(60000);
    cr_expect_eq(validity_wait_ms(&b), 1);
}

Test(trial, waits_for_the_end_of_a_trial)
{
    struct config c = {.n_rules = 0};
    struct broker b = {.relay = -1, .trial.ends_ns = clock_monotonic_ns() + 10 * S};

    cr_expect_eq(trial_wait_ms(&b), -1, "there is none");
    b.trial.config = &c;
    expect_between(trial_wait_ms(&b), 12900, 13001, "the relay has 3 s more");
    b.trial.ends_ns = ago_ns(2000);
    expect_between(trial_wait_ms(&b), 900, 1001, "2 s behind");
    b.trial.ends_ns = ago_ns(3000);
    cr_expect_eq(trial_wait_ms(&b), 1);
    b.trial.ends_ns = ago_ns(60000);
    cr_expect_eq(trial_wait_ms(&b), 1);
    b.trial.closed = true;
    cr_expect_eq(trial_wait_ms(&b), -1);
}

Test(audit, waits_until_a_record_is_due)
{
    struct audit a;
    const uint64_t now = 1000000 * S;

    audit_init(&a);
    cr_expect_eq(audit_wait_ms(&a, now), -1, "nothing waits");
    a.due_ns = now + AUDIT_IDLE_AHEAD_NS + 5 * S;
    cr_expect_eq(audit_wait_ms(&a, now), -1);
    for (int refused = 0; refused < 2; refused++) {
        a.n_refused = refused;
        a.n_repeats = !refused;
        a.due_ns = now + AUDIT_IDLE_AHEAD_NS + 5 * S;
        cr_expect_eq(audit_wait_ms(&a, now), 5001);
        a.due_ns = now + AUDIT_IDLE_AHEAD_NS + 1;
        cr_expect_eq(audit_wait_ms(&a, now), 1);
        a.due_ns = now + AUDIT_IDLE_AHEAD_NS;
        cr_expect_eq(audit_wait_ms(&a, now), 0, "at once");
        a.due_ns = 0;
        cr_expect_eq(audit_wait_ms(&a, now), 0);
    }
    // What could not be written is tried again, unless another mcrd has the file.
    a.n_refused = a.n_repeats = 0;
    a.failed = true;
    cr_expect_eq(audit_wait_ms(&a, now), AUDIT_RETRY_MS);
    a.n_refused = 1;
    a.due_ns = now + AUDIT_IDLE_AHEAD_NS + 3 * S;
    cr_expect_eq(audit_wait_ms(&a, now), 3001);
    a.due_ns = now + AUDIT_IDLE_AHEAD_NS + 30 * S;
    cr_expect_eq(audit_wait_ms(&a, now), AUDIT_RETRY_MS);
    a.other = 1;
    cr_expect_eq(audit_wait_ms(&a, now), 30001);
    a.n_refused = 0;
    cr_expect_eq(audit_wait_ms(&a, now), -1);
}

Test(offer, of_two_times_to_wait_the_sooner)
{
    static const int cases[][3] = {{-1, -1, -1}, {-1, 5, 5}, {5, -1, 5}, {5, 6, 5},  {6, 5, 5},
                                   {5, 5, 5},    {5, 0, 0},  {0, 5, 0},  {-1, 0, 0}, {0, -1, 0}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(rig_broker_sooner(cases[i][0], cases[i][1]), cases[i][2], "%d, %d", cases[i][0], cases[i][1]);
}
