// SPDX-License-Identifier: Apache-2.0
// Whether the file has the signatures that trust.conf asks for. trust.conf is read once, at the start.
#include <config.h>

#include "broker/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "log/log.h"

// --- trust.conf ------------------------------------------------------------------------------------------------------

// Stores what tells whether the file has been replaced or written to; all zero: it is absent. Returns false if that
// cannot be seen, as in a directory of root alone.
static bool look(const char *path, struct stat *st)
{
    if (fstatat(AT_FDCWD, path, st, 0) == 0)
        return true;
    memset(st, 0, sizeof(*st));
    return errno == ENOENT;
}

bool approve_start(struct broker *b)
{
    const char *path = signatures_trust_path(b->options->trust_path);
    struct config_problems problems = {0};

    look(path, &b->approval.seen);
    bool ok = signatures_trust(b->options->trust_path, &b->approval.trust, &problems);
    config_problems_print(&problems, path, stderr);
    config_problems_free(&problems);
    return ok;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

// Whether a file that cannot be opened is another one for a start: one that is named must be there.
static bool starts_without(const struct broker *b, int error)
{
    return error != ENOENT || !b->options->trust_path;
}

#define TODO_MAX (SIGNATURES_WHY_MAX + PATH_MAX)

// Whether trust.conf says something else now, as far as it may be read. todo: what a start with it would do.
static bool differs(const struct broker *b, const char *path, char todo[TODO_MAX])
{
    struct config_problems problems = {0}, ignored = {0};
    struct config_bytes trust = {.text = NULL}, bytes = {.text = NULL};
    struct signatures s = {.enough = true};
    struct trustconf t;
    char first[SIGNATURES_WHY_MAX] = "";
    bool other = true;

    snprintf(todo, TODO_MAX, "restart mcrd to use it, if mcrd --check accepts the file with it");
    if (b->approval.trust.required == 0)
        return true; // libsodium is not initialised
    if (file_read(path, true, &trust, &problems))
        other = memcmp(trust.info.sha256, b->approval.trust.sha256, sizeof(trust.info.sha256)) != 0;
    if (other && problems.n_errors == 0 && signatures_trust(b->options->trust_path, &t, &problems) &&
        file_read(b->options->config_path, true, &bytes, &ignored))
        signatures_judge(&t, b->options->config_path, &bytes, &s);
    if (problems.n_errors > 0 && !(trust.open_error && starts_without(b, trust.open_error)))
        config_problems_first(&problems, path, first, sizeof(first));
    if (*first)
        snprintf(todo, TODO_MAX, "a start would be refused: %s", first);
    if (s.enough && bytes.text)
        snprintf(todo, TODO_MAX, "restart mcrd to use it");
    if (!s.enough)
        snprintf(todo, TODO_MAX, "a start would refuse %s: %s", b->options->config_path, s.why);
    signatures_free(&s);
    file_free(&trust);
    file_free(&bytes);
    config_problems_free(&problems);
    config_problems_free(&ignored);
    return other;
}

void approve_look(struct broker *b)
{
    const char *path = signatures_trust_path(b->options->trust_path);
    char quoted[600], todo[TODO_MAX], effect[1024], in_quotes[1200];
    struct stat st;

    if (strcmp(path, TRUSTCONF_NONE) == 0)
        return;
    if (!look(path, &st) || is_same(&st, &b->approval.seen))
        return;
    b->approval.seen = st;
    if (!differs(b, path, todo))
        return;
    snprintf(effect, sizeof(effect), "%s: %.900s",
             b->approval.trust.required > 0 ? "the keys that were read then stay in force"
                                            : "no signatures are asked for",
             todo);
    log_warn(EVENT_TRUST, "file=%s reason=\"it has %s since the start\" effect=%s",
             log_quote(path, quoted, sizeof(quoted)),
             st.st_ino == 0                    ? "gone"
             : b->approval.trust.required == 0 ? "come"
                                               : "changed",
             log_quote(effect, in_quotes, sizeof(in_quotes)));
}

// --- signatures ------------------------------------------------------------------------------------------------------

void approve_disk(const struct broker *b, const struct config_bytes *bytes, struct signatures *out)
{
    signatures_judge(&b->approval.trust, b->options->config_path, bytes, out);
}

void approve_kept(const struct broker *b, const struct config_bytes *bytes, struct signatures *out)
{
    signatures_judge_kept(&b->approval.trust, bytes, b->keep.signatures_before, b->keep.signatures_size, out);
}

bool approve_waits(struct broker *b, const uint8_t sha256[32], const struct signatures *s)
{
    uint64_t now = clock_monotonic_ns();

    if (s->enough) {
        b->approval.unsigned_since_ns = 0;
        return false;
    }
    if (b->approval.unsigned_since_ns == 0 ||
        memcmp(b->approval.unsigned_sha256, sha256, sizeof(b->approval.unsigned_sha256)) != 0) {
        b->approval.unsigned_since_ns = now;
        memcpy(b->approval.unsigned_sha256, sha256, sizeof(b->approval.unsigned_sha256));
    }
    return now - b->approval.unsigned_since_ns < SIGNATURES_WAIT_NS;
}

_Static_assert(HANDOVER_WAITS_NS >= SIGNATURES_WAIT_NS, "the time is over when the relay asks again");
_Static_assert(sizeof(((struct stats_signatures *) NULL)->signed_by) == SIGNATURES_NAMES_MAX, "room for the names");

void approve_show(const struct broker *b, const char *signed_by, bool left, struct stats_signatures *out)
{
    memset(out, 0, sizeof(*out));
    out->required = b->approval.trust.required;
    memcpy(out->trust_sha256, b->approval.trust.sha256, sizeof(out->trust_sha256));
    snprintf(out->trust_file, sizeof(out->trust_file), "%s", signatures_trust_path(b->options->trust_path));
    snprintf(out->signed_by, sizeof(out->signed_by), "%s", signed_by);
    snprintf(out->left, sizeof(out->left), "%.*s", (int) sizeof(out->left) - 1, left ? b->left : "");
}

// Whoever brings a file chooses its time, which no key has signed.
void approve_date(const struct broker *b, struct config *c)
{
    if (b->approval.trust.required > 0)
        c->written_s = b->approval.seen.st_mtim.tv_sec > 0 ? (uint64_t) b->approval.seen.st_mtim.tv_sec : 1;
}
