// SPDX-License-Identifier: Apache-2.0
// What mcrgen sends by several legs: options, headers, losses and order, and the file of what was lost.
#include <config.h>

#include "gen/framing.h"
#include "gen/leg.h"
#include "gen/lost.h"
#include "gen/options.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// --- framing ---------------------------------------------------------------------------------------------------------

struct framing_case {
    const char *form;
    uint64_t first_number, session, restart, place;
    size_t length;
    uint8_t wanted[FRAMING_MAX];
};

// RFC 3550, section 5.1, but for the time stamp; and numbers at their places.
Test(framing, bytes)
{
    static const struct framing_case cases[] = {
        {"rtp", 0, 0x01020304, 0, 0, 12, {0x80, 96, 0, 0, [8] = 1, 2, 3, 4}},
        {"rtp,payload_type=33", 65535, 0xffffffff, 0, 2, 12, {0x80, 33, 0, 1, [8] = 255, 255, 255, 255}},
        {"field", 0x01020304, 0, 0, 1, 4, {1, 2, 3, 5}},
        {"field,endian=little", 0x01020304, 0, 0, 0, 4, {4, 3, 2, 1}},
        {"field,bytes=1", 250, 0, 0, 8, 1, {2}},
        {"field,bytes=2,at=3", 65535, 0, 0, 1, 5, {0}},
        {"field,bytes=4", UINT32_MAX, 0, 0, 3, 4, {0, 0, 0, 2}},
        {"field,bytes=8", UINT64_MAX, 0, 0, 3, 8, {[7] = 2}},
        {"field,bytes=8,endian=little,at=10,session_bytes=10", 258, 0x01020304, 0, 0, 18, {[6] = 1, 2, 3, 4, 2, 1}},
        {"field,bytes=2,session_at=4,session_bytes=2", 7, 0x01020304, 0, 0, 6, {0, 7, 0, 0, 3, 4}},
        {"field,at=0,bytes=1,session_at=48,session_bytes=16", 9, 5, 9, 8, 64, {17, [63] = 5}},
    };
    char why[LIST_WHY_MAX];

    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct framing_case *c = &cases[i];
        struct framing f = {
            .first_number = c->first_number, .session = c->session, .restart = c->restart, .rate = 1, .stride = 1};
        uint8_t out[FRAMING_MAX];
        cr_assert(framing_parse(c->form, &f, why), "%s: %s", c->form, why);
        cr_assert_eq(framing_length(&f), c->length, "%s", c->form);
        framing_write(&f, c->place, out);
        if (f.as == FRAMING_AS_RTP)
            memset(out + 4, 0, 4);
        cr_assert_arr_eq(out, c->wanted, c->length, "%s", c->form);
    }
}

