// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/signed.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "command/command.h"
#include "command/daemon.h"
#include "common/clock.h"
#include "trust/signatures.h"

#define LOOK_NS 200000000

// Reads trust.conf. Returns false where none are asked for, *usable: or where it cannot be used, which has been said.
static bool find_trust(const char *trust, struct trustconf *t, bool *usable)
{
    struct config_problems problems = {0};

    *usable = signatures_trust(trust, t, &problems);
    if (!*usable && !trust) // the default one, which nobody has named
        fprintf(stderr, "warning: the signatures are not judged here:\n");
    config_problems_print(&problems, signatures_trust_path(trust), stderr);
    config_problems_free(&problems);
    return *usable && t->required > 0;
}

bool signed_print(const char *path, const char *trust, const struct config_bytes *bytes, FILE *to)
{
    char names[SIGNATURES_NAMES_MAX];
    struct signatures s;
    struct trustconf t;
    bool usable;

    if (!find_trust(trust, &t, &usable))
        return usable || !trust;
    signatures_judge(&t, path, bytes, &s);
    if (s.enough)
        fprintf(to, "%s: signatures: %u of %u, signed by %s\n", path, t.required, t.required,
                signatures_names(&t, &s, false, names));
    else
        fprintf(to, "%s: %s\n", path, s.why);
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

json_t *signed_tree(const char *path, const char *trust, const struct config_bytes *bytes)
{
    struct signatures s;
    struct trustconf t;
    bool usable;

    if (!find_trust(trust, &t, &usable))
        return json_null();
    signatures_judge(&t, path, bytes, &s);
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

    if (!find_trust(trust, &t, &usable))
        return false;
    most = most < SIGNATURES_WAIT_NS ? most : SIGNATURES_WAIT_NS;
    while (!is_signed(path, &t, bytes->info.sha256, &other, &told) && clock_monotonic_ns() - began < most)
        nanosleep(&pause, NULL);
    return other;
}

void signed_note(const char *trust, const struct daemon *d)
{
    const struct stats_signatures *theirs = &d->header.signatures;
    const char *path = signatures_trust_path(trust);
    struct config_problems problems = {0};
    struct trustconf t;

    if (strcmp(path, theirs->trust_file) == 0 && signatures_trust(trust, &t, &problems) &&
        memcmp(t.sha256, theirs->trust_sha256, sizeof(t.sha256)) != 0)
        fprintf(stderr, "note: %s is not what mcrd (pid %d) has read at its start: restart mcrd to use it\n", path,
                (int) d->pid);
    config_problems_free(&problems);
}
