// SPDX-License-Identifier: Apache-2.0
// Trials and restarts from end to end: what broker and relay say and do is compared with the files of
// tests/unit/transcripts.
#include <config.h>

#include <criterion/criterion.h>

#include <signal.h>

#include "rig.h"
#include "rig_rules.h"
#include "rig_sign.h"

Test(rig, tries_a_file)
{
    struct rig *x = rig_open("instance=\"a\";" ONE, true);

    rig_come(x, "in0", 1, 7, 2, "before", 0);
    rig_confirm(x); // nothing is on trial
    rig_file(x,
             "instance=\"b\";" TRIAL("", RULE("one", "", "in0", "1", "out1") "," RULE("two", "", "in1", "2", "out0")));
    rig_reload(x, 1000);
    rig_show(x);
    rig_files(x);
    rig_come(x, "in0", 1, 7, 2, "on trial", 0);
    rig_come(x, "in1", 2, 7, 2, "new", 0);
    rig_wait(x, 20 * RIG_S);
    rig_reload(x, 1000); // the same
    rig_link(x, "out0", "down");
    rig_links(x);
    rig_link(x, "out0", "up");
    rig_links(x);
    rig_confirm(x);
    rig_show(x);
    rig_files(x);
    rig_wait(x, 60 * RIG_S);
    // Not confirmed.
    rig_file(x,
             "instance=\"c\";" TRIAL("", RULE("one", "", "in0", "1", "out0") "," RULE("two", "", "in0", "2", "out0")));
    rig_reload(x, 1000);
    rig_come(x, "in0", 2, 7, 2, "on trial", 0);
    rig_file(x, "rules=(");
    rig_look(x);
    rig_wait(x, 59 * RIG_S);
    rig_show(x);
    rig_wait(x, 1 * RIG_S);
    rig_show(x);
    rig_files(x);
    rig_come(x, "in0", 1, 7, 2, "back", 0);
    rig_come(x, "in1", 2, 7, 2, "back", 0);
    rig_confirm(x);
    // The same file once more, and the one before ends it.
    rig_file(x,
             "instance=\"c\";" TRIAL("", RULE("one", "", "in0", "1", "out0") "," RULE("two", "", "in0", "2", "out0")));
    rig_look(x);
    rig_show(x);
    rig_reload(x, 1000);
    rig_file(x,
             "instance=\"b\";" TRIAL("", RULE("one", "", "in0", "1", "out1") "," RULE("two", "", "in1", "2", "out0")));
    rig_reload(x, 1000);
    rig_show(x);
    rig_close(x, "trial");
}

#define HEARD(group, out) RULE("heard", "silence_ms=2000;", "in0", group, out)

Test(rig, goes_back_on_silence)
{
    struct rig *x =
        rig_open("rules=(" HEARD("1", "out0") "," RULE("quiet", "silence_ms=2000;", "in1", "2", "out0") ");", false);

    rig_come(x, "in0", 1, 7, 2, "before", 0);
    rig_file(x, TRIAL("return_on_silence=true;",
                      HEARD("3", "out0") "," RULE("quiet", "silence_ms=2000;", "in1", "2", "out0")));
    rig_wait(x, 100 * RIG_MS);
    rig_reload(x, 1000);
    rig_wait(x, 1600 * RIG_MS);
    rig_show(x);
    rig_wait(x, 600 * RIG_MS);
    rig_show(x);
    rig_come(x, "in0", 1, 7, 2, "back", 0);
    // What never relayed is not missed, and what goes on is not silent.
    rig_file(x, TRIAL("return_on_silence=true;",
                      HEARD("1", "out1") "," RULE("quiet", "silence_ms=2000;", "in1", "3", "out0")));
    rig_reload(x, 1000);
    for (int i = 0; i < 3; i++) {
        rig_come(x, "in0", 1, 7, 2, "goes on", 0);
        rig_wait(x, 1200 * RIG_MS);
    }
    rig_show(x);
    rig_end_broker(x);
    rig_wait(x, 1000 * RIG_MS);
    rig_confirm(x);
    rig_show(x);
    rig_wait(x, 3000 * RIG_MS);
    rig_show(x);
    rig_close(x, "silence");
}

