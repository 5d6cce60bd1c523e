// SPDX-License-Identifier: Apache-2.0
// The goldens of tests/config/diff judge whole plans; here are the parts, and what a file cannot show.
#include <config.h>

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/compare.h"
#include "config/load.h"
#include "config/print.h"
#include "config/schema.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define INPUT   "input = { interface = \"i\"; group = \"239.1.0.1\"; port = 5000; };"
#define OUTPUT  "{ interface = \"o\"; group = \"239.2.0.1\"; port = 5000; }"
#define OUTPUTS "outputs = ( " OUTPUT " );"
#define OTHER   "{ interface = \"o\"; group = \"239.2.0.2\"; port = 5000; }"

static struct config *load(const char *text)
{
    struct config_problems problems = {0};
    struct config *c = config_load_text(text, strlen(text), CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
    char error[256];

    config_problems_first(&problems, "f", error, sizeof(error));
    cr_assert(c, "%s\n%s", error, text);
    config_problems_free(&problems);
    return c;
}

// One rule "r" that says this.
static struct config *load_rule(const char *says)
{
    char text[16384];

    snprintf(text, sizeof(text), "version = 1; rules = ( { name = \"r\"; %s } );", says);
    return load(text);
}

static char *text_of(json_t *tree)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    if (tree)
        config_tree_print(tree, to);
    else
        fputs("-", to);
    fclose(to);
    return text;
}

// "path: from -> to; ..." of all fields.
static void describe(const struct diff_field *fields, size_t n, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        char *from = text_of(fields[i].from), *to = text_of(fields[i].to);
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%s: %s -> %s", i ? "; " : "", fields[i].path, from, to);
        free(from);
        free(to);
    }
}

