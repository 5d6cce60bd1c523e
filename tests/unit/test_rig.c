// SPDX-License-Identifier: Apache-2.0
// Loads, links, times and alarms from end to end: what broker and relay say and do is compared with the files of
// tests/unit/transcripts.
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "rig.h"
#include "rig_rules.h"

Test(rig, loads)
{
    struct rig *x = rig_open("instance=\"plant\";rules=(" RULE("one", "note=\"CHG1\";", "in0", "1",
                                                               "out0") "," RULE("two", "", "in0", "2", "out0") ");",
                             true);

    rig_show(x);
    rig_files(x);
    rig_text(x, "running.conf");
    rig_come(x, "in0", 1, 7, 3, "first", 0);
    rig_come(x, "in0", 9, 7, 1, "nobody's", 0);
    rig_reload(x, 1000); // the same
    // One goes, one comes, one is another.
    rig_file(x, "instance=\"plant\";rules=(" RULE("one", "note=\"CHG2\";max_payload=3;", "in0", "1",
                                                  "out0") "," RULE("three", "", "in1", "3", "out1") ");");
    rig_reload(x, -1);
    rig_come(x, "in0", 1, 7, 1, "second", 0);
    rig_come(x, "in0", 1, 7, 2, "two", 0);
    rig_come(x, "in1", 3, 7, 1, "third", 0);
    rig_show(x);
    rig_file(x, "rules=(");
    rig_reload(x, 1000);
    rig_file(x, "user=\"other\";" ONE);
    rig_reload(x, 1000);
    rig_file(x, NULL);
    rig_reload(x, 1000);
    rig_show(x);
    // More inputs than there were at the start.
    rig_file(x, "rules=(" RULE("a", "", "in0", "1", "out0") "," RULE("b", "", "in1", "2", "out0") "," RULE(
                    "c", "", "in2", "3", "out0") "," RULE("d", "", "in3", "4", "out0") "," RULE("e", "", "in4", "5",
                                                                                                "out0") "," //
             RULE("f", "", "in5", "6", "out0") "," RULE("g", "", "in6", "7", "out0") ");");
    rig_reload(x, 1000);
    rig_file(x, ONE);
    rig_reload(x, 1000);
    rig_wait(x, 400 * RIG_MS);
    rig_signal(x, SIGUSR1);
    rig_wait(x, 200 * RIG_MS);
    rig_signal(x, SIGUSR2);
    rig_signal(x, SIGTERM);
    rig_close(x, "loads");
}

Test(rig, looks_at_the_file)
{
    struct rig *x = rig_open(ONE, false);

    rig_wait(x, 200 * RIG_MS);
    rig_file(x, "rules=();");
    rig_look(x);
    rig_show(x);
    rig_look(x); // no news
    rig_file(x, "rules=(");
    rig_look(x);
    rig_show(x);
    rig_file(x, NULL);
    rig_look(x);
    rig_file(x, ONE);
    rig_look(x);
    rig_show(x);
    // What is refused now may be valid in a minute.
    rig_file(x, "valid_from=\"2030-03-17T17:48:00Z\";" ONE);
    rig_look(x);
    rig_wait(x, 59 * RIG_S);
    rig_show(x);
    rig_wait(x, 62 * RIG_S);
    rig_show(x);
    rig_file(x, "reload_on_change=true;" ONE);
    rig_reload(x, 1000);
    rig_file(x, "reload_on_change=true;rules=(" RULE("two", "", "in0", "2", "out0") ");");
    rig_look(x);
    rig_show(x);
    rig_file(x, "reload_on_change=true;rules=(");
    rig_look(x);
    rig_signal(x, SIGUSR2);
    rig_close(x, "file");
}

Test(rig, keeps_records)
{
#define RECORDED "audit_file=\"DIR/audit\";audit_required=true;"
    struct rig *x = rig_open(RECORDED ONE, true);
    FILE *f;

    rig_text(x, "audit");
    rig_reload(x, 1000);
    rig_file(x, RECORDED "rules=(" RULE("two", "note=\"CHG2\";", "in0", "2", "out0") ");");
    rig_reload(x, 1000);
    rig_file(x, "rules=(");
    rig_reload(x, 1000);
    rig_file(x, RECORDED ONE);
    rig_remove(x, "audit"); // by somebody else
    rig_reload(x, 1000);
    rig_files(x);
    rig_text(x, "audit");
    f = rig_append(x, "audit");
    fputs("nonsense\n", f);
    fclose(f);
    rig_file(x, RECORDED "rules=();");
    rig_reload(x, 1000);
    rig_files(x);
    rig_text(x, "audit");
    rig_show(x);
    rig_restart(x, false);
    for (int i = 0; i < 22; i++) // what changes nothing is recorded so often
        rig_reload(x, 1000);
    rig_wait(x, 400 * RIG_S);
    rig_reload(x, 1000);
    rig_close(x, "records");
}

