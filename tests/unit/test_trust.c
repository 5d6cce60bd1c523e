// SPDX-License-Identifier: Apache-2.0
// trust.conf, and signatures that the real minisign has made (tests/trust/vectors.sh).
#include <config.h>

#include <criterion/criterion.h>
#include <ctype.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trust/signatures.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const char *path_of(const char *name, char out[512])
{
    const char *srcdir = getenv("srcdir");

    snprintf(out, 512, "%s/tests/trust/%s", srcdir ? srcdir : ".", name);
    return out;
}

static struct config_bytes read_vector(const char *name)
{
    struct config_problems problems = {0};
    struct config_bytes bytes;
    char path[512];

    cr_assert(file_read(path_of(name, path), true, &bytes, &problems), "%s", path);
    config_problems_free(&problems);
    return bytes;
}

static void read_trust(struct trustconf *t)
{
    struct config_bytes bytes = read_vector("trust.conf");
    struct config_problems problems = {0};

    cr_assert(sodium_init() >= 0);
    cr_assert(trustconf_parse(bytes.text, bytes.size, t, &problems));
    cr_assert_eq(t->n_keys, 3);
    cr_assert_eq(t->required, 2);
    file_free(&bytes);
}

// Whether text is exactly one signature of this file by this key.
static bool verifies(const struct trustconf_key *k, const char *text, size_t size, const struct config_bytes *file)
{
    struct minisign_signature s;
    char why[MINISIGN_WHY_MAX];

    return size > 0 && minisign_signature(text, size, &s, why) == size &&
           minisign_verify(&k->key, &s, file->text, file->size);
}

// --- minisign --------------------------------------------------------------------------------------------------------

static const char *const vectors[] = {"mcr.conf.a.minisig", "mcr.conf.b.minisig", "mcr.conf.c.minisig"};

Test(trust, vectors_of_minisign)
{
    struct config_bytes file = read_vector("mcr.conf");
    struct trustconf t;

    read_trust(&t);
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct config_bytes s = read_vector(vectors[i]);
        for (size_t k = 0; k < t.n_keys; k++)
            cr_expect_eq(verifies(&t.keys[k], s.text, s.size, &file), k == i, "%s by %s", vectors[i], t.keys[k].name);
        file_free(&s);
    }
    file_free(&file);
}

Test(trust, each_bit_of_the_file)
{
    struct config_bytes file = read_vector("mcr.conf");
    struct trustconf t;

    read_trust(&t);
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct config_bytes s = read_vector(vectors[i]);
        for (size_t bit = 0; bit < 8 * file.size; bit++) {
            file.text[bit / 8] ^= (char) (1 << bit % 8);
            cr_expect_not(verifies(&t.keys[i], s.text, s.size, &file), "%s: bit %zu", vectors[i], bit);
            file.text[bit / 8] ^= (char) (1 << bit % 8);
        }
        for (size_t size = 0; size < file.size; size++) {
            struct config_bytes cut = file;
            cut.size = size;
            cr_expect_not(verifies(&t.keys[i], s.text, s.size, &cut), "%s: %zu bytes", vectors[i], size);
        }
        file_free(&s);
    }
    file_free(&file);
}

// Any other value in place of each byte, and each length. The text of the untrusted comment is not signed; that is what
// its name says.
Test(trust, each_byte_of_a_signature, .timeout = 120)
{
    static const char prefix[] = "untrusted comment: ";
    struct config_bytes file = read_vector("mcr.conf");
    struct trustconf t;

    read_trust(&t);
    for (size_t i = 0; i < 2; i++) {
        struct config_bytes s = read_vector(vectors[i]);
        size_t comment_end = (size_t) (strchr(s.text, '\n') - s.text), changed = 0;
        for (size_t at = 0; at < s.size; at++) {
            char was = s.text[at];
            for (int other = 1; other < 256; other++) {
                s.text[at] = (char) (was ^ other);
                // One bit, or what is no base64: others would take their time.
                if ((other & (other - 1)) != 0 && (isalnum((unsigned char) s.text[at]) || strchr("+/", s.text[at])))
                    continue;
                bool free = at >= strlen(prefix) && at < comment_end && !strchr("\n", s.text[at]) &&
                            (s.text[at] != '\r' || at == comment_end - 1);
                cr_expect_eq(verifies(&t.keys[i], s.text, s.size, &file), free, "%s: byte %zu, 0x%02x", vectors[i], at,
                             s.text[at] & 0xff);
                changed += !free;
            }
            s.text[at] = was;
        }
        cr_expect_gt(changed, 150 * s.size / 2);
        for (size_t size = 0; size < s.size; size++)
            cr_expect_eq(verifies(&t.keys[i], s.text, size, &file), size == s.size - 1, "%s: %zu bytes", vectors[i],
                         size);
        file_free(&s);
    }
    file_free(&file);
}

