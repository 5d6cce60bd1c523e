// SPDX-License-Identifier: Apache-2.0
// Frames as the kernel says that they came, and what is counted of each: compared with a file of
// tests/unit/transcripts.
#include <config.h>

#include <criterion/criterion.h>

#include <linux/if_packet.h>
#include <stdio.h>
#include <string.h>

#include "rig.h"
#include "rig_machine.h"
#include "rig_rules.h"

#define VALID TP_STATUS_CSUM_VALID
#define TAG   TP_STATUS_VLAN_VALID
#define TPID  TP_STATUS_VLAN_TPID_VALID

Test(rig, frames_of_every_kind)
{
    static const struct {
        const char *what;
        struct rig_slot how;
    } slots[] = {
        {"to a group", {.kind = PACKET_MULTICAST, .status = VALID}},
        {"to this host", {.kind = PACKET_HOST, .status = VALID}},
        {"to all", {.kind = PACKET_BROADCAST, .status = VALID}},
        {"of this host", {.kind = PACKET_OUTGOING, .status = VALID}},
        {"to another host", {.kind = PACKET_OTHERHOST, .status = VALID}},
        {"no checksum, which nobody vouches for", {.kind = PACKET_MULTICAST}},
        {"the checksum is to come", {.kind = PACKET_MULTICAST, .status = TP_STATUS_CSUMNOTREADY}},
        {"of a VLAN", {.kind = PACKET_MULTICAST, .status = VALID | TAG, .tci = 7}},
        {"of a VLAN that no rule has", {.kind = PACKET_MULTICAST, .status = VALID | TAG, .tci = 8}},
        {"with a priority", {.kind = PACKET_MULTICAST, .status = VALID | TAG, .tci = 0xe000}},
        {"of a VLAN, with a priority",
         {.kind = PACKET_MULTICAST, .status = VALID | TAG | TPID, .tci = 0xe007, .tpid = 0x8100}},
        {"with a service tag", {.kind = PACKET_MULTICAST, .status = VALID | TAG | TPID, .tci = 7, .tpid = 0x88a8}},
        {"a tag that is none", {.kind = PACKET_MULTICAST, .status = VALID, .tci = 7, .tpid = 0x88a8}},
        {"cut", {.kind = PACKET_MULTICAST, .status = VALID, .cut = 1}},
        {"where no frame can be", {.kind = PACKET_MULTICAST, .status = VALID, .mac = 9}},
        {"behind the slot", {.kind = PACKET_MULTICAST, .status = VALID, .mac = 0x7fff}},
    };
    struct rig *x = rig_open(
        "rules=(" RULE("one", "", "in0", "1", "out0") ",{name=\"tagged\";input={interface=\"in0\";vlan=7;"
        "group=\"239.255.0.1\";port=5000;};outputs=({interface=\"out0\";vlan=9;group=\"239.255.1.9\";port=6000;});});",
        false);
    uint8_t frame[2048];
    size_t size = rig_machine_udp(frame, 1, 7, "text", 4);

    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++)
        rig_frame(x, slots[i].what, frame, size, &slots[i].how);
    rig_close(x, "frames-slots");
}

Test(rig, frames_with_every_mistake)
{
    // A byte of the frame, what it is in place of what it was, and how many bytes are lacking or too many.
    static const struct {
        const char *what;
        uint16_t at;
        uint8_t value;
        int16_t more;
        bool sign;
    } cases[] = {
        {"none", 0, 0, 0, false},
        {"padded", 0, 0, 10, false},
        {"another protocol", 13, 6, 0, false},
        {"another version", 14, 0x55, 0, true},
        {"options of IP", 14, 0x46, 0, true},
        {"a header that is too short", 14, 0x44, 0, true},
        {"less than it says", 0, 0, -1, false},
        {"no more than IP", 0, 0, -12, false},
        {"not all of IP", 0, 0, -13, false},
        {"no more than Ethernet", 0, 0, -32, false},
        {"not all of Ethernet", 0, 0, -33, false},
        {"longer than it is", 17, 200, 0, true},
        {"shorter than UDP", 17, 27, 0, true},
        {"its sum is wrong", 24, 0x12, 0, false},
        {"no UDP", 23, 6, 0, true},
        {"ttl 1", 22, 1, 0, true},
        {"ttl 0", 22, 0, 0, true},
        {"from 127.18.0.7", 26, 127, 0, true},
        {"from 0.18.0.7", 26, 0, 0, true},
        {"from 224.18.0.7", 26, 224, 0, true},
        {"from 240.18.0.7", 26, 240, 0, true},
        {"to another port", 37, 0x89, 0, false},
        {"from port 0", 34, 0, 0, false},
        {"UDP is longer", 39, 200, 0, false},
        {"UDP is shorter", 39, 11, 0, false},
        {"UDP has no header", 39, 7, 0, false},
        {"a checksum of UDP", 41, 0x12, 0, false},
        {"the first of two fragments", 20, 0x20, 0, true},
        {"the evil bit", 20, 0x80, 0, true},
        {"not to be fragmented", 20, 0x40, 0, true},
        {"a later fragment", 21, 1, 0, true},
    };
    static const struct rig_slot how = {.kind = PACKET_MULTICAST};
    struct rig *x = rig_open(
        "rules=({name=\"one\";input={interface=\"in0\";group=\"239.255.0.1\";port=5000;};"
        "outputs=({interface=\"out0\";group=\"239.255.1.1\";port=6000;ttl=\"decrement\";});});",
        false);
    uint8_t frame[2048];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = rig_machine_udp(frame, 1, 7, "text", 4);
        if (cases[i].at > 0)
            frame[cases[i].at] = cases[i].value;
        if (cases[i].sign)
            rig_machine_sign(frame);
        rig_frame(x, cases[i].what, frame, size + (size_t) cases[i].more, &how);
    }
    rig_wait(x, 40 * RIG_S); // what was held for fragments that did not come
    rig_show(x);
    rig_close(x, "frames");
}