Test(rig, follows_the_links)
{
    struct rig *x = rig_open(
        "rules=(" RULE("one", "", "in0", "1", "out0") "," RULE("two", "silence_ms=1000;", "in1", "2", "out1") ");",
        false);

    rig_links(x);
    rig_link(x, "in1", "down");
    rig_links(x);
    rig_show(x);
    rig_link(x, "in0", "missing");
    rig_links(x);
    rig_show(x);
    rig_link(x, "in1", "up");
    rig_link(x, "out0", "missing");
    rig_links(x);
    rig_wait(x, 1200 * RIG_MS);
    rig_come(x, "in1", 2, 7, 2, "still", 0);
    rig_show(x);
    rig_link(x, "in0", "up");
    rig_link(x, "out0", "up");
    rig_links(x);
    rig_come(x, "in0", 1, 7, 2, "again", 0);
    rig_file(x, "missing_interface=\"reject\";" ONE);
    rig_link(x, "out0", "missing");
    rig_reload(x, 1000);
    rig_link(x, "out0", "up");
    rig_reload(x, 1000);
    rig_link(x, "out0", "missing");
    rig_links(x);
    rig_wait(x, 5200 * RIG_MS);
    rig_show(x);
    rig_link(x, "out0", "up");
    rig_wait(x, 5200 * RIG_MS);
    rig_show(x);
    rig_close(x, "links");
}

Test(rig, begins_and_ends_rules)
{
    struct rig *x = rig_open("serial=7;rules=(" RULE("one", "", "in0", "1", "out0") "," RULE(
                                 "timed", TIMED("46:50", "47:10"), "in0", "2", "out0") ");",
                             false);

    rig_show(x);
    rig_come(x, "in0", 2, 7, 1, "too early", 0);
    rig_wait(x, 10 * RIG_S);
    rig_come(x, "in0", 2, 7, 1, "in time", 0);
    rig_show(x);
    rig_wait(x, 19800 * RIG_MS);
    rig_come(x, "in0", 2, 7, 1, "in time", 0);
    rig_wait(x, 200 * RIG_MS);
    rig_come(x, "in0", 2, 7, 1, "too late", 0);
    rig_show(x);
    rig_set_clock(x, -20); // it stays ended
    rig_wait(x, 1200 * RIG_MS);
    rig_show(x);
    rig_file(x, "serial=6;" ONE);
    rig_reload(x, 1000);
    rig_file(x, "serial=8;valid_until=\"2030-03-17T17:47:20Z\";rules=(" RULE("timed", TIMED("46:50", "47:59"), "in0",
                                                                             "2", "out0") ");");
    rig_reload(x, 1000);
    rig_come(x, "in0", 2, 7, 1, "another end", 0);
    rig_show(x);
    rig_set_clock(x, 40);
    rig_wait(x, 400 * RIG_MS);
    rig_show(x);
    rig_reload(x, 1000);
    rig_set_clock(x, -3600);
    rig_wait(x, 1200 * RIG_MS);
    rig_show(x);
    rig_close(x, "times");
}

