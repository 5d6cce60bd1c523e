// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "wire/reassembly.h"

static uint8_t content[70000];

static void fill_content(void)
{
    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = (uint8_t) (i * 31 + i / 251);
}

// content[from..to-1] as a fragment of datagram id.
static struct packet part(uint32_t id, uint32_t from, uint32_t to, bool more)
{
    return (struct packet){.source = {.family = ADDR_IPV4, .bytes = {198, 18, 0, 1}},
                           .destination = {.family = ADDR_IPV4, .bytes = {239, 255, 0, 1}},
                           .ttl = from == 0 ? 9 : 77,
                           .dscp = from == 0 ? 46 : 0,
                           .payload = content + from,
                           .length = to - from,
                           .fragment = {.id = id, .offset = from, .more = more, .next = from == 0 ? IPPROTO_UDP : 99}};
}

static bool take(struct reassembly *r, struct packet p, struct stats_interface_counters *c)
{
    return reassembly_take(r, &p, 0, c);
}

struct piece {
    uint32_t from, to;
    bool last;
};

Test(reassembly, tables_of_fragments)
{
    static const struct {
        const char *what;
        struct piece pieces[6]; // until one that is empty
        uint32_t total;         // of the whole; 0: it does not become whole
        uint64_t overlapping, malformed;
    } cases[] = {
        {"in order", {{0, 800, false}, {800, 1600, false}, {1600, 1601, true}}, 1601, 0, 0},
        {"backwards", {{1600, 1601, true}, {800, 1600, false}, {0, 800, false}}, 1601, 0, 0},
        {"the last first", {{1600, 1640, true}, {0, 800, false}, {800, 1600, false}}, 1640, 0, 0},
        {"one twice", {{0, 800, false}, {0, 800, false}, {800, 900, true}}, 900, 0, 0},
        {"the last twice", {{800, 901, true}, {800, 901, true}, {0, 800, false}}, 901, 0, 0},
        {"units of words", {{0, 8, false}, {8, 512, false}, {512, 1032, false}, {1032, 1033, true}}, 1033, 0, 0},
        {"the largest", {{0, 65528, false}, {65528, 65535, true}}, 65535, 0, 0},
        {"one is missing", {{0, 800, false}, {1600, 1601, true}}, 0, 0, 0},
        {"no last", {{0, 800, false}, {800, 1600, false}}, 0, 0, 0},
        {"no first", {{800, 1600, false}, {1600, 1700, true}}, 0, 0, 0},
        {"overlap at the end", {{0, 800, false}, {792, 1600, false}, {1600, 1700, true}}, 0, 1, 0},
        {"overlap at the start", {{800, 1600, true}, {0, 808, false}}, 0, 1, 0},
        {"around another", {{800, 808, false}, {0, 1600, false}, {1600, 1700, true}}, 0, 1, 0},
        {"two ends", {{800, 900, true}, {800, 904, true}, {0, 800, false}}, 0, 1, 0},
        {"beyond the end", {{800, 900, true}, {904, 1600, false}, {0, 800, false}}, 0, 1, 0},
        {"an end before what is there", {{800, 1600, false}, {0, 800, false}, {400, 500, true}}, 0, 1, 0},
        {"the last one with more to come", {{800, 901, true}, {800, 904, false}, {0, 800, false}}, 0, 1, 0},
        {"an odd one with more to come", {{0, 801, false}}, 0, 0, 1},
        {"beyond all lengths", {{65528, 65536, true}}, 0, 0, 1},
    };

    fill_content();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reassembly *r = reassembly_new();
        struct stats_interface_counters c = {.received = 0};
        uint32_t whole = 0;
        for (const struct piece *p = cases[i].pieces; p->to > 0; p++) {
            struct packet f = part(7, p->from, p->to, !p->last);
            if (!reassembly_take(r, &f, 0, &c))
                continue;
            cr_expect_eq(whole, 0, "%s: whole twice", cases[i].what);
            whole = (uint32_t) f.length;
            cr_expect_eq(memcmp(f.payload, content, f.length), 0, "%s", cases[i].what);
            cr_expect(f.ttl == 9 && f.dscp == 46 && f.fragment.next == IPPROTO_UDP, "%s: of the first", cases[i].what);
        }
        cr_expect_eq(whole, cases[i].total, "%s: %u", cases[i].what, whole);
        cr_expect_eq(c.overlapping, cases[i].overlapping, "%s", cases[i].what);
        cr_expect_eq(c.malformed, cases[i].malformed, "%s", cases[i].what);
        cr_expect_eq(c.received, c.overlapping + c.malformed, "%s", cases[i].what);
        reassembly_free(r);
    }
}

Test(reassembly, an_empty_fragment_is_malformed)
{
    struct reassembly *r = reassembly_new();
    struct stats_interface_counters c = {.received = 0};

    cr_expect(!take(r, part(1, 8, 8, false), &c) && c.malformed == 1 && c.received == 1);
    reassembly_free(r);
}

Test(reassembly, the_same_place_with_other_bytes_overlaps)
{
    struct reassembly *r = reassembly_new();
    struct stats_interface_counters c = {.received = 0};

    fill_content();
    cr_expect(!take(r, part(1, 0, 800, true), &c));
    struct packet other = part(1, 0, 800, true);
    other.payload = content + 1;
    cr_expect(!take(r, other, &c));
    cr_expect_eq(c.overlapping, 1);
    // What comes after it is dropped, too, and nothing is counted twice.
    cr_expect(!take(r, part(1, 0, 800, true), &c) && !take(r, part(1, 800, 900, false), &c));
    reassembly_expire(r, REASSEMBLY_NS, &c);
    cr_expect(c.overlapping == 1 && c.fragments == 0 && c.received == 1);
    cr_expect(!take(r, part(1, 0, 800, true), &c) && take(r, part(1, 800, 900, false), &c), "a new one of this id");
    reassembly_free(r);
}

