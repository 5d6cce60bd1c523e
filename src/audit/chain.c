// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "audit/chain.h"

#include <inttypes.h>
#include <sha256.h>
#include <string.h>
#include <time.h>

#define HEX      (2 * DIGEST_BYTES)
#define TAIL_MAX 240 // more than the end of a record has

static const char *const marks[] = {
    [CHAIN_NEXT] = "",
    [CHAIN_CONTINUES] = " chain=continues",
    [CHAIN_ELSEWHERE] = " chain=elsewhere",
    [CHAIN_BEGINS] = " chain=begins",
};

#define MARKS (sizeof(marks) / sizeof(marks[0]))

static void digest(const char *text, size_t size, uint8_t hash[DIGEST_BYTES])
{
    SHA256_CTX context;

    SHA256Init(&context);
    SHA256Update(&context, (const uint8_t *) text, size);
    SHA256Final(hash, &context);
}

// A clock before 1970 or behind 9999 is not shown as it is.
static void write_time(uint64_t realtime_ns, char out[CHAIN_TIME_MAX])
{
    time_t seconds = (time_t) (realtime_ns / 1000000000);
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || tm.tm_year < 70 || tm.tm_year > 9999 - 1900)
        tm = (struct tm){.tm_year = 70, .tm_mday = 1};
    char text[64];
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
             tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned) (realtime_ns / 1000000 % 1000));
    memcpy(out, text, CHAIN_TIME_MAX - 1);
    out[CHAIN_TIME_MAX - 1] = '\0';
}

void chain_seal(char line[CHAIN_LINE_MAX], size_t *used, struct chain_head *head, enum chain_mark mark,
                uint64_t realtime_ns)
{
    char prev[DIGEST_TEXT_MAX], time[CHAIN_TIME_MAX];

    if (*used > CHAIN_LINE_MAX - TAIL_MAX) {
        *used = CHAIN_LINE_MAX - TAIL_MAX;
        while (*used > 0 && ((unsigned char) line[*used] & 0xc0) == 0x80)
            --*used;
    }
    write_time(realtime_ns, time);
    head->n++;
    *used += (size_t) snprintf(line + *used, CHAIN_LINE_MAX - *used, "%s n=%" PRIu64 " time=%s prev=%s", marks[mark],
                               head->n, time, digest_text(head->hash, prev));
    digest(line, *used, head->hash);
    *used += (size_t) snprintf(line + *used, CHAIN_LINE_MAX - *used, " hash=%s", digest_text(head->hash, prev));
}

// --- reading ---------------------------------------------------------------------------------------------------------

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_digest(const char *text, uint8_t out[DIGEST_BYTES])
{
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t) (high << 4 | low);
    }
    return true;
}

// Takes word off the end of the first *length bytes of line.
static bool take_word(const char *line, size_t *length, const char *word)
{
    size_t n = strlen(word);

    if (*length < n || memcmp(line + *length - n, word, n) != 0)
        return false;
    *length -= n;
    return true;
}

// The same for KEY and a digest.
static bool take_digest(const char *line, size_t *length, const char *key, uint8_t out[DIGEST_BYTES])
{
    if (*length < HEX || !read_digest(line + *length - HEX, out))
        return false;
    *length -= HEX;
    return take_word(line, length, key);
}

static bool take_time(const char *line, size_t *length, char out[CHAIN_TIME_MAX])
{
    static const char form[] = "0000-00-00T00:00:00.000Z";
    const size_t n = sizeof(form) - 1;

    if (*length < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = line[*length - n + i];
        if (form[i] == '0' ? c < '0' || c > '9' : c != form[i])
            return false;
        out[i] = c;
    }
    out[n] = '\0';
    *length -= n;
    return take_word(line, length, " time=");
}

// A number has one form: no zero before it.
static bool take_number(const char *line, size_t *length, uint64_t *n)
{
    size_t first = *length;
    uint64_t value = 0;

    while (first > 0 && line[first - 1] >= '0' && line[first - 1] <= '9')
        first--;
    if (first == *length || line[first] == '0')
        return false;
    for (size_t i = first; i < *length; i++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t) (line[i] - '0'), &value))
            return false;
    *n = value;
    *length = first;
    return take_word(line, length, " n=");
}

bool chain_parse(const char *line, size_t length, struct chain_record *r)
{
    uint8_t hash[DIGEST_BYTES];
    size_t left = length;

    *r = (struct chain_record){.mark = CHAIN_NEXT};
    if (length >= CHAIN_LINE_MAX || !take_digest(line, &left, " hash=", r->head.hash))
        return false;
    size_t hashed = left;
    if (!take_digest(line, &left, " prev=", r->prev) || !take_time(line, &left, r->time) ||
        !take_number(line, &left, &r->head.n))
        return false;
    for (enum chain_mark mark = CHAIN_CONTINUES; mark < MARKS; mark++)
        if (take_word(line, &left, marks[mark])) {
            r->mark = mark;
            break;
        }
    r->body = left;
    digest(line, hashed, hash);
    r->right = memcmp(hash, r->head.hash, sizeof(hash)) == 0;
    return true;
}

