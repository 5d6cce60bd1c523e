// SPDX-License-Identifier: Apache-2.0
// The commands that need only the file.
#include <config.h>

#include "command/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "command/account.h"
#include "command/audit_place.h"
#include "command/running.h"
#include "command/signed.h"
#include "common/arguments.h"
#include "common/digest.h"
#include "common/exit.h"
#include "common/moment.h"
#include "compile/compile.h"
#include "config/check.h"
#include "config/check_site.h"
#include "config/load.h"
#include "config/print.h"
#include "config/site.h"
#include "config/times.h"
#include "config/way.h"
#include "machine/link.h"
#include "machine/ring.h"
#include "stats/place.h"

#define RESTART_MS 150 // what a restart takes at most on a machine at ease (docs/operating.md)

static int finish(struct config *c, bool printed)
{
    bool ok = command_flush(c->path, printed);

    config_free(c);
    return ok ? 0 : 1;
}

// Prints the kinds of sockets of the outputs, and the outputs with a raw one, or possibly so: they show what a
// compromised relay could send.
static bool print_ways(const struct config *c)
{
    size_t counts[CONFIG_WAYS] = {0};
    const char *between = "";
    char text[CONFIG_WAY_TEXT_MAX];

    for (size_t i = 0; i < c->n_rules; i++)
        for (size_t o = 0; c->rules[i].enabled && o < c->rules[i].n_outputs; o++) {
            enum config_way otherwise;
            counts[config_way_of_file(&c->rules[i].outputs[o], &otherwise)]++;
        }
    printf("%s: outputs: ", c->path);
    for (unsigned way = 0; way < CONFIG_WAYS; way++)
        if (counts[way] > 0) {
            printf("%s%zu %s", between, counts[way], config_way_name(way));
            between = ", ";
        }
    puts(*between ? "" : "none");
    for (size_t i = 0; i < c->n_rules; i++)
        for (size_t o = 0; c->rules[i].enabled && o < c->rules[i].n_outputs; o++) {
            const struct config_output *out = &c->rules[i].outputs[o];
            enum config_way otherwise;
            config_way_of_file(out, &otherwise);
            if (otherwise >= CONFIG_WAY_PORT)
                printf("%s:%d: rule \"%s\": output on \"%s\": %s\n", c->path, out->line, c->rules[i].name,
                       out->interface, config_way_text(out, text));
        }
    return !ferror(stdout);
}

// Prints the inputs whose senders may be told that nobody has the port, because the broker may not bind it.
static bool print_reserved(const struct config *c)
{
    for (size_t i = 0; i < c->n_rules; i++)
        for (size_t j = 0; c->rules[i].enabled && j < c->rules[i].n_inputs; j++) {
            const struct config_input *in = &c->rules[i].inputs[j];
            if (in->kind == CONFIG_ADDRESS && in->port < CONFIG_RESERVED_PORTS)
                printf(
                    "%s:%d: rule \"%s\": input on \"%s\": port %u is below %d: the kernel answers its senders with "
                    "ICMP "
                    "errors unless net.ipv4.ip_unprivileged_port_start is %u or less\n",
                    c->path, in->line, c->rules[i].name, in->interface, in->port, CONFIG_RESERVED_PORTS, in->port);
        }
    return !ferror(stdout);
}

// A missing directory of the statistics, or of the records, is made, but none above it.
static void warn_of_directory(const char *key, const char *path, const char *what, struct config_problems *problems)
{
    char above[sizeof(((struct config *) NULL)->stats_file)];
    struct stat st;

    snprintf(above, sizeof(above), "%s", path);
    for (int i = 0; i < 2; i++)
        if (strrchr(above, '/'))
            *strrchr(above, '/') = '\0';
    if (above[0] && fstatat(AT_FDCWD, above, &st, 0) != 0 && errno == ENOENT)
        config_warning(problems, 0, NULL,
                       "mcrd cannot keep its %s there: %s does not exist here, and mcrd makes the last "
                       "directory of %s only: mkdir -p %s",
                       what, above, key, above);
}

// What lies at audit_file, which mcrd appends to only if it is a regular file.
static void warn_of_audit_file(const struct config *c, struct config_problems *problems)
{
    struct stat st;

    if (fstatat(AT_FDCWD, c->audit_file, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode))
        config_warning(problems, 0, NULL, "mcrd cannot keep its records there: %s is %s: name a file", c->audit_file,
                       S_ISDIR(st.st_mode)   ? "a directory"
                       : S_ISLNK(st.st_mode) ? "a symbolic link"
                                             : "no regular file");
}