// Cut at random places and shuffled, every datagram comes out as it was.
Test(reassembly, random_cuts_in_random_order)
{
    struct reassembly *r = reassembly_new();
    struct stats_interface_counters c = {.received = 0};

    fill_content();
    srand(1);
    for (uint32_t round = 0; round < 2000; round++) {
        struct packet parts[64], whole = {.length = 0};
        uint32_t n = 0, total = 9 + (uint32_t) rand() % 9000, at = 0;
        while (at < total) {
            uint32_t length = 8 + (uint32_t) rand() % 2000 / 8 * 8;
            if (n == 63 || length > total - at)
                length = total - at;
            parts[n++] = part(round, at, at + length, at + length < total);
            at += length;
        }
        if (n == 1)
            continue;
        for (uint32_t i = n - 1; i > 0; i--) {
            uint32_t j = (uint32_t) rand() % (i + 1);
            struct packet swapped = parts[i];
            parts[i] = parts[j];
            parts[j] = swapped;
        }
        for (uint32_t i = 0; i < n; i++) {
            whole = parts[i];
            cr_assert_eq(reassembly_take(r, &whole, 0, &c), i == n - 1, "round %u", round);
        }
        cr_assert(whole.length == total && memcmp(whole.payload, content, total) == 0, "round %u", round);
        if (reassembly_is_crowded(r))
            reassembly_release(r);
    }
    cr_expect_eq(c.received, 0);
    reassembly_free(r);
}

Test(reassembly, datagrams_do_not_mix)
{
    struct reassembly *r = reassembly_new();
    struct stats_interface_counters c = {.received = 0};
    struct packet tagged = part(1, 800, 900, false), other_sender = tagged, other_group = tagged, other_id = tagged,
                  other_family = tagged;

    fill_content();
    tagged.vlan = 200;
    other_sender.source.bytes[3] = 2;
    other_group.destination.bytes[3] = 2;
    other_id.fragment.id = 2;
    other_family.source.family = other_family.destination.family = ADDR_IPV6;
    cr_expect(!take(r, part(1, 0, 800, true), &c));
    cr_expect(!take(r, tagged, &c) && !take(r, other_sender, &c) && !take(r, other_group, &c) &&
              !take(r, other_id, &c) && !take(r, other_family, &c));
    cr_expect(take(r, part(1, 800, 900, false), &c));
    reassembly_expire(r, REASSEMBLY_NS, &c);
    cr_expect_eq(c.fragments, 5);
    reassembly_free(r);
}

Test(reassembly, what_waits_too_long_is_counted_once)
{
    struct reassembly *r = reassembly_new();
    struct stats_interface_counters c = {.received = 0};
    struct packet first = part(1, 0, 800, true), second = part(1, 800, 1600, true);

    reassembly_take(r, &first, 1000, &c);
    reassembly_take(r, &second, 2000, &c);
    reassembly_expire(r, 1000 + REASSEMBLY_NS - 1, &c);
    cr_expect_eq(c.received, 0);
    reassembly_expire(r, 1000 + REASSEMBLY_NS, &c);
    reassembly_expire(r, 1000 + 2 * REASSEMBLY_NS, &c);
    cr_expect(c.received == 1 && c.fragments == 1);
    cr_expect(!take(r, part(1, 1600, 1601, false), &c), "its other fragments are of no use any more");
    reassembly_free(r);
}

Test(reassembly, the_oldest_goes_when_there_are_too_many)
{
    struct reassembly *r = reassembly_new();
    struct stats_interface_counters c = {.received = 0};

    fill_content();
    for (uint32_t i = 0; i <= REASSEMBLY_SETS; i++) {
        struct packet p = part(i, 0, 800, true);
        cr_expect(!reassembly_take(r, &p, i, &c));
    }
    cr_expect(c.received == 1 && c.fragments == 1);
    cr_expect(take(r, part(REASSEMBLY_SETS, 800, 900, false), &c) && take(r, part(1, 800, 900, false), &c));
    cr_expect(!take(r, part(0, 800, 900, false), &c), "the first one is gone");
    reassembly_free(r);
}

Test(reassembly, whole_ones_are_held_until_the_release)
{
    struct reassembly *r = reassembly_new();
    struct stats_interface_counters c = {.received = 0};

    fill_content();
    for (uint32_t i = 0; i < REASSEMBLY_SETS; i++) {
        cr_expect_eq(reassembly_is_crowded(r), i >= REASSEMBLY_SETS / 2);
        cr_expect(!take(r, part(i, 0, 800, true), &c) && take(r, part(i, 800, 900, false), &c));
    }
    // Nobody has asked whether it is crowded.
    cr_expect(!take(r, part(99, 0, 800, true), &c));
    cr_expect(c.received == 1 && c.fragments == 1);
    reassembly_expire(r, REASSEMBLY_NS, &c);
    reassembly_release(r);
    cr_expect(!reassembly_is_crowded(r) && c.received == 1);
    cr_expect(!take(r, part(1, 0, 800, true), &c) && take(r, part(1, 800, 900, false), &c));
    reassembly_free(r);
}