Test(trust, each_bit_of_a_key)
{
    struct config_bytes file = read_vector("mcr.conf"), s = read_vector(vectors[0]);
    struct trustconf t;

    read_trust(&t);
    for (size_t bit = 0; bit < 8 * sizeof(t.keys[0].key); bit++) {
        struct trustconf_key k = t.keys[0];
        ((uint8_t *) &k.key)[bit / 8] ^= (uint8_t) (1 << bit % 8);
        cr_expect_not(verifies(&k, s.text, s.size, &file), "bit %zu", bit);
    }
    file_free(&s);
    file_free(&file);
}

Test(trust, lines_with_cr)
{
    struct config_bytes file = read_vector("mcr.conf"), s = read_vector(vectors[0]);
    struct trustconf t;
    char text[1024];
    size_t n = 0;

    read_trust(&t);
    for (size_t i = 0; i < s.size; i++) {
        if (s.text[i] == '\n')
            text[n++] = '\r';
        text[n++] = s.text[i];
    }
    cr_expect(verifies(&t.keys[0], text, n, &file));
    file_free(&s);
    file_free(&file);
}

// --- who has signed --------------------------------------------------------------------------------------------------

// Joins the signatures as they are kept.
static void judge_kept(const struct trustconf *t, const struct config_bytes *file, const char *const *names,
                       struct signatures *out)
{
    char text[4096];
    size_t n = 0;

    for (size_t i = 0; names[i]; i++) {
        struct config_bytes s = read_vector(names[i]);
        memcpy(text + n, s.text, s.size);
        n += s.size;
        file_free(&s);
    }
    signatures_judge_kept(t, file, text, n, out);
}

Test(trust, counts_keys)
{
    static const struct {
        const char *names[4];
        bool enough;
        const char *signed_by, *missing;
    } rows[] = {
        {{NULL}, false, "", "a,b,c"},
        {{"mcr.conf.a.minisig", NULL}, false, "a", "b,c"},
        {{"mcr.conf.a.minisig", "mcr.conf.a.minisig", "mcr.conf.a.minisig"}, false, "a", "b,c"},
        {{"mcr.conf.b.minisig", "mcr.conf.a.minisig"}, true, "a,b", "c"},
        {{"mcr.conf.a.minisig", "mcr.conf.b.minisig", "mcr.conf.c.minisig"}, true, "a,b,c", ""},
        {{"mcr.conf", "mcr.conf.a.minisig", "mcr.conf.b.minisig"}, false, "", "a,b,c"},
    };
    struct config_bytes file = read_vector("mcr.conf");
    struct trustconf t;

    read_trust(&t);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char signed_by[SIGNATURES_NAMES_MAX], missing[SIGNATURES_NAMES_MAX];
        struct signatures s, again;
        judge_kept(&t, &file, rows[i].names, &s);
        cr_expect_eq(s.enough, rows[i].enough, "row %zu", i);
        cr_expect_str_eq(signatures_names(&t, &s, false, signed_by), rows[i].signed_by);
        cr_expect_str_eq(signatures_names(&t, &s, true, missing), rows[i].missing);
        cr_expect_eq(s.why[0] == '\0', s.enough);
        // What is kept of it is judged in the same way.
        signatures_judge_kept(&t, &file, s.text, s.size, &again);
        cr_expect_eq(again.keys, s.keys);
        signatures_free(&again);
        signatures_free(&s);
    }
    file_free(&file);
}

Test(trust, a_key_that_is_withdrawn)
{
    static const char *const names[] = {"mcr.conf.a.minisig", "mcr.conf.b.minisig", NULL};
    struct config_bytes file = read_vector("mcr.conf");
    struct signatures s;
    struct trustconf t;

    read_trust(&t);
    t.keys[1] = t.keys[2];
    t.n_keys = 2;
    judge_kept(&t, &file, names, &s);
    cr_expect_not(s.enough);
    cr_expect_str_eq(s.why, "signatures: 1 of 2, signed by a; missing: c");
    signatures_free(&s);
    t.required = 0;
    t.n_keys = 0;
    judge_kept(&t, &file, names, &s);
    cr_expect(s.enough, "no signatures are asked for");
    signatures_free(&s);
    file_free(&file);
}

