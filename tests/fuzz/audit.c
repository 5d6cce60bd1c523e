// SPDX-License-Identifier: Apache-2.0
// audit: audit/chain.c and what mcrd --history shows, with hostile records. The input is how, and either lines (TEXT),
// or what is done to a whole chain of records: whatever changes one byte of it must be found.
#include <config.h>

#include "fuzz.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "audit/chain.h"
#include "command/history.h"
#include "common/utf8.h"

#define RECORDS  6
#define TEXT_MAX (2 * CHAIN_LINE_MAX)

enum how { TEXT = 1, WHOLE = 2, COMPLETE = 4 };
enum change { PATCH, DROP, DOUBLE, MOVE, CHANGES };

struct text {
    char bytes[TEXT_MAX];
    size_t size;
};

static void found(void *context, const struct chain_finding *finding)
{
    char line[100];
    FILE *to = fmemopen(line, sizeof(line), "w");

    FUZZ_ASSERT(to && chain_print(finding, to));
    fclose(to);
    FUZZ_ASSERT(strncmp(line, "record", 6) == 0 || strncmp(line, "the first record", 16) == 0 ||
                finding->fault == CHAIN_NO_RECORD);
    *(uint64_t *) context += finding->fatal;
}

// Nothing of a record hides or steers.
static void look(const struct chain_record *r, const char *line)
{
    json_t *tree = history_tree(r, line), *value;
    const char *key;

    FUZZ_ASSERT(r->body <= CHAIN_LINE_MAX && json_is_object(tree));
    json_object_foreach(tree, key, value)
    {
        const char *text = json_is_string(value) ? json_string_value(value) : "";
        uint32_t code;
        for (size_t length; *text; text += length) {
            length = utf8_decode(text, strlen(text), &code);
            FUZZ_ASSERT(length > 0 && !utf8_is_hidden(code));
        }
    }
    json_decref(tree);
}

static uint64_t judge(const struct text *t, unsigned how, const struct chain_head *anchor)
{
    uint64_t faults = 0;
    struct chain_check c = {.whole = how & WHOLE, .complete = how & COMPLETE, .found = found, .context = &faults};
    const char *at = t->bytes, *end = at + t->size, *newline;
    struct chain_record r;

    if (anchor)
        c.anchor = *anchor;
    for (; at < end && (newline = memchr(at, '\n', (size_t) (end - at))); at = newline + 1) {
        bool is = chain_parse(at, (size_t) (newline - at), &r);
        if (is)
            look(&r, at);
        chain_check_line(&c, is ? &r : NULL);
    }
    chain_check_end(&c, at < end);
    FUZZ_ASSERT(faults == c.faults);
    return faults;
}

static void change(struct fuzz_input *in, struct text *t)
{
    size_t from = t->size ? fuzz_u16(in) % t->size : 0, n = fuzz_u16(in), to;
    char part[CHAIN_LINE_MAX];

    n = n < t->size - from ? n : t->size - from;
    switch (fuzz_u8(in) % CHANGES) {
    case PATCH:
        if (t->size)
            fuzz_patch(in, t->bytes, t->size);
        return;
    case DROP:
        break;
    case DOUBLE:
        n = n < sizeof(part) ? n : sizeof(part);
        n = n < TEXT_MAX - t->size ? n : TEXT_MAX - t->size;
        memcpy(part, t->bytes + from, n);
        memmove(t->bytes + from + n, t->bytes + from, t->size - from);
        memcpy(t->bytes + from, part, n);
        t->size += n;
        return;
    default:
        n = n < sizeof(part) ? n : sizeof(part);
        memcpy(part, t->bytes + from, n);
        memmove(t->bytes + from, t->bytes + from + n, t->size - from - n);
        to = t->size > n ? fuzz_u16(in) % (t->size - n + 1) : 0;
        memmove(t->bytes + to + n, t->bytes + to, t->size - n - to);
        memcpy(t->bytes + to, part, n);
        return;
    }
    memmove(t->bytes + from, t->bytes + from + n, t->size - from - n);
    t->size -= n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct text whole, t;
    static struct chain_head head;
    struct fuzz_input in = {.at = data, .left = size};
    uint8_t how = fuzz_u8(&in);

    if (whole.size == 0)
        for (unsigned i = 0; i < RECORDS; i++) {
            char line[CHAIN_LINE_MAX];
            size_t used =
                (size_t) snprintf(line, sizeof(line), "level=notice process=broker event=reload note=\"%u\"", i);
            chain_seal(line, &used, &head, i ? CHAIN_NEXT : CHAIN_BEGINS, i);
            memcpy(whole.bytes + whole.size, line, used);
            whole.size += used;
            whole.bytes[whole.size++] = '\n';
        }
    if (how & TEXT) {
        t.size = in.left < TEXT_MAX ? in.left : TEXT_MAX;
        memcpy(t.bytes, in.at, t.size);
        judge(&t, how, NULL);
        return 0;
    }
    t = whole;
    while (in.left > 0)
        change(&in, &t);
    bool same = t.size == whole.size && memcmp(t.bytes, whole.bytes, t.size) == 0;
    FUZZ_ASSERT((judge(&t, WHOLE | COMPLETE, &head) == 0) == same);
    judge(&t, how, NULL);
    return 0;
}
