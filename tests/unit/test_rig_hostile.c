// SPDX-License-Identifier: Apache-2.0
// Broker and relay beside another one that is gone, does nothing, or is hostile: what they say and do is compared with
// the files of tests/unit/transcripts.
#include <config.h>

#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "handover/handover.h"
#include "rig.h"
#include "rig_manager.h"
#include "rig_rules.h"

// The relay does not ask: the broker closes what has ended.
Test(rig, closes_what_has_ended_without_the_relay)
{
    struct rig *x = rig_open("rules=(" RULE("one", "", "in0", "1", "out0") "," RULE("timed", TIMED("46:00", "47:00"),
                                                                                    "in1", "2", "out1") ");",
                             false);

    x->deaf = true;
    rig_wait(x, 19 * RIG_S);
    rig_wait(x, 10 * RIG_S);
    x->deaf = false;
    rig_wait(x, 200 * RIG_MS);
    rig_show(x);
    rig_close(x, "ended");
}

Test(rig, closes_a_trial_without_the_relay)
{
    struct rig *x = rig_open(ONE, false);

    rig_file(x, TRIAL("", RULE("one", "", "in0", "1", "out0") "," RULE("two", "", "in1", "2", "out1")));
    rig_reload(x, 1000);
    x->deaf = true;
    rig_wait(x, 62 * RIG_S);
    rig_wait(x, 2 * RIG_S);
    rig_ask(x, &(struct handover_message){.type = HANDOVER_LINKS, .serial = 4});
    rig_ask(x, &(struct handover_message){.type = HANDOVER_CONFIRM, .serial = 5});
    x->deaf = false;
    rig_wait(x, 200 * RIG_MS);
    rig_show(x);
    rig_close(x, "trial-closed");
}

Test(rig, goes_on_without_the_broker)
{
    struct rig *x = rig_open(ONE, true);

    rig_end_broker(x);
    rig_wait(x, 200 * RIG_MS);
    rig_come(x, "in0", 1, 7, 2, "goes on", 0);
    rig_reload(x, 1000);
    rig_confirm(x);
    rig_show(x);
    rig_wait(x, 6 * RIG_S);
    rig_close(x, "alone");
}

// Each of what is kept is forged or lacks.
Test(rig, takes_nothing_for_what_it_is_called)
{
    static const char *const names[] = {"table", "state", "file", "head", "signatures"};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    char name[32];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct rig *x = rig_open(ONE, true);
        rig_come(x, "in0", 1, 7, 3, "before", 0);
        rig_tell(x, "=== %s is another", names[i]);
        rig_manager_forge(names[i], null);
        rig_manager_forge("unknown", null);
        rig_manager_forge("ring,index=1,ring_mib=0,mtu=1500,super_frames=0", null);
        rig_restart(x, true);
        rig_show(x);
        snprintf(name, sizeof(name), "forged-%s", names[i]);
        rig_close(x, name);
    }
    close(null);
}

// What a relay that was taken over may say in place of a verdict, and what else.
Test(rig, hears_a_hostile_relay)
{
    static const struct {
        const char *name;
        struct handover_message verdicts[2];
    } cases[] = {
        {"relay-nothing", {{.type = 0}}},
        {"relay-rejects", {{.type = HANDOVER_REJECTED, .serial = 9, .text = "no"}}},
        {"relay-rejects-another", {{.type = HANDOVER_REJECTED, .serial = 8, .text = "no"}}},
        {"relay-adopts-another", {{.type = HANDOVER_ADOPTED, .serial = 8}}},
        {"relay-swaps",
         {{.type = HANDOVER_SWAPPED, .serial = 9}, {.type = HANDOVER_REJECTED, .serial = 9, .text = "no"}}},
        {"relay-adopts", {{.type = HANDOVER_ADOPTED, .serial = 9, .receipt = {.received = 3, .ring_drops = 4}}}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig *x = rig_open("rules=(" RULE("one", TIMED("46:00", "59:00"), "in0", "1", "out0") ");", true);
        rig_file(x, "rules=(" RULE("two", "", "in0", "2", "out0") ");");
        x->deaf = true;
        rig_ask(x, &(struct handover_message){
                       .type = HANDOVER_LOAD, .serial = 9, .asker = {.pid = 0, .uid = 5, .loginuid = 6}});
        for (size_t j = 0; j < 2 && cases[i].verdicts[j].type != 0; j++)
            rig_ask(x, &cases[i].verdicts[j]);
        if (cases[i].verdicts[0].type == 0)
            rig_wait(x, 61 * RIG_S);
        for (uint32_t type = HANDOVER_LOAD; type <= HANDOVER_PROBE && !x->broker_ended; type++)
            rig_ask(x, type == HANDOVER_LOAD ? &(struct handover_message){.type = type, .serial = 10, .asker.pid = 1}
                                             : &(struct handover_message){.type = type, .serial = 10, .ring = 1});
        if (!x->broker_ended)
            rig_ask(x, &(struct handover_message){.type = HANDOVER_CONFIRM, .serial = 12});
        if (!x->broker_ended)
            rig_ask(x, &(struct handover_message){.type = HANDOVER_RETURNED, .serial = 13});
        rig_close(x, cases[i].name);
    }
}

// Each ends it.
Test(rig, hears_a_hostile_broker)
{
    static const uint32_t types[] = {HANDOVER_HELLO,   HANDOVER_OFFER,  HANDOVER_COMMIT,
                                     HANDOVER_ADOPTED, HANDOVER_KEPT,   HANDOVER_UNCHANGED,
                                     HANDOVER_REFUSED, HANDOVER_PROBED, HANDOVER_REJECTED};
    char name[32];

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct rig *x = rig_open(ONE, false);
        rig_answer(x, &(struct handover_message){.type = types[i], .serial = 1, .text = "why"});
        rig_show(x);
        snprintf(name, sizeof(name), "broker-says-%u", types[i]);
        rig_close(x, name);
    }
}

Test(rig, hears_no_message_at_all)
{
    for (int broker = 0; broker < 2; broker++) {
        struct rig *x = rig_open("rules=(" RULE("one", TIMED("46:00", "59:00"), "in0", "1", "out0") ");", false);
        rig_garble(x, broker);
        rig_reload(x, 1000);
        rig_show(x);
        rig_close(x, broker ? "broker-garbles" : "relay-garbles");
    }
}

Test(rig, nobody_reads_the_log)
{
    struct rig *x = rig_open(ONE, true);

    close(x->log);
    x->log = open("/dev/null", O_RDONLY | O_CLOEXEC);
    rig_reload(x, 1000);
    rig_come(x, "in0", 1, 7, 3, "goes on", 0);
    rig_file(x, NULL);
    rig_reload(x, 1000);
    rig_show(x);
    rig_close(x, "unread");
}

// What it has offered is not put in force: nobody would record it.
Test(rig, the_broker_ends_behind_its_offer)
{
    struct rig *x = rig_open(ONE, false);

    rig_file(x, "rules=(" RULE("two", "", "in0", "2", "out0") ");");
    x->deaf = true;
    rig_reload(x, 1000);
    rig_end_broker(x);
    x->deaf = false;
    rig_wait(x, 200 * RIG_MS);
    rig_come(x, "in0", 1, 7, 2, "goes on", 0);
    rig_show(x);
    rig_close(x, "broker-ends");
}
