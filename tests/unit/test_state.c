// SPDX-License-Identifier: Apache-2.0
// The state of a rule and its reason: from what its interfaces, addresses and routes lack, when it is compiled, to what
// the relay publishes.
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "relay/forward.h"
#include "stats/counters.h"
#include "../make_table.h"

// "gone..." is missing, "down..." not up, "bare..." has no address.
static bool some_links(struct link *links, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct link *l = &links[i];
        if (strncmp(l->name, "gone", 4) == 0)
            continue;
        l->ifindex = (uint32_t) i + 1;
        l->up = strncmp(l->name, "down", 4) != 0;
        l->ethernet = true;
        l->mtu = 1500;
        if (strncmp(l->name, "bare", 4) != 0)
            l->ipv4 = (struct addr){.family = ADDR_IPV4, .bytes = {198, 18, 255, (uint8_t) (i + 1)}};
    }
    return true;
}

// There is no route to 203.0.113.0/24, and no address for 192.0.2.0/24.
static int some_routes(enum registry_kind kind, const struct output_address *address, unsigned without, bool *gso,
                       const char **step)
{
    *step = "bind";
    errno = address->destination.bytes[0] == 203 ? ENETUNREACH : EADDRNOTAVAIL;
    if (address->destination.bytes[0] == 203 || address->destination.bytes[0] == 192)
        return -1;
    return machine_none.open(kind, address, without, gso, step);
}

struct fixture {
    struct table_image table;
    struct table_view *view; // the forwarder points to it
    struct stats_segment stats;
    struct forward *f;
};

// One rule, with these keys of its own, from this interface to these outputs.
static struct fixture open_rule(const char *keys, const char *interface, const char *outputs)
{
    struct machine machine = machine_none;
    struct fixture x;
    char text[1024];
    const char *why;

    machine.links = some_links;
    machine.open = some_routes;
    snprintf(
        text, sizeof(text),
        "version=1;rules=({name=\"r\";%sinput={interface=\"%s\";group=\"239.255.0.0\";port=5000;};outputs=(%s);});",
        keys, interface, outputs);
    x.table = make_table(text, &machine, FEATURE_TX_RING, NULL);
    x.view = malloc(sizeof(*x.view));
    cr_assert(x.view && table_attach(x.view, x.table.bytes, x.table.size, &why), "%s", why);
    size_t size = stats_segment_size(x.view->n_interfaces, 1, x.view->n_inputs, x.view->n_counters);
    stats_segment_place(&x.stats, calloc(1, size), x.view->n_interfaces, 1, x.view->n_inputs);
    x.f = forward_new(x.view, &x.stats, NULL, 1);
    cr_assert_not_null(x.f);
    forward_publish_merges(x.f, 0);
    forward_publish_part(x.f, 0, UINT32_MAX);
    return x;
}

static void close_rule(struct fixture *x)
{
    forward_free(x->f);
    free(x->stats.header);
    free(x->view);
    free(x->table.bytes);
}

static void expect(const struct fixture *x, const char *state, const char *reason)
{
    cr_expect_str_eq(stats_rule_state_name(x->stats.rules[0].state), state);
    cr_expect_str_eq(x->stats.rules[0].reason, reason);
}

#define GROUP(interface)      "{interface=\"" interface "\";group=\"239.255.1.0\";port=6000;}"
#define OTHER(interface)      "{interface=\"" interface "\";group=\"239.255.1.1\";port=6000;}"
#define HOST(interface, host) "{interface=\"" interface "\";address=\"" host "\";port=6000;}"