static uint32_t at32(const uint8_t *p)
{
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

struct ticks_case {
    uint64_t clock_hz, rate, stride, from, to;
    uint32_t ticks;
};

Test(framing, time_stamps_follow_the_rate)
{
    static const struct ticks_case cases[] = {
        {90000, 1000, 1, 0, 1, 90},
        {90000, 50000, 1, 0, 5, 9},
        {90000, 50000, 1, 0, 1, 1}, // 1.8
        {48000, 1000, 4, 10, 11, 192},
        {90000, 100000000, 1, 0, 99999999, 89999},
        {1000000000, 99999999, 4096, 0, 1, 40960},
        // A day, and the largest place; modulo 2^32.
        {90000, 1000, 1, 0, 86400000, (uint32_t) (UINT64_C(86400) * 90000)},
        {90000, 1, 1, INT64_MAX - 1, INT64_MAX, 90000},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct ticks_case *c = &cases[i];
        struct framing f = {
            .as = FRAMING_AS_RTP, .clock_hz = c->clock_hz, .rate = c->rate, .stride = c->stride, .seed = 3};
        uint8_t from[FRAMING_RTP], to[FRAMING_RTP];
        framing_write(&f, c->from, from);
        framing_write(&f, c->to, to);
        cr_assert_eq(at32(to + 4) - at32(from + 4), c->ticks, "case %zu: %u", i, at32(to + 4) - at32(from + 4));
    }
}

Test(framing, a_restart_changes_session_and_number)
{
    struct framing f = {
        .as = FRAMING_AS_RTP, .clock_hz = 90000, .rate = 1000, .stride = 1, .session = 9, .restart = 100};
    uint8_t out[3][FRAMING_RTP];
    unsigned near = 0;

    for (f.seed = 0; f.seed < 50; f.seed++) {
        framing_write(&f, 99, out[0]);
        framing_write(&f, 100, out[1]);
        framing_write(&f, 101, out[2]);
        cr_assert_eq(at32(out[0] + 8), 9);
        cr_assert_neq(at32(out[1] + 8), 9);
        cr_assert_eq(at32(out[1] + 8), at32(out[2] + 8));
        cr_assert_eq((uint16_t) (at32(out[2]) - at32(out[1])), 1);
        near += (uint16_t) at32(out[1]) < 1000; // by chance 1 of 65
    }
    cr_assert_lt(near, 10);
    // However few bytes a session has, the next one is another.
    for (unsigned life = 0; life < 1000; life++) {
        f = (struct framing){.as = FRAMING_AS_FIELD, .bytes = 1, .session_at = 1, .session_bytes = 1, .restart = 1};
        framing_write(&f, life, out[0]);
        framing_write(&f, life + 1, out[1]);
        cr_assert_neq(out[0][1], out[1][1]);
    }
}

struct wrong_case {
    const char *text, *why;
};

Test(framing, wrong_ones)
{
    static const struct wrong_case cases[] = {
        {"", "allowed are rtp and field"},
        {"rtcp", "allowed are rtp and field"},
        {"rtp,", "\"\": allowed are payload_type= and clock_hz="},
        {"rtp,at=0", "\"at=0\": allowed are payload_type= and clock_hz="},
        {"rtp,payload_type=128", "\"payload_type=128\": allowed is 0 to 127"},
        {"rtp,clock_hz=0", "\"clock_hz=0\": allowed is 1 to 1000000000"},
        {"field,bytes=3", "\"bytes=3\": allowed is 1, 2, 4 or 8"},
        {"field,bytes=", "\"bytes=\": allowed is 1, 2, 4 or 8"},
        {"field,bytes=88", "\"bytes=88\": allowed is 1, 2, 4 or 8"},
        {"field,endian=bi", "\"endian=bi\": allowed is big or little"},
        {"field,at=61", "allowed are number and session within the first 64 bytes"},
        {"field,session_at=60,session_bytes=5", "allowed are number and session within the first 64 bytes"},
        {"field,session_at=3,session_bytes=1", "allowed are number and session beside each other"},
        {"field,at=2,session_at=0,session_bytes=16", "allowed are number and session beside each other"},
        {"field,at", "\"at\": allowed are at=, bytes=, endian=, session_at= and session_bytes="},
        {"field,=1", "\"=1\": allowed are at=, bytes=, endian=, session_at= and session_bytes="},
    };
    char why[LIST_WHY_MAX];

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct framing f = {0};
        cr_assert_not(framing_parse(cases[i].text, &f, why), "%s", cases[i].text);
        cr_assert_str_eq(why, cases[i].why);
    }
}

// --- leg -------------------------------------------------------------------------------------------------------------

static struct leg leg_of(const char *text, uint64_t seed, unsigned number)
{
    char why[LIST_WHY_MAX], whole[LIST_TEXT_MAX];
    struct leg leg;

    snprintf(whole, sizeof(whole), "in0,239.1.1.1,5000%s%s", *text ? "," : "", text);
    cr_assert(leg_parse(whole, &leg, why), "%s: %s", text, why);
    leg_seed(&leg, seed, number);
    return leg;
}

