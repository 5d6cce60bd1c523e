// SPDX-License-Identifier: Apache-2.0
// stats: stats/reader.c, delta.c and all that mcrstat shows, with a hostile segment. The input is a style, the numbers
// of interfaces, rules and outputs (or RAW: the segment itself follows), and changes to a segment laid out for them. It
// is taken from memory or FROM_FILE.
#include <config.h>

#include "fuzz.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/utf8.h"
#include "stats/show.h"

#define RAW 0xff

#define DAY_NS UINT64_C(86400000000000)

enum style { COLOUR = 1, RATES = 2, ONE_LINE = 4, WIDE = 8, FROM_FILE = 16, NOT_LOCKED = 32 };

static void lay_out(struct stats_segment *s, uint8_t n_interfaces, uint8_t n_rules, uint8_t n_inputs, uint8_t n_outputs)
{
    size_t size = stats_segment_size(n_interfaces, n_rules, n_inputs, n_outputs);
    uint32_t each = n_rules ? n_outputs / n_rules : 0, legs = n_rules ? n_inputs / n_rules : 0;

    stats_segment_place(s, calloc(1, size), n_interfaces, n_rules, n_inputs);
    *s->header = (struct stats_header){.magic = STATS_MAGIC,
                                       .version = STATS_VERSION,
                                       .size = (uint32_t) size,
                                       .n_interfaces = n_interfaces,
                                       .n_rules = n_rules,
                                       .n_inputs = n_inputs,
                                       .n_outputs = n_outputs,
                                       .state = STATS_LIVE,
                                       .program_version = "0.1",
                                       .file = "/etc/mcr/mcr.conf",
                                       .pid = 4711,
                                       .generation = 1,
                                       .started_ns = DAY_NS,
                                       .started_boottime_ns = DAY_NS,
                                       .broker_alive = 1};
    for (uint32_t i = 0; i < n_interfaces; i++)
        snprintf(s->interfaces[i].name, sizeof(s->interfaces[i].name), "eth%u", i);
    for (uint32_t i = 0; i < n_rules; i++) {
        snprintf(s->rules[i].name, sizeof(s->rules[i].name), "rule-%u", i);
        s->rules[i].first_input = i * legs;
        s->rules[i].n_inputs = legs;
        s->rules[i].first_output = i * each;
        s->rules[i].n_outputs = each;
    }
    for (uint32_t i = 0; i < n_inputs; i++)
        snprintf(s->inputs[i].leg, sizeof(s->inputs[i].leg), "%u", i);
    for (uint32_t i = 0; i < n_outputs; i++)
        snprintf(s->outputs[i].to, sizeof(s->outputs[i].to), "out%u 239.255.0.1:6000", i);
}

// Nothing of the segment hides or steers.
static void check_visible(const char *text, size_t size)
{
    uint32_t code;

    for (size_t i = 0, length; i < size; i += length) {
        length = utf8_decode(text + i, size - i, &code);
        FUZZ_ASSERT(length > 0 && (code == '\n' || !utf8_is_hidden(code)));
    }
}

static void check_json(const struct stats_snapshot *s, bool one_line)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    FUZZ_ASSERT(to && show_json(s, to, one_line));
    fclose(to);
    json_t *root = json_loadb(text, size, 0, NULL);
    FUZZ_ASSERT(root && json_array_size(json_object_get(root, "rules")) == s->at.header->n_rules);
    FUZZ_ASSERT(json_array_size(json_object_get(root, "interfaces")) == s->at.header->n_interfaces);
    check_visible(text, size);
    FUZZ_ASSERT(!one_line || memchr(text, '\n', size) == text + size - 1);
    json_decref(root);
    free(text);
}

// Each line is a comment or a metric, and nothing of the segment ends one.
static void check_metrics(const struct stats_snapshot *s)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    FUZZ_ASSERT(to && show_prometheus(s, "/run/mcr/other", to));
    fclose(to);
    FUZZ_ASSERT(size > 0 && text[size - 1] == '\n');
    check_visible(text, size);
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        FUZZ_ASSERT(line[0] == '#' || strncmp(line, "mcr_", 4) == 0);
        const char *end = strchr(line, '\n'), *figure = end;
        while (figure > line && figure[-1] != ' ')
            figure--;
        FUZZ_ASSERT(line[0] == '#' || (figure < end && strspn(figure, "0123456789.") == (size_t) (end - figure)));
    }
    free(text);
}

// One line, with figures behind its only bar.
static void check_plugin(const struct stats_snapshot *s)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    FUZZ_ASSERT(to);
    enum show_status status = show_check(s, true, SHOW_UNKNOWN, "", to);
    fclose(to);
    FUZZ_ASSERT(status <= SHOW_CRITICAL && memchr(text, '\n', size) == text + size - 1);
    FUZZ_ASSERT(strchr(text, '|') && strchr(text, '|') == strrchr(text, '|'));
    check_visible(text, size);
    free(text);
}