Test(trust, files_beside_it)
{
    struct config_bytes file = read_vector("mcr.conf");
    char path[512], real[PATH_MAX], directory[] = "/tmp/mcr-test-XXXXXX", conf[64], name[96];
    struct signatures s;
    struct trustconf t;

    read_trust(&t);
    signatures_judge(&t, path_of("mcr.conf", path), &file, &s);
    cr_expect(s.enough && s.n == 3, "%s", s.why);
    signatures_free(&s);
    cr_assert(mkdtemp(directory));
    snprintf(conf, sizeof(conf), "%s/x.conf", directory);
    signatures_judge(&t, conf, &file, &s);
    cr_expect_str_eq(s.why,
                     "signatures: 0 of 2; missing, any of: a (there is no x.conf.a.minisig), b (there is no "
                     "x.conf.b.minisig), c (there is no x.conf.c.minisig)");
    signatures_free(&s);
    // Another key's in this one's name, a link that is followed, and a directory.
    snprintf(name, sizeof(name), "%s.a.minisig", conf);
    cr_assert(realpath(path_of(vectors[1], path), real) && symlink(real, name) == 0);
    snprintf(name, sizeof(name), "%s.b.minisig", conf);
    cr_assert(symlink(real, name) == 0);
    snprintf(name, sizeof(name), "%s.c.minisig", conf);
    cr_assert(mkdir(name, 0755) == 0);
    signatures_judge(&t, conf, &file, &s);
    cr_expect_str_eq(s.why,
                     "signatures: 1 of 2, signed by b; missing, any of: a (x.conf.a.minisig is by another key), c "
                     "(x.conf.c.minisig: is a directory, allowed is a regular file)");
    signatures_free(&s);
    rmdir(name);
    file.text[0] ^= 1;
    signatures_judge(&t, conf, &file, &s);
    cr_expect(strstr(s.why, "b (x.conf.b.minisig does not fit this file)"), "%s", s.why);
    signatures_free(&s);
    for (const char *key = "ab"; *key; key++) {
        snprintf(name, sizeof(name), "%s.%c.minisig", conf, *key);
        unlink(name);
    }
    rmdir(directory);
    file_free(&file);
}

static bool shut(const void *context, const char *path, char why[SIGNATURES_REASON_MAX])
{
    const char *name = context;

    snprintf(why, SIGNATURES_REASON_MAX, "user mcr cannot read it (0640 root:root): chgrp mcr, chmod 640");
    return strstr(path, name) == NULL;
}

Test(trust, of_another_reader)
{
    struct config_bytes file = read_vector("mcr.conf");
    char path[512];
    struct signatures s;
    struct trustconf t;

    read_trust(&t);
    t.required = 3;
    signatures_judge_as(&t, path_of("mcr.conf", path), &file, shut, ".b.", &s);
    cr_expect(!s.enough && s.n == 2 && s.keys == 5);
    cr_expect_str_eq(s.why,
                     "signatures: 2 of 3, signed by a,c; missing: b (mcr.conf.b.minisig: user mcr cannot read it "
                     "(0640 root:root): chgrp mcr, chmod 640)");
    signatures_free(&s);
    file_free(&file);
}

