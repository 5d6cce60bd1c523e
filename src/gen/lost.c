// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/lost.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/arguments.h"
#include "gen/leg.h"
#include "gen/payload.h"

#define LINE_MAX_LENGTH 128

FILE *lost_create(const char *path, uint64_t first, unsigned legs)
{
    FILE *f = fopen(path, "we");

    if (f)
        fprintf(f, "mcrgen-lost first %" PRIu64 " legs %u\n", first, legs);
    return f;
}

void lost_write(FILE *f, uint64_t number, unsigned legs)
{
    fprintf(f, "%" PRIu64, number);
    for (unsigned leg = 1; legs; leg++, legs >>= 1)
        if (legs & 1)
            fprintf(f, " %u", leg);
    fputc('\n', f);
}

bool lost_finish(FILE *f, uint64_t count)
{
    bool written = fprintf(f, "count %" PRIu64 "\n", count) > 0 && fflush(f) == 0 && !ferror(f);

    return (fclose(f) == 0) & written;
}

struct reader {
    FILE *f;
    uint64_t first, next; // the first number of the file; the first that was not judged yet
    unsigned legs, line;
    char text[LINE_MAX_LENGTH];
    const struct sequence *came;
    struct lost_verdict *v;
};

// A whole line, without its end. False at the end, or when it is none.
static bool read_line(struct reader *r)
{
    if (!fgets(r->text, sizeof(r->text), r->f))
        return false;
    r->line++;
    size_t length = strlen(r->text);
    if (length == 0 || r->text[length - 1] != '\n')
        return false;
    r->text[length - 1] = '\0';
    return true;
}

// The next word of a line must be this one, or a number of these bounds.
static bool take_word(char **rest, const char *wanted)
{
    const char *word = strsep(rest, " ");

    return word && strcmp(word, wanted) == 0;
}

static bool take_number(char **rest, uint64_t least, uint64_t most, uint64_t *number)
{
    const char *word = strsep(rest, " ");

    return word && arguments_number(word, least, most, number);
}

static bool read_head(struct reader *r)
{
    char *rest = r->text;
    uint64_t legs;

    if (!read_line(r) || !take_word(&rest, "mcrgen-lost") || !take_word(&rest, "first") ||
        !take_number(&rest, 0, PAYLOAD_SEQ_MAX - SEQUENCE_WINDOW, &r->first) || !take_word(&rest, "legs") ||
        !take_number(&rest, 1, LEG_MOST, &legs) || rest)
        return false;
    r->legs = (unsigned) legs;
    r->next = r->first;
    return true;
}

// What some leg brought, up to a number, which is not judged: all of it must have come.
static void judge_until(struct reader *r, uint64_t end)
{
    r->v->expected += end - r->next;
    for (; r->next < end; r->next++)
        r->v->missing += !sequence_came(r->came, r->next);
}

// "NUMBER LEG...", the legs in their order.
static bool judge_number(struct reader *r)
{
    char *rest = r->text;
    uint64_t number, leg = 0;
    unsigned legs = 0;

    if (!take_number(&rest, r->next, r->first + SEQUENCE_WINDOW - 1, &number) || !rest)
        return false;
    for (; rest; legs++)
        if (!take_number(&rest, leg + 1, r->legs, &leg))
            return false;
    judge_until(r, number);
    if (legs < r->legs)
        judge_until(r, number + 1);
    else
        r->v->all++;
    r->next = number + 1;
    return true;
}

static bool judge_lines(struct reader *r)
{
    uint64_t count;

    while (read_line(r)) {
        if (strncmp(r->text, "count ", strlen("count ")) != 0) {
            if (!judge_number(r))
                return false;
            continue;
        }
        if (!arguments_number(r->text + strlen("count "), r->next - r->first, SEQUENCE_WINDOW, &count))
            return false;
        judge_until(r, r->first + count);
        return fgetc(r->f) == EOF;
    }
    return false;
}

bool lost_judge(const char *path, const struct sequence *came, struct lost_verdict *v, char why[LOST_WHY_MAX])
{
    struct reader r = {.f = fopen(path, "re"), .came = came, .v = v};

    *v = (struct lost_verdict){0};
    if (!r.f) {
        snprintf(why, LOST_WHY_MAX, "%s", strerror(errno));
        return false;
    }
    bool done = read_head(&r) && judge_lines(&r);
    if (!done)
        snprintf(
            why, LOST_WHY_MAX,
            "line %u: this is no file of `mcrgen send --lost-file`, it is not complete, or the run was longer than "
            "%" PRIu64 " datagrams",
            r.line, SEQUENCE_WINDOW);
    fclose(r.f);
    // All that came, less what was expected.
    v->unexpected = came->unique - (v->expected - v->missing);
    return done;
}
