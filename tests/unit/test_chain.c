// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/chain.h"
#include "command/history.h"

#define RECORDS 8
#define TIME_NS UINT64_C(1796032800123456789)

// A chain as a file: its lines, where each begins, and its head.
struct file {
    char text[RECORDS * CHAIN_LINE_MAX];
    size_t size, at[RECORDS + 1];
    struct chain_head heads[RECORDS + 1];
};

static void add(struct file *f, unsigned i, const char *body, enum chain_mark mark)
{
    char line[CHAIN_LINE_MAX];
    size_t used = (size_t) snprintf(line, sizeof(line), "%s", body);

    f->heads[i + 1] = f->heads[i];
    chain_seal(line, &used, &f->heads[i + 1], mark, TIME_NS + i * 1000000);
    f->at[i] = f->size;
    memcpy(f->text + f->size, line, used);
    f->size += used;
    f->text[f->size++] = '\n';
    f->at[i + 1] = f->size;
}

static void make(struct file *f, const char *what)
{
    char body[100];

    memset(f, 0, sizeof(*f));
    for (unsigned i = 0; i < RECORDS; i++) {
        snprintf(body, sizeof(body), "level=notice process=broker event=%s generation=%u", what, i);
        add(f, i, body, i == 0 ? CHAIN_BEGINS : CHAIN_NEXT);
    }
}

static char said[2000];

static void found(void *context, const struct chain_finding *finding)
{
    FILE *to = context;

    fputs(finding->fatal ? "" : "note: ", to);
    chain_print(finding, to);
}

// What is found in these bytes, line by line. head: the anchor, or NULL.
static const char *judge(const char *text, size_t size, bool whole, const struct chain_head *head)
{
    FILE *to = fmemopen(said, sizeof(said), "w");
    struct chain_check c = {.whole = whole, .complete = whole, .found = found, .context = to};
    struct chain_record r;

    if (head)
        c.anchor = *head;
    said[0] = '\0';
    const char *at = text, *end = text + size, *newline;
    while (at < end && (newline = memchr(at, '\n', (size_t) (end - at)))) {
        bool is = chain_parse(at, (size_t) (newline - at), &r);
        chain_check_line(&c, is ? &r : NULL);
        at = newline + 1;
    }
    chain_check_end(&c, at < end);
    fputc('\0', to);
    fclose(to);
    cr_expect_eq(c.faults > 0, said[0] && strncmp(said, "note", 4) != 0, "%s", said);
    return said;
}

static const char *judge_lines(const struct file *f, const char *order, const struct chain_head *head)
{
    static char text[2 * RECORDS * CHAIN_LINE_MAX];
    size_t size = 0;

    for (; *order; order++) {
        unsigned i = (unsigned) (*order - '1');
        memcpy(text + size, f->text + f->at[i], f->at[i + 1] - f->at[i]);
        size += f->at[i + 1] - f->at[i];
    }
    return judge(text, size, true, head);
}

Test(chain, a_record_is_read_as_it_was_sealed)
{
    struct chain_head head = {.n = 41, .hash = {1, 2, 3}}, before = head;
    char line[CHAIN_LINE_MAX] = "level=notice event=reload reason=\" n=7 hash=\"", hash[DIGEST_TEXT_MAX];
    size_t used = strlen(line), body = used;
    struct chain_record r;

    chain_seal(line, &used, &head, CHAIN_CONTINUES, TIME_NS);
    cr_assert(chain_parse(line, used, &r));
    cr_expect(r.right);
    cr_expect_eq(r.head.n, 42);
    cr_expect_eq(r.mark, CHAIN_CONTINUES);
    cr_expect_eq(r.body, body);
    cr_expect_str_eq(r.time, "2026-11-30T10:00:00.123Z");
    cr_expect_eq(memcmp(r.prev, before.hash, sizeof(r.prev)), 0);
    cr_expect_eq(memcmp(r.head.hash, head.hash, sizeof(head.hash)), 0);
    // The stated form, by the digest of the bytes.
    cr_expect_str_eq(digest_text(head.hash, hash), line + used - 64);
    for (size_t i = 0; i < used; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            line[i] ^= (char) (1 << bit);
            cr_expect(!chain_parse(line, used, &r) || !r.right, "bit %u of byte %zu", bit, i);
            line[i] ^= (char) (1 << bit);
        }
}

Test(chain, the_hash_is_the_stated_one)
{
    struct chain_head head = {.n = 0};
    char line[CHAIN_LINE_MAX] = "level=notice event=started", hash[DIGEST_TEXT_MAX];
    size_t used = strlen(line);

    chain_seal(line, &used, &head, CHAIN_BEGINS, 0);
    // printf 'level=notice event=started chain=begins n=1 time=1970-01-01T00:00:00.000Z prev=000...' | sha256sum
    cr_expect_str_eq(digest_text(head.hash, hash), "d1b6c1a7a6808df6f5935c2d1cf03a33d1b1d31fb089f4fb6c18e5fe2674bbf4");
}