// In the C locale a byte is a column. Nothing of the segment reaches the terminal but what can be printed.
static void check_table(const struct show_view *v, const struct show_style *style)
{
    char *text = NULL;
    size_t size = 0;
    int column = 0;
    FILE *to = open_memstream(&text, &size);

    FUZZ_ASSERT(to);
    show_table(v, style, to);
    fclose(to);
    for (size_t i = 0; i < size; i++) {
        if (style->colour && text[i] == '\033') {
            i += strcspn(text + i, "m"); // SGR
            continue;
        }
        column = text[i] == '\n' ? 0 : column + 1;
        FUZZ_ASSERT(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
        FUZZ_ASSERT(column <= style->columns);
    }
    free(text);
}

static void check_outputs(const struct stats_segment *s)
{
    for (uint32_t i = 0; i < s->header->n_rules; i++) {
        const struct stats_rule *r = &s->rules[i];
        FUZZ_ASSERT(r->first_output <= s->header->n_outputs && r->n_outputs <= s->header->n_outputs - r->first_output);
    }
}

static void show(struct stats_snapshot *now, struct stats_snapshot *before, uint8_t how)
{
    struct stats_delta d;
    struct show_style style = {.columns = how & WIDE ? 200 : SHOW_COLUMNS, .colour = how & COLOUR};
    bool rates = (how & RATES) && stats_delta_make(&d, now, before);
    struct show_view v = {.now = now, .d = rates ? &d : NULL, .rates = how & RATES};

    check_outputs(&now->at);
    check_json(now, how & ONE_LINE);
    check_metrics(now);
    check_plugin(now);
    check_table(&v, &style);
    style.terminal = true;
    style.columns = how & WIDE ? 132 : SHOW_COLUMNS_LEAST;
    check_table(&v, &style);
    if (rates)
        stats_delta_free(&d);
}

// The segment as a file that a living daemon holds, or nobody.
static bool take_file(struct stats_snapshot *now, const void *bytes, size_t size, bool locked, char why[STATS_WHY_MAX])
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[80], name[96];

    snprintf(path, sizeof(path), "%s/stats", fuzz_directory());
    snprintf(name, sizeof(name), "%s" STATS_LOCK_SUFFIX, path);
    int held = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600),
        fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_ASSERT(fd >= 0 && write(fd, bytes, size) == (ssize_t) size);
    FUZZ_ASSERT(held >= 0 && (!locked || fcntl(held, F_OFD_SETLK, &lock) == 0));
    bool taken = stats_snapshot_take(now, path, why);
    FUZZ_ASSERT(!taken || locked);
    FUZZ_ASSERT(taken || !now->memory);
    close(held);
    close(fd);
    return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {.at = data, .left = size};
    struct stats_snapshot now = {.monotonic_ns = 10 * DAY_NS,
                                 .boottime_ns = 11 * DAY_NS,
                                 .realtime_ns = 20000 * DAY_NS},
                          before = {.memory = NULL};
    uint8_t how = fuzz_u8(&in), n_interfaces = fuzz_u8(&in), n_rules = 0, n_inputs = 0, n_outputs = 0;
    bool raw = n_interfaces == RAW, taken;
    char why[STATS_WHY_MAX] = "";
    size_t length = in.left;

    if (!raw) {
        n_rules = fuzz_u8(&in) % 8;
        n_outputs = fuzz_u8(&in) % 32;
        n_inputs = (uint8_t) (n_rules * (1 + n_outputs % 2));
        n_interfaces = 1 + n_interfaces % 3; // a rule has an input
        length = stats_segment_size(n_interfaces, n_rules, n_inputs, n_outputs);
    }
    lay_out(&before.at, raw ? 1 : n_interfaces, n_rules, n_inputs, n_outputs);
    before.memory = before.at.header;
    void *bytes = malloc(length + 1);
    memcpy(bytes, raw ? in.at : before.memory, length);
    if (!raw)
        fuzz_patch(&in, bytes, length);
    if (how & FROM_FILE) {
        taken = take_file(&now, bytes, length, !(how & NOT_LOCKED), why);
        free(bytes);
    } else {
        now.memory = bytes;
        taken = stats_parse(&now.at, now.memory, length, why);
    }
    before.monotonic_ns = now.monotonic_ns - 1500000000;
    if (taken)
        show(&now, &before, how);
    else
        FUZZ_ASSERT(why[0]);
    stats_snapshot_free(&now);
    stats_snapshot_free(&before);
    return 0;
}
