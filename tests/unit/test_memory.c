// SPDX-License-Identifier: Apache-2.0
// Each allocation of what is made of a config fails once: what is made then is told to have failed, or is as with
// memory.
#include <config.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/state.h"
#include "compile/compile.h"
#include "config/check_site.h"
#include "config/compare.h"
#include "config/load.h"
#include "config/print.h"
#include "deny.h"
#include "firewall/ruleset.h"
#include "graph/graph.h"
#include "machine/machine.h"
#include "relay/forward.h"
#include "table/view.h"
#include "../make_table.h"

// path: below the top of the sources.
static char *read_file(const char *path)
{
    char whole[512];
    const char *top = getenv("srcdir");

    snprintf(whole, sizeof(whole), "%s/%s", top ? top : ".", path);
    FILE *f = fopen(whole, "r");
    char *text = calloc(1, 1 << 18);

    cr_assert(f && text, "%s", path);
    cr_assert_gt(fread(text, 1, (1 << 18) - 1, f), 0);
    fclose(f);
    return text;
}

static unsigned char n_loaded;

static struct config *load(const char *path)
{
    struct config_problems problems = {0};
    char *text = read_file(path), error[256];
    struct config *c = config_load_text(text, strlen(text), CONFIG_LOAD_OFFLINE_INTERFACES, &problems);

    config_problems_first(&problems, path, error, sizeof(error));
    cr_assert(c, "%s", error);
    config_problems_free(&problems);
    free(text);
    c->path = strdup(path);
    cr_assert_not_null(c->path);
    c->file.sha256[0] = ++n_loaded; // no two are the same file
    return c;
}

// A load that fails for want of memory names at least one error; one of a wrong file never succeeds.
static bool loads(void *context, FILE *to)
{
    const char *text = context;
    struct config_problems problems = {0};
    struct config *c = config_load_text(text, strlen(text), CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
    bool whole = c || problems.n_errors > 0;

    cr_expect(whole, "refused without a reason");
    if (c)
        config_print(c, to);
    config_free(c);
    config_problems_free(&problems);
    return c != NULL;
}

Test(memory, a_load_is_whole_or_refused)
{
    static const char *const paths[] = {"tests/config/valid/merge.conf", "tests/config/valid/doubts-names.conf",
                                        "tests/config/valid/circle-two-way.conf", "tests/config/valid/areas.conf"};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char *text = read_file(paths[i]);
        deny_each(loads, text, false);
        free(text);
    }
}

static bool refuses(void *context, FILE *to)
{
    const char *text = context;
    struct config_problems problems = {0};
    struct config *c = config_load_text(text, strlen(text), CONFIG_LOAD_OFFLINE_INTERFACES, &problems);

    (void) to;
    cr_expect_null(c, "a wrong file is loaded");
    cr_expect_gt(problems.n_errors, 0);
    config_free(c);
    config_problems_free(&problems);
    return true;
}

Test(memory, a_wrong_file_is_refused_all_the_same)
{
    static const char *const paths[] = {"tests/config/invalid/ranges.conf", "tests/config/invalid/circles.conf"};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char *text = read_file(paths[i]);
        deny_each(refuses, text, false);
        free(text);
    }
}

struct pair {
    struct config *before, *now;
};

static bool compares(void *context, FILE *to)
{
    const struct pair *p = context;
    struct diff d;

    if (!diff_make(&d, p->before, p->now)) {
        cr_expect_eq(d.n_rules, 0);
        return false;
    }
    fprintf(to, "%zu added, %zu removed, %zu changed, %zu top, %d %d\n", d.n_added, d.n_removed, d.n_changed, d.n_top,
            d.disturbs, d.needs_restart);
    for (size_t i = 0; i < d.n_rules; i++)
        fprintf(to, "%d %zu\n", d.rules[i].kind, d.rules[i].n_fields);
    diff_free(&d);
    return true;
}

static bool draws(void *context, FILE *to)
{
    const struct pair *p = context;
    struct graph_file files[2] = {{p->now, p->before}, {p->now, NULL}};

    return graph_write(files, 2, false, to) && graph_write(files, 1, true, to);
}

static bool guards(void *context, FILE *to)
{
    const struct pair *p = context;
    const struct config *configs[2] = {p->now, p->before};
    char why[FIREWALL_WHY_MAX];

    for (int role = FIREWALL_HOST; role <= FIREWALL_DOWNSTREAM; role++)
        if (!firewall_write(configs, 2, (enum firewall_role) role, to, why)) {
            cr_expect_neq(why[0], '\0');
            return false;
        }
    return true;
}

static bool any_filter(int fd, const struct ring_filter *filter)
{
    (void) fd, (void) filter;
    return true;
}

static bool compiles(void *context, FILE *to)
{
    const struct pair *p = context;
    struct machine machine = machine_none;
    struct sockets *sockets = sockets_new(&machine, 0);
    struct table_image image = {0};
    struct compile_memory memory;
    char why[COMPILE_WHY_MAX] = "";
    const char *step;

    machine.ring_set_filter = any_filter;
    if (!sockets || !sockets_open_pool(sockets, 4, &step)) {
        sockets_free(sockets);
        return false;
    }
    sockets_begin(sockets);
    bool ok = compile_memory(p->now, &memory, why) && compile_judge(p->now, sockets, why) &&
              compile(p->now, NULL, 1, false, sockets, &image, why);
    sockets_settle(sockets, ok);
    cr_expect(ok || why[0], "refused without a reason");
    // A quiet socket that cannot be had is done without (keep_quiet()), so the size may differ.
    if (ok)
        fprintf(to, "%llu bytes of merges\n", (unsigned long long) memory.merges);
    free(image.bytes);
    sockets_free(sockets);
    return ok;
}