// Warns about problems that mcrd will have with this file when root starts it. They are no errors: config management
// checks a temporary file with mode 0600, and another machine has other users.
static void warn_of_start(const struct config *c)
{
    struct config_problems problems = {0};
    struct file_reader reader = {.user = NULL};
    char why[FILE_WHY_MAX];

    if (account_find(c, &reader, &problems) && !account_may_read(c->path, &reader, 0, why))
        config_warning(&problems, 0, NULL, "mcrd cannot load it from here: %s", why);
    if (reader.user && !account_may_write(c->stats_file, c->path, "/run/mcr", &reader, why))
        config_warning(&problems, 0, NULL, "mcrd cannot keep its statistics there: %s", why);
    warn_of_directory("stats_file", c->stats_file, "statistics", &problems);
    if (c->audit_file[0]) {
        if (reader.user && !account_may_write(c->audit_file, c->path, "/var/lib/mcr", &reader, why))
            config_warning(&problems, 0, NULL, "mcrd cannot keep its records there: %s%s", why,
                           c->audit_required ? ": with audit_required the start would be refused" : "");
        warn_of_audit_file(c, &problems);
        warn_of_directory("audit_file", c->audit_file, "records", &problems);
        audit_place_doubt(c, &problems);
    }
    config_problems_print(&problems, c->path, stderr);
    config_problems_free(&problems);
}

static bool print_bytes(const struct config *c, const char *what, uint64_t bytes)
{
    bool small = bytes < 1 << 20;

    return bytes == 0 || printf("%s: %s: %.1f %s of memory\n", c->path, what,
                                (double) bytes / (small ? 1 << 10 : 1 << 20), small ? "KiB" : "MiB") > 0;
}

// What the relay takes for merges and monitors, which a file without any does not need to be told.
static bool print_memory(const struct config *c, const struct compile_memory *m)
{
    return print_bytes(c, "merges", m->merges) && print_bytes(c, "monitors", m->monitors);
}

static bool takes_by(const struct config_rule *r, const char *interface)
{
    bool takes = false;

    for (size_t i = 0; r->enabled && i < r->n_inputs; i++)
        takes |= strcmp(r->inputs[i].interface, interface) == 0;
    return takes;
}

// What is known of the rate of an input interface: the sum of its rules' limits, or 0 if one has none.
static uint64_t limits_of(const struct config *c, const char *interface)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < c->n_rules; i++) {
        const struct config_rule *r = &c->rules[i];
        bool takes = takes_by(r, interface);
        if (takes && (r->limit.packets_per_second == 0 || r->limit.per_source))
            return 0;
        sum += takes ? r->limit.packets_per_second : 0;
    }
    return sum;
}

// Writes what a restart loses all the same by this interface: what waits in its ring for longer than a rule lets it.
static void print_deadlines(const struct config *c, const char *interface)
{
    const struct config_rule *first = NULL;
    size_t n = 0;

    for (size_t i = 0; i < c->n_rules; i++) {
        const struct config_rule *r = &c->rules[i];
        if (!takes_by(r, interface) || r->deadline_us == 0 || r->deadline_us >= RESTART_MS * 1000)
            continue;
        first = first ? first : r;
        n++;
    }
    if (n == 1)
        printf(", but what waits longer than the deadline_us of rule \"%s\"", first->name);
    else if (n > 1)
        printf(", but what waits longer than the deadline_us of %zu rules", n);
}

// Says what the ring of each input interface bridges while no mcrd runs. One that is not here is taken for an Ethernet.
static bool print_rings(const struct config *c)
{
    struct link links[CONFIG_INTERFACES_MAX] = {{.ifindex = 0}};
    size_t n = 0;

    for (size_t i = 0; i < c->n_rules; i++)
        for (size_t j = 0; c->rules[i].enabled && j < c->rules[i].n_inputs; j++) {
            size_t k = 0;
            while (k < n && strcmp(links[k].name, c->rules[i].inputs[j].interface) != 0)
                k++;
            if (k == n && n < CONFIG_INTERFACES_MAX)
                snprintf(links[n++].name, sizeof(links[0].name), "%s", c->rules[i].inputs[j].interface);
        }
    bool known = link_assume(links, n);
    for (size_t i = 0; known && i < n; i++) {
        uint64_t frames = ring_geometry(links[i].mtu, c->ring_mib).n_slots, limit = limits_of(c, links[i].name);
        printf("%s: ring of \"%s\": %llu frames: a restart of %d ms loses nothing up to %llu/s", c->path, links[i].name,
               (unsigned long long) frames, RESTART_MS, (unsigned long long) (frames * 1000 / RESTART_MS));
        if (limit > 0)
            printf(", one of %.1f s at its rules' limits, %llu/s", (double) frames / (double) limit,
                   (unsigned long long) limit);
        print_deadlines(c, links[i].name);
        putchar('\n');
    }
    link_release(links, n);
    return !ferror(stdout);
}

