// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/signed.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "command/account.h"
#include "command/command.h"
#include "command/daemon.h"
#include "common/clock.h"
#include "trust/signatures.h"

#define LOOK_NS 200000000

// --- who reads them --------------------------------------------------------------------------------------------------

struct other {
    struct file_reader reader;
    pid_t daemon; // 0: none runs
};

static bool may_read(const void *context, const char *path, char why[SIGNATURES_REASON_MAX])
{
    const struct other *o = context;
    char shut[FILE_WHY_MAX];
    bool may = account_may_read(path, &o->reader, o->daemon, shut);

    if (!may)
        snprintf(why, SIGNATURES_REASON_MAX, "%s", shut);
    return may;
}

// The user that mcrd becomes; what is wrong with him is told with the file.
static bool find_other(const struct config *c, struct other *o)
{
    struct config_problems told = {0};
    bool found = account_find(c, &o->reader, &told);

    config_problems_free(&told);
    return found;
}

static void judge(const struct config *c, bool here, const struct trustconf *t, const struct config_bytes *bytes,
                  struct signatures *out)
{
    struct other o = {.daemon = 0};

    signatures_judge_as(t, c->path, bytes, here && find_other(c, &o) ? may_read : NULL, &o, out);
}

// A mcrd that root starts reads trust.conf before it becomes its user; mcrd.service starts it as that user.
static void warn_of_trust(const struct config *c, const char *path, struct config_problems *problems)
{
    char why[FILE_WHY_MAX], none[DAEMON_WHY_MAX];
    struct other o = {.daemon = 0};
    struct daemon d;

    if (!find_other(c, &o) || account_may_read(path, &o.reader, 0, why))
        return;
    // Only what root has started has a network and a root of its own.
    if (daemon_look(c->stats_file, &d, none) == DAEMON_RUNS && d.header.isolation != 0)
        return;
    config_warning(problems, 0, NULL, "a start as user %s, as mcrd.service has it, would be refused: %s", o.reader.user,
                   why);
}

// --- commands --------------------------------------------------------------------------------------------------------

// Reads trust.conf. Returns false where none are asked for, *usable: or where it cannot be used, which has been said.
// c: for a mcrd of this machine; or NULL.
static bool find_trust(const struct config *c, const char *trust, struct trustconf *t, bool *usable)
{
    struct config_problems problems = {0};

    *usable = signatures_trust(trust, t, &problems);
    if (!*usable && !trust) // the default one, which nobody has named
        fprintf(stderr, "warning: the signatures are not judged here:\n");
    if (*usable && t->required > 0 && c)
        warn_of_trust(c, signatures_trust_path(trust), &problems);
    config_problems_print(&problems, signatures_trust_path(trust), stderr);
    config_problems_free(&problems);
    return *usable && t->required > 0;
}

bool signed_print(const struct config *c, bool here, const char *trust, const struct config_bytes *bytes, FILE *to)
{
    char names[SIGNATURES_NAMES_MAX];
    struct signatures s;
    struct trustconf t;
    bool usable;

    if (!find_trust(here ? c : NULL, trust, &t, &usable))
        return usable || !trust;
    judge(c, here, &t, bytes, &s);
    if (s.enough)
        fprintf(to, "%s: signatures: %u of %u, signed by %s\n", c->path, t.required, t.required,
                signatures_names(&t, &s, false, names));
    else
        fprintf(to, "%s: %s\n", c->path, s.why);
    signatures_free(&s);
    return s.enough || !trust;
}

static json_t *names_tree(const struct trustconf *t, const struct signatures *s, bool missing)
{
    json_t *list = json_array();

    for (size_t i = 0; i < t->n_keys; i++)
        if ((s->keys >> i & 1) != missing)
            json_array_append_new(list, json_string(t->keys[i].name));
    return list;
}