Test(memory, what_is_made_of_configs_is_whole_or_fails)
{
    static const struct {
        deny_action *action;
        const char *name, *before, *now;
    } cases[] = {
        {compares, "compares", "tests/config/valid/merge.conf", "tests/config/valid/inputs.conf"},
        {compares, "compares", "docs/pictures/zones/plant.before.conf", "docs/pictures/zones/plant.conf"},
        {draws, "draws", "docs/pictures/zones/plant.before.conf", "docs/pictures/zones/plant.conf"},
        {guards, "guards", "tests/config/valid/ranges.conf", "tests/config/valid/preserve.conf"},
        {compiles, "compiles", "tests/config/valid/vlan.conf", "tests/config/valid/vlan.conf"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair p = {load(cases[i].before), load(cases[i].now)};
        unsigned failed = deny_each(cases[i].action, &p, false);
        cr_expect_gt(failed, 0, "%s never failed", cases[i].name);
        config_free(p.before);
        config_free(p.now);
    }
}

// Of a site nothing is refused for want of memory, but what it says is then incomplete, and said to be.
static bool judges_site(void *context, FILE *to)
{
    const struct pair *p = context;
    const struct config *files[2] = {p->before, p->now};
    struct config_problems problems[2] = {{0}};
    bool ok = true;

    check_site(files, 2, problems);
    for (int i = 0; i < 2; i++) {
        config_problems_print(&problems[i], "f", to);
        ok &= problems[i].n_errors == 0 && problems[i].left_out == 0;
        config_problems_free(&problems[i]);
    }
    return ok;
}

Test(memory, a_site_is_judged_whole_or_it_is_told)
{
    static const char *const pairs[][2] = {
        {"tests/config/site/untaken/a.conf", "tests/config/site/untaken/b.conf"},
        {"tests/config/site/feeding/a.conf", "tests/config/site/feeding/b.conf"},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct pair p = {load(pairs[i][0]), load(pairs[i][1])};
        deny_each(judges_site, &p, false);
        config_free(p.before);
        config_free(p.now);
    }
}

// Also taken up from what the first one has left.
static bool forwards(void *context, FILE *to)
{
    const struct table_view *v = context;
    size_t size = forward_bytes(v);
    void *memory = size > 0 ? aligned_alloc(ARENA_ALIGN, (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN) : NULL;
    bool ok = memory != NULL;

    (void) to;
    for (int resumed = 0; ok && resumed < 2; resumed++) {
        const char *why = NULL;
        if (!resumed)
            memset(memory, 0, size);
        struct forward *f = resumed ? forward_resume(v, memory, size, 1, &why) : forward_new(v, NULL, memory, 1);
        ok = f != NULL;
        cr_expect(ok || !resumed || why);
        cr_expect(!ok || (f->refusals.of && f->output_sends && f->egress && f->touched && f->came && f->batch &&
                          f->waiting && f->holding && f->holds && f->merges && f->streams));
        forward_free(f);
    }
    free(memory);
    return ok;
}

Test(memory, a_forwarder_is_whole_or_there_is_none)
{
    struct table_view view;

    make_view(&view, NULL,
              "version=1;rules=({name=\"r\";max_payload=1472;monitor={as=\"rtp\";clock_hz=90000;};merge={by=\"rtp\";"
              "reorder_ms=5;};"
              "inputs=({interface=\"in0\";group=\"239.255.0.0\";port=5000;},"
              "{interface=\"in1\";group=\"239.255.0.0\";port=5000;});"
              "outputs=({interface=\"out0\";group=\"239.255.0.0\";port=6000;});});");
    cr_expect_gt(deny_each(forwards, &view, false), 0);
    free((void *) view.header);
}

// The file of a start, which is read once more with fewer rights: its errors are printed.
static bool starts(void *context, FILE *to)
{
    const char *text = context;
    struct broker_options options = {.config_path = "mcr.conf"};
    struct broker b = {.options = &options, .goes_on = strstr(text, "kept")};
    struct config_bytes bytes = {.text = malloc(strlen(text) + 1), .size = strlen(text)};

    (void) to;
    if (!bytes.text)
        return false;
    strcpy(bytes.text, text);
    keep_init(&b.keep);
    return start_judge(&b, &bytes);
}

Test(memory, a_start_judges_its_file_or_refuses)
{
    static const char rule[] =
        "version=1;rules=({name=\"%s\";input={interface=\"in0\";group=\"239.255.0.0\";"
        "port=5000;};outputs=({interface=\"out0\";group=\"239.255.0.0\";port=6000;});});";
    char text[400];
    int before = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    cr_assert(before >= 0 && null >= 0 && dup2(null, STDERR_FILENO) >= 0);
    snprintf(text, sizeof(text), rule, "r");
    unsigned failed = deny_each(starts, text, false);
    // One that ran is no longer valid, and there is no other.
    bool ok = starts((char[]){"kept = "}, stdout);
    cr_assert(dup2(before, STDERR_FILENO) >= 0);
    cr_expect_gt(failed, 5);
    cr_expect(!ok);
}