Test(chain, a_long_record_is_cut_at_a_character_and_is_still_one)
{
    struct chain_head head = {.n = 0};
    char line[CHAIN_LINE_MAX];
    struct chain_record r;

    for (size_t shift = 0; shift < 3; shift++) {
        size_t used = sizeof(line);
        for (size_t i = 0; i < used; i++)
            line[i] = "\xe2\x82\xac"[(i + shift) % 3];
        chain_seal(line, &used, &head, CHAIN_CONTINUES, UINT64_MAX);
        cr_assert_lt(used, CHAIN_LINE_MAX);
        cr_assert(chain_parse(line, used, &r) && r.right);
        cr_expect_eq((r.body + shift) % 3, 0);
    }
}

Test(chain, heads_are_read)
{
    char text[100], zeros[65];
    struct chain_head head;

    memset(zeros, '0', 64);
    zeros[64] = '\0';
    snprintf(text, sizeof(text), "18446744073709551615:%s", zeros);
    cr_expect(chain_parse_head(text, &head) && head.n == UINT64_MAX);
    for (const char *const *n = (const char *const[]){"", "0", "01", "18446744073709551616", "-1", "1 ", " n=1", NULL};
         *n; n++) {
        snprintf(text, sizeof(text), "%s:%s", *n, zeros);
        cr_expect(!chain_parse_head(text, &head), "%s", text);
    }
    cr_expect(!chain_parse_head(zeros, &head));
    cr_expect(!chain_parse_head("1:abc", &head));
    cr_expect(!chain_parse_head("", &head));
    zeros[63] = 'g';
    snprintf(text, sizeof(text), "1:%s", zeros);
    cr_expect(!chain_parse_head(text, &head), "no digit");
    zeros[63] = '0';
    snprintf(text, sizeof(text), "1%s0", zeros);
    cr_expect(!chain_parse_head(text, &head), "no colon");
    snprintf(text, sizeof(text), "000000000000000000001:%s", zeros);
    cr_expect(!chain_parse_head(text, &head), "more digits than a number has");
}

Test(chain, each_tampering_is_told_by_its_number)
{
    static struct file f;
    static const struct {
        const char *order, *expected;
    } cases[] = {
        {"12345678", ""},
        {"1245678", "record 3: missing\n"},
        {"1678", "records 2 to 5: missing\n"},
        {"2345678", "record 1: missing\n"},
        {"345678", "records 1 to 2: missing\n"},
        {"1234567", "record 8: missing\n"},
        {"123", "records 4 to 8: missing\n"},
        {"", "records 1 to 8: missing\n"},
        {"13245678", "record 2: missing\nrecord 2: out of order, behind record 3\n"},
        {"12345687", "record 7: missing\nrecord 7: out of order, behind record 8\n"},
        {"123445678", "record 4: out of order, behind record 4\n"},
        {"1234123", "record 1: a new chain begins behind record 4\nrecords 4 to 8: missing\n"},
        {"12345678345",
         "record 3: out of order, behind record 8\nrecord 4: out of order, behind record 8\n"
         "record 5: out of order, behind record 8\n"},
    };

    make(&f, "reload");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_str_eq(judge_lines(&f, cases[i].order, &f.heads[RECORDS]), cases[i].expected, "%s: %s",
                         cases[i].order, said);
}

Test(chain, each_changed_byte_is_told_by_the_number_of_its_record)
{
    static struct file f;
    char expected[64];

    make(&f, "reload");
    for (unsigned i = 0; i < RECORDS; i++)
        for (size_t at = f.at[i]; at + 1 < f.at[i + 1]; at++) {
            char was = f.text[at];
            f.text[at] = was == '7' ? '8' : '7';
            snprintf(expected, sizeof(expected), "record %u: changed\n", i + 1);
            judge(f.text, f.size, true, &f.heads[RECORDS]);
            cr_expect_str_eq(said, expected, "byte %zu of record %u: %s", at - f.at[i], i + 1, said);
            f.text[at] = was;
        }
}

// The order has 'x' for a line that is no record.
static const char *judge_with_others(const struct file *f, const char *order, const struct chain_head *head)
{
    static char text[2 * RECORDS * CHAIN_LINE_MAX];
    size_t size = 0;

    for (; *order; order++) {
        unsigned i = (unsigned) (*order - '1');
        size_t n = *order == 'x' ? 5 : f->at[i + 1] - f->at[i];
        memcpy(text + size, *order == 'x' ? "junk\n" : f->text + f->at[i], n);
        size += n;
    }
    return judge(text, size, true, head);
}

