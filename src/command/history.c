// SPDX-License-Identifier: Apache-2.0
// mcrd --history: who activated what, and when, by the records of loads; and whether they are whole.
#include <config.h>

#include "command/history.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audit/trail.h"
#include "command/command.h"
#include "command/daemon.h"
#include "common/arguments.h"
#include "common/exit.h"
#include "config/load.h"

#define FINDINGS_MOST 20 // that are printed

struct reading {
    const struct history_options *options;
    struct chain_check check;
    json_t *records, *faults; // NULL: a table
    FILE *to;                 // of findings
    uint64_t n_found;
    struct chain_place first_log; // the first line of a log in a file of records
    uint64_t n_log;               // such lines
    const char *path;             // audit_file; NULL: the files are those of --from
    const struct trail *trail;
    bool ok; // all was written
};

// The name of a file that is read.
static const char *name_of(const struct reading *r, unsigned file, char out[TRAIL_NAME_MAX])
{
    if (!r->path)
        return strcmp(r->options->from->texts[file], "-") == 0 ? "the standard input" : r->options->from->texts[file];
    return trail_name(r->path, r->trail->ages[file], out);
}

static void found(void *context, const struct chain_finding *finding)
{
    struct reading *r = context;
    char text[PATH_MAX + 120], name[TRAIL_NAME_MAX];
    FILE *to = fmemopen(text, sizeof(text), "w");

    if (!to)
        return;
    if (finding->fault == CHAIN_NO_RECORD)
        fprintf(to, "%.*s:%" PRIu64 ": ", PATH_MAX, name_of(r, finding->place.file, name), finding->place.line);
    chain_print(finding, to);
    fclose(to);
    text[strcspn(text, "\n")] = '\0';
    if (r->faults && finding->fatal)
        json_array_append_new(r->faults, json_string(text));
    if (r->n_found++ < FINDINGS_MOST && !r->options->json)
        r->ok &= fprintf(r->to, "%s%s\n", finding->fatal ? "" : "note: ", text) > 0;
}

// Whether a line that is no record is one of a log, where anything may stand once an event has.
static bool is_of_log(const struct reading *r, const char *line, size_t length, const char *level)
{
    bool event = level && memmem(level, length - (size_t) (level - line), " event=", strlen(" event="));

    return (event || r->n_log > 0) && !memmem(line, length, " hash=", strlen(" hash="));
}

static void take_line(void *context, const char *line, size_t length)
{
    static const char first[] = "level=";
    struct reading *r = context;
    struct chain_record record;
    // The journal may have put something before it.
    const char *level = memmem(line, length, first, strlen(first)), *begin = r->check.whole ? line : level;

    r->check.place.line++;
    if (!begin)
        return;
    bool is_record = chain_parse(begin, length - (size_t) (begin - line), &record);
    if (!is_record && r->check.whole && r->options->from->n > 0) {
        is_record = level && chain_parse(level, length - (size_t) (level - line), &record) && record.right;
        bool of_log = is_record || is_of_log(r, line, length, level);
        if (of_log && r->n_log++ == 0)
            r->first_log = r->check.place;
        if (of_log && !is_record)
            return;
        begin = is_record ? level : begin;
    }
    chain_check_line(&r->check, is_record ? &record : NULL);
    if (!is_record || (r->options->verify && !r->options->json))
        return;
    if (r->records)
        json_array_append_new(r->records, history_tree(&record, begin));
    else
        history_show(&record, begin);
}

// Reads one file after the other. Returns false after a message.
static bool read_all(struct reading *r, const int *fds, unsigned n, const char *name)
{
    uint64_t whole;
    bool cut = false;

    for (unsigned i = 0; i < n; i++) {
        r->check.place = (struct chain_place){.file = i};
        if (!trail_read(fds[i], take_line, r, !r->check.whole, &whole, &cut)) {
            command_trouble("%s: %s", name, strerror(errno));
            return false;
        }
    }
    chain_check_end(&r->check, cut && r->check.whole);
    return true;
}

// Lines of a log are no tampering, if somebody saved one; in a file of records they are.
static void tell_log(struct reading *r)
{
    char text[300], name[TRAIL_NAME_MAX];

    if (r->n_log == 0)
        return;
    snprintf(text, sizeof(text),
             "%" PRIu64 " lines (the first: line %" PRIu64
             ") are of a log, which has other lines than records, too: a log is given as standard input: --from -",
             r->n_log, r->first_log.line);
    r->check.faults++;
    if (r->faults)
        json_array_append_new(r->faults, json_string(text));
    else
        r->ok &= fprintf(r->to, "%s: %s\n", name_of(r, r->first_log.file, name), text) > 0;
}

// Why the end was not compared with a head.
static const char *uncompared(const struct reading *r)
{
    return r->options->from->n > 0 ? "with --from no running mcrd is asked: give the head that is known: --head N:HASH"
                                   : "no mcrd with this audit_file runs, and no --head is given";
}