Test(rig, raises_alarms)
{
    struct rig *x =
        rig_open("rules=(" RULE("silent", "silence_ms=1000;", "in0", "1", "out0") "," RULE(
                     "slow", "min_packets_per_second=3;", "in0", "2",
                     "out0") "," RULE("limited", "limit={packets_per_second=2;};", "in0", "3", "out0") "," //
                 RULE("blocked", "max_payload=4;", "in0", "4", "out1") "," RULE("listed", "silence_ms=1000;", "in0",
                                                                                "5", "out0") //
                 ");",
                 false);

    rig_wait(x, 600 * RIG_MS);
    rig_come(x, "in0", 1, 7, 1, "heard", 0);
    rig_come(x, "in0", 2, 7, 4, "fast", 0);
    rig_come(x, "in0", 3, 7, 9, "many", 0);
    rig_wait(x, 600 * RIG_MS);
    rig_show(x);
    for (int i = 0; i < 5; i++) {
        rig_come(x, "in0", 4, 7, 3, "too large", 0);
        rig_wait(x, 1000 * RIG_MS);
    }
    rig_show(x);
    rig_come(x, "in0", 1, 7, 1, "heard", 0);
    rig_come(x, "in0", 2, 7, 9, "fast", 0);
    rig_come(x, "in0", 4, 7, 9, "fits", 0);
    rig_wait(x, 1000 * RIG_MS);
    rig_show(x);
    rig_refuse(x, "out0", ENETUNREACH);
    rig_come(x, "in0", 1, 7, 3, "lost", 0);
    rig_wait(x, 400 * RIG_MS);
    rig_show(x);
    rig_refuse(x, "out0", 0);
    rig_wait(x, 2000 * RIG_MS);
    rig_come(x, "in0", 1, 7, 3, "leaves", 0);
    rig_wait(x, 6000 * RIG_MS);
    rig_show(x);
    rig_refuse(x, "out0", ENOBUFS);
    rig_come(x, "in0", 1, 7, 12, "lost", 0);
    rig_wait(x, 400 * RIG_MS);
    rig_show(x);
    // A reload takes the bounds away.
    rig_file(x, "rules=(" RULE("silent", "", "in0", "1", "out0") ");");
    rig_reload(x, 1000);
    rig_show(x);
    rig_signal(x, SIGUSR1);
    rig_wait(x, 200 * RIG_MS);
    rig_close(x, "alarms");
}

Test(rig, merges_legs)
{
    static const char text[] = "rules=("                                                              //
        MERGED("rtp", "silence_ms=1000;max_payload=1472;merge={by=\"rtp\";reorder_ms=20;};", "1") "," //
        MERGED("active", "merge={by=\"active\";switch_after_ms=500;return_after_ms=1000;};", "2") "," //
        MERGED("watched", "monitor={as=\"rtp\";clock_hz=90000;max_loss_ppm=1000;};", "3") ");";
    struct rig *x = rig_open(text, false);

    for (uint16_t n = 1; n <= 4; n++) {
        rig_come_rtp(x, "in1", 1, n);
        rig_wait(x, n * RIG_MS);
        rig_come_rtp(x, "in2", 1, n);
    }
    rig_come_rtp(x, "in1", 1, 6);
    rig_wait(x, 10 * RIG_MS);
    rig_come_rtp(x, "in2", 1, 5);
    rig_come_rtp(x, "in2", 1, 8);
    rig_wait(x, 200 * RIG_MS);
    rig_show(x);
    rig_come_rtp(x, "in1", 1, 10);
    // What is held back goes over.
    rig_file(x, text);
    rig_reload(x, 1000);
    rig_come_rtp(x, "in1", 1, 9);
    rig_come(x, "in1", 2, 7, 1, "by A", 0);
    rig_come(x, "in2", 2, 7, 1, "by B", 0);
    rig_wait(x, 600 * RIG_MS);
    rig_come(x, "in2", 2, 7, 1, "by B alone", 0);
    rig_wait(x, 200 * RIG_MS);
    rig_come(x, "in2", 2, 7, 1, "by B alone", 0);
    rig_wait(x, 600 * RIG_MS);
    rig_come_rtp(x, "in1", 1, 11);
    rig_wait(x, 600 * RIG_MS);
    rig_come_rtp(x, "in1", 1, 12);
    rig_show(x);
    for (uint16_t n = 1; n <= 20; n++)
        if (n % 5 != 0)
            rig_come_rtp(x, "in1", 3, n);
    rig_wait(x, 1400 * RIG_MS);
    rig_show(x);
    rig_link(x, "in1", "down");
    rig_links(x);
    rig_wait(x, 400 * RIG_MS);
    rig_show(x);
    rig_link(x, "in1", "up");
    rig_links(x);
    rig_wait(x, 6000 * RIG_MS);
    rig_show(x);
    // The other leg, and both.
    rig_link(x, "in2", "down");
    rig_links(x);
    rig_wait(x, 400 * RIG_MS);
    rig_link(x, "in1", "down");
    rig_links(x);
    rig_wait(x, 400 * RIG_MS);
    rig_link(x, "in1", "up");
    rig_link(x, "in2", "up");
    rig_links(x);
    rig_wait(x, 400 * RIG_MS);
    rig_show(x);
    rig_close(x, "merges");
}