uint64_t chain_time_ns(const struct chain_record *r)
{
    struct tm tm = {.tm_isdst = 0};
    unsigned ms;

    if (sscanf(r->time, "%4d-%2d-%2dT%2d:%2d:%2d.%3u", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
               &tm.tm_sec, &ms) != 7)
        return 0;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    time_t seconds = timegm(&tm);
    return seconds < 0 ? 0 : (uint64_t) seconds * 1000000000 + (uint64_t) ms * 1000000;
}

bool chain_parse_head(const char *text, struct chain_head *head)
{
    size_t length = strlen(text);

    if (length <= HEX + 1 || text[length - HEX - 1] != ':' || !read_digest(text + length - HEX, head->hash))
        return false;
    char number[32] = " n=";
    size_t digits = length - HEX - 1, used = strlen(number);
    if (used + digits >= sizeof(number))
        return false;
    memcpy(number + used, text, digits);
    used += digits;
    return take_number(number, &used, &head->n) && used == 0;
}

// --- verifying -------------------------------------------------------------------------------------------------------

static void report(struct chain_check *c, const struct chain_finding *finding)
{
    c->faults += finding->fatal;
    if (c->found)
        c->found(c->context, finding);
}

static void tell(struct chain_check *c, enum chain_fault fault, uint64_t from, uint64_t to, bool fatal)
{
    struct chain_finding finding = {.fault = fault, .from = from, .to = to, .fatal = fatal};

    report(c, &finding);
}

static bool begins(const struct chain_record *r)
{
    static const uint8_t zero[DIGEST_BYTES];

    return r->mark == CHAIN_BEGINS && r->head.n == 1 && memcmp(r->prev, zero, sizeof(zero)) == 0;
}

static void compare_anchor(struct chain_check *c, const struct chain_head *head)
{
    if (c->anchor.n == 0 || head->n != c->anchor.n)
        return;
    c->met = true;
    c->wrong = memcmp(head->hash, c->anchor.hash, sizeof(head->hash)) != 0;
}

static void go_on(struct chain_check *c, const struct chain_record *r)
{
    if (!c->any)
        c->first = r->head.n;
    c->any = true;
    c->unsure = false;
    c->bad = 0;
    c->last = r->head;
    compare_anchor(c, &r->head);
}

// Rotation removes whole files only, so that the first record that is left begins one.
static void judge_first(struct chain_check *c, const struct chain_record *r)
{
    if (c->whole && c->bad == 0 && r->mark == CHAIN_ELSEWHERE && r->head.n > 1)
        tell(c, CHAIN_OPENS, r->head.n, r->head.n, false);
    else if ((c->complete || c->bad > 0) && r->head.n > c->bad + 1)
        tell(c, CHAIN_MISSING, c->bad + 1, r->head.n - 1, true);
    else if (c->unsure)
        return;
    else if ((r->head.n == 1 || r->mark == CHAIN_BEGINS) && !begins(r))
        tell(c, CHAIN_FOREIGN, r->head.n, r->head.n, true);
    else if (c->whole && r->mark == CHAIN_NEXT)
        tell(c, CHAIN_MISSING, 0, r->head.n - 1, true);
}

// Takes lines that were no records as those of records that are missing before number n, and tells the others as what
// they are. known: n says which are missing.
static void judge_waiting(struct chain_check *c, uint64_t n, bool known)
{
    uint64_t expected = c->last.n + c->bad + 1, lost = known && n > expected ? n - expected : 0;
    struct chain_finding others = {.fault = CHAIN_NO_RECORD, .from = c->last.n, .to = n, .fatal = true, .place = c->at};

    for (; c->waiting > 0 && lost > 0; c->waiting--, lost--) {
        tell(c, CHAIN_CHANGED, c->last.n + c->bad + 1, c->last.n + c->bad + 1, true);
        c->bad++;
        c->unsure = true;
    }
    others.count = c->waiting;
    c->waiting = 0;
    if (others.count > 0)
        report(c, &others);
}

// The same before record r, which may be changed itself.
static void judge_waiting_before(struct chain_check *c, const struct chain_record *r)
{
    bool known = c->any || c->bad > 0 || c->complete, opens = !c->any && r->mark != CHAIN_NEXT;
    bool follows = c->any && !c->unsure && memcmp(r->prev, c->last.hash, sizeof(r->prev)) == 0;

    // The first record of a set whose older ones are gone begins a file, so that one was before this one.
    for (; c->waiting > 0 && !known && !opens; c->waiting--) {
        tell(c, CHAIN_CHANGED, 0, 0, true);
        c->unsure = true;
    }
    judge_waiting(c, r->head.n, known && !opens && !follows && !(r->right && begins(r)));
}