Test(state, of_a_rule_when_it_is_compiled)
{
    static const struct {
        const char *keys, *interface, *outputs, *state, *reason;
    } cases[] = {
        {"", "in0", GROUP("out0"), "active", ""},
        {"shadow=true;", "in0", GROUP("out0"), "shadow", "on trial (shadow = true): nothing is sent"},
        {"enabled=false;", "gone0", GROUP("down0"), "disabled", "enabled = false"},
        {"enabled=false;shadow=true;", "in0", GROUP("out0"), "disabled", "enabled = false"},
        {"", "gone0", GROUP("out0"), "waiting", "interface gone0 is missing"},
        {"", "in0", GROUP("gone1"), "waiting", "interface gone1 is missing"},
        {"", "in0", GROUP("bare0"), "waiting", "bare0 has no address to send from"},
        {"", "in0", HOST("out0", "203.0.113.5"), "waiting", "no route to 203.0.113.5"},
        {"", "in0", HOST("out0", "192.0.2.1"), "waiting", "192.0.2.1 by out0: bind: Cannot assign requested address"},
        {"", "in0", "{interface=\"out0\";address=\"192.0.2.1\";port=6000;source=\"198.51.100.1\";}", "waiting",
         "out0 does not have the address 198.51.100.1"},
        {"", "down0", GROUP("out0"), "down", "down0 is down"},
        {"", "in0", GROUP("down1"), "down", "down1 is down"},
        // Without a link there is no route either: the link is what to look for.
        {"", "in0", HOST("down1", "203.0.113.5"), "down", "down1 is down"},
        {"", "down0", GROUP("down0"), "down", "down0 is down"},
        {"shadow=true;", "down0", GROUP("out0"), "down", "down0 is down"},
        // Some outputs go on: which, and how many do not.
        {"", "in0", GROUP("out0") "," OTHER("down1"), "down", "down1 is down (1 of 2 outputs)"},
        {"", "in0", GROUP("gone1") "," OTHER("out0") "," HOST("out0", "203.0.113.5"), "waiting",
         "no route to 203.0.113.5; interface gone1 is missing (2 of 3 outputs)"},
        {"", "in0", GROUP("gone1") "," OTHER("down1"), "down", "interface gone1 is missing; down1 is down"},
        // Without its input nothing passes at all.
        {"", "down0", GROUP("gone1") "," OTHER("out0"), "down", "down0 is down; interface gone1 is missing"},
        // The same reason, and one that only begins the same.
        {"", "in0", GROUP("gone1") "," OTHER("gone1"), "waiting", "interface gone1 is missing"},
        {"", "in0", HOST("out0", "203.0.113.51") "," HOST("out0", "203.0.113.5"), "waiting",
         "no route to 203.0.113.51; no route to 203.0.113.5"},
        // No room for all of them.
        {"", "in0",
         HOST("out0", "203.0.113.101") "," HOST("out0", "203.0.113.102") "," HOST("out0", "203.0.113.103") "," HOST(
             "out0", "203.0.113.104") "," HOST("out0", "203.0.113.105") "," GROUP("out0"),
         "waiting",
         "no route to 203.0.113.101; no route to 203.0.113.102; no route to 203.0.113.103; and more (5 of 6 outputs)"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture x = open_rule(cases[i].keys, cases[i].interface, cases[i].outputs);
        cr_expect_str_eq(stats_rule_state_name(x.stats.rules[0].state), cases[i].state, "%zu: %s", i, cases[i].state);
        cr_expect_str_eq(x.stats.rules[0].reason, cases[i].reason, "%zu: %s", i, x.stats.rules[0].reason);
        close_rule(&x);
    }
}

Test(state, of_every_kind_of_input)
{
    static const struct {
        const char *input, *text;
    } cases[] = {
        {"group=\"239.10.0.1\";port=5000", "239.10.0.1:5000"},
        {"group=\"239.10.0.0/30\";port=5000", "239.10.0.0/30:5000"},
        {"group=\"239.10.0.1\";port=\"5000-5003\"", "239.10.0.1:5000-5003"},
        {"group=\"ff15::1\";port=5000", "[ff15::1]:5000"},
        {"address=\"198.51.100.7\";port=5000", "198.51.100.7:5000"},
        {"broadcast=true;port=5000", "255.255.255.255:5000"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct table_view view;
        char text[TABLE_INPUT_TEXT_MAX];
        make_view(&view, NULL,
                  "version=1;rules=({name=\"r\";input={interface=\"in0\";%s;vlan=5;};outputs=({interface=\"out0\";"
                  "address=\"198.51.100.9\";port=6000;});});",
                  cases[i].input);
        cr_expect_str_eq(table_input_text(&view.inputs[0], text), cases[i].text);
        cr_expect(view.inputs[0].vlan == 5);
        free((void *) view.header);
    }
}

static uint32_t told;

static void tell(const struct table_rule *rule, const struct health *health, uint32_t changed)
{
    (void) rule;
    (void) health;
    told |= changed;
}

Test(state, follows_the_alarms)
{
    const uint64_t second = 1000000000;
    struct fixture x = open_rule("shadow=true;silence_ms=1500;min_packets_per_second=10;", "in0", GROUP("out0"));

    expect(&x, "shadow", "on trial (shadow = true): nothing is sent");
    cr_assert(forward_look(x.f, second + 1, tell) && told == 1u << STATS_ALARM_RATE);
    expect(&x, "slow", "fewer than 10 packets have come in a second");
    cr_assert(forward_look(x.f, 2 * second, tell));
    expect(&x, "silent", "nothing has come for 1500 ms or longer");
    x.f->flows[0].counters.packets = 1000;
    cr_assert(forward_look(x.f, 3 * second, tell));
    expect(&x, "shadow", "on trial (shadow = true): nothing is sent");
    close_rule(&x);
}

// A rule that is down is not called silent: why nothing comes is known.
Test(state, a_link_explains_the_silence)
{
    struct fixture x = open_rule("silence_ms=1000;", "down0", GROUP("out0"));

    cr_assert(forward_look(x.f, 3000000000, tell));
    expect(&x, "down", "down0 is down");
    cr_expect(x.stats.rules[0].alarms == 1u << STATS_ALARM_SILENCE);
    close_rule(&x);
}

static void tell_sends(const struct table_rule *rule, const struct table_interface *interface,
                       const struct refusal *refusal, const struct spell *failing)
{
    (void) rule;
    (void) interface;
    (void) refusal;
    told += failing->on;
}

// Each output that does not get through is named, and those of one host that say the same once.
Test(state, names_each_output_that_fails)
{
    static const struct {
        int errors[4];
        const char *reason;
    } cases[] = {
        {{EHOSTUNREACH, 0, 0, 0}, "to 198.51.100.20: No route to host (1 of 4 outputs)"},
        {{0, EHOSTUNREACH, ECONNREFUSED, 0},
         "to 198.51.100.20: No route to host; to 198.51.100.77: Connection refused (2 of 4 outputs)"},
        {{EHOSTUNREACH, EHOSTUNREACH, ECONNREFUSED, ECONNREFUSED},
         "to 198.51.100.20: No route to host; to 198.51.100.77: Connection refused"},
        {{EHOSTUNREACH, EHOSTUNREACH, 0, 0}, "to 198.51.100.20: No route to host (2 of 4 outputs)"},
    };

    const char *outputs = HOST("out0", "198.51.100.20") ","
                          "{interface=\"out0\";address=\"198.51.100.20\";port=6001;},"
                          HOST("out0", "198.51.100.77") "," HOST("out0", "198.51.100.78");

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture x = open_rule("", "in0", outputs);
        for (uint32_t o = 0; o < 4; o++)
            if (cases[i].errors[o])
                refusals_note(&x.f->refusals, &x.view->outputs[o], 1, cases[i].errors[o], true);
        told = 0;
        cr_expect(forward_look_at_sends(x.f, NS_PER_S, tell_sends) && told > 0);
        expect(&x, "down", cases[i].reason);
        close_rule(&x);
    }
}

// A stream to one host by the clock: every so many ms a burst, whose datagrams leave one behind the other. A host that
// has no such port answers one datagram a second (net.ipv4.icmp_ratelimit); the next send reads the answer.
struct trickle {
    struct fixture x;
    unsigned every_ms, burst, behind_ms, trip_ms; // of the burst, of its datagrams, of an answer
    bool dead;
    uint64_t now_ms, answered_ms, arrives_ms; // 0: no answer is under way
};

#define LOOK_MS 200 // the relay looks five times a second

static void send_one(struct trickle *s)
{
    const struct table_output *o = &s->x.view->outputs[0];

    if (s->arrives_ms > 0 && s->arrives_ms <= s->now_ms) {
        s->arrives_ms = 0;
        refusals_note(&s->x.f->refusals, o, 1, ECONNREFUSED, false);
    }
    if (s->dead && s->now_ms - s->answered_ms >= 1000 && s->arrives_ms == 0) {
        s->answered_ms = s->now_ms;
        s->arrives_ms = s->now_ms + s->trip_ms;
    }
    s->x.f->outputs[o->counter].packets++;
}

// Lets so many bursts go out, and returns by how many looks the rule was down.
static unsigned run(struct trickle *s, unsigned bursts)
{
    unsigned down = 0;

    for (uint64_t end = s->now_ms + (uint64_t) bursts * s->every_ms; s->now_ms < end; s->now_ms++) {
        uint64_t at = s->now_ms % s->every_ms;
        if (at == 0 || (at % s->behind_ms == 0 && at / s->behind_ms < s->burst))
            send_one(s);
        if (s->now_ms % LOOK_MS == LOOK_MS - 1) {
            forward_look_at_sends(s->x.f, s->now_ms * (NS_PER_S / 1000), tell_sends);
            down += s->x.stats.rules[0].state == STATS_RULE_DOWN;
        }
    }
    return down;
}

// However rare the datagrams are, the rule is down by the answers until one leaves without reading an answer to the one
// before, and for 5 seconds more.
Test(state, down_by_answers_until_a_datagram_leaves_without_one)
{
    static const struct trickle streams[] = {
        {.every_ms = 1, .burst = 1, .behind_ms = 1, .trip_ms = 1},
        {.every_ms = 20, .burst = 1, .behind_ms = 1, .trip_ms = 30},
        {.every_ms = 400, .burst = 1, .behind_ms = 1, .trip_ms = 1},
        {.every_ms = 1500, .burst = 1, .behind_ms = 1, .trip_ms = 1},
        {.every_ms = 3000, .burst = 1, .behind_ms = 1, .trip_ms = 1},
        {.every_ms = 6000, .burst = 1, .behind_ms = 1, .trip_ms = 1},
        {.every_ms = 12000, .burst = 1, .behind_ms = 1, .trip_ms = 1},
        {.every_ms = 60000, .burst = 1, .behind_ms = 1, .trip_ms = 1},
        {.every_ms = 12000, .burst = 3, .behind_ms = 300, .trip_ms = 700}, // two leave before the answer to the first
    };

    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        struct trickle s = streams[i];
        unsigned minute = s.every_ms < 6000 ? 60000 / s.every_ms : 10; // bursts
        s.x = open_rule("", "in0", HOST("out0", "198.51.100.20"));
        s.now_ms = 60000;
        told = 0;
        cr_expect(run(&s, minute) == 0 && told == 0, "%zu: up", i);
        s.dead = true;
        for (unsigned ms = 0; ms < 2500; ms += 2 * s.every_ms) // two bursts, or as many as bring the first answer
            run(&s, 2);
        expect(&s.x, "down", "to 198.51.100.20: Connection refused");
        cr_expect_eq(run(&s, minute), minute * s.every_ms / LOOK_MS, "%zu: all the time", i);
        cr_expect_eq(told, 1, "%zu: told %u times", i, told);
        s.dead = false;
        cr_expect_gt(run(&s, minute), 5000 / LOOK_MS, "%zu: for 5 s more", i);
        expect(&s.x, "active", "");
        cr_expect(run(&s, minute) == 0 && told == 1, "%zu: for good", i);
        close_rule(&s.x);
    }
}

// A receiver that is there, and somebody who forges an ICMP error now and then.
Test(state, a_forged_answer_now_and_then_puts_no_stream_down)
{
    struct trickle s = {.every_ms = 20, .burst = 1, .behind_ms = 1, .now_ms = 60000};
    const struct table_output *o;
    unsigned down = 0;

    s.x = open_rule("", "in0", HOST("out0", "198.51.100.20"));
    o = &s.x.view->outputs[0];
    for (unsigned i = 0; i < 20; i++) {
        refusals_note(&s.x.f->refusals, o, 1, ECONNREFUSED, false);
        down += run(&s, 6000 / s.every_ms);
    }
    cr_expect_leq(down, 3 * 6000 / LOOK_MS, "down by %u looks", down); // three of them are one in 4 s
    cr_expect_eq(run(&s, 6000 / s.every_ms), 0);
    close_rule(&s.x);
}