Test(leg, parts_are_taken)
{
    struct leg leg = leg_of("delay_ms=10000,loss=0.5%,pattern=3/100@7,reorder=5,repeat=2,pattern=20@5000", 1, 1);
    char why[LIST_WHY_MAX];

    cr_assert(strcmp(leg.interface, "in0") == 0 && leg.to.family == ADDR_IPV4 && leg.port == 5000);
    cr_assert(leg.delay_ms == 10000 && leg.reorder == 5 && leg.repeat == 2);
    cr_assert_eq(leg.loss, (UINT64_C(1) << 32) / 200);
    cr_assert(leg.n_patterns == 2 && leg.patterns[0].run == 3 && leg.patterns[0].every == 100 &&
              leg.patterns[0].from == 7 && leg.patterns[1].run == 20 && leg.patterns[1].every == 0 &&
              leg.patterns[1].from == 5000);
    cr_assert(leg_parse("abcdefghijklmno,ff15::1,1", &leg, why));
    cr_assert(leg.to.family == ADDR_IPV6 && leg.loss == 0 && leg.n_patterns == 0);
}

Test(leg, wrong_ones)
{
    static const struct wrong_case cases[] = {
        {"", "\"\": allowed is one of `ip link`"},
        {"abcdefghijklmnop,239.1.1.1,5000", "\"abcdefghijklmnop\": allowed is one of `ip link`"},
        {"a", "\"a\": commas separate what a leg is: IF,ADDRESS,PORT"},
        {"net-a:239.10.0.1:5000", "\"net-a:239.10.0.1:5000\": commas separate what a leg is: IF,ADDRESS,PORT"},
        {"a,host,1", "\"host\": allowed is a numeric IPv4 or IPv6 address"},
        {"a,239.1.1.1", "\"\": allowed is a port, 1 to 65535"},
        {"a,239.1.1.1,0", "\"0\": allowed is a port, 1 to 65535"},
        {"a,239.1.1.1,65536", "\"65536\": allowed is a port, 1 to 65535"},
        {"a,239.1.1.1,1,", "\"\": allowed are delay_ms=, loss=, pattern=, reorder= and repeat="},
        {"a,239.1.1.1,1,delay_ms=10001", "\"delay_ms=10001\": allowed is 0 to 10000"},
        {"a,239.1.1.1,1,reorder=1001", "\"reorder=1001\": allowed is 0 to 1000"},
        {"a,239.1.1.1,1,repeat=-1", "\"repeat=-1\": allowed is 0 to 9"},
        {"a,239.1.1.1,1,loss=100.1", "\"loss=100.1\": allowed is a share of 0 to 100 %"},
        {"a,239.1.1.1,1,loss=", "\"loss=\": allowed is a share of 0 to 100 %"},
        {"a,239.1.1.1,1,loss=%", "\"loss=%\": allowed is a share of 0 to 100 %"},
        {"a,239.1.1.1,1,loss=1%%", "\"loss=1%%\": allowed is a share of 0 to 100 %"},
        {"a,239.1.1.1,1,loss=nan", "\"loss=nan\": allowed is a share of 0 to 100 %"},
        {"a,239.1.1.1,1,loss=1.2.3", "\"loss=1.2.3\": allowed is a share of 0 to 100 %"},
        {"a,239.1.1.1,1,loss=.", "\"loss=.\": allowed is a share of 0 to 100 %"},
#define PATTERN "allowed is RUN[/EVERY][@FROM], EVERY above RUN, RUN above 0, up to 8 times"
        {"a,239.1.1.1,1,pattern=", "\"pattern=\": " PATTERN},
        {"a,239.1.1.1,1,pattern=0", "\"pattern=0\": " PATTERN},
        {"a,239.1.1.1,1,pattern=3/3", "\"pattern=3/3\": " PATTERN},
        {"a,239.1.1.1,1,pattern=3/", "\"pattern=3/\": " PATTERN},
        {"a,239.1.1.1,1,pattern=3@", "\"pattern=3@\": " PATTERN},
        {"a,239.1.1.1,1,pattern=3@1/9", "\"pattern=3@1/9\": " PATTERN},
        {"a,239.1.1.1,1,pattern=9223372036854775808", "\"pattern=9223372036854775808\": " PATTERN},
        {"a,239.1.1.1,1,pattern=1,pattern=1,pattern=1,pattern=1,pattern=1,pattern=1,pattern=1,pattern=1,pattern=2",
         "\"pattern=2\": " PATTERN},
    };
    char why[LIST_WHY_MAX], longest[600];
    struct leg leg;

    for (size_t i = 0; i < COUNT(cases); i++) {
        cr_assert_not(leg_parse(cases[i].text, &leg, why), "%s", cases[i].text);
        cr_assert_str_eq(why, cases[i].why);
    }
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    cr_assert_not(leg_parse(longest, &leg, why));
    cr_assert_str_eq(why, "allowed are 511 characters");
}

