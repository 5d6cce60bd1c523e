// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "trust/signatures.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// --- trust.conf ------------------------------------------------------------------------------------------------------

const char *signatures_trust_path(const char *path)
{
    return path ? path : TRUSTCONF_DEFAULT_PATH;
}

// A link that leads nowhere is not absent: somebody meant a file.
static bool is_absent(const char *path)
{
    struct stat st;

    return fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT;
}

static bool check_trust(const char *path, const struct config_bytes *bytes, struct config_problems *problems)
{
    size_t errors = problems->n_errors;

    if (bytes->size > TRUSTCONF_FILE_MAX)
        config_error(problems, 0, NULL, "size is %zu bytes, allowed is up to %u", bytes->size, TRUSTCONF_FILE_MAX);
    // Not even the user that the daemon becomes, who never writes it.
    if (bytes->info.owner != 0 && bytes->info.owner != geteuid())
        config_error(problems, 0, NULL,
                     "owner is uid %u, allowed is root or uid %u, as who mcrd is started: chown root %s",
                     (unsigned) bytes->info.owner, (unsigned) geteuid(), path);
    return problems->n_errors == errors;
}

bool signatures_trust(const char *path, struct trustconf *out, struct config_problems *problems)
{
    const char *file = signatures_trust_path(path);
    struct config_bytes bytes;

    memset(out, 0, sizeof(*out));
    if (path && strcmp(path, TRUSTCONF_NONE) == 0)
        return true;
    if (!path && is_absent(file))
        return true;
    if (sodium_init() < 0) {
        config_error(problems, 0, NULL, "cannot be used: libsodium does not start");
        return false;
    }
    bool ok = file_read(file, true, &bytes, problems) && check_trust(file, &bytes, problems) &&
              trustconf_parse(bytes.text, bytes.size, out, problems);
    if (ok)
        memcpy(out->sha256, bytes.info.sha256, sizeof(out->sha256));
    file_free(&bytes);
    return ok;
}

// --- a file's signatures ---------------------------------------------------------------------------------------------

// Appends to a text of `size` bytes, cut.
static void __attribute__((format(printf, 3, 4))) append(char *text, size_t size, const char *format, ...)
{
    size_t used = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + used, size - used, format, args);
    va_end(args);
}

char *signatures_names(const struct trustconf *t, const struct signatures *s, bool missing,
                       char out[SIGNATURES_NAMES_MAX])
{
    out[0] = '\0';
    for (size_t i = 0; i < t->n_keys; i++)
        if ((s->keys >> i & 1) != missing)
            append(out, SIGNATURES_NAMES_MAX, "%s%s", *out ? "," : "", t->keys[i].name);
    return out;
}

// Adds a valid signature by key i. Without memory it does not count, so that what is kept is what was judged.
static void add(struct signatures *s, size_t i, const char *text, size_t size)
{
    char *grown = s->keys >> i & 1 ? NULL : realloc(s->text, s->size + size + 1);

    if (!grown)
        return;
    memcpy(grown + s->size, text, size);
    s->text = grown;
    s->size += size;
    if (s->text[s->size - 1] != '\n')
        s->text[s->size++] = '\n';
    s->keys |= UINT32_C(1) << i;
    s->n++;
}

// Appends a key that has not signed, with as much of the reason as fits: whole, without the remedy behind its last ":
// ", or none of it; a command that is cut would do something else. Returns false if not even the name fits.
static bool add_missing(char *text, size_t size, const char *between, const char *name, const char *reason)
{
    size_t used = strlen(text), room = size - used;
    const char *remedy = NULL;

    for (const char *at = reason; (at = strstr(at, ": ")); at++)
        remedy = at;
    if (*reason && (size_t) snprintf(text + used, room, "%s%s (%s)", between, name, reason) < room)
        return true;
    if (remedy &&
        (size_t) snprintf(text + used, room, "%s%s (%.*s)", between, name, (int) (remedy - reason), reason) < room)
        return true;
    if ((size_t) snprintf(text + used, room, "%s%s", between, name) < room)
        return true;
    text[used] = '\0';
    return false;
}

// reasons: of each key that has not signed, or empty.
static void conclude(const struct trustconf *t, char reasons[][SIGNATURES_REASON_MAX], struct signatures *s)
{
    char names[SIGNATURES_NAMES_MAX];
    const char *between = "";

    s->enough = s->n >= t->required;
    if (s->enough)
        return;
    append(s->why, sizeof(s->why), "signatures: %u of %u", s->n, t->required);
    if (s->n > 0)
        append(s->why, sizeof(s->why), ", signed by %s", signatures_names(t, s, false, names));
    append(s->why, sizeof(s->why), "; missing%s: ", t->n_keys - s->n > t->required - s->n ? ", any of" : "");
    for (size_t i = 0; i < t->n_keys; i++)
        if (!(s->keys >> i & 1)) {
            if (!add_missing(s->why, sizeof(s->why), between, t->keys[i].name, reasons ? reasons[i] : ""))
                break;
            between = ", ";
        }
}