// Whether a start on this machine at this time, with memory and a place for the statistics, is possible.
static bool may_start(const struct config *c, uint64_t now, struct compile_memory *memory)
{
    struct config_problems problems = {0};
    char why[COMPILE_WHY_MAX], from[MOMENT_TEXT_MAX];
    const char *taken = stats_place_taken(AT_FDCWD, c->stats_file);

    if (taken && (errno == EEXIST || errno == EISDIR))
        config_error(&problems, 0, NULL, "%s: %s", c->stats_file, taken);
    times_check(c, now, &problems);
    compile_memory(c, memory, why); // it fits: the file was loaded
    bool may = problems.n_errors == 0;
    config_problems_print(&problems, c->path, stderr);
    config_problems_free(&problems);
    if (schedule_phase(c->valid, now) == SCHEDULE_BEFORE)
        fprintf(stderr, "%s: as of then it is checked by mcrd --check --at %s\n", c->path,
                moment_format(c->valid.from, from));
    return may;
}

static bool print_valid(const struct config *c, const struct compile_memory *memory)
{
    char hex[DIGEST_TEXT_MAX];

    return printf("%s: valid, %zu rule%s, sha256 %s\n", c->path, c->n_rules, c->n_rules == 1 ? "" : "s",
                  digest_text(c->file.sha256, hex)) > 0 &&
           print_ways(c) && print_reserved(c) && print_memory(c, memory);
}

static int check_one(const char *path, const char *trust, uint64_t at)
{
    struct config_bytes bytes;
    struct config *c = command_load_text(path, 0, &bytes);
    struct compile_memory memory;

    if (!c || !may_start(c, command_time(at), &memory)) {
        file_free(&bytes);
        config_free(c);
        return 1;
    }
    warn_of_start(c);
    bool printed = print_valid(c, &memory) && print_rings(c), enough = signed_print(c, true, trust, &bytes, stdout);
    file_free(&bytes);
    int status = finish(c, printed);
    return enough ? status : 1;
}

// Loads a file of a relay that most likely is another machine: nothing is asked of this one. NULL after a message.
static struct config *load_of_site(const char *path, uint64_t now, struct compile_memory *memory,
                                   struct config_bytes *bytes)
{
    struct config *c = command_load_text(path, CONFIG_LOAD_OFFLINE_INTERFACES, bytes);
    struct config_problems problems = {0};
    char why[COMPILE_WHY_MAX];

    if (!c)
        return NULL;
    times_check(c, now, &problems);
    compile_memory(c, memory, why);
    bool ok = problems.n_errors == 0;
    config_problems_print(&problems, path, stderr);
    config_problems_free(&problems);
    if (ok)
        return c;
    config_free(c);
    return NULL;
}

// Says of a file with the content of one before it what it is taken for.
static bool print_same(struct config *const *files, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (memcmp(files[i]->file.sha256, files[j]->file.sha256, sizeof(files[i]->file.sha256)) == 0)
            return printf("%s: the same as %s: taken for a pair of relays, one of which is active\n", files[i]->path,
                          files[j]->path) > 0;
    return true;
}

// Instances of one host have a stats_file each; so does each host.
static void warn_of_shared_records(struct config *const *files, size_t i, struct config_problems *problems)
{
    const struct config *c = files[i];

    for (size_t j = 0; j < i && c->audit_file[0]; j++)
        if (strcmp(c->audit_file, files[j]->audit_file) == 0 && strcmp(c->stats_file, files[j]->stats_file) != 0)
            config_warning(problems, 0, NULL,
                           "audit_file is \"%s\", as that of %s: on one host only the first mcrd that is started can "
                           "write it: name another one",
                           c->audit_file, files[j]->path);
}