struct pattern_case {
    const char *text, *lost; // of the first 12
};

Test(leg, patterns)
{
    static const struct pattern_case cases[] = {
        {"", "............"},
        {"pattern=3", "xxx........."},
        {"pattern=2@4", "....xx......"},
        {"pattern=1/4", "x...x...x..."},
        {"pattern=2/5@3", "...xx...xx.."},
        {"pattern=1/3@1,pattern=3@9", ".x..x..x.xxx"},
        {"pattern=9223372036854775807", "xxxxxxxxxxxx"},
        {"pattern=1@9223372036854775807", "............"},
        {"loss=100%", "xxxxxxxxxxxx"},
        {"loss=0", "............"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct leg leg = leg_of(cases[i].text, 1, 1);
        for (uint64_t place = 0; place < 12; place++)
            cr_assert_eq(leg_loses(&leg, place), cases[i].lost[place] == 'x', "%s: %d", cases[i].text, (int) place);
    }
}

// Of 100,000, each within six standard deviations (of a fixed seed: this never fails by chance).
Test(leg, losses_by_probability_are_independent_and_follow_the_seed)
{
    enum { N = 100000 };
    struct leg one = leg_of("loss=10%", 7, 1), two = leg_of("loss=10%", 7, 2), same = leg_of("loss=10%", 7, 1),
               other = leg_of("loss=10%", 8, 1), rare = leg_of("loss=0.1", 7, 3);
    unsigned n_one = 0, n_two = 0, both = 0, both_other = 0, runs = 0, n_rare = 0;
    bool before = false;

    for (uint64_t place = 0; place < N; place++) {
        bool lost = leg_loses(&one, place);
        cr_assert_eq(lost, leg_loses(&same, place));
        n_one += lost;
        n_two += leg_loses(&two, place);
        both += lost && leg_loses(&two, place);
        both_other += lost && leg_loses(&other, place);
        runs += lost && before;
        n_rare += leg_loses(&rare, place);
        before = lost;
    }
    cr_assert(n_one > 9430 && n_one < 10570 && n_two > 9430 && n_two < 10570, "%u %u", n_one, n_two);
    cr_assert(both > 810 && both < 1190 && both_other > 810 && both_other < 1190, "%u %u", both, both_other);
    cr_assert(runs > 810 && runs < 1190, "%u", runs);
    cr_assert(n_rare > 40 && n_rare < 160, "%u", n_rare);
}

// The order in which a leg sends n datagrams that are there from the beginning.
static void order_of(const struct leg *leg, uint64_t n, char text[32])
{
    uint64_t place;
    unsigned turn = 0;

    for (; leg_turn(leg, turn, n, true, &place); turn++)
        text[turn] = (char) ('a' + place);
    text[turn] = '\0';
}

struct order_case {
    const char *text;
    uint64_t n;
    const char *order;
};

Test(leg, order)
{
    static const struct order_case cases[] = {
        {"", 4, "abcd"},
        {"reorder=1", 6, "badcfe"},
        {"reorder=1", 5, "badce"},
        {"reorder=2", 7, "bcaefdg"},
        {"reorder=2", 8, "bcaefdhg"},
        {"reorder=1000", 4, "bcda"},
        {"reorder=1000", 1, "a"},
        {"reorder=3", 0, ""},
    };
    char text[32];

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct leg leg = leg_of(cases[i].text, 1, 1);
        order_of(&leg, cases[i].n, text);
        cr_assert_str_eq(text, cases[i].order, "%s: %s", cases[i].text, text);
    }
}