// The reason of the first error, without the path: ": cannot be opened: ...".
static void tell_unread(const struct config_problems *problems, const char *path, char why[SIGNATURES_REASON_MAX])
{
    char first[2 * PATH_MAX];

    config_problems_first(problems, "", first, sizeof(first));
    char *remedy = strstr(first, ": chmod ");
    if (remedy && strlen(first) + 120 >= SIGNATURES_REASON_MAX)
        *remedy = '\0';
    snprintf(why, SIGNATURES_REASON_MAX, "%.120s%.500s", path, first);
}

// As minisign names a signature that is given no name.
static const char *unnamed(const char *path)
{
    char name[PATH_MAX];
    struct stat st;

    return (size_t) snprintf(name, sizeof(name), "%s.minisig", path) < sizeof(name) &&
                   fstatat(AT_FDCWD, name, &st, AT_SYMLINK_NOFOLLOW) == 0
               ? ", but one without a name, .minisig: minisign -x gives it one"
               : "";
}

// Judges the file of one key. Returns false with the reason.
static bool judge_one(const struct trustconf *t, size_t i, const char *path, const struct config_bytes *bytes,
                      signatures_reader *may_read, const void *context, struct signatures *out,
                      char why[SIGNATURES_REASON_MAX])
{
    struct config_problems problems = {0};
    struct minisign_signature s;
    struct config_bytes file = {.text = NULL};
    char name[PATH_MAX], bad[MINISIGN_WHY_MAX], shut[SIGNATURES_REASON_MAX];
    const char *slash = strrchr(path, '/');

    if ((size_t) snprintf(name, sizeof(name), "%s.%s.minisig", path, t->keys[i].name) >= sizeof(name)) {
        snprintf(why, SIGNATURES_REASON_MAX, "the path is too long");
        return false;
    }
    const char *shown = slash ? name + (slash - path) + 1 : name;
    if (!file_read(name, true, &file, &problems)) {
        if (file.open_error == ENOENT)
            snprintf(why, SIGNATURES_REASON_MAX, "there is no %.120s%s", shown, unnamed(path));
        else
            tell_unread(&problems, shown, why);
    } else if (file.size > MINISIGN_FILE_MAX) {
        snprintf(why, SIGNATURES_REASON_MAX, "%.120s: size is %zu bytes, allowed is up to %d", shown, file.size,
                 MINISIGN_FILE_MAX);
    } else {
        size_t used = minisign_signature(file.text, file.size, &s, bad);
        if (used == 0)
            snprintf(why, SIGNATURES_REASON_MAX, "%.120s: %s", shown, bad);
        else if (used < file.size)
            snprintf(why, SIGNATURES_REASON_MAX, "%.120s: more than one signature", shown);
        else if (memcmp(s.id, t->keys[i].key.id, sizeof(s.id)) != 0)
            snprintf(why, SIGNATURES_REASON_MAX, "%.120s is by another key", shown);
        else if (!minisign_verify(&t->keys[i].key, &s, bytes->text, bytes->size))
            snprintf(why, SIGNATURES_REASON_MAX, "%.120s does not fit this file", shown);
        else if (may_read && !may_read(context, name, shut))
            snprintf(why, SIGNATURES_REASON_MAX, "%.120s: %.500s", shown, shut);
        else
            add(out, i, file.text, file.size);
    }
    config_problems_free(&problems);
    file_free(&file);
    return out->keys >> i & 1;
}

void signatures_judge(const struct trustconf *t, const char *path, const struct config_bytes *bytes,
                      struct signatures *out)
{
    signatures_judge_as(t, path, bytes, NULL, NULL, out);
}

void signatures_judge_as(const struct trustconf *t, const char *path, const struct config_bytes *bytes,
                         signatures_reader *may_read, const void *context, struct signatures *out)
{
    char reasons[TRUSTCONF_KEYS_MAX][SIGNATURES_REASON_MAX];

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < t->n_keys; i++) {
        reasons[i][0] = '\0';
        judge_one(t, i, path, bytes, may_read, context, out, reasons[i]);
    }
    conclude(t, reasons, out);
}

void signatures_judge_kept(const struct trustconf *t, const struct config_bytes *bytes, const char *text, size_t size,
                           struct signatures *out)
{
    struct minisign_signature s;
    char why[MINISIGN_WHY_MAX];
    size_t used;

    memset(out, 0, sizeof(*out));
    // By their keys, which may have other names by now.
    for (unsigned n = 0; size > 0 && n < TRUSTCONF_KEYS_MAX; n++, text += used, size -= used) {
        used = minisign_signature(text, size, &s, why);
        if (used == 0)
            break;
        for (size_t i = 0; i < t->n_keys; i++)
            if (!(out->keys >> i & 1) && minisign_verify(&t->keys[i].key, &s, bytes->text, bytes->size))
                add(out, i, text, used);
    }
    conclude(t, NULL, out);
}

void signatures_free(struct signatures *s)
{
    free(s->text);
    s->text = NULL;
    s->size = 0;
}
