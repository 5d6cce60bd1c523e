// SPDX-License-Identifier: Apache-2.0
// Records as a table, and as JSON.
#include <config.h>

#include "command/history.h"

#include <inttypes.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/utf8.h"

#define COLUMNS 80
#define INDENT  9 // of what follows below a record
#define VALUE   1280

// --- fields ----------------------------------------------------------------------------------------------------------

struct field {
    const char *key, *value; // value: as it stands there, with its quotes
    size_t n_key, n_value;
};

// Finds the next KEY=VALUE from *at on. Words without '=' are passed over.
static bool next_field(const char **at, const char *end, struct field *f)
{
    while (*at < end) {
        const char *begin = *at, *p = begin;
        bool quoted = false;
        for (; p < end && (quoted || *p != ' '); p++)
            if (*p == '\\' && quoted && p + 1 < end)
                p++;
            else if (*p == '"')
                quoted = !quoted;
        *at = p < end ? p + 1 : end;
        const char *equals = memchr(begin, '=', (size_t) (p - begin));
        if (equals && equals > begin) {
            *f = (struct field){begin, equals + 1, (size_t) (equals - begin), (size_t) (p - equals - 1)};
            return true;
        }
    }
    return false;
}

// Copies n bytes without quotes; what hides or steers becomes '?'.
static void copy(const char *from, size_t n, char *out, size_t size)
{
    size_t used = 0;
    uint32_t code;
    bool quoted = n >= 2 && from[0] == '"' && from[n - 1] == '"';

    for (size_t i = quoted, end = n - quoted; i < end;) {
        if (quoted && from[i] == '\\' && i + 1 < end && (from[i + 1] == '"' || from[i + 1] == '\\'))
            i++;
        size_t length = utf8_decode(from + i, end - i, &code), bytes = length ? length : 1;
        bool shown = length > 0 && !utf8_is_hidden(code);
        if (used + (shown ? bytes : 1) >= size)
            break;
        if (shown)
            memcpy(out + used, from + i, bytes);
        else
            out[used] = '?';
        used += shown ? bytes : 1;
        i += bytes;
    }
    out[used] = '\0';
}

bool history_field(const char *body, size_t length, const char *key, char *out, size_t size)
{
    const char *at = body;
    struct field f;

    out[0] = '\0';
    while (next_field(&at, body + length, &f))
        if (f.n_key == strlen(key) && memcmp(f.key, key, f.n_key) == 0) {
            copy(f.value, f.n_value, out, size);
            return true;
        }
    return false;
}

// --- the table -------------------------------------------------------------------------------------------------------

#define ROW "%6s  %-19.19s  %-12.12s  %-12.12s  %-12.12s  %s\n"

void history_head(void)
{
    printf(ROW, "N", "TIME (UTC)", "EVENT", "SHA256", "BY", "RESULT");
}

// Writes words below a record, as many as fit into a line.
static void show_below(const char *text)
{
    int column = 0;

    while (*text) {
        size_t n = strcspn(text, " ");
        if (column > 0 && column + 1 + (int) n > COLUMNS) {
            putchar('\n');
            column = 0;
        }
        if (column == 0)
            column = printf("%*s", INDENT, "");
        else
            column += printf(" ");
        for (size_t i = 0; i < n; i++, column++) {
            if (column == COLUMNS && ((unsigned char) text[i] & 0xc0) != 0x80)
                column = printf("\n%*s", INDENT, "") - 1;
            putchar(text[i]);
        }
        text += n + (text[n] == ' ');
    }
    putchar('\n');
}

// The name of a user of this host, or the number.
static void name_user(const char *number, char *out, size_t size)
{
    char *end;
    unsigned long uid = strtoul(number, &end, 10);
    const struct passwd *user = *number && *end == '\0' && uid < UINT32_MAX ? getpwuid((uid_t) uid) : NULL;

    snprintf(out, size, "%s", user ? user->pw_name : number);
}

// Who asked: the login, which sudo leaves as it was, else the user.
static void show_asker(const char *body, size_t length, char *out, size_t size)
{
    char login[32], uid[32], pid[32];

    history_field(body, length, "loginuid", login, sizeof(login));
    history_field(body, length, "uid", uid, sizeof(uid));
    if (!history_field(body, length, "by_pid", pid, sizeof(pid)))
        history_field(body, length, "pid", pid, sizeof(pid));
    if (login[0] && strcmp(login, "-1") != 0)
        name_user(login, out, size);
    else if (strcmp(pid, "0") == 0)
        snprintf(out, size, "-"); // nobody: a start, or a changed file
    else
        name_user(uid, out, size);
}

// What a reader wants to see of each event, beside what has a column: the field, and the word before its value.
static const struct {
    const char *key, *before;
} below[] = {
    {"rule", "rule "},
    {"fields", ""},
    {"note", "note: "},
    {"signed_by", "signed by "},
    {"refused", "refused "},
    {"accepted", "accepted "},
    {"trial_s", "on trial, seconds: "},
    {"text", "text="},
    {"version", "version "},
    {"reason", "reason: "},
    {"effect", "effect: "},
};

void history_show(const struct chain_record *r, const char *line)
{
    char n[32], when[CHAIN_TIME_MAX], event[32], sha256[80], by[40], result[64], value[VALUE], text[3 * VALUE] = "";
    size_t used = 0;

    snprintf(n, sizeof(n), "%s%" PRIu64, r->right ? "" : "!", r->head.n);
    snprintf(when, sizeof(when), "%s", r->time);
    when[10] = ' ';
    history_field(line, r->body, "event", event, sizeof(event));
    history_field(line, r->body, "sha256", sha256, sizeof(sha256));
    show_asker(line, r->body, by, sizeof(by));
    history_field(line, r->body, "result", result, sizeof(result) - 40);
    char added[12], removed[12], changed[12];
    if (history_field(line, r->body, "added", added, sizeof(added)) &&
        history_field(line, r->body, "removed", removed, sizeof(removed)) &&
        history_field(line, r->body, "changed", changed, sizeof(changed)) && strcmp(result, "accepted") == 0)
        snprintf(result, sizeof(result), "+%s -%s ~%s", added, removed, changed);
    printf(ROW, n, when, event, sha256, by, result);
    for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++)
        if (history_field(line, r->body, below[i].key, value, sizeof(value)) && value[0] && used < sizeof(text))
            used +=
                (size_t) snprintf(text + used, sizeof(text) - used, "%s%s%s", used ? ", " : "", below[i].before, value);
    if (used > 0)
        show_below(text);
}

// --- JSON ------------------------------------------------------------------------------------------------------------

json_t *history_tree(const struct chain_record *r, const char *line)
{
    json_t *o = json_object();
    const char *at = line;
    char key[64], value[CHAIN_LINE_MAX], hash[DIGEST_TEXT_MAX];
    struct field f;

    json_object_set_new(o, "n", json_integer((json_int_t) r->head.n));
    json_object_set_new(o, "time", json_string(r->time));
    while (next_field(&at, line + r->body, &f)) {
        copy(f.key, f.n_key, key, sizeof(key));
        copy(f.value, f.n_value, value, sizeof(value));
        if (!json_object_get(o, key))
            json_object_set_new(o, key, json_string(value));
    }
    json_object_set_new(o, "prev", json_string(digest_text(r->prev, hash)));
    json_object_set_new(o, "hash", json_string(digest_text(r->head.hash, hash)));
    json_object_set_new(o, "unchanged", json_boolean(r->right));
    return o;
}