// However few are there at a time: the order is the same, each has its turn once, and none that was given up is asked
// for.
Test(leg, order_does_not_depend_on_when_they_come)
{
    static const char *const texts[] = {"", "reorder=1", "reorder=4", "reorder=10"};

    for (size_t i = 0; i < COUNT(texts); i++)
        for (uint64_t n = 0; n < 25; n++)
            for (uint64_t step = 1; step <= 5; step++) {
                struct leg leg = leg_of(texts[i], 1, 1);
                char wanted[32], found[32];
                uint64_t turn = 0, oldest = 0, place;
                order_of(&leg, n, wanted);
                for (uint64_t made = 0; made <= n + step; made += step)
                    while (leg_turn(&leg, turn, made < n ? made : n, made >= n, &place)) {
                        cr_assert(place < n && place >= oldest);
                        found[turn++] = (char) ('a' + place);
                        cr_assert_geq(leg_oldest(&leg, turn), oldest);
                        oldest = leg_oldest(&leg, turn);
                    }
                found[turn] = '\0';
                cr_assert_eq(turn, n);
                cr_assert_str_eq(found, wanted);
            }
}

// --- lost ------------------------------------------------------------------------------------------------------------

static char file_path[] = "/tmp/mcr-lost-XXXXXX";

static void make_file(void)
{
    int fd = mkstemp(file_path);

    cr_assert_geq(fd, 0);
    close(fd);
}

static void remove_file(void)
{
    unlink(file_path);
}

static void write_file(const char *text)
{
    FILE *f = fopen(file_path, "w");

    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

// The numbers that came, one a character: '0' to '9'.
static struct sequence came_of(const char *numbers)
{
    struct sequence s;

    cr_assert(sequence_init(&s, 0, SEQUENCE_ANY));
    for (; *numbers; numbers++)
        sequence_add(&s, (uint64_t) (*numbers - '0'));
    return s;
}

struct lost_case {
    const char *text, *came;
    uint64_t expected, all, missing, unexpected;
};

#define HEAD "mcrgen-lost first 2 legs 2\n"

Test(lost, judged, .init = make_file, .fini = remove_file)
{
    static const struct lost_case cases[] = {
        {HEAD "count 4\n", "2345", 4, 0, 0, 0},
        {HEAD "count 4\n", "5324", 4, 0, 0, 0},
        {HEAD "count 4\n", "", 4, 0, 4, 0},
        {HEAD "count 0\n", "", 0, 0, 0, 0},
        {HEAD "3 1\n4 1 2\n5 2\ncount 6\n", "23567", 5, 1, 0, 0},
        {HEAD "3 1\n4 1 2\n5 2\ncount 6\n", "2567", 5, 1, 1, 0},
        {HEAD "3 1\n4 1 2\n5 2\ncount 6\n", "234567", 5, 1, 0, 1},
        {HEAD "2 1 2\n7 1 2\ncount 6\n", "3456", 4, 2, 0, 0},
        {HEAD "2 1 2\n7 1 2\ncount 6\n", "01234568", 4, 2, 0, 4},
        {HEAD "2 1 2\n7 1 2\ncount 6\n", "33356", 4, 2, 1, 0}, // duplicates are judged elsewhere
        {"mcrgen-lost first 0 legs 1\n0 1\ncount 2\n", "1", 1, 1, 0, 0},
    };
    char why[LOST_WHY_MAX] = "";
    struct lost_verdict v;

    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct lost_case *c = &cases[i];
        struct sequence s = came_of(c->came);
        write_file(c->text);
        cr_assert(lost_judge(file_path, &s, &v, why), "case %zu: %s", i, why);
        cr_assert(v.expected == c->expected && v.all == c->all && v.missing == c->missing &&
                      v.unexpected == c->unexpected,
                  "case %zu: %d %d %d %d", i, (int) v.expected, (int) v.all, (int) v.missing, (int) v.unexpected);
        sequence_free(&s);
    }
}