// What to type stands there whole or not at all, however long the path is.
Test(trust, no_command_is_cut)
{
    struct config_bytes file = read_vector("mcr.conf");
    char top[] = "/tmp/mcr-test-XXXXXX", conf[1024], name[1100], command[1200];
    struct signatures s;
    struct trustconf t;

    read_trust(&t);
    cr_assert(mkdtemp(top));
    for (size_t length = 10; length <= 250; length += 60) {
        int used = snprintf(conf, sizeof(conf), "%s/", top);
        memset(conf + used, 'd', length);
        conf[used + (int) length] = '\0';
        cr_assert(mkdir(conf, 0755) == 0);
        snprintf(conf + used + length, sizeof(conf) - (size_t) used - length, "/mcr.conf");
        for (const char *key = "abc"; *key; key++) {
            snprintf(name, sizeof(name), "%s.%c.minisig", conf, *key);
            FILE *f = fopen(name, "w");
            cr_assert(f && fchmod(fileno(f), 0664) == 0 && fclose(f) == 0);
        }
        signatures_judge(&t, conf, &file, &s);
        for (const char *key = "abc"; *key; key++) {
            char begin[80];
            snprintf(begin, sizeof(begin), "%c (mcr.conf.%c.minisig: mode is 0664", *key, *key);
            snprintf(name, sizeof(name), "%s.%c.minisig", conf, *key);
            snprintf(command, sizeof(command), ": chmod go-w %s)", name);
            const char *at = strstr(s.why, begin), *typed = at ? strstr(at, "chmod") : NULL;
            const char *end = at ? strchr(at, ')') : NULL;
            cr_expect(!at || (end && (!typed || typed > end || strstr(at, command))), "%s", s.why);
            unlink(name);
        }
        cr_expect(strlen(s.why) < sizeof(s.why) - 1, "%zu: %s", length, s.why);
        signatures_free(&s);
        *strrchr(conf, '/') = '\0';
        rmdir(conf);
    }
    rmdir(top);
    file_free(&file);
}

// --- trust.conf ------------------------------------------------------------------------------------------------------

#define A    "RWTq9Y6gMq3c01fF8V+AdGkAtW8N6u2TFudrXNgTzkZP4gJ9iUkK4R4i"
#define B_ID "RWQBAgMEBQYHCFfF8V+AdGkAtW8N6u2TFudrXNgTzkZP4gJ9iUkK4R4i" // the key of A under another id