// When the relay polls, and how long it waits.
Test(rig, turns_of_the_loop)
{
    static const char *const keys[] = {"", "coalesce_usecs=0;", "coalesce_usecs=1000;", "busy_poll=300;",
                                       "busy_poll=true;"};
    struct rig *x = rig_open(ONE, true);
    char text[1024];

    rig_watches(x);

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        rig_tell(x, "====== %s", keys[i]);
        snprintf(text, sizeof(text), "%s%s", keys[i], ONE);
        rig_file(x, text);
        rig_reload(x, 1000);
        rig_turn(x, "in0", 0);
        rig_turn(x, "in0", 3);
        for (int n = 0; n < 12; n++) {
            rig_come(x, "in0", 1, 7, 20, "turn", 0);
            rig_wait(x, 200000);
            rig_turn(x, "in0", 1);
        }
        rig_come(x, "in0", 1, 7, 300, "more than a pass", 0);
        rig_turn(x, "in0", 0);
        rig_wait(x, 400 * RIG_MS);
        rig_turn(x, "in0", 0);
    }
    rig_close(x, "turns");
}

Test(rig, a_turn_for_what_is_held_back)
{
    struct rig *x =
        rig_open("rules=(" MERGED("two", "max_payload=1472;merge={by=\"rtp\";reorder_ms=20;};", "1") ");", false);

    rig_come_rtp(x, "in1", 1, 1);
    rig_come_rtp(x, "in1", 1, 2);
    rig_turn(x, "in1", 0);
    rig_come_rtp(x, "in2", 1, 4);
    rig_turn(x, "in1", 0);
    rig_turn(x, "in1", 0);
    rig_close(x, "held");
}

// How long datagrams stay, and which come too late.
Test(rig, datagrams_that_stay)
{
    static const char text[] = "rules=(" RULE("one", "max_residence_us=2000;", "in0", "1", "out0") "," //
        RULE("two", "deadline_us=3000;", "in0", "2", "out0") ");";
    struct rig *x = rig_open(text, false);

    for (uint64_t ms = 0; ms < 6; ms++) {
        x->late_ns = ms * RIG_MS;
        rig_come(x, "in0", 1, 7, 100, "stays", 0);
        rig_come(x, "in0", 2, 7, 2, "in time", 0);
        rig_wait(x, 1000 * RIG_MS);
        rig_show(x);
    }
    rig_reload(x, 1000);
    x->late_ns = 0;
    for (int i = 0; i < 7; i++) {
        rig_come(x, "in0", 1, 7, 100, "leaves", 0);
        rig_wait(x, 1000 * RIG_MS);
    }
    rig_show(x);
    rig_close(x, "residence");
}

// Each sender has its own limit, also over a reload.
Test(rig, senders_of_a_limit)
{
#define SENDERS(n)                                                                                                     \
    "rules=(" RULE("one", "limit={packets_per_second=" n ";burst_ms=1000;per_source=true;};", "in0", "1", "out0") ");"
    struct rig *x = rig_open(SENDERS("3"), true);

    for (uint8_t host = 1; host < 4; host++)
        rig_come(x, "in0", 1, host, 5, "of a sender", 0);
    rig_wait(x, 400 * RIG_MS);
    rig_come(x, "in0", 1, 1, 5, "of a sender", 0);
    rig_file(x, SENDERS("4"));
    rig_reload(x, 1000);
    rig_come(x, "in0", 1, 1, 5, "of a sender", 0);
    rig_come(x, "in0", 1, 9, 9, "of a new one", 0);
    rig_restart(x, true);
    rig_come(x, "in0", 1, 1, 9, "of a sender", 0);
    rig_wait(x, 2000 * RIG_MS);
    rig_come(x, "in0", 1, 1, 9, "of a sender", 0);
    rig_come(x, "in0", 1, 10, 9, "of a new one", 0);
    rig_show(x);
    rig_close(x, "senders");
}

// What the monitor of a transport stream counts.
Test(rig, a_transport_stream)
{
    struct rig *x =
        rig_open("rules=(" RULE("ts", "monitor={as=\"ts\";max_loss_ppm=1000;};", "in0", "1", "out0") ");", false);
    uint8_t ts[7][188];

    memset(ts, 0xff, sizeof(ts));
    for (unsigned n = 0; n < 6; n++) {
        for (unsigned i = 0; i < 7; i++) {
            memcpy(ts[i], (uint8_t[]){0x47, 1, (uint8_t) (i % 2), (uint8_t) (0x10 | ((n * 4 + i / 2) & 15))}, 4);
            if (n == 3)
                ts[i][3] = 0x10;
            if (n == 4 && i == 2)
                ts[i][0] = 0x48;
            if (n == 5)
                ts[i][1] = 0x81;
        }
        rig_come(x, "in0", 1, 7, 1, ts, n == 2 ? sizeof(ts) - 1 : sizeof(ts));
        rig_wait(x, 1000 * RIG_MS);
        rig_show(x);
    }
    rig_close(x, "ts");
}