Test(chain, a_line_that_is_no_record_is_told_by_the_record_before_it)
{
    static struct file f;
    static const struct {
        const char *order, *expected;
        bool head;
    } cases[] = {
        {"12x345678", "a line that is no record, behind record 2\n", true},
        {"12xx345x678", "2 lines that are no records, behind record 2\na line that is no record, behind record 5\n",
         true},
        {"12345678x", "a line that is no record, behind record 8\n", true},
        {"12345678xx", "2 lines that are no records, behind record 8\n", false},
        {"x12345678", "a line that is no record, before record 1\n", true},
        {"x", "a line that is no record\n", false},
        // In the place of a record.
        {"12x45678", "record 3: changed\n", true},
        {"12xx5678", "record 3: changed\nrecord 4: changed\n", true},
        {"12x5678", "record 3: changed\nrecord 4: missing\n", true},
        {"12xx45678", "record 3: changed\na line that is no record, behind record 2\n", true},
        {"1234567x", "record 8: changed\n", true},
        {"1234567x", "a line that is no record, behind record 7\n", false},
        {"x2345678", "record 1: changed\n", true},
        {"12x245678",
         "a line that is no record, behind record 2\nrecord 2: out of order, behind record 2\n"
         "record 3: missing\n",
         true},
    };
    struct chain_check c = {.whole = true};
    struct chain_record r;

    make(&f, "reload");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_str_eq(judge_with_others(&f, cases[i].order, cases[i].head ? &f.heads[RECORDS] : NULL),
                         cases[i].expected, "%s: %s", cases[i].order, said);
    // Before a changed record that names the one before.
    f.text[f.at[2] + 8] ^= 1;
    cr_expect_str_eq(judge_with_others(&f, "12x345678", NULL),
                     "a line that is no record, behind record 2\nrecord 3: changed\n", "%s", said);
    // The caller's place is that of the first of them.
    cr_assert(chain_parse(f.text, f.at[1] - 1, &r));
    for (unsigned i = 1; i < 4; i++) {
        c.place = (struct chain_place){1, i};
        chain_check_line(&c, i == 1 ? &r : NULL);
    }
    cr_expect_eq(c.at.line, 2);
    cr_expect_eq(c.faults, 0);
    chain_check_settle(&c);
    cr_expect_eq(c.faults, 1);
}

Test(chain, a_cut_at_every_byte_is_told)
{
    static struct file f;
    char expected[100];

    make(&f, "reload");
    for (size_t size = 0; size < f.size; size++) {
        unsigned n = 0; // whole records
        while (f.at[n + 1] <= size)
            n++;
        bool within = size > f.at[n];
        int used = within ? snprintf(expected, sizeof(expected), "record %u: cut\n", n + 1) : 0;
        unsigned first = n + 1 + within;
        if (first == RECORDS)
            snprintf(expected + used, sizeof(expected) - (size_t) used, "record %u: missing\n", first);
        else if (first < RECORDS)
            snprintf(expected + used, sizeof(expected) - (size_t) used, "records %u to %d: missing\n", first, RECORDS);
        judge(f.text, size, true, &f.heads[RECORDS]);
        cr_expect_str_eq(said, expected, "%zu bytes: %s", size, said);
    }
}

Test(chain, two_files_spliced_are_told)
{
    static struct file f, g;
    static char text[sizeof(f.text)];

    make(&f, "reload");
    make(&g, "started"); // another relay's
    for (unsigned n = 1; n < RECORDS; n++) {
        char expected[64];
        memcpy(text, f.text, f.at[n]);
        memcpy(text + f.at[n], g.text + g.at[n], g.size - g.at[n]);
        snprintf(expected, sizeof(expected), "record %u: of another chain\n", n + 1);
        judge(text, f.at[n] + g.size - g.at[n], true, NULL);
        cr_expect_str_eq(said, expected, "%s", said);
        // With a head the end is told, too.
        judge(text, f.at[n] + g.size - g.at[n], true, &f.heads[RECORDS]);
        cr_expect(strstr(said, "record 8: of another chain"), "%s", said);
    }
    // Another chain as a whole: only a head from elsewhere tells.
    cr_expect_str_eq(judge(g.text, g.size, true, NULL), "");
    cr_expect_str_eq(judge(g.text, g.size, true, &f.heads[5]), "record 5: of another chain\n");
}

Test(chain, a_replayed_older_file_is_told_by_the_head)
{
    static struct file f;
    char expected[64];

    make(&f, "reload");
    for (unsigned n = 1; n < RECORDS - 1; n++) {
        snprintf(expected, sizeof(expected), "records %u to %d: missing\n", n + 1, RECORDS);
        cr_expect_str_eq(judge(f.text, f.at[n], true, &f.heads[RECORDS]), expected, "%s", said);
        // An older head is among the records.
        cr_expect_str_eq(judge(f.text, f.size, true, &f.heads[n]), "", "%s", said);
    }
}