Test(diff, fields)
{
    static const struct {
        const char *from, *to;
        const char *fields; // NULL: the same
        bool disturbs;
    } cases[] = {
        {INPUT OUTPUTS, INPUT OUTPUTS, NULL, false},
        {INPUT OUTPUTS, OUTPUTS INPUT "enabled = true; max_payload = 65507; two_way = false;", NULL, false},
        {INPUT OUTPUTS, INPUT OUTPUTS "note = \"x\";", "note: - -> \"x\"", false},
        {INPUT OUTPUTS "note = \"\\\"\";", INPUT OUTPUTS, "note: \"\\\"\" -> -", false},
        {INPUT OUTPUTS, INPUT OUTPUTS "two_way = true;", "two_way: false -> true", false},
        {INPUT OUTPUTS "two_way = true;", INPUT OUTPUTS, "two_way: true -> false", false},
        {INPUT OUTPUTS, INPUT OUTPUTS "enabled = false;", "enabled: true -> false", true},
        {INPUT OUTPUTS "enabled = false;", INPUT OUTPUTS, "enabled: false -> true", false},
        {INPUT OUTPUTS "enabled = false;", INPUT OUTPUTS "max_payload = 1;",
         "enabled: false -> true; max_payload: 65507 -> 1", false},
        {INPUT OUTPUTS, INPUT OUTPUTS "shadow = true;", "shadow: false -> true", true},
        {INPUT OUTPUTS "shadow = true;", INPUT OUTPUTS, "shadow: true -> false", false},
        {INPUT OUTPUTS "shadow = true;", INPUT OUTPUTS "enabled = false; shadow = true;", "enabled: true -> false",
         false},
        {INPUT OUTPUTS "shadow = true;", INPUT OUTPUTS "max_payload = 1;",
         "max_payload: 65507 -> 1; shadow: true -> false", false},
        {INPUT OUTPUTS "max_payload = 1;", INPUT OUTPUTS "max_payload = 2;", "max_payload: 1 -> 2", false},
        {INPUT OUTPUTS "max_payload = 1;", INPUT OUTPUTS "max_payload = 0;", "max_payload: 1 -> 0", true},
        {INPUT OUTPUTS, "input = { interface = \"j\"; group = \"239.1.0.9\"; port = 5009; };" OUTPUTS,
         "input.interface: \"i\" -> \"j\"; input.group: \"239.1.0.1\" -> \"239.1.0.9\"; input.port: 5000 -> "
         "5009",
         true},
        // Outputs are found by where they go to.
        {INPUT "outputs = ( " OUTPUT ", " OTHER ");", INPUT "outputs = ( " OTHER ", " OUTPUT ");", NULL, false},
        {INPUT OUTPUTS, INPUT "outputs = ( " OTHER ", " OUTPUT ");",
         "outputs[0]: - -> { interface = \"o\"; group = \"239.2.0.2\"; port = 5000; ttl = 1; dscp = "
         "\"preserve\"; "
         "source = \"interface\"; source_port = 5000; mode = \"auto\"; burst = 64; }",
         false},
        {INPUT "outputs = ( " OTHER ", " OUTPUT ");", INPUT "outputs = ( " OTHER ");",
         "outputs[1]: { interface = \"o\"; group = \"239.2.0.1\"; port = 5000; ttl = 1; dscp = \"preserve\"; "
         "source = \"interface\"; source_port = 5000; mode = \"auto\"; burst = 64; } -> -",
         true},
        {INPUT "outputs = ( " OUTPUT ", " OTHER ");",
         INPUT "outputs = ( " OTHER
               ", { interface = \"o\"; group = \"239.2.0.1\"; port = 5000; ttl = \"decrement\"; });",
         "outputs[1].ttl: 1 -> \"decrement\"", true},
        {INPUT "outputs = ( { interface = \"o\"; group = \"239.2.0.1\"; port = 5000; dscp = 34; });",
         INPUT "outputs = ( { interface = \"o\"; group = \"239.2.0.1\"; port = 5000; dscp = \"af41\"; });", NULL,
         false},
        {INPUT OUTPUTS, INPUT "outputs = ( { interface = \"o\"; group = \"239.2.0.1\"; port = 5000; dscp = 0; });",
         "outputs[0].dscp: \"preserve\" -> 0", true},
        {INPUT OUTPUTS,
         INPUT "outputs = ( { interface = \"o\"; group = \"239.2.0.1\"; port = 5000; source_port = 5000; });", NULL,
         false},
        {INPUT OUTPUTS,
         INPUT "outputs = ( { interface = \"o\"; group = \"239.2.0.1\"; port = 5000; source = \"192.0.2.1\"; "
               "source_port = 1; mode = \"frame\"; });",
         "outputs[0].source: \"interface\" -> \"192.0.2.1\"; outputs[0].source_port: 5000 -> 1; "
         "outputs[0].mode: \"auto\" -> \"frame\"",
         true},
        // Other kinds of destination, tags and kept sources.
        {INPUT OUTPUTS, "input = { interface = \"i\"; group = \"ff15::1\"; port = 5000; vlan = 5; };" OUTPUTS,
         "input.vlan: - -> 5; input.group: \"239.1.0.1\" -> \"ff15::1\"", true},
        {INPUT OUTPUTS, "input = { interface = \"i\"; address = \"192.0.2.1\"; port = 5000; };" OUTPUTS,
         "input.group: \"239.1.0.1\" -> -; input.address: - -> \"192.0.2.1\"", true},
        {"input = { interface = \"i\"; broadcast = true; port = 5000; };" OUTPUTS, INPUT OUTPUTS,
         "input.group: - -> \"239.1.0.1\"; input.broadcast: true -> -", true},
        {INPUT "outputs = ( { interface = \"o\"; address = \"192.0.2.1\"; port = 514; });",
         INPUT "outputs = ( { interface = \"o\"; address = \"192.0.2.1\"; port = 514; source = \"preserve\"; "
               "source_port = \"preserve\"; });",
         "outputs[0].source: \"interface\" -> \"preserve\"; outputs[0].source_port: 514 -> \"preserve\"", true},
        {INPUT "outputs = ( { interface = \"o\"; broadcast = true; port = 5000; source = \"preserve\"; });",
         INPUT "outputs = ( { interface = \"o\"; broadcast = true; port = 5000; source = \"192.0.2.1\"; });",
         "outputs[0].source: \"preserve\" -> \"192.0.2.1\"", true},
        {INPUT "outputs = ( { interface = \"o\"; broadcast = true; port = 5000; vlan = 5; });",
         INPUT "outputs = ( { interface = \"o\"; broadcast = true; port = 5000; vlan = 6; }, "
               "{ interface = \"o\"; broadcast = true; port = 5000; vlan = 5; ttl = 2; });",
         "outputs[0]: - -> { interface = \"o\"; vlan = 6; broadcast = true; port = 5000; ttl = 1; dscp = "
         "\"preserve\"; "
         "source = \"interface\"; source_port = 5000; mode = \"auto\"; burst = 64; }; outputs[1].ttl: 1 -> 2",
         true},
        // Limits.
        {INPUT OUTPUTS, INPUT OUTPUTS "limit = { packets_per_second = 5; };",
         "limit: - -> { packets_per_second = 5; burst_ms = 100; per_source = false; }", true},
        {INPUT OUTPUTS "limit = { packets_per_second = 5; };", INPUT OUTPUTS,
         "limit: { packets_per_second = 5; burst_ms = 100; per_source = false; } -> -", false},
        {INPUT OUTPUTS "limit = { packets_per_second = 5; };", INPUT OUTPUTS "limit = { bits_per_second = \"3G\"; };",
         "limit.packets_per_second: 5 -> -; limit.bits_per_second: - -> 3000000000L", true},
        {INPUT OUTPUTS "limit = { packets_per_second = 5; bits_per_second = 1; };",
         INPUT OUTPUTS "limit = { packets_per_second = 6; burst_ms = 101; };",
         "limit.packets_per_second: 5 -> 6; limit.bits_per_second: 1 -> -; limit.burst_ms: 100 -> 101", false},
        {INPUT OUTPUTS "limit = { packets_per_second = 5; };", INPUT OUTPUTS "limit = { packets_per_second = 4; };",
         "limit.packets_per_second: 5 -> 4", true},
        {INPUT OUTPUTS "limit = { packets_per_second = 5; };",
         INPUT OUTPUTS "limit = { packets_per_second = 5; burst_ms = 99; };", "limit.burst_ms: 100 -> 99", true},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct config *from = load_rule(cases[i].from), *to = load_rule(cases[i].to);
        char found[2048] = "";
        struct diff d;
        cr_assert(diff_make(&d, from, to));
        cr_expect(d.n_top == 0 && d.n_added == 0 && d.n_removed == 0 && !d.needs_restart, "case %zu", i);
        cr_expect(diff_is_empty(&d) == !cases[i].fields && d.n_changed == d.n_rules, "case %zu", i);
        cr_expect(d.disturbs == cases[i].disturbs, "case %zu: %s -> %s", i, cases[i].from, cases[i].to);
        if (d.n_rules == 1) {
            describe(d.rules[0].fields, d.rules[0].n_fields, found, sizeof(found));
            cr_expect(d.rules[0].disturbs == cases[i].disturbs && d.rules[0].kind == DIFF_CHANGED &&
                      d.rules[0].from == from->rules && d.rules[0].to == to->rules);
        }
        cr_expect_str_eq(found, cases[i].fields ? cases[i].fields : "", "case %zu: %s", i, found);
        diff_free(&d);
        config_free(from);
        config_free(to);
    }
}