void chain_check_settle(struct chain_check *c)
{
    bool known = c->anchor.n > 0 && c->anchor.n < UINT64_MAX && (c->any || c->bad > 0 || c->complete);

    judge_waiting(c, known ? c->anchor.n + 1 : 0, known);
}

// A changed record, whose number may be changed, too.
static void judge_bad(struct chain_check *c, const struct chain_record *r)
{
    bool counted = c->any || c->bad > 0 || c->complete; // else nothing tells the number of a first line
    uint64_t expected = counted ? c->last.n + c->bad + 1 : r->head.n;
    bool follows = !c->unsure && memcmp(r->prev, c->last.hash, sizeof(r->prev)) == 0;

    if (counted && !follows && r->head.n > expected) {
        tell(c, CHAIN_MISSING, expected, r->head.n - 1, true);
        expected = r->head.n;
    }
    tell(c, CHAIN_CHANGED, expected, expected, true);
    c->bad = expected > c->last.n ? expected - c->last.n : 0;
    c->unsure = true;
}

void chain_check_line(struct chain_check *c, const struct chain_record *r)
{
    if (!r && !c->whole)
        return; // a line of another kind
    if (!r) {
        c->at = c->waiting++ == 0 ? c->place : c->at;
        return;
    }
    judge_waiting_before(c, r);
    if (!r->right) {
        judge_bad(c, r);
        return;
    }
    uint64_t expected = c->last.n + c->bad + 1;
    if (!c->any) {
        judge_first(c, r);
    } else if (begins(r)) {
        tell(c, CHAIN_ANEW, 1, c->last.n, c->whole);
        c->met = c->wrong = false;
    } else if (r->head.n <= c->last.n) {
        tell(c, CHAIN_BEHIND, r->head.n, c->last.n, true);
        return;
    } else if (r->head.n > expected) {
        // One that says so of itself: those before are in the log or in another file.
        tell(c, CHAIN_MISSING, expected, r->head.n - 1, !(c->whole && c->bad == 0 && r->mark == CHAIN_ELSEWHERE));
    } else if (!c->unsure && memcmp(r->prev, c->last.hash, sizeof(r->prev)) != 0) {
        tell(c, CHAIN_FOREIGN, r->head.n, r->head.n, true);
    }
    go_on(c, r);
}

void chain_check_end(struct chain_check *c, bool cut)
{
    chain_check_settle(c);
    uint64_t last = c->last.n + c->bad + cut;

    if (cut)
        tell(c, CHAIN_CUT, last, last, true);
    if (c->wrong)
        tell(c, CHAIN_FOREIGN, c->anchor.n, c->anchor.n, true);
    if (c->anchor.n > last)
        tell(c, CHAIN_MISSING, last + 1, c->anchor.n, true);
}

bool chain_print(const struct chain_finding *f, FILE *to)
{
    const char *missing = f->fatal ? "missing" : "in the log or in another file";

    switch (f->fault) {
    case CHAIN_CHANGED:
        if (f->from == 0)
            return fputs("the first record: changed\n", to) >= 0;
        return fprintf(to, "record %" PRIu64 ": changed\n", f->from) > 0;
    case CHAIN_NO_RECORD:
        if (f->count > 1)
            fprintf(to, "%" PRIu64 " lines that are no records", f->count);
        else
            fputs("a line that is no record", to);
        if (f->from > 0)
            return fprintf(to, ", behind record %" PRIu64 "\n", f->from) > 0;
        return (f->to > 0 ? fprintf(to, ", before record %" PRIu64 "\n", f->to) : fprintf(to, "\n")) > 0;
    case CHAIN_MISSING:
        if (f->from == 0)
            return fprintf(to, "records before %" PRIu64 ": missing\n", f->to + 1) > 0;
        if (f->from >= f->to)
            return fprintf(to, "record %" PRIu64 ": %s\n", f->to, missing) > 0;
        return fprintf(to, "records %" PRIu64 " to %" PRIu64 ": %s\n", f->from, f->to, missing) > 0;
    case CHAIN_BEHIND:
        return fprintf(to, "record %" PRIu64 ": out of order, behind record %" PRIu64 "\n", f->from, f->to) > 0;
    case CHAIN_FOREIGN:
        return fprintf(to, "record %" PRIu64 ": of another chain\n", f->from) > 0;
    case CHAIN_ANEW:
        return fprintf(to, "record 1: a new chain begins behind record %" PRIu64 "\n", f->to) > 0;
    case CHAIN_OPENS:
        return fprintf(to, "begins with record %" PRIu64 ": the ones before are in the log\n", f->from) > 0;
    case CHAIN_CUT:
        return fprintf(to, "record %" PRIu64 ": cut\n", f->from) > 0;
    }
    return false;
}
