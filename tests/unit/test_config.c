// SPDX-License-Identifier: Apache-2.0
// The config files of tests/config judge whole messages; here are the parts, and what a file cannot show.
#include <config.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/circle.h"
#include "config/endpoint.h"
#include "config/lexical.h"
#include "config/load.h"
#include "config/print.h"
#include "config/schema.h"
#include "config/value.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define INPUT   "input = { interface = \"lo\"; group = \"239.1.0.1\"; port = 5000; };"
#define OUTPUTS "outputs = ( { interface = \"lo\"; group = \"239.1.0.2\"; port = 5000; } );"

// The first error of text, or "" when it is valid.
static void first_error(const char *text, char error[256])
{
    struct config_problems problems = {0};
    struct config *c = config_load_text(text, strlen(text), CONFIG_LOAD_OFFLINE_INTERFACES, &problems);

    error[0] = '\0';
    if (!c)
        config_problems_first(&problems, "f", error, 256);
    cr_expect((c == NULL) == (problems.n_errors > 0));
    config_free(c);
    config_problems_free(&problems);
}

// --- lexical -----------------------------------------------------------------------------------------

Test(lexical, table)
{
    static const struct {
        const char *text;
        size_t size; // 0: strlen(text)
        int line;    // of the first error; 0: none
    } cases[] = {
        {"", 0, 0},
        {"a = 1; # comment", 0, 0},
        {"a = 1; // comment with \" and /*", 0, 0},
        {"/**/ a /* # // \" \n */ = 1;", 0, 0},
        {"/*/ a = 1;", 0, 1},
        {"a = 1;\n/* no end", 0, 2},
        {"a = 1;\n/* no end *", 0, 2},
        {"/* one */ a = 1; */", 0, 1}, // libconfig's syntax error
        {"a = \"x", 0, 1},
        {"a = \"x\nb = 1;\nc = \"y\";", 0, 1},
        {"a = \"\\", 0, 1},
        {"a = \"\\x", 0, 1},
        {"a = \"\\x4", 0, 1},
        {"a = \"\\x4\"", 0, 1},
        {"a = \"\\x41\\\\\\\"\\n\\r\\t\\f\";", 0, 0},
        {"a = \"\\x00\";", 0, 1},
        {"a = \"\\x1F\";", 0, 1},
        {"a = \"\\x7f\";", 0, 1},
        {"a = \"\\a\";", 0, 1},
        {"a = \"# // /* @include\";", 0, 0},
        {"@include \"x\"", 0, 1},
        {"a = 1;\n  @include \"x\"", 0, 2},
        {"# @include \"x\"", 0, 0},
        {"a = 1;@", 0, 1},
        {"a = 2147483647; b = -2147483648; c = 0x7FFFFFFF;", 0, 0},
        {"a = 2147483648;", 0, 1},
        {"a = -2147483649;", 0, 1},
        {"a = +2147483648;", 0, 1},
        {"a = 0x80000000;", 0, 1},
        {"a = 2147483648L; b = 9223372036854775807L; c = -9223372036854775808L;", 0, 0},
        {"a = 9223372036854775808L;", 0, 1},
        {"a = 0x7fffffffffffffffLL;", 0, 1},
        {"a = 0x8000000000000000L;", 0, 1},
        {"a = 00000000000000000000000000001;", 0, 1},
        {"a = 1e300; b = 99999999999999999999.5;", 0, 0},
        {"a4294967296 = 1; b-4294967296 = 1;", 0, 0},
        {"a = (1,2);", 0, 0},
        {"a = (1,);", 0, 1},
        {"a = [1,\n\n];", 0, 1},
        {"a = (1, # )\n/* x */ 2);", 0, 0},
        {"a = (1, # 2\n/* x */ );", 0, 1},
        {"a = {b = 1, };", 0, 0},
        {"a = ((((((((((((((((1))))))))))))))));", 0, 0},
        {"a = (((((((((((((((((1)))))))))))))))));", 0, 1},
        {"))))))))))))))))))))))))))))))))))))))))", 0, 1},
        {"a\0b", 3, 1},
        {"\0", 1, 1},
        {"a = 1;\r\nb = 2;\r\n", 0, 0},
        {"a = 1;\rb = 2;", 0, 1},
        {"a = 1;\n\f", 0, 2},
        {"a = \"\t\";", 0, 0},
        {"a = \"\x1b[2J\";", 0, 1},
        {"# \x7f", 0, 1},
        {"# \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf", 0, 0},
        {"# \x80", 0, 1},
        {"# \xc3", 0, 1},
        {"# \xc3\x28", 0, 1},
        {"# \xc0\xaf", 0, 1},
        {"# \xe0\x80\xaf", 0, 1},
        {"# \xed\xa0\x80", 0, 1},
        {"# \xf4\x90\x80\x80", 0, 1},
        {"# \xf8\x88\x80\x80\x80", 0, 1},
        {"# \xff", 0, 1},
        {"# \xc2\x85", 0, 1},     // a control character of the second set
        {"# \xe2\x80\x8b", 0, 1}, // zero width
        {"# \xe2\x80\xae", 0, 1}, // right to left
        {"# \xc2\xad", 0, 1},     // soft hyphen
        {"# \xc2\xae", 0, 0},
        {"# \xf3\xa0\x80\xa1", 0, 1}, // a tag
        {"# \xf3\xa1\x80\x80", 0, 0},
        {"a = \"x\" \"y\";", 0, 1},
        {"a = \"x\"\n# comment\n/* and */ \"y\";", 0, 3},
        {"a = ( \"x\", \"y\" ); b = \"\"; c = \"\";", 0, 0},
        {"a = true; b : FALSE; c = True;", 0, 0},
        {"a = 1;\nb = yes;", 0, 2},
        {"a = truee;", 0, 1},
        {"a : tru;", 0, 1},
        {"a = 198.18.0.1;", 0, 1},
        {"a = 1.5; b = 1.5e3;", 0, 0},
        {"a = 0; b = -1; c = +0; d = 0x1fL; e = 10LL; f = .5; g = 5.;", 0, 0},
        {"a = 1\n, b = 2/**/ c = 3# d\n; e = [1,2]; f = (1 ,{g = 1});", 0, 0},
        {"a = 0;\nb = 010;", 0, 2},
        {"a = -00;", 0, 1},
        {"a = 0b1;", 0, 1},
        {"a = 0o7;", 0, 1},
        {"a = 0q7;", 0, 1},
        {"a = 0xffffffffL;", 0, 1},
        {"a = 0x00000000000000001;", 0, 1},
        {"a = +0x1;", 0, 1},
        {"a = 4294968296enabled = true;", 0, 1},
        {"a = 1e;", 0, 1},
        {"a = .;", 0, 1},
        {"a = 1\"b\";", 0, 1},
        {"a = ( 1,\n, 2 );", 0, 2},
        {"a =\xc2\xa0"
         "1;",
         0, 1},
        {"\xc3\xa9 = 1;", 0, 1},
        {"a = 1;\na = 2;", 0, 2},
        {"a = { b = 1; };\nc = { b = 1; }; d = ( { b = 1; }, { b = 1; } );", 0, 0},
        {"a = ( { b = 1; },\n{ b = 1; c = 2; b = 3; } );", 0, 2},
        {"a = \"\xc3\xa9\xc2\xa0\";", 0, 0},
        {"\xef\xbb\xbf"
         "a = 1;",
         0, 1},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct config_problems problems = {0};
        size_t size = cases[i].size ? cases[i].size : strlen(cases[i].text);
        bool ok = lexical_check(cases[i].text, size, NULL, NULL, &problems);
        int line = problems.n ? problems.list[0].line : 0;
        cr_expect(ok == (problems.n_errors == 0), "%s", cases[i].text);
        cr_expect(line == cases[i].line, "%s: line %d", cases[i].text, line);
        config_problems_free(&problems);
    }
}