Test(rig, goes_on_over_restarts)
{
    static const char text[] = "rules=(" RULE("one", "limit={packets_per_second=5;};", "in0", "1", "out0") "," //
        MERGED("two", "max_payload=1472;merge={by=\"rtp\";reorder_ms=20;};", "2") ");";
    struct rig *x = rig_open(text, true);

    rig_come(x, "in0", 1, 7, 3, "before", 0);
    rig_come_rtp(x, "in1", 2, 1);
    rig_restart(x, false);
    rig_show(x);
    rig_come(x, "in0", 1, 7, 8, "behind", 0);
    rig_come_rtp(x, "in2", 2, 1);
    rig_come_rtp(x, "in2", 2, 2);
    rig_wait(x, 400 * RIG_MS);
    rig_show(x);
    // Another file lies there: after a kill what ran goes on.
    rig_file(x, ONE);
    rig_restart(x, true);
    rig_wait(x, 400 * RIG_MS);
    rig_show(x);
    // In order, the file on the disk is taken.
    rig_restart(x, false);
    rig_show(x);
    // A wrong one is not, nor a file that does not fit the rights of the start.
    rig_file(x, "rules=(");
    rig_restart(x, false);
    rig_wait(x, 400 * RIG_MS);
    rig_show(x);
    rig_file(x, "user=\"other\";" ONE);
    rig_signal(x, SIGUSR2);
    rig_restart(x, false);
    rig_show(x);
    // A trial does not outlive it.
    rig_file(x, TRIAL("", RULE("one", "", "in0", "1", "out1")));
    rig_reload(x, 1000);
    rig_restart(x, false);
    rig_wait(x, 400 * RIG_MS);
    rig_show(x);
    rig_close(x, "restarts");
}

Test(rig, asks_for_signatures)
{
    struct rig *x = rig_make(ONE, true);

    rig_trust(x, 2, "abc", RIG_EPOCH - 3600);
    rig_sign(x, 'a');
    rig_sign(x, 'c');
    rig_start(x, true);
    rig_show(x);
    // Another file, whose signatures come one after the other.
    rig_file(x, "rules=(" RULE("two", "", "in0", "2", "out0") ");");
    rig_look(x);
    rig_show(x);
    rig_reload(x, 1000);
    rig_sign(x, 'b');
    rig_look(x);
    rig_wait(x, 12 * RIG_S);
    rig_show(x);
    rig_sign(x, 'a');
    rig_look(x);
    rig_reload(x, 1000);
    rig_show(x);
    // Its time counts where the clock is before trust.conf.
    rig_file(x, "rules=(" RULE("two", TIMED("40:00", "59:00"), "in0", "2", "out0") ");");
    rig_sign(x, 'a');
    rig_sign(x, 'b');
    rig_set_clock(x, -7200);
    rig_reload(x, 1000);
    rig_show(x);
    rig_set_clock(x, 7200);
    rig_wait(x, 1200 * RIG_MS);
    rig_show(x);
    // trust.conf changes: it is told, and the keys of the start stay.
    rig_trust(x, 1, "d", RIG_EPOCH - 1800);
    rig_look(x);
    rig_look(x);
    rig_trust(x, 2, "ab", RIG_EPOCH - 1700);
    rig_look(x);
    rig_trust(x, 2, "abc", RIG_EPOCH - 1600); // as it was
    rig_look(x);
    rig_remove(x, "trust.conf");
    rig_look(x);
    rig_trust(x, 2, "abc", RIG_EPOCH - 1500);
    rig_look(x);
    // A restart goes on with what was signed, and with keys that are withdrawn it does not.
    rig_restart(x, true);
    rig_show(x);
    rig_file(x, ONE);
    rig_restart(x, false);
    rig_wait(x, 400 * RIG_MS);
    rig_show(x);
    rig_close(x, "signatures");
}

// What ran goes on where the file would be refused, for which the disk has another one or the same; the refusal of what
// lies there is recorded.
Test(rig, goes_on_where_the_file_is_refused)
{
#define REFUSES "missing_interface=\"reject\";audit_file=\"DIR/audit\";"
    struct rig *x = rig_open(REFUSES ONE, true);

    rig_file(x, REFUSES "rules=(" RULE("two", "", "in1", "2", "out1") ");");
    rig_link(x, "out0", "missing");
    rig_restart(x, true);
    rig_show(x);
    rig_file(x, REFUSES ONE);
    rig_restart(x, false);
    rig_close(x, "restarts-refused");
}

// A service manager that keeps descriptors starts both anew, but not in a loop.
Test(rig, a_relay_ends_for_its_broker_once_it_has_lived)
{
    struct rig *x = rig_open(ONE, true);

    rig_wait(x, 2 * RIG_S);
    rig_end_broker(x);
    rig_wait(x, 2800 * RIG_MS);
    rig_tell(x, "=== five seconds behind its start");
    rig_wait(x, 400 * RIG_MS);
    rig_close(x, "ends-for-broker");
}
