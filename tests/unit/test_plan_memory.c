// SPDX-License-Identifier: Apache-2.0
// Which merges are refused before anything is opened: by what they cannot tell apart, and by the memory of all:
// compared with tests/unit/transcripts/memory.txt.
#include <config.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile/compile.h"
#include "config/load.h"
#include "rig_text.h"

#define MERGED(keys, merge, groups)                                                                                    \
    "version=1;rules=(\n{name=\"plain\";input={interface=\"in0\";group=\"239.254.0.0\";port=1;};"                      \
    "outputs=({interface=\"out0\";group=\"239.254.0.1\";port=1;});},\n"                                                \
    "{name=\"m\";\n" keys "\ninputs=({interface=\"in0\";group=\"239.255.0.0" groups                                    \
    "\";port=1;},"                                                                                                     \
    "{interface=\"in1\";group=\"239.255.64.0" groups "\";port=1;});\nmerge={" merge                                    \
    "};\n"                                                                                                             \
    "outputs=({interface=\"out0\";group=\"239.255.128.0" groups "\";port=1;});});"

#define RATE(n) "limit={packets_per_second=" n ";};"

static const char *const texts[] = {
    "version=1;rules=();",
    MERGED("", "by=\"rtp\";", ""),
    MERGED("", "by=\"payload\";", ""),
    MERGED("", "by=\"active\";", ""),
    MERGED("", "by=\"field\";field={at=0;bytes=4;};", ""),
    MERGED("monitor={as=\"rtp\";clock_hz=8000;};", "by=\"payload\";", ""),
    // Shorter than what tells the number.
    MERGED("max_payload=11;", "by=\"rtp\";", ""),
    MERGED("max_payload=12;", "by=\"rtp\";", ""),
    MERGED("max_payload=11;", "by=\"field\";field={at=8;bytes=4;};", ""),
    MERGED("max_payload=12;", "by=\"field\";field={at=8;bytes=4;};", ""),
    // More numbers than a field of 2 bytes tells apart: 16384.
    MERGED(RATE("8192"), "by=\"field\";window_ms=1000;field={at=0;bytes=2;};", ""),
    MERGED(RATE("8193"), "by=\"field\";window_ms=1000;field={at=0;bytes=2;};", ""),
    MERGED("", "by=\"field\";window_ms=1000;field={at=0;bytes=2;};", ""),
    MERGED(RATE("32"), "by=\"field\";window_ms=1000;field={at=0;bytes=1;};", ""),
    MERGED(RATE("33"), "by=\"field\";window_ms=1000;field={at=0;bytes=1;};", ""),
    // And than any does: 1048576.
    MERGED(RATE("524288"), "by=\"rtp\";window_ms=1000;", ""),
    MERGED(RATE("524289"), "by=\"rtp\";window_ms=1000;", ""),
    MERGED(RATE("1000000000"), "by=\"rtp\";window_ms=10000;", ""),
    MERGED("", "by=\"payload\";window_ms=10000;", ""),
    // Many paths.
    MERGED("max_payload=1472;", "by=\"rtp\";window_ms=1000;reorder_ms=1000;", "/22"),
    MERGED("max_payload=1472;" RATE("100"), "by=\"rtp\";window_ms=1000;reorder_ms=1000;", "/22"),
    MERGED("max_payload=1472;" RATE("10000"), "by=\"rtp\";window_ms=10000;reorder_ms=10000;", "/24"),
    MERGED("", "by=\"rtp\";window_ms=10000;", "/20"),
    "version=1;rules=({name=\"t\";monitor={as=\"ts\";};input={interface=\"in0\";group=\"239.255.0.0/"
    "20\";port=\"1-2\";};"
    "outputs=({interface=\"out0\";group=\"239.254.0.0/20\";port=\"1-2\";});});",
};

Test(plan, what_merges_may_take)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct config_problems problems = {0};
        struct config *c = config_load_text(texts[i], strlen(texts[i]), CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
        struct compile_memory m;
        char why[COMPILE_WHY_MAX] = "";
        if (c) {
            bool ok = compile_memory(c, &m, why);
            fprintf(to, "%zu: %s%s%s, line %d: %s\n", i, ok ? "yes" : "no", m.merges > 0 ? ", merges" : "",
                    m.monitors > 0 ? ", monitors" : "", m.line, why);
        } else {
            fprintf(to, "%zu: wrong\n", i);
            config_problems_print(&problems, "f", to);
        }
        config_free(c);
        config_problems_free(&problems);
    }
    fclose(to);
    rig_text_compare(text, size, "memory");
    free(text);
}