Test(lost, wrong_or_incomplete_files_are_none, .init = make_file, .fini = remove_file)
{
    static const char *const texts[] = {
        "",
        "\n",
        HEAD,
        HEAD "3 1\n",
        HEAD "count 4",
        HEAD "count 4\n\n",
        HEAD "count 4\n3 1\n",
        HEAD "count 0\ncount 4\n",
        HEAD "count -1\n",
        HEAD "count 67108865\n",
        HEAD "count 18446744073709551615\n",
        HEAD "3 1\ncount 1\n",
        HEAD "1 1\ncount 4\n",
        HEAD "3 1\n3 2\ncount 4\n",
        HEAD "4 1\n3 1\ncount 4\n",
        HEAD "3\ncount 4\n",
        HEAD "3 \ncount 4\n",
        HEAD "3 0\ncount 4\n",
        HEAD "3 3\ncount 4\n",
        HEAD "3 2 1\ncount 4\n",
        HEAD "3 1 1\ncount 4\n",
        HEAD "3 1 \ncount 4\n",
        HEAD " 3 1\ncount 4\n",
        HEAD "67108866 1\ncount 67108864\n",
        HEAD
        "3 1 11111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111"
        "1111111111111111111111111111111111111111\ncount 4\n",
        "mcrgen-lost first 2 legs 0\ncount 4\n",
        "mcrgen-lost first 2 legs 9\ncount 4\n",
        "mcrgen-lost first 2 legs 2 \ncount 4\n",
        "mcrgen-lost first 9223372036854775807 legs 2\ncount 4\n",
        "mcrgen-lost legs 2 first 2\ncount 4\n",
        "mcrgen-lost\ncount 4\n",
    };
    struct sequence s = came_of("2345");
    char why[LOST_WHY_MAX];
    struct lost_verdict v;

    for (size_t i = 0; i < COUNT(texts); i++) {
        write_file(texts[i]);
        cr_assert_not(lost_judge(file_path, &s, &v, why), "%s", texts[i]);
    }
    remove_file();
    cr_assert_not(lost_judge(file_path, &s, &v, why));
    cr_assert_str_eq(why, "No such file or directory");
    sequence_free(&s);
}

Test(lost, what_is_written_is_read, .init = make_file, .fini = remove_file)
{
    struct leg one = leg_of("loss=30%,pattern=5@90", 3, 1), two = leg_of("loss=30%,pattern=5@92", 3, 2);
    FILE *f = lost_create(file_path, 1000, 2);
    struct sequence s;
    struct lost_verdict v;
    char why[LOST_WHY_MAX];
    unsigned all = 0;

    cr_assert(f && sequence_init(&s, 0, SEQUENCE_ANY));
    for (uint64_t place = 0; place < 5000; place++) {
        unsigned lost = leg_loses(&one, place) | (unsigned) leg_loses(&two, place) << 1;
        if (lost)
            lost_write(f, 1000 + place, lost);
        if (lost == 3)
            all++;
        else
            sequence_add(&s, 1000 + place);
    }
    cr_assert(lost_finish(f, 5000));
    cr_assert(lost_judge(file_path, &s, &v, why), "%s", why);
    cr_assert(all > 300 && v.all == all && v.expected == 5000 - all && v.missing == 0 && v.unexpected == 0);
    sequence_free(&s);
}

// --- options ---------------------------------------------------------------------------------------------------------

static int read_line(struct gen_options *o, bool sending, const char *text)
{
    static char copy[1024], program[] = "role";
    char *argv[32] = {program};
    int argc = 1;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *rest = copy, *word; (word = strsep(&rest, " "));)
        argv[argc++] = word;
    optind = 0; // begin anew
    return (sending ? gen_options_send : gen_options_recv)(o, argc, argv);
}

Test(gen_options, legs_and_forms)
{
    struct gen_options o;

    cr_assert_eq(read_line(&o, true,
                           "--leg lo,239.1.1.1,5000,loss=10% --leg lo,239.1.1.2,5001,delay_ms=20 --seed 7 "
                           "--as rtp --restart 9 --first-number 65530 --rate 50000"),
                 -1);
    cr_assert(o.n_legs == 2 && o.legs[0].loss > 0 && o.legs[1].port == 5001 && o.legs[1].ifindex > 0);
    cr_assert(o.legs[0].key != o.legs[1].key && o.framing.rate == 50000 && o.framing.first_number == 65530 &&
              o.framing.restart == 9 && o.framing.session <= UINT32_MAX);
    cr_assert_eq(read_line(&o, true,
                           "-i lo -g 239.1.1.1 -p 5 --as field,bytes=8 --first-number 18446744073709551615 "
                           "--ssrc 4294967295 --flows 3"),
                 -1);
    cr_assert(o.n_legs == 0 && o.framing.session == UINT32_MAX && o.framing.stride == 3);
    cr_assert_eq(read_line(&o, false, "-i lo -g 239.1.1.1 -p 5 --as field,at=60 --lost-file x --in-order"), -1);
    cr_assert(framing_length(&o.framing) == 64 && o.in_order);
}