Test(chain, in_the_log_other_lines_and_new_chains_are_no_faults)
{
    static struct file f;
    static char text[3 * sizeof(f.text)];
    size_t size = 0;

    make(&f, "reload");
    memcpy(text, f.text + f.at[3], f.size - f.at[3]); // the journal has forgotten the first three
    size += f.size - f.at[3];
    size += (size_t) sprintf(text + size, "level=notice process=relay event=stopping\n\n");
    memcpy(text + size, f.text, f.size);
    size += f.size;
    cr_expect_str_eq(judge(text, size, false, &f.heads[RECORDS]),
                     "note: record 1: a new chain begins behind record 8\n");
    char *n = strstr(text, "generation=4");
    n[11] = '5';
    cr_expect_str_eq(judge(text, size, false, NULL),
                     "record 5: changed\nnote: record 1: a new chain begins behind record 8\n");
}

Test(chain, a_set_of_files_of_which_the_oldest_was_removed_begins_with_one)
{
    static struct file f;
    struct chain_check c = {.whole = true};
    struct chain_record r;

    memset(&f, 0, sizeof(f));
    f.heads[0].n = 100;
    add(&f, 0, "level=notice event=reload", CHAIN_CONTINUES);
    add(&f, 1, "level=notice event=reload", CHAIN_NEXT);
    for (unsigned first = 0; first < 2; first++) {
        c = (struct chain_check){.whole = true};
        for (unsigned i = first; i < 2; i++) {
            cr_assert(chain_parse(f.text + f.at[i], f.at[i + 1] - f.at[i] - 1, &r));
            chain_check_line(&c, &r);
        }
        cr_expect_eq(c.faults, first, "%u", first);
    }
}

Test(chain, a_first_file_says_that_the_records_before_are_elsewhere)
{
    static struct file f;
    static char text[2 * sizeof(f.text)];

    memset(&f, 0, sizeof(f));
    f.heads[0].n = 100;
    add(&f, 0, "level=notice event=audit", CHAIN_ELSEWHERE);
    for (unsigned i = 1; i < RECORDS; i++)
        add(&f, i, "level=notice event=reload", CHAIN_NEXT);
    cr_expect_str_eq(judge_lines(&f, "12345678", &f.heads[RECORDS]),
                     "note: begins with record 101: the ones before are in the log\n");
    // What was cut off its beginning shows all the same, and so does what is behind it.
    cr_expect_str_eq(judge_lines(&f, "2345678", NULL), "records 1 to 101: missing\n");
    f.text[f.at[0] + 8] ^= 1;
    cr_expect_str_eq(judge_lines(&f, "12345678", NULL), "record 1: changed\nrecords 2 to 101: missing\n", "%s", said);
    f.text[f.at[0] + 8] ^= 1;
    // Behind other records it names those that are to be looked for elsewhere.
    size_t size = f.at[1];
    memcpy(text, f.text, f.at[1]);
    static struct file g;
    make(&g, "reload");
    memcpy(text, g.text, g.at[4]);
    memcpy(text + g.at[4], f.text, size);
    cr_expect_str_eq(judge(text, g.at[4] + size, true, NULL), "note: records 5 to 100: in the log or in another file\n",
                     "%s", said);
    // In the journal, which has those before, it is nothing special.
    cr_expect_str_eq(judge(f.text, f.size, false, NULL), "", "%s", said);
}

Test(history, fields_are_found_whole_and_safe_to_show)
{
    static const char body[] =
        "level=error event=reload reason=\"a \\\"b\\\" uid=9 \\\\\" uid=7 note=\"\xff\x1b[31m\xe2\x80\xae\" empty= "
        "word \"x=1\"";
    static const struct {
        const char *key, *value;
    } cases[] = {
        {"level", "error"}, {"reason", "a \"b\" uid=9 \\"},
        {"uid", "7"},       {"note", "??[31m?"},
        {"empty", ""},      {"word", NULL},
        {"x", NULL},        {"rea", NULL},
    };
    char value[64], few[5];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool is = history_field(body, sizeof(body) - 1, cases[i].key, value, sizeof(value));
        cr_expect_eq(is, cases[i].value != NULL, "%s", cases[i].key);
        cr_expect_str_eq(value, is ? cases[i].value : "", "%s: %s", cases[i].key, value);
    }
    cr_expect(history_field(body, sizeof(body) - 1, "level", few, sizeof(few)));
    cr_expect_str_eq(few, "erro");
}