json_t *signed_tree(const struct config *c, bool here, const char *trust, const struct config_bytes *bytes)
{
    struct signatures s;
    struct trustconf t;
    bool usable;

    if (!find_trust(here ? c : NULL, trust, &t, &usable))
        return json_null();
    judge(c, here, &t, bytes, &s);
    json_t *o =
        json_pack("{s:i, s:b, s:o, s:o, s:s?}", "required", (int) t.required, "enough", s.enough, "signed_by",
                  names_tree(&t, &s, false), "missing", names_tree(&t, &s, true), "reason", s.enough ? NULL : s.why);
    signatures_free(&s);
    return o;
}

// Returns whether the wait is over: the file has its signatures, or cannot be read. *told: it has been said that it
// waits.
static bool is_signed(const char *path, const struct trustconf *t, const uint8_t sha256[32], bool *other, bool *told)
{
    struct config_problems problems = {0};
    struct config_bytes bytes;
    struct signatures s = {.enough = true};

    if (file_read(path, true, &bytes, &problems)) {
        *other = memcmp(bytes.info.sha256, sha256, sizeof(bytes.info.sha256)) != 0;
        signatures_judge(t, path, &bytes, &s);
    }
    if (!s.enough && !*told)
        fprintf(stderr, "%s: waits for %s\n", path, s.why);
    *told = true;
    signatures_free(&s);
    file_free(&bytes);
    config_problems_free(&problems);
    return s.enough;
}

bool signed_wait(const char *path, const char *trust, const struct config_bytes *bytes, double seconds)
{
    static const struct timespec pause = {.tv_nsec = LOOK_NS};
    uint64_t most = (uint64_t) (seconds * 1e9), began = clock_monotonic_ns();
    bool usable, other = false, told = false;
    struct trustconf t;

    if (!find_trust(NULL, trust, &t, &usable))
        return false;
    most = most < SIGNATURES_WAIT_NS ? most : SIGNATURES_WAIT_NS;
    while (!is_signed(path, &t, bytes->info.sha256, &other, &told) && clock_monotonic_ns() - began < most)
        nanosleep(&pause, NULL);
    return other;
}

// Reads trust.conf silently, if it is the one that this daemon names.
static bool read_same_trust(const char *trust, const struct daemon *d, struct trustconf *t)
{
    struct config_problems problems = {0};
    bool ok = strcmp(signatures_trust_path(trust), d->header.signatures.trust_file) == 0 &&
              signatures_trust(trust, t, &problems);

    config_problems_free(&problems);
    return ok;
}

void signed_readable(const struct config *c, const char *trust, const struct config_bytes *bytes,
                     const struct daemon *d, struct config_problems *problems)
{
    struct signatures ours, theirs;
    struct other o = {.daemon = d->pid};
    struct trustconf t;

    if (!read_same_trust(trust, d, &t) || memcmp(t.sha256, d->header.signatures.trust_sha256, sizeof(t.sha256)) != 0 ||
        !find_other(c, &o) || o.reader.uid != d->owner)
        return;
    signatures_judge(&t, c->path, bytes, &ours);
    signatures_judge_as(&t, c->path, bytes, may_read, &o, &theirs);
    if (ours.enough && !theirs.enough)
        config_error(problems, 0, NULL, "%s", theirs.why);
    signatures_free(&ours);
    signatures_free(&theirs);
}

void signed_note(const struct config *c, const char *trust, const struct config_bytes *bytes, const struct daemon *d)
{
    const char *path = signatures_trust_path(trust);
    struct signatures s;
    struct trustconf t;

    if (!read_same_trust(trust, d, &t) || memcmp(t.sha256, d->header.signatures.trust_sha256, sizeof(t.sha256)) == 0)
        return;
    judge(c, true, &t, bytes, &s);
    fprintf(stderr, "note: %s is not what mcrd (pid %d) has read at its start: ", path, (int) d->pid);
    if (s.enough)
        fprintf(stderr, "restart mcrd to use it\n");
    else
        fprintf(stderr, "that start would refuse %s: %s\n", c->path, s.why);
    signatures_free(&s);
}
