// SPDX-License-Identifier: Apache-2.0
// What the next table carries over from the one before.
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>

#include "../make_table.h"

#define RULE(name, inputs, port)                                                                                       \
    "{name=\"" name "\";inputs=(" inputs ");outputs=({interface=\"out0\";group=\"239.255.1.0\";port=" port             \
    ";},"                                                                                                              \
    "{interface=\"out0\";group=\"239.255.1.1\";port=" port ";});}"
#define LEG(leg, port) "{leg=\"" leg "\";interface=\"in0\";group=\"239.255.0.0\";port=" port ";}"
#define NONE           TABLE_NONE

// Rules, legs and outputs are known by their names and addresses, in whatever order, and none of another rule.
Test(plan, what_is_carried_over)
{
    static const char before[] =
        "version=1;rules=(" RULE("one", LEG("a", "1") "," LEG("b", "2"), "1") "," RULE("two", LEG("a", "3"), "2") ");";
    static const struct {
        const char *text;
        uint32_t rules[4], inputs[6], outputs[8];
    } cases[] = {
        {before, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}},
        {"version=1;rules=(" RULE("two", LEG("a", "3"), "2") "," RULE("one", LEG("b", "2") "," LEG("a", "1"), "1") ");",
         {1, 0},
         {2, 1, 0},
         {2, 3, 0, 1}},
        {"version=1;rules=(" RULE("one", LEG("b", "2"), "1") "," RULE(
             "new", LEG("a", "4") "," LEG("b", "5"), "1") "," RULE("two", LEG("b", "6") "," LEG("a", "3"), "3") ");",
         {0, NONE, 1},
         {1, NONE, NONE, NONE, 2},
         {0, 1, NONE, NONE, NONE, NONE}},
        {"version=1;rules=(" RULE("new", LEG("b", "4"), "1") "," RULE("one", LEG("a", "1"),
                                                                      "1") "," RULE("last", LEG("a", "5"), "2") ");",
         {NONE, 0, NONE},
         {NONE, 0, NONE},
         {NONE, NONE, 0, 1, NONE, NONE}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct table_view was, now;
        make_view(&was, NULL, "%s", before);
        make_view(&now, &was, "%s", cases[i].text);
        for (uint32_t j = 0; j < now.n_rules; j++)
            cr_expect_eq(now.rules[j].carried_from, cases[i].rules[j], "%zu: rule %u", i, j);
        for (uint32_t j = 0; j < now.n_inputs; j++)
            cr_expect_eq(now.inputs[j].carried_from, cases[i].inputs[j], "%zu: input %u: %d", i, j,
                         (int) now.inputs[j].carried_from);
        for (uint32_t j = 0; j < now.n_outputs; j++)
            cr_expect_eq(now.outputs[j].carried_from, cases[i].outputs[j], "%zu: output %u: %d", i, j,
                         (int) now.outputs[j].carried_from);
        free((void *) now.header);
        free((void *) was.header);
    }
}
