// SPDX-License-Identifier: Apache-2.0
// What a table may say of merges, monitors and the ways of outputs: each bound, from both sides.
#include <config.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../make_table.h"

static const char text[] =
    "version = 1; rules = ( { name = \"m\";"
    "inputs = ( { leg = \"A\"; interface = \"in0\"; group = \"239.255.0.1\"; port = 5000; },"
    "{ leg = \"B\"; interface = \"in1\"; group = \"239.255.0.2\"; port = 5000; } );"
    "merge = { by = \"field\"; window_ms = 500; reorder_ms = 50; field = { at = 8; bytes = 4; }; }; max_payload = 1400;"
    "monitor = { as = \"field\"; field = { at = 8; bytes = 4; }; };"
    "outputs = ( { interface = \"out0\"; group = \"239.255.1.1\"; port = 6000; },"
    "{ interface = \"out0\"; address = \"198.18.2.1\"; port = 6000; } ); } );";

// Attaches a copy whose rule, or first output, is as given.
static bool attaches(const struct table_view *v, const struct table_rule *rule, const struct table_output *output)
{
    size_t size = v->header->size;
    char *copy = malloc(size);
    struct table_view other;
    const char *why = NULL;

    memcpy(copy, v->header, size);
    if (rule)
        memcpy(copy + v->header->rules.offset, rule, sizeof(*rule));
    if (output)
        memcpy(copy + v->header->outputs.offset, output, sizeof(*output));
    bool ok = table_attach(&other, copy, size, &why);
    cr_expect(ok || why, "refused without a reason");
    free(copy);
    return ok;
}

#define RULE(change, wanted)                                                                                           \
    do {                                                                                                               \
        struct table_rule r = v.rules[0];                                                                              \
        r.change;                                                                                                      \
        cr_expect_eq(attaches(&v, &r, NULL), wanted, "%s", #change);                                                   \
    } while (0)

#define OUTPUT(change, wanted)                                                                                         \
    do {                                                                                                               \
        struct table_output o = v.outputs[0];                                                                          \
        o.change;                                                                                                      \
        cr_expect_eq(attaches(&v, NULL, &o), wanted, "%s", #change);                                                   \
    } while (0)

Test(table, bounds_of_a_merge)
{
    struct table_view v;

    make_view(&v, NULL, "%s", text);
    cr_assert(attaches(&v, NULL, NULL));
    cr_assert(v.rules[0].merge.by == TABLE_MERGE_FIELD && v.rules[0].flags & TABLE_RULE_MERGES);
    RULE(merge.by = TABLE_MERGE_NONE, false); // though its flag is set
    RULE(flags &= ~(uint32_t) TABLE_RULE_MERGES, false);
    RULE(merge.by = TABLE_MERGE_ACTIVE, true);
    RULE(merge.by = TABLE_MERGE_ACTIVE + 1, false);
    RULE(merge.by = UINT32_MAX, false);
    RULE(merge.window_ms = 0, false);
    RULE(merge.window_ms = 10000, true);
    RULE(merge.window_ms = 10001, false);
    RULE(merge.window_ms = 49, false); // less than reorder_ms
    RULE(merge.reorder_ms = 501, false);
    RULE(merge.numbers = 32, false);
    RULE(merge.numbers = 64, true);
    RULE(merge.numbers = 65, false);
    RULE(merge.numbers = TABLE_MERGE_NUMBERS_MAX, true);
    RULE(merge.numbers = 2 * TABLE_MERGE_NUMBERS_MAX, false);
    RULE(merge.at = UINT16_MAX, true);
    RULE(merge.at = UINT16_MAX + 1, false);
    RULE(merge.session_at = UINT16_MAX + 1, false);
    RULE(merge.count_at = UINT16_MAX + 1, false);
    RULE(merge.session_bytes = 16, true);
    RULE(merge.session_bytes = 17, false);
    RULE(merge.count_bytes = 4, true);
    RULE(merge.count_bytes = 3, false);
    RULE(merge.count_bytes = 5, false);
    for (unsigned n = 0; n <= 9; n++)
        RULE(merge.bytes = (uint8_t) n, n == 1 || n == 2 || n == 4 || n == 8);
    RULE(max_payload = TABLE_MERGE_HELD_MAX, true);
    RULE(max_payload = TABLE_MERGE_HELD_MAX + 1, false); // too much to be held back
    RULE(n_inputs = 1, false);
    free((void *) (uintptr_t) v.header);
}

Test(table, bounds_of_a_monitor)
{
    struct table_view v;

    make_view(&v, NULL, "%s", text);
    cr_assert(v.rules[0].monitor.as == TABLE_MONITOR_FIELD && v.rules[0].flags & TABLE_RULE_MONITORS);
    RULE(monitor.as = TABLE_MONITOR_NONE, false);
    RULE(flags &= ~(uint32_t) TABLE_RULE_MONITORS, false);
    RULE(monitor.as = TABLE_MONITOR_TS, true);
    RULE(monitor.as = TABLE_MONITOR_FIELD + 1, false);
    RULE(monitor.clock_hz = 0, false);
    RULE(monitor.clock_hz = 1000000000, true);
    RULE(monitor.clock_hz = 1000000001, false);
    RULE(monitor.at = UINT16_MAX + 1, false);
    RULE(monitor.session_at = UINT16_MAX + 1, false);
    RULE(monitor.session_bytes = 17, false);
    for (unsigned n = 0; n <= 9; n++)
        RULE(monitor.bytes = (uint8_t) n, n == 1 || n == 2 || n == 4 || n == 8);
    free((void *) (uintptr_t) v.header);
}

Test(table, bounds_of_texts_and_ways)
{
    struct table_view v;

    make_view(&v, NULL, "%s", text);
    RULE(name[sizeof(r.name) - 1] = 'x', true); // the NUL is elsewhere
    struct table_rule r = v.rules[0];
    memset(r.name, 'x', sizeof(r.name));
    cr_expect_not(attaches(&v, &r, NULL));
    r = v.rules[0];
    memset(r.note, 'x', sizeof(r.note));
    cr_expect_not(attaches(&v, &r, NULL));
    RULE(n_inputs = 0, false);
    RULE(n_inputs = UINT32_MAX, false);
    RULE(n_paths = 0, false);
    RULE(first_counter = UINT32_MAX, false);
    OUTPUT(ip_at = 18, false); // a tag that its header has no room for
    OUTPUT(header_length++, false);
    OUTPUT(header_length = UINT8_MAX, false);
    OUTPUT(to.family = ADDR_NONE, false);
    OUTPUT(counter = UINT32_MAX, false);
    OUTPUT(interface = UINT32_MAX, false);
    free((void *) (uintptr_t) v.header);
}