// Checks them together, and prints the problems. Returns whether there is no error.
static bool fit_together(struct config *const *files, size_t n)
{
    struct config_problems problems[SITE_FILES_MAX] = {{NULL, 0, 0, 0}};
    size_t errors = 0;

    check_site((const struct config *const *) files, n, problems);
    for (size_t i = 1; i < n; i++)
        warn_of_shared_records(files, i, &problems[i]);
    for (size_t i = 0; i < n; i++) {
        errors += problems[i].n_errors;
        config_problems_print(&problems[i], files[i]->path, stderr);
        config_problems_free(&problems[i]);
    }
    return errors == 0;
}

int command_check(const struct argument_list *paths, const char *trust, uint64_t at)
{
    struct config *files[ARGUMENT_LIST_MOST] = {NULL};
    size_t n = 0;
    bool ok = true;

    _Static_assert(ARGUMENT_LIST_MOST <= SITE_FILES_MAX, "more files than a site has");
    if (paths->n == 1)
        return check_one(paths->texts[0], trust, at);
    for (size_t i = 0; i < paths->n; i++) {
        struct compile_memory memory;
        struct config_bytes bytes;
        struct config *c = load_of_site(paths->texts[i], command_time(at), &memory, &bytes);
        ok = c && print_valid(c, &memory) && signed_print(c, false, trust, &bytes, stdout) && ok;
        file_free(&bytes);
        if (c)
            files[n++] = c;
    }
    for (size_t i = 1; ok && i < n; i++)
        ok = print_same(files, i);
    ok = ok && fit_together(files, n) && printf("%zu files together: valid\n", n) > 0;
    ok = command_flush(paths->texts[0], !ferror(stdout)) && ok;
    while (n > 0)
        config_free(files[--n]);
    return ok ? 0 : 1;
}

int command_schema(void)
{
    return command_flush("the schema", config_describe(stdout)) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int command_print(const char *path, bool running, bool json)
{
    struct config *c = running_or_file(path, running, 0);

    if (!c)
        return 1;
    return finish(c, json ? config_print_json(c, stdout) : config_print(c, stdout));
}

// The files together: an interface has one role on the host, whichever of them says so.
static bool roles_agree(struct config *const *files, size_t n)
{
    size_t errors = 0;

    for (size_t i = 0; i < n; i++) {
        struct config_problems problems = {0};
        for (size_t j = 0; j < n; j++)
            if (i != j)
                check_roles_of(files[i], files[j], &problems);
        errors += problems.n_errors;
        config_problems_print(&problems, files[i]->path, stderr);
        config_problems_free(&problems);
    }
    return errors == 0;
}

// Whether the files have their own value, or are of one instance: before and after a change, as a trial needs both.
static bool differ(const char *key, const struct config *a, const char *value, const struct config *b,
                   const char *other)
{
    bool one = strcmp(a->instance, b->instance) == 0 && strcmp(a->stats_file, b->stats_file) == 0;

    if (!*value || strcmp(value, other) != 0)
        return true;
    fprintf(stderr, "%s: %s\"%s\" is \"%s\", as that of %s, %s\n", a->path, one ? "warning: " : "", key, value, b->path,
            one ? "taken as two files of one instance: what either lets pass does"
                : "allowed is one for each instance of the host");
    return one;
}

// Each instance of a host has its own statistics and records: with one stats_file and two names a key is missing.
static bool instances_differ(struct config *const *files, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (!differ("stats_file", files[i], files[i]->stats_file, files[j], files[j]->stats_file) ||
                !differ("audit_file", files[i], files[i]->audit_file, files[j], files[j]->audit_file))
                return false;
    return true;
}

int command_firewall(const struct argument_list *paths, bool running, enum firewall_role role, uint64_t at)
{
    struct config *files[ARGUMENT_LIST_MOST];
    char why[FIREWALL_WHY_MAX];
    size_t n = 0;
    bool ok;

    _Static_assert(ARGUMENT_LIST_MOST <= FIREWALL_CONFIGS_MAX, "more files than a ruleset holds");
    for (size_t i = 0; i < paths->n; i++) {
        files[n] = running_or_file(paths->texts[i], running, 0);
        if (files[n])
            times_apply(files[n++], command_time(at), true);
    }
    ok = n == paths->n && instances_differ(files, n) && roles_agree(files, n);
    if (ok && !firewall_write((const struct config *const *) files, n, role, stdout, why)) {
        fprintf(stderr, "%s: %s\n", files[0]->path, why);
        ok = false;
    }
    ok = ok && command_flush(files[0]->path, true);
    while (n > 0)
        config_free(files[--n]);
    return ok ? 0 : 1;
}