struct option_case {
    bool sending;
    const char *text, *said;
};

#define LEG  "--leg lo,239.1.1.1,5000"
#define HERE "-i lo -g 239.1.1.1 -p 5 "

Test(gen_options, wrong_ones, .init = cr_redirect_stderr)
{
    static const struct option_case cases[] = {
        {true, LEG " -p 5", "--leg says where to send: without --interface, --group, --address and --port"},
        {true, LEG " --flows 2", "--leg excludes --flows"},
        {true, LEG " --gso 64", "--gso is \"64\", allowed with --size 1316 is up to 49 (65507 bytes in one send)"},
        {true, LEG ",loss=101",
         "--leg is \"lo,239.1.1.1,5000,loss=101\", \"loss=101\": allowed is a share of 0 to 100 %"},
        {true, "--leg nowhere,239.1.1.1,5000",
         "--leg is \"nowhere,239.1.1.1,5000\", \"nowhere\": allowed is one of `ip link`"},
        {true, LEG ",delay_ms=5 --rate 0",
         "--leg is \"lo,239.1.1.1,5000,delay_ms=5\": delay_ms needs a --rate above 0"},
        {true, LEG ",delay_ms=101 --rate 10000000",
         "--leg is \"lo,239.1.1.1,5000,delay_ms=101\", allowed with --rate 10000000 is delay_ms=0 to 100"},
        {true, LEG " --source ::1", "--source: allowed is an address of the destination's family (IPv4)"},
        {true, LEG " " LEG " " LEG " " LEG " " LEG " " LEG " " LEG " " LEG " " LEG,
         "--leg is \"lo,239.1.1.1,5000\", allowed are 8 legs"},
        {true, LEG " --lost-file x --count 67108865",
         "--lost-file: allowed are 67108864 datagrams, and a --first of up to 9223372036787666943"},
        {true, LEG " --lost-file x --rate 1000000 --seconds 68",
         "--lost-file: allowed are 67108864 datagrams, and a --first of up to 9223372036787666943"},
        {true, LEG " --lost-file x --first 9223372036787666944",
         "--lost-file: allowed are 67108864 datagrams, and a --first of up to 9223372036787666943"},
        {true, HERE "--lost-file x", "--lost-file can only go with --leg"},
        {true, HERE "--ssrc 1", "--ssrc can only go with --as"},
        {true, HERE "--as rtp --size 43", "--size is \"43\", allowed with --as rtp is 44 to 65507"},
        {true, HERE "--as rtp --rate 0",
         "--rate is \"0\", allowed with --as rtp is 1 to 100000000: its time stamps need one"},
        {true, HERE "--as rtp --first-number 65536",
         "--first-number is \"65536\", which the number of --as has no room for"},
        {true, HERE "--as field,bytes=2 --first-number 65536",
         "--first-number is \"65536\", which the number of --as has no room for"},
        {false, HERE "--as rtp,at=1", "--as is \"rtp,at=1\", \"at=1\": allowed are payload_type= and clock_hz="},
        {false, HERE "--lost-file x --expect 1",
         "--lost-file says what to expect: without --expect, --first and a --size below 32"},
    };
    char wanted[16384] = "";
    struct gen_options o;

    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *role = cases[i].sending ? "send" : "recv";
        cr_assert_eq(read_line(&o, cases[i].sending, cases[i].text), 2, "%s", cases[i].text);
        snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted),
                 "mcrgen %s: %s; mcrgen %s --help tells more\n", role, cases[i].said, role);
    }
    fflush(stderr);
    cr_assert_stderr_eq_str(wanted);
}