Test(trust, of_trust_conf)
{
    static const struct {
        const char *text, *error; // NULL: valid
    } rows[] = {
        {"required = 1; keys = ( { name = \"a\"; key = \"" A "\"; } );", NULL},
        {"keys : ( { key : \"" A "\", name : \"ops-lead_1.b\" } ) required : 1", NULL},
        {"", ": \"keys\" is missing or empty: who may sign"},
        {"required = 1;", ": \"keys\" is missing or empty: who may sign"},
        {"required = 1; keys = ( );", ": \"keys\" is missing or empty: who may sign"},
        {"keys = ( { name = \"a\"; key = \"" A "\"; } );",
         ": \"required\" is missing: how many of the keys must have signed"},
        {"required = 0; keys = ( { name = \"a\"; key = \"" A "\"; } );",
         ":1: \"required\" is 0, allowed is 1 to 1, the number of keys"},
        {"required = 2; keys = ( { name = \"a\"; key = \"" A "\"; } );",
         ":1: \"required\" is 2, allowed is 1 to 1, the number of keys"},
        {"required = -1; keys = ( { name = \"a\"; key = \"" A "\"; } );",
         ":1: \"required\" is -1, allowed is 1 to 1, the number of keys"},
        {"required = \"1\"; keys = ( { name = \"a\"; key = \"" A "\"; } );",
         ":1: \"required\" is another kind of value, allowed is an integer"},
        {"required = 1.0; keys = ( { name = \"a\"; key = \"" A "\"; } );",
         ":1: \"required\" is another kind of value, allowed is an integer"},
        {"required = ( 1 ); keys = ( { name = \"a\"; key = \"" A "\"; } );",
         ":1: \"required\" is a list or a group, allowed is an integer"},
        {"required = 1; required = 1; keys = ( { name = \"a\"; key = \"" A "\"; } );",
         ":1: key \"required\" is given twice in the same group"},
        {"required = 1; colour = 2; keys = ( { name = \"a\"; key = \"" A "\"; } );",
         ":1: \"colour\" is not known here, allowed are required and keys"},
        {"true = 1; required = 1; keys = ( { name = \"a\"; key = \"" A "\"; } );", ":1: syntax error: "},
        {"required = 1; keys = \"" A "\";",
         ":1: \"keys\" is another kind of value, allowed is a list of groups: ( { name "
         "= \"...\"; key = \"RW...\"; }, ... )"},
        {"required = 1; keys = [ \"" A "\" ];",
         ":1: \"keys\" is a list or a group, allowed is a list of groups: ( { name "
         "= \"...\"; key = \"RW...\"; }, ... )"},
        {"required = 1; keys = ( \"" A "\" );",
         ":1: \"keys\" is another kind of value, allowed is a list of groups: ( { "
         "name = \"...\"; key = \"RW...\"; }, ... )"},
        {"required = 1; keys = ( { name = \"a\"; } );", ":1: \"key\" is missing in this group"},
        {"required = 1; keys = ( { key = \"" A "\"; } );", ":1: \"name\" is missing in this group"},
        {"required = 1; keys = ( { name = \"a\"; key = \"" A "\"; mode = 1; } );",
         ":1: \"mode\" is not known here, allowed are name and key"},
        {"required = 1; keys = ( { name = \"a\"; key = { required = 1; }; } );",
         ":1: \"key\" is a list or a group, allowed is a string"},
        {"required = 1; keys = ( { name = \"a/../b\"; key = \"" A "\"; } );",
         ":1: \"name\" has 6 characters, allowed are 1 to 31 of A-Z a-z 0-9 _ . -"},
        {"required = 1; keys = ( { name = \"ops lead\"; key = \"" A "\"; } );",
         ":1: \"name\" is \"ops lead\", allowed are characters of A-Z a-z 0-9 _ . - only"},
        {"required = 1; keys = ( { name = \"a\"; key = \"RWRTY0Iy" A A "\"; } );",
         ":1: \"key\" is a secret key, which has been shown now: "},
        {"required = 1; keys = ( { name = \"\"; key = \"" A "\"; } );",
         ":1: \"name\" has 0 characters, allowed are 1 to 31 of A-Z a-z 0-9 _ . -"},
        {"required = 1; keys = ( { name = \"a\"; key = \"RW" A "\"; } );",
         ":1: \"key\" is not the second line of a public key of minisign; allowed is one as minisign -G prints it: "
         "RW..."},
        {"required = 1; keys = ( { name = \"a\"; key = \"RWTq9Y6gMq3c02fF8V+AdGkAtW8N6u2TFudrXNgTzkZP4gJ9iUkK4R4i\"; } "
         ");",
         ":1: \"key\" is nobody's key: is a character wrong?; allowed is one as minisign -G prints it: RW..."},
        {"required = 1;\nkeys = ( { name = \"a\"; key = \"" A "\"; },\n{ name = \"b\"; key = \"" B_ID "\"; } );",
         ":3: \"b\" has the key of \"a\" of line 2: a key counts once, so it stands once"},
        {"required = 1; keys = ( { name = \"a\"; key = \"" A "\"; }", ":1: syntax error: "},
        {"@include \"/etc/shadow\"", ":1: \"@\" outside a string: directives as @include are not allowed"},
    };

    cr_assert(sodium_init() >= 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        static const struct trustconf nothing;
        struct config_problems problems = {0};
        struct trustconf t;
        bool ok = trustconf_parse(rows[i].text, strlen(rows[i].text), &t, &problems);
        cr_expect_eq(ok, rows[i].error == NULL, "%s", rows[i].text);
        cr_expect_eq(ok, problems.n_errors == 0);
        cr_expect(ok || memcmp(&t, &nothing, sizeof(t)) == 0);
        if (rows[i].error) {
            char first[400];
            config_problems_first(&problems, "", first, sizeof(first));
            cr_expect(strstr(first, rows[i].error) == first, "%s: %s, not %s", rows[i].text, first, rows[i].error);
        }
        config_problems_free(&problems);
    }
}

Test(trust, too_many_keys)
{
    struct config_problems problems = {0};
    char text[4096] = "required = 1; keys = (";
    struct trustconf t;

    for (int i = 0; i <= TRUSTCONF_KEYS_MAX; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s{ name = \"n%d\"; key = \"" A "\"; }",
                 i ? "," : "", i);
    strcat(text, ");");
    cr_expect_not(trustconf_parse(text, strlen(text), &t, &problems));
    cr_expect_str_eq(problems.list[0].text, ":1: more than 16 keys");
    config_problems_free(&problems);
}

Test(trust, a_file_that_is_not_there)
{
    struct config_problems problems = {0};
    char directory[] = "/tmp/mcr-test-XXXXXX", path[64];
    struct trustconf t;

    cr_expect(signatures_trust("none", &t, &problems) && t.required == 0);
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/trust.conf", directory);
    cr_expect_not(signatures_trust(path, &t, &problems), "named, but absent");
    cr_assert(symlink("nowhere", path) == 0);
    cr_expect_not(signatures_trust(path, &t, &problems), "a link that leads nowhere");
    config_problems_free(&problems);
    unlink(path);
    rmdir(directory);
}