Test(lexical, string)
{
    static const char text[] = "abc\\x41\\\\\\\"\\n\\r\\t\\f";
    struct lexical_token t = {.kind = LEXICAL_STRING, .text = text, .length = strlen(text)};
    char whole[32], cut[4];

    cr_expect(lexical_string(&t, whole, sizeof(whole)) == 10);
    cr_expect_str_eq(whole, "abcA\\\"\n\r\t\f");
    cr_expect(lexical_string(&t, cut, sizeof(cut)) == 10);
    cr_expect_str_eq(cut, "abc");
}

Test(lexical, identity)
{
    static const struct {
        const char *text, *user, *group, *stats_file;
    } cases[] = {
        {"", "mcr", "mcr", "/run/mcr/stats"},
        {"user = \"a\"; group : /* */ \"\\x62\"\nstats_file\n=\n\"/c/d\"", "a", "b", "/c/d"},
        {"# user = \"a\"\nx = { user = \"b\"; }; y = ( { user = \"c\"; } ); xuser = \"d\";", "mcr", "mcr",
         "/run/mcr/stats"},
        // What is not allowed is for the parser to tell.
        {"user = 5; group = ( \"a\" ); stats_file = \"relative\";", "mcr", "mcr", "/run/mcr/stats"},
        {"user = a = \"b\"; group = \"b c\";", NULL, NULL, NULL},
        {"user = \"a\"; user = \"b\";", NULL, NULL, NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct config_problems problems = {0};
        struct config c;
        bool ok = identity_check(cases[i].text, strlen(cases[i].text), &c, &problems);
        cr_expect(ok == (cases[i].user != NULL), "%s", cases[i].text);
        if (ok && cases[i].user) {
            cr_expect_str_eq(c.user, cases[i].user);
            cr_expect_str_eq(c.group, cases[i].group);
            cr_expect_str_eq(c.stats_file, cases[i].stats_file);
        }
        config_problems_free(&problems);
    }
}

Test(lexical, errors_are_bounded)
{
    static char text[100000];
    struct config_problems problems = {0};

    memset(text, '\\', sizeof(text) - 1);
    for (size_t i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\"\n", 2);
    cr_expect_not(lexical_check(text, strlen(text), NULL, NULL, &problems));
    cr_expect(problems.n == LEXICAL_ERRORS_MAX);
    config_problems_free(&problems);
}

// --- schema ------------------------------------------------------------------------------------------

Test(schema, rows_are_sound)
{
    for (size_t i = 0; i < schema_n_keys; i++) {
        const struct schema_key *key = &schema_keys[i];
        char allowed[SCHEMA_ALLOWED_MAX];

        cr_expect(schema_find(key->where, key->name) == key, "\"%s\" is there twice", key->name);
        cr_expect(key->help && key->help[0], "\"%s\" has no help", key->name);
        cr_expect(key->least <= key->most, "%s", key->name);
        cr_expect(strlen(schema_allowed(key, allowed)) > 0, "%s", key->name);
        cr_expect(strlen(allowed) < sizeof(allowed) - 1, "\"%s\": %s is cut", key->name, allowed);
        cr_expect(key->offset + key->size <= schema_places[key->where].size, "%s", key->name);
        if (!key->fallback)
            continue;
        char target[sizeof(struct config)] __attribute__((aligned(16))) = "";
        struct value value = value_fallback(key);
        cr_expect(value_store(key, &value, target) == VALUE_OK, "the default of \"%s\"", key->name);
    }
}

static const char *read_example(void)
{
    const char *srcdir = getenv("srcdir");
    static char path[4096], text[1 << 16];
    FILE *file;

    snprintf(path, sizeof(path), "%s/etc/mcr.conf.example", srcdir ? srcdir : ".");
    file = fopen(path, "r");
    cr_assert(file != NULL, "%s", path);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

// Each file that begins as the example does is valid, or has an error: nothing else happens.
Test(config, no_cut_of_the_example_does_harm)
{
    const char *example = read_example();
    size_t valid = 0;

    for (size_t size = 0; size <= strlen(example); size++) {
        struct config_problems problems = {0};
        char *cut = strndup(example, size); // so that a sanitizer sees what lies behind
        struct config *c = config_load_text(cut, size, CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
        cr_assert((c == NULL) == (problems.n_errors > 0), "%zu bytes", size);
        valid += c != NULL;
        config_free(c);
        config_problems_free(&problems);
        free(cut);
    }
    cr_expect_gt(valid, 0);
}

// The shipped example explains every key.
Test(schema, example_has_every_key)
{
    const char *text = read_example();
    char needle[64];

    for (size_t i = 0; i < schema_n_keys; i++) {
        snprintf(needle, sizeof(needle), "%s = ", schema_keys[i].name);
        cr_expect(strstr(text, needle) != NULL, "%s", needle);
    }
}

Test(schema, nearest)
{
    static const struct {
        enum schema_place where;
        const char *name, *nearest;
    } cases[] = {
        {SCHEMA_INPUT, "prot", "port"},
        {SCHEMA_INPUT, "porrt", "port"},
        {SCHEMA_INPUT, "Port", "port"},
        {SCHEMA_INPUT, "iface", NULL},
        {SCHEMA_INPUT, "interfaec", "interface"},
        {SCHEMA_INPUT, "source", "sources"},
        {SCHEMA_INPUT, "vlna", "vlan"},
        {SCHEMA_OUTPUT, "vlans", "vlan"},
        {SCHEMA_INPUT, "broadcasts", "broadcast"},
        {SCHEMA_LIMIT, "per_sources", "per_source"},
        {SCHEMA_OUTPUT, "sourceport", "source_port"},
        {SCHEMA_OUTPUT, "note", NULL},
        {SCHEMA_RULE, "output", "outputs"},
        {SCHEMA_LIMIT, "packets_per_secnod", "packets_per_second"},
        {SCHEMA_TOP, "rule", "rules"},
        {SCHEMA_TOP, "x", NULL},
        {SCHEMA_TOP, "0123456789012345678901234567890123456789", NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct schema_key *key = schema_nearest(cases[i].where, cases[i].name);
        const char *name = key ? key->name : "none";
        cr_expect_str_eq(name, cases[i].nearest ? cases[i].nearest : "none", "%s: %s", cases[i].name, name);
    }
}

Test(schema, words)
{
    const struct schema_key *mode = schema_find(SCHEMA_OUTPUT, "mode"), *port = schema_find(SCHEMA_OUTPUT, "port");

    cr_expect(schema_word_index(mode, "auto") == 0);
    cr_expect(schema_word_index(mode, "frame") == 1);
    cr_expect(schema_word_index(mode, "socket") == 2);
    cr_expect(schema_word_index(mode, "sock") == -1);
    cr_expect(schema_word_index(mode, "sockets") == -1);
    cr_expect(schema_word_index(mode, "") == -1);
    cr_expect(schema_word_index(port, "auto") == -1);
    for (size_t i = 0; i < schema_n_keys; i++)
        cr_expect_null(schema_keys[i].words[COUNT(schema_keys[i].words) - 1], "%s", schema_keys[i].name);
}

// One key of an output or a limit, and what the model holds then.
Test(schema, values)
{
    static const struct {
        enum schema_place where;
        const char *key, *text; // text NULL: number
        long long number;
        long long kept; // -2: refused
    } cases[] = {
        {SCHEMA_OUTPUT, "dscp", "preserve", 0, -1},
        {SCHEMA_OUTPUT, "dscp", "be", 0, 0},
        {SCHEMA_OUTPUT, "dscp", "le", 0, 1},
        {SCHEMA_OUTPUT, "dscp", "cs0", 0, 0},
        {SCHEMA_OUTPUT, "dscp", "cs7", 0, 56},
        {SCHEMA_OUTPUT, "dscp", "cs8", 0, -2},
        {SCHEMA_OUTPUT, "dscp", "af11", 0, 10},
        {SCHEMA_OUTPUT, "dscp", "af43", 0, 38},
        {SCHEMA_OUTPUT, "dscp", "af41", 0, 34},
        {SCHEMA_OUTPUT, "dscp", "af44", 0, -2},
        {SCHEMA_OUTPUT, "dscp", "af51", 0, -2},
        {SCHEMA_OUTPUT, "dscp", "af4", 0, -2},
        {SCHEMA_OUTPUT, "dscp", "ef", 0, 46},
        {SCHEMA_OUTPUT, "dscp", "va", 0, 44},
        {SCHEMA_OUTPUT, "dscp", "EF", 0, -2},
        {SCHEMA_OUTPUT, "dscp", "", 0, -2},
        {SCHEMA_OUTPUT, "dscp", NULL, 63, 63},
        {SCHEMA_OUTPUT, "dscp", NULL, 64, -2},
        {SCHEMA_OUTPUT, "ttl", NULL, 255, 255},
        {SCHEMA_OUTPUT, "ttl", NULL, 256, -2},
        {SCHEMA_OUTPUT, "ttl", NULL, 0, -2},
        {SCHEMA_OUTPUT, "ttl", "1", 0, -2},
        {SCHEMA_OUTPUT, "mode", "auto", 0, CONFIG_MODE_AUTO},
        {SCHEMA_OUTPUT, "mode", "frame", 0, CONFIG_MODE_FRAME},
        {SCHEMA_OUTPUT, "mode", "socket", 0, CONFIG_MODE_SOCKET},
        {SCHEMA_OUTPUT, "port", NULL, 65535, 65535},
        {SCHEMA_OUTPUT, "port", NULL, 65536, -2},
        {SCHEMA_OUTPUT, "port", NULL, -1, -2},
        {SCHEMA_OUTPUT, "port", NULL, 4294967297, -2},
        {SCHEMA_OUTPUT, "port", "preserve", 0, -2},
        {SCHEMA_OUTPUT, "source_port", NULL, 1, 1},
        {SCHEMA_OUTPUT, "source_port", NULL, 0, -2},
        {SCHEMA_OUTPUT, "source_port", "preserve", 0, 0},
        {SCHEMA_OUTPUT, "source_port", "interface", 0, -2},
        {SCHEMA_OUTPUT, "vlan", NULL, 0, -2},
        {SCHEMA_OUTPUT, "vlan", NULL, 4094, 4094},
        {SCHEMA_OUTPUT, "vlan", NULL, 4095, -2},
        {SCHEMA_INPUT, "vlan", NULL, 1, 1},
        {SCHEMA_INPUT, "vlan", NULL, 65537, -2},
        {SCHEMA_LIMIT, "bits_per_second", NULL, 1, 1},
        {SCHEMA_LIMIT, "bits_per_second", NULL, 1000000000000, 1000000000000},
        {SCHEMA_LIMIT, "bits_per_second", NULL, 1000000000001, -2},
        {SCHEMA_LIMIT, "bits_per_second", "1k", 0, 1000},
        {SCHEMA_LIMIT, "bits_per_second", "40M", 0, 40000000},
        {SCHEMA_LIMIT, "bits_per_second", "1000G", 0, 1000000000000},
        {SCHEMA_LIMIT, "bits_per_second", "1001G", 0, -2},
        {SCHEMA_LIMIT, "bits_per_second", "999999999999G", 0, -2},
        {SCHEMA_LIMIT, "bits_per_second", "9999999999999G", 0, -2},
        {SCHEMA_LIMIT, "bits_per_second", "0k", 0, -2},
        {SCHEMA_LIMIT, "bits_per_second", "k", 0, -2},
        {SCHEMA_LIMIT, "bits_per_second", "", 0, -2},
        {SCHEMA_LIMIT, "bits_per_second", "40", 0, -2},
        {SCHEMA_LIMIT, "bits_per_second", "40 M", 0, -2},
        {SCHEMA_LIMIT, "bits_per_second", "40m", 0, -2},
        {SCHEMA_LIMIT, "bits_per_second", "40Mb", 0, -2},
        {SCHEMA_LIMIT, "bits_per_second", "-1k", 0, -2},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct schema_key *key = schema_find(cases[i].where, cases[i].key);
        char target[sizeof(struct config)] __attribute__((aligned(16))) = "";
        struct value value = {
            .type = cases[i].text ? VALUE_STRING : VALUE_INTEGER, .text = cases[i].text, .number = cases[i].number};
        enum value_verdict verdict = value_store(key, &value, target);
        long long kept = (long long) value_load_number(target + key->offset, key->size);
        if (key->kind == SCHEMA_DSCP)
            kept = (int) kept;
        cr_expect((verdict == VALUE_OK) == (cases[i].kept != -2), "%zu: %s", i, cases[i].key);
        if (verdict == VALUE_OK)
            cr_expect(kept == cases[i].kept, "%zu: %s is %lld", i, cases[i].key, kept);
    }
}

// Addresses and what can stand in their place.
Test(schema, destinations)
{
    static const struct {
        enum schema_place where;
        const char *key, *text; // text NULL: true
        enum value_verdict verdict;
        const char *kept; // as it is printed; NULL: none
    } cases[] = {
        {SCHEMA_INPUT, "group", "239.1.0.1", VALUE_OK, "239.1.0.1"},
        {SCHEMA_INPUT, "group", "FF02::0:FB", VALUE_OK, "ff02::fb"},
        {SCHEMA_INPUT, "group", "ff00::", VALUE_OK, "ff00::"},
        {SCHEMA_INPUT, "group", "fe80::1", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_INPUT, "group", "ff02::1%lo", VALUE_SCOPED, NULL},
        {SCHEMA_INPUT, "group", "239.1.0.1%lo", VALUE_SCOPED, NULL},
        {SCHEMA_INPUT, "group", "%lo", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_INPUT, "group", "x%lo", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_INPUT, "group", "239.1.0.0/28", VALUE_OK, "239.1.0.0"},
        {SCHEMA_INPUT, "group", "239.1.0.0/20", VALUE_OK, "239.1.0.0"},
        {SCHEMA_INPUT, "group", "239.1.0.0/19", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_INPUT, "group", "239.1.0.0/33", VALUE_LENGTH, NULL},
        {SCHEMA_INPUT, "group", "239.1.0.1/28", VALUE_HOST_BITS, NULL},
        {SCHEMA_INPUT, "group", "239.1.0.0/", VALUE_LENGTH, NULL},
        {SCHEMA_INPUT, "group", "224.0.0.0/4", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "group", "ff15::/120", VALUE_OK, "ff15::"},
        {SCHEMA_OUTPUT, "group", "ff15::/115", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "group", "10.0.0.0/8", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "group", "ff15::/129", VALUE_LENGTH, NULL},
        {SCHEMA_OUTPUT, "group", "192.0.2.0/33", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "group", "239.1.0.0/0", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "group", "/8", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "address", "10.0.0.0/8", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "port", "5000-70000", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "port", "65535-65536", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "port", "0-1", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "port", "2-1", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "port", "1-4097", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "port", "1 - 2", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "port", "5000", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "port", "99999999999999999999-2", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "port", "1-2-3", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "port", "-", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "port", "1-", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "source_port", "1-2", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "vlan", "1-2", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_INPUT, "address", "192.0.2.1", VALUE_OK, "192.0.2.1"},
        {SCHEMA_INPUT, "address", "fe80::1", VALUE_OK, "fe80::1"},
        {SCHEMA_OUTPUT, "address", "fe80::1", VALUE_OK, "fe80::1"},
        {SCHEMA_OUTPUT, "address", "ff02::1", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "address", "::", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "address", "::ffff:10.0.0.1", VALUE_MAPPED, NULL},
        {SCHEMA_OUTPUT, "address", "::fffe:10.0.0.1", VALUE_OK, "::fffe:a00:1"},
        {SCHEMA_OUTPUT, "address", "1::ffff:10.0.0.1", VALUE_OK, "1::ffff:a00:1"},
        {SCHEMA_OUTPUT, "source", "::ffff:a00:1", VALUE_MAPPED, NULL},
        {SCHEMA_OUTPUT, "source", "fe80::1%eth0", VALUE_SCOPED, NULL},
        {SCHEMA_OUTPUT, "source", "2001:db8::1", VALUE_OK, "2001:db8::1"},
        {SCHEMA_OUTPUT, "source", "ff02::1", VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_OUTPUT, "source", "interface", VALUE_OK, "none"},
        {SCHEMA_OUTPUT, "source", "preserve", VALUE_OK, "preserve"},
        {SCHEMA_OUTPUT, "source", NULL, VALUE_NOT_ALLOWED, NULL},
        {SCHEMA_INPUT, "broadcast", NULL, VALUE_OK, "none"},
        {SCHEMA_OUTPUT, "broadcast", NULL, VALUE_OK, "none"},
        {SCHEMA_OUTPUT, "broadcast", "true", VALUE_NOT_ALLOWED, NULL},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct schema_key *key = schema_find(cases[i].where, cases[i].key);
        struct config_input in = {.port = 0};
        struct config_output out = {.port = 0};
        void *target = cases[i].where == SCHEMA_INPUT ? (void *) &in : (void *) &out;
        struct value value = {.type = cases[i].text ? VALUE_STRING : VALUE_BOOL, .text = cases[i].text, .number = 1};
        enum value_verdict verdict = value_store(key, &value, target);
        enum config_destination kind = cases[i].where == SCHEMA_INPUT ? in.kind : out.kind;
        char text[ADDR_TEXT_MAX];

        cr_expect(verdict == cases[i].verdict, "%zu: %s is %d", i, cases[i].text, verdict);
        cr_expect((value_verdict_text(verdict) == NULL) == (verdict == VALUE_OK || verdict == VALUE_NOT_ALLOWED), "%zu",
                  i);
        if (verdict != VALUE_OK)
            continue;
        if (key->kind == SCHEMA_SOURCE) {
            cr_expect_str_eq(out.keep_source ? "preserve" : addr_format(&out.source, text), cases[i].kept);
            continue;
        }
        addr_format(cases[i].where == SCHEMA_INPUT ? &in.address : &out.address, text);
        cr_expect_str_eq(text, cases[i].kept, "%zu: %s", i, text);
        cr_expect(kind == (key->kind == SCHEMA_GROUP  ? CONFIG_GROUP
                           : key->kind == SCHEMA_HOST ? CONFIG_ADDRESS
                                                      : CONFIG_BROADCAST),
                  "%zu", i);
    }
}

Test(schema, long_values_are_shown_short)
{
    char text[VALUE_TEXT_MAX], value[400];
    struct value v = {.type = VALUE_STRING, .text = value};

    memset(value, '"', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    value_format(&v, text);
    cr_expect(strlen(text) == 1 + 2 * 64 + 4, "%s", text);
    memset(value, 'a', sizeof(value) - 1);
    memcpy(value + 63, "\xe2\x82\xac", 3); // is not cut in two
    value_format(&v, text);
    cr_expect(strlen(text) == 1 + 63 + 4, "%s", text);
}

Test(schema, defaults)
{
    static const char text[] = "version = 1; rules = ( { name = \"a\"; " INPUT OUTPUTS " } );";
    struct config_problems problems = {0};
    struct config *c = config_load_text(text, strlen(text), CONFIG_LOAD_OFFLINE_INTERFACES, &problems);

    cr_assert(c != NULL);
    cr_expect_str_eq(c->instance, "");
    cr_expect_str_eq(c->user, "mcr");
    cr_expect_str_eq(c->group, "mcr");
    cr_expect_str_eq(c->stats_file, "/run/mcr/stats");
    cr_expect_not(c->reject_missing);
    cr_expect(c->ring_mib == 16);
    cr_assert(c->n_rules == 1 && c->rules[0].n_outputs == 1);
    const struct config_rule *rule = &c->rules[0];
    cr_expect(rule->enabled && !rule->two_way && rule->max_payload == 65507);
    cr_expect(rule->inputs[0].n_sources == 0 && rule->inputs[0].vlan == 0 && rule->inputs[0].kind == CONFIG_GROUP);
    cr_expect(rule->limit.packets_per_second == 0 && rule->limit.bits_per_second == 0);
    const struct config_output *out = &rule->outputs[0];
    cr_expect(out->ttl == 1 && !out->ttl_decrement && out->dscp == CONFIG_DSCP_PRESERVE);
    cr_expect(out->source.family == ADDR_NONE && out->source_port == 5000 && out->mode == CONFIG_MODE_AUTO);
    cr_expect(rule->line == 1 && out->line == 1);
    config_free(c);
    config_problems_free(&problems);
}

Test(schema, problems_are_sorted_and_bounded)
{
    struct config_problems problems = {0};
    char text[64];

    config_warning(&problems, 1, NULL, "a warning");
    for (int i = 0; i < 1100; i++)
        config_error(&problems, 1200 - i, "r", "%d", i);
    cr_expect(problems.n == 1000 && problems.n_errors == 1100 && problems.left_out == 101);
    for (size_t i = 1; i < problems.n; i++)
        cr_expect(problems.list[i - 1].line <= problems.list[i].line);
    config_problems_first(&problems, "f", text, sizeof(text));
    cr_expect_str_eq(text, "f:202: rule \"r\": 998", "%s", text);
    config_problems_first(&problems, "f", text, 4);
    cr_expect_str_eq(text, "f:2");
    config_problems_free(&problems);
    config_problems_free(&problems);
    config_problems_first(&problems, "f", text, sizeof(text));
    cr_expect_str_eq(text, "f: no error");
}

// --- check -------------------------------------------------------------------------------------------

Test(check, files)
{
    static const struct {
        const char *rules, *error;
    } cases[] = {
        {"{ name = \"a\"; " INPUT OUTPUTS " }", ""},
        {"{ name = \"a\"; " INPUT OUTPUTS " },\n{ name = \"a\"; enabled = false; " INPUT OUTPUTS " }",
         "f:2: rule \"a\": \"name\" is \"a\", taken by the rule in line 1 already"},
        {"{ name = \"a\"; " INPUT OUTPUTS " },\n{ name = \"b\"; enabled = false; " INPUT OUTPUTS " }", ""},
        {"{ name = \"a\"; " INPUT OUTPUTS " },\n{ name = \"b\"; " INPUT OUTPUTS " }",
         "f:2: rule \"b\": \"input\" is that of rule \"a\" in line 1 (group 239.1.0.1, port 5000, interface "
         "\"lo\"), "
         "allowed is one enabled rule for it"},
        {"{ name = \"a\"; " INPUT "outputs = ( { interface = \"lo\"; group = \"239.1.0.1\"; port = 5001; } ); }", ""},
        {"{ name = \"a\"; two_way = true; " INPUT
         "outputs = ( { interface = \"lo\"; group = \"239.1.0.1\"; port = 5000; } ); }",
         "f:1: rule \"a\": output 1 feeds the rule's own input (group 239.1.0.1, port 5000, interface "
         "\"lo\")"},
    };
    char text[2048], error[256];

    for (size_t i = 0; i < COUNT(cases); i++) {
        snprintf(text, sizeof(text), "version = 1; rules = ( %s );", cases[i].rules);
        first_error(text, error);
        cr_expect_str_eq(error, cases[i].error, "%zu: %s", i, error);
    }
}

Test(check, circle_through)
{
    // 0 -> 1 -> 2 -> 0, 2 -> 3 -> 4 -> 3, 5 -> 0, 6
    static const uint32_t first[] = {0, 1, 2, 4, 5, 6, 7, 7}, to[] = {1, 2, 0, 3, 4, 3, 0};
    static const uint32_t wanted[] = {1, 1, 1, 2, 1, 0, 0};
    static const bool by_3[7] = {[3] = true};
    struct circle_graph g = {7, first, to};
    uint32_t feeders[7], path[7], previous[7];

    circle_count_feeders(&g, feeders, path);
    for (size_t i = 0; i < 7; i++)
        cr_expect(feeders[i] == wanted[i], "%zu: %u", i, feeders[i]);
    cr_expect(circle_through(&g, 1, NULL, path, previous) == 3);
    cr_expect(path[0] == 1 && path[1] == 2 && path[2] == 0);
    cr_expect(circle_through(&g, 4, NULL, path, previous) == 2);
    cr_expect(path[0] == 4 && path[1] == 3);
    cr_expect(circle_through(&g, 4, by_3, path, previous) == 2);
    cr_expect(circle_through(&g, 2, by_3, path, previous) == 0);
    cr_expect(circle_through(&g, 5, NULL, path, previous) == 0);
    cr_expect(circle_through(&g, 6, NULL, path, previous) == 0);
}

// A graph without circles has no feeders; one circle is found through each of its nodes.
Test(check, circle_through_each_node)
{
    // 0 -> 1, 0 -> 2 -> 1, and then also 1 -> 0
    static const uint32_t first[2][4] = {{0, 2, 2, 3}, {0, 2, 3, 4}}, to[2][4] = {{1, 2, 1}, {1, 2, 0, 1}};
    struct circle_graph none = {3, first[0], to[0]}, g = {3, first[1], to[1]};
    uint32_t feeders[3], path[3], previous[3];

    circle_count_feeders(&none, feeders, path);
    cr_expect(feeders[0] == 0 && feeders[1] == 0 && feeders[2] == 0);
    circle_count_feeders(&g, feeders, path);
    cr_expect(feeders[0] == 1 && feeders[1] == 2 && feeders[2] == 1);
    cr_expect(circle_through(&g, 2, NULL, path, previous) == 3);
    cr_expect(path[0] == 2 && path[1] == 1 && path[2] == 0);
}

Test(check, endpoints_are_found)
{
    struct addr a, b;
    struct endpoint list[4], wanted;

    cr_assert(addr_parse("239.1.0.1", &a) && addr_parse("239.1.0.2", &b));
    list[0] = (struct endpoint){"eth1", a, CONFIG_GROUP, 5000, 1, 1, 0, 3};
    list[1] = (struct endpoint){"eth0", b, CONFIG_GROUP, 5000, 1, 1, 0, 2};
    list[2] = (struct endpoint){"eth0", a, CONFIG_GROUP, 5000, 1, 1, 0, 1};
    list[3] = (struct endpoint){"eth0", a, CONFIG_GROUP, 5000, 1, 1, 0, 0};
    endpoint_sort(list, 4);
    wanted = (struct endpoint){"eth0", a, CONFIG_GROUP, 5000, 1, 1, 0, 9};
    cr_expect(endpoint_find(list, 4, &wanted) == &list[0] && list[0].index == 0 && list[1].index == 1);
    wanted.port = 5001;
    cr_expect_null(endpoint_find(list, 4, &wanted));
    wanted = (struct endpoint){"eth0", a, CONFIG_ADDRESS, 5000, 1, 1, 0, 9};
    cr_expect_null(endpoint_find(list, 4, &wanted));
    wanted = (struct endpoint){"eth0", a, CONFIG_GROUP, 5000, 1, 1, 7, 9};
    cr_expect_null(endpoint_find(list, 4, &wanted));
    list[0].vlan = 7;
    endpoint_sort(list, 4);
    cr_expect(endpoint_find(list, 4, &wanted)->index == 0);
    cr_expect_null(endpoint_find(list, 0, &wanted));
}

// Each destination of a range, and what it is sent to.
Test(check, ranges_are_taken_apart)
{
    static const struct {
        const char *from;
        uint16_t from_port, from_addresses, from_ports;
        const char *to;
        uint16_t to_port, to_addresses, to_ports;
        uint32_t at;
        const char *in, *out; // "ADDRESS PORT"
    } cases[] = {
        {"239.1.0.0", 5000, 1, 1, "239.2.0.0", 6000, 1, 1, 0, "239.1.0.0 5000", "239.2.0.0 6000"},
        {"239.1.0.0", 5000, 16, 1, "239.2.0.0", 6000, 16, 1, 15, "239.1.0.15 5000", "239.2.0.15 6000"},
        {"239.1.0.0", 5000, 16, 1, "239.2.0.0", 6000, 1, 1, 15, "239.1.0.15 5000", "239.2.0.0 6000"},
        {"239.1.0.0", 5000, 4, 3, "239.2.0.0", 6000, 4, 3, 7, "239.1.0.2 5001", "239.2.0.2 6001"},
        {"239.1.0.0", 5000, 4, 3, "239.2.0.0", 6000, 1, 3, 7, "239.1.0.2 5001", "239.2.0.0 6001"},
        {"239.1.0.0", 5000, 4, 3, "239.2.0.0", 6000, 4, 1, 7, "239.1.0.2 5001", "239.2.0.2 6000"},
        {"239.1.240.0", 5000, 4096, 1, "ff15::1:f000", 6000, 4096, 1, 4095, "239.1.255.255 5000", "ff15::1:ffff 6000"},
        {"ff15::ffff:0", 65533, 512, 3, "239.2.0.0", 1, 512, 3, 1535, "ff15::ffff:1ff 65535", "239.2.1.255 3"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct endpoint from = {.interface = "eth0",
                                .port = cases[i].from_port,
                                .n_addresses = cases[i].from_addresses,
                                .n_ports = cases[i].from_ports};
        struct endpoint to = {.interface = "eth1",
                              .port = cases[i].to_port,
                              .n_addresses = cases[i].to_addresses,
                              .n_ports = cases[i].to_ports};
        char text[ADDR_TEXT_MAX + 8], address[ADDR_TEXT_MAX];
        cr_assert(addr_parse(cases[i].from, &from.address) && addr_parse(cases[i].to, &to.address));
        cr_expect_eq(endpoint_span(&from), (uint32_t) cases[i].from_addresses * cases[i].from_ports);
        struct endpoint in = endpoint_at(&from, cases[i].at), out = endpoint_counterpart(&to, &from, cases[i].at);
        snprintf(text, sizeof(text), "%s %u", addr_format(&in.address, address), in.port);
        cr_expect_str_eq(text, cases[i].in, "%zu: %s", i, text);
        snprintf(text, sizeof(text), "%s %u", addr_format(&out.address, address), out.port);
        cr_expect_str_eq(text, cases[i].out, "%zu: %s", i, text);
        cr_expect(endpoint_span(&in) == 1 && endpoint_span(&out) == 1);
        for (uint32_t j = 0; j < endpoint_span(&from); j++) {
            struct endpoint one = endpoint_at(&from, j);
            cr_expect(endpoint_contains(&from, &one), "%zu: %u", i, j);
        }
        in = endpoint_at(&from, 0);
        in.port--;
        cr_expect(!endpoint_contains(&from, &in));
        in = from;
        in.address = addr_after(&from.address, from.n_addresses);
        cr_expect(!endpoint_contains(&from, &in));
        cr_expect(!endpoint_contains(&from, &out));
    }
}

Test(check, endpoints_are_told)
{
    static const struct {
        enum config_destination kind;
        const char *address;
        uint16_t vlan;
        uint8_t family;
        const char *text;
    } cases[] = {
        {CONFIG_GROUP, "239.1.0.1", 0, ADDR_IPV4, "group 239.1.0.1, port 5000, interface \"eth0\""},
        {CONFIG_ADDRESS, "2001:db8::1", 0, ADDR_IPV6, "address 2001:db8::1, port 5000, interface \"eth0\""},
        {CONFIG_BROADCAST, "", 4094, ADDR_IPV4, "broadcast, port 5000, interface \"eth0\", vlan 4094"},
    };
    char text[ENDPOINT_TEXT_MAX];

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct config_output out = {.interface = "eth0", .kind = cases[i].kind, .port = 5000, .vlan = cases[i].vlan};
        cr_assert(addr_parse(cases[i].address, &out.address) || cases[i].kind == CONFIG_BROADCAST);
        struct endpoint e = endpoint_of_output(&out, 0);
        cr_expect(endpoint_is_complete(&e) && endpoint_family(&e) == cases[i].family, "%zu", i);
        cr_expect_str_eq(endpoint_format(&e, text), cases[i].text, "%zu: %s", i, text);
    }
    struct config_output longest = {
        .interface = "interface-name1", .kind = CONFIG_ADDRESS, .port = 65535, .vlan = 4094};
    memset(&longest.address, 0xfd, sizeof(longest.address));
    longest.address.family = ADDR_IPV6;
    struct endpoint e = endpoint_of_output(&longest, 0);
    cr_expect(strlen(endpoint_format(&e, text)) < ENDPOINT_TEXT_MAX - 1 && strstr(text, ", vlan 4094"));
}

// The text of a config, printed; the caller frees it.
static char *printed(const struct config *c)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    cr_assert(to && config_print(c, to));
    fclose(to);
    return text;
}

Test(check, print_parses_back)
{
    static const char text[] = "version = 1; rules = ( { name = \"a\"; note = \"\\\"q\\\" \\\\ \\x41\"; " INPUT OUTPUTS
                               "limit = { bits_per_second = 3000000000L; }; } );";
    struct config_problems problems = {0};
    struct config *c = config_load_text(text, strlen(text), CONFIG_LOAD_OFFLINE_INTERFACES, &problems);

    cr_assert(c != NULL);
    cr_expect_str_eq(c->rules[0].note, "\"q\" \\ A");
    char *first = printed(c);
    struct config *again = config_load_text(first, strlen(first), CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
    cr_assert(again != NULL);
    char *second = printed(again);
    cr_expect_str_eq(first, second);
    cr_expect_str_eq(again->rules[0].note, c->rules[0].note);
    cr_expect(again->rules[0].limit.bits_per_second == 3000000000);
    free(first);
    free(second);
    config_free(c);
    config_free(again);
    config_problems_free(&problems);
}