static bool finish(struct reading *r, const char *name)
{
    const struct chain_check *c = &r->check;
    char hash[DIGEST_TEXT_MAX];

    digest_text(c->last.hash, hash);
    tell_log(r);
    if (r->options->json) {
        json_t *head = c->any ? json_pack("{s:I, s:s}", "n", (json_int_t) c->last.n, "hash", hash) : json_null();
        json_t *root = json_object();
        json_object_set_new(root, "file", json_string(name));
        json_object_set_new(root, "records", r->records);
        json_object_set_new(root, "head", head);
        json_object_set_new(root, "whole", c->any || c->faults > 0 ? json_boolean(c->faults == 0) : json_null());
        json_object_set_new(root, "faults", r->faults);
        return command_print_tree(root);
    }
    if (r->n_found > FINDINGS_MOST)
        r->ok &= fprintf(r->to, "and %" PRIu64 " more\n", r->n_found - FINDINGS_MOST) > 0;
    if (!c->any && (r->options->verify || c->faults == 0))
        r->ok &= fprintf(r->to, "%s: no record\n", name) > 0;
    if (!r->options->verify || !c->any)
        return r->ok;
    if (c->faults == 0)
        r->ok &= printf("%s: records %" PRIu64 " to %" PRIu64 " are whole\n", name, c->first, c->last.n) > 0;
    if (c->faults == 0 && c->anchor.n > 0)
        r->ok &= printf("their end: %s\n", c->met ? "reaches the head that was given or that the running mcrd shows"
                                                  : "the head that is known is older than the first record") > 0;
    else if (c->faults == 0)
        r->ok &= printf("their end: not compared: %s\n", uncompared(r)) > 0;
    return printf("head: %" PRIu64 ":%s\n", c->last.n, hash) > 0 && r->ok;
}

// The head that the running daemon of this file shows, if one runs.
static struct chain_head shown_head(const struct config *c)
{
    char why[DAEMON_WHY_MAX];
    struct daemon d;
    struct chain_head head = {.n = 0};

    if (daemon_wait(c->stats_file, &d, why) != DAEMON_RUNS || strcmp(d.header.audit.file, c->audit_file) != 0)
        return head;
    head.n = d.header.audit.n;
    memcpy(head.hash, d.header.audit.hash, sizeof(head.hash));
    return head;
}

// Opens what --from names, or audit_file with what rotation has made of it. Returns the name that is shown; NULL after
// a message.
static const char *open_files(struct reading *r, const char *config_path, struct config *c, struct trail *t)
{
    const struct argument_list *from = r->options->from;
    struct config_problems problems = {0};
    struct config_bytes bytes;

    r->check.whole = true;
    *t = (struct trail){.n = 0};
    for (unsigned i = 0; i < from->n; i++) {
        bool input = strcmp(from->texts[i], "-") == 0;
        if (t->n > TRAIL_OLD || (input && from->n > 1)) {
            command_trouble(input ? "the standard input goes with no other file" : "too many files");
            return NULL;
        }
        t->fds[t->n] = input ? dup(STDIN_FILENO) : open(from->texts[i], O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (t->fds[t->n] < 0) {
            command_trouble("%s: %s", from->texts[i], strerror(errno));
            return NULL;
        }
        t->n++;
        r->check.whole = !input;
    }
    if (from->n > 0)
        return strcmp(from->texts[0], "-") == 0 ? "the standard input" : from->texts[from->n - 1];
    bool ok = config_identify(config_path, c, &problems, &bytes);
    config_problems_print(&problems, config_path, stderr);
    config_problems_free(&problems);
    file_free(&bytes);
    if (!ok) {
        command_trouble("the file does not tell where the records are: name them with --from");
        return NULL;
    }
    if (!c->audit_file[0]) {
        command_trouble(
            "%s has no audit_file; \"journalctl -u mcrd -o cat | mcrd --history --from -\" shows what the "
            "journal has",
            config_path);
        return NULL;
    }
    // Before the files are read: they may only have more than it says.
    if (r->check.anchor.n == 0)
        r->check.anchor = shown_head(c);
    if (!trail_open(t, c->audit_file)) {
        command_trouble("%s: %s%s", c->audit_file, strerror(errno),
                        errno == EACCES   ? ": its group may read it"
                        : errno == ENOENT ? ": mcrd makes it"
                                          : "");
        return NULL;
    }
    if (t->error) {
        char name[TRAIL_NAME_MAX];
        command_trouble("%s: %s: what it has is left out", trail_name(c->audit_file, t->unread, name),
                        strerror(t->error));
    }
    r->path = c->audit_file;
    r->trail = t;
    r->check.complete = t->complete;
    return c->audit_file;
}

int command_history(const char *path, const struct history_options *options)
{
    struct reading r = {.options = options, .ok = true, .to = options->verify ? stdout : stderr};
    struct config identity;
    struct trail t = {.n = 0};
    int status = EXIT_TROUBLE;

    r.check.found = found;
    r.check.context = &r;
    if (options->head && !chain_parse_head(options->head, &r.check.anchor))
        return command_trouble("--head is \"%s\", allowed is N:HASH, as --history --verify prints it", options->head);
    const char *name = open_files(&r, path, &identity, &t);
    if (name) {
        if (options->json) {
            r.records = json_array();
            r.faults = json_array();
        } else if (!options->verify) {
            history_head();
        }
        if (read_all(&r, t.fds, t.n, name))
            status = !command_flush(name, finish(&r, name)) || r.check.faults > 0 ? EXIT_FAILURE
                     : r.check.any && t.error == 0                                ? EXIT_SUCCESS
                                                                                  : EXIT_TROUBLE;
    }
    trail_close(&t);
    return status;
}