#define ALL ""

// disturbs: -1: the same.
static void expect_sources(const char *input, const char *from, const char *to, int disturbs)
{
    struct config *c[2];
    struct diff d;

    for (size_t i = 0; i < 2; i++) {
        const char *sources = i ? to : from;
        char text[512];
        snprintf(text, sizeof(text), "input = { interface = \"i\"; %s; port = 1; %s%s%s };" OUTPUTS, input,
                 *sources ? "sources = [ " : "", sources, *sources ? " ];" : "");
        c[i] = load_rule(text);
    }
    cr_assert(diff_make(&d, c[0], c[1]));
    cr_expect(diff_is_empty(&d) == (disturbs < 0), "%s -> %s", from, to);
    cr_expect(d.disturbs == (disturbs > 0), "%s -> %s", from, to);
    if (d.n_rules == 1)
        cr_expect_str_eq(d.rules[0].fields[0].path, "input.sources");
    diff_free(&d);
    config_free(c[0]);
    config_free(c[1]);
}

Test(diff, sources)
{
    static const struct {
        const char *from, *to;
        int disturbs;
    } cases[] = {
        {ALL, ALL, -1},
        {"\"10.0.0.1\", \"10.0.0.2\"", "\"10.0.0.2\", \"10.0.0.1\"", -1},
        {"\"10.0.0.1\"", "\"10.0.0.1/32\"", -1},
        {"\"10.0.0.1\"", ALL, 0},
        {ALL, "\"10.0.0.1\"", 1},
        {ALL, "\"64.0.0.0/2\", \"128.0.0.0/1\"", 1},
        {"\"64.0.0.0/2\", \"128.0.0.0/1\"", ALL, 0},
        {"\"10.0.0.1\"", "\"10.0.0.1\", \"10.0.0.2\"", 0},
        {"\"10.0.0.1\", \"10.0.0.2\"", "\"10.0.0.1\"", 1},
        {"\"10.0.0.1\", \"10.0.0.2\"", "\"10.0.0.2\"", 1},
        {"\"10.0.0.1\"", "\"10.0.0.0/24\"", 0},
        {"\"10.0.0.0/24\"", "\"10.0.0.0/25\"", 1},
        {"\"10.0.0.0/24\"", "\"10.0.0.128/25\"", 1},
        {"\"10.0.0.0/24\"", "\"10.0.0.128/25\", \"10.0.0.0/25\"", 0},
        {"\"10.0.0.0/24\"", "\"10.0.0.128/25\", \"10.0.0.0/26\", \"10.0.0.64/26\"", 0},
        {"\"10.0.0.0/24\"", "\"10.0.0.128/25\", \"10.0.0.0/26\", \"10.0.0.64/27\"", 1},
        {"\"10.0.0.0/24\"", "\"10.0.0.0/23\", \"10.0.0.7\"", 0},
        {"\"10.0.0.0/24\", \"10.0.0.7\"", "\"10.0.0.0/24\"", 0},
        {"\"10.0.0.0/31\"", "\"10.0.0.0\", \"10.0.0.1\"", 0},
        {"\"10.0.0.255\", \"10.0.1.0\"", "\"10.0.0.0/23\"", 0},
        {"\"223.255.255.255\"", "\"128.0.0.0/1\"", 0},
        {"\"128.0.0.0/1\"", "\"223.255.255.255\"", 1},
        {"\"10.0.0.1\", \"10.0.0.3\", \"10.0.0.5\"", "\"10.0.0.0/30\", \"10.0.0.5\", \"10.0.0.9\"", 0},
        {"\"10.0.0.1\", \"10.0.0.4\", \"10.0.0.5\"", "\"10.0.0.0/30\", \"10.0.0.5\", \"10.0.0.9\"", 1},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        expect_sources("group = \"239.1.0.1\"", cases[i].from, cases[i].to, cases[i].disturbs);
}

#define IPV6 "group = \"ff15::1\""
#define HOST "address = \"2001:db8::9\""
#define NET  "broadcast = true"

Test(diff, sources_of_other_inputs)
{
    static const struct {
        const char *input, *from, *to;
        int disturbs;
    } cases[] = {
        {NET, "\"10.0.0.1\"", ALL, 0},
        {NET, ALL, "\"10.0.0.1\"", 1},
        {NET, "\"10.0.0.0/24\"", "\"10.0.0.128/25\", \"10.0.0.0/25\"", 0},
        {NET, "\"10.0.0.0/24\"", "\"10.0.0.128/25\"", 1},
        {IPV6, "\"2001:db8::1\"", ALL, 0},
        {IPV6, ALL, "\"4000::/2\", \"8000::/1\"", 1},
        {IPV6, "\"2001:db8::1\"", "\"2001:DB8:0::1/128\"", -1},
        {IPV6, "\"2001:db8::/32\"", "\"2001:db8::/33\", \"2001:db8:8000::/33\"", 0},
        {IPV6, "\"2001:db8::/32\"", "\"2001:db8::/33\", \"2001:db8:8000::/34\"", 1},
        {IPV6, "\"2001:db8::ffff\", \"2001:db8::1:0\"", "\"2001:db8::/111\"", 0},
        {HOST, "\"fe80::/10\"", "\"fe80::1\"", 1},
        {HOST, "\"fe80::1\"", ALL, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        expect_sources(cases[i].input, cases[i].from, cases[i].to, cases[i].disturbs);
}

Test(diff, top)
{
    static const struct {
        const char *from, *to, *fields;
        bool disturbs, restart;
    } cases[] = {
        {"", "ring_mib = 16;", "", false, false},
        {"", "ring_mib = 8;", "ring_mib: 16 -> 8", true, false},
        {"", "instance = \"x\";", "instance: - -> \"x\"", false, false},
        {"", "missing_interface = \"reject\";", "missing_interface: \"wait\" -> \"reject\"", false, false},
        {"", "user = \"x\";", "user: \"mcr\" -> \"x\"", false, true},
        {"", "group = \"x\";", "group: \"mcr\" -> \"x\"", false, true},
        {"", "stats_file = \"/x\";", "stats_file: \"/run/mcr/stats\" -> \"/x\"", false, true},
        {"", "interfaces = ( );", "", false, false},
        {"", "interfaces = ( { name = \"a\"; role = \"in\"; } );",
         "interfaces[0]: - -> { name = \"a\"; role = \"in\"; }", false, false},
        {"interfaces = ( { name = \"a\"; role = \"in\"; }, { name = \"b\"; role = \"in\"; } );",
         "interfaces = ( { name = \"b\"; role = \"in\"; }, { name = \"a\"; role = \"in\"; } );", "", false, false},
        {"interfaces = ( { name = \"a\"; role = \"in\"; }, { name = \"b\"; role = \"in\"; } );",
         "interfaces = ( { name = \"b\"; role = \"out\"; } );",
         "interfaces[0].role: \"in\" -> \"out\"; interfaces[0]: { name = \"a\"; role = \"in\"; } -> -", false, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[2][512], found[512];
        struct diff d;
        snprintf(text[0], sizeof(text[0]), "version = 1; rules = ( ); %s", cases[i].from);
        snprintf(text[1], sizeof(text[1]), "version = 1; rules = ( ); %s", cases[i].to);
        struct config *from = load(text[0]), *to = load(text[1]);
        cr_assert(diff_make(&d, from, to));
        describe(d.top, d.n_top, found, sizeof(found));
        cr_expect_str_eq(found, cases[i].fields, "case %zu: %s", i, found);
        cr_expect(d.disturbs == cases[i].disturbs && d.needs_restart == cases[i].restart, "case %zu", i);
        diff_free(&d);
        config_free(from);
        config_free(to);
    }
}

// What is added and removed, in which order; and a config that says nothing.
Test(diff, rules)
{
    static const char form[] =
        "{ name = \"%s\"; input = { interface = \"i\"; group = \"239.1.0.1\"; port = %d; }; " OUTPUTS
        " note = \"%s\"; enabled = %s; }";
    static const char *const before[] = {"z", "a", "m", "off"}, *const after[] = {"new2", "m", "a", "new1"};
    static const struct {
        enum diff_kind kind;
        const char *name;
        bool disturbs;
    } wanted[] = {
        {DIFF_ADDED, "new2", false},  {DIFF_ADDED, "new1", false}, {DIFF_REMOVED, "z", true},
        {DIFF_REMOVED, "off", false}, {DIFF_CHANGED, "m", false},  {DIFF_CHANGED, "a", false},
    };
    char text[2][4096] = {"version = 1; rules = (", "version = 1; rules = ("};
    struct config nothing = {.n_rules = 0};
    struct diff d;

    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 2; j++) {
            const char *name = j ? after[i] : before[i];
            size_t used = strlen(text[j]);
            if (i)
                text[j][used++] = ',';
            snprintf(text[j] + used, sizeof(text[j]) - used, form, name, 1000 + name[0], j ? "b" : "a",
                     strcmp(name, "off") == 0 || strcmp(name, "new1") == 0 ? "false" : "true");
        }
    strcat(text[0], ");");
    strcat(text[1], ");");
    struct config *from = load(text[0]), *to = load(text[1]);

    cr_assert(diff_make(&d, from, to));
    cr_assert(d.n_rules == COUNT(wanted) && d.n_added == 2 && d.n_removed == 2 && d.n_changed == 2);
    for (size_t i = 0; i < COUNT(wanted); i++) {
        const struct diff_rule *r = &d.rules[i];
        cr_expect(r->kind == wanted[i].kind && r->disturbs == wanted[i].disturbs, "%zu", i);
        cr_expect((r->from == NULL) == (r->kind == DIFF_ADDED) && (r->to == NULL) == (r->kind == DIFF_REMOVED));
        cr_expect_str_eq((r->to ? r->to : r->from)->name, wanted[i].name);
        cr_expect(r->n_fields == (r->kind == DIFF_CHANGED));
    }
    cr_expect(d.disturbs);
    diff_free(&d);

    cr_assert(diff_make(&d, from, from));
    cr_expect(diff_is_empty(&d));
    diff_free(&d);
    cr_assert(diff_make(&d, &nothing, to));
    cr_expect(d.n_added == 4 && d.n_rules == 4);
    diff_free(&d);
    cr_assert(diff_make(&d, from, &nothing));
    cr_expect(d.n_removed == 4 && d.n_rules == 4);
    diff_free(&d);
    cr_assert(diff_make(&d, &nothing, &nothing));
    cr_expect(diff_is_empty(&d));
    diff_free(&d);
    config_free(from);
    config_free(to);
}

// In the worst order, and every one changed.
Test(diff, many_rules)
{
    enum { N = CONFIG_RULES_MAX };
    struct config c[2] = {{.n_rules = N}, {.n_rules = N}};
    struct config_output output = {.interface = "o", .port = 1, .source_port = 1, .ttl = 1, .line = 1};
    struct diff d;

    cr_assert(addr_parse("239.2.0.1", &output.address));
    for (int j = 0; j < 2; j++) {
        c[j].rules = calloc(N, sizeof(*c[j].rules));
        for (int i = 0; i < N; i++) {
            struct config_rule *r = &c[j].rules[i];
            snprintf(r->name, sizeof(r->name), "rule-%05d", j ? N - i : i);
            r->max_payload = j + 1;
            r->enabled = true;
            r->outputs = &output;
            r->n_outputs = 1;
        }
    }
    cr_assert(diff_make(&d, &c[0], &c[1]));
    cr_expect(d.n_changed == N - 1 && d.n_added == 1 && d.n_removed == 1 && d.disturbs);
    diff_free(&d);
    free(c[0].rules);
    free(c[1].rules);
}
