// SPDX-License-Identifier: Apache-2.0
// The records of loads in the log.
#include <config.h>

#include "broker/state.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/digest.h"
#include "config/problems.h"
#include "log/log.h"
#include "stats/counters.h"

// Whether the file has been on trial and returned, last of all, in this process or before.
static bool has_returned(const struct broker *b, const uint8_t sha256[32])
{
    char text[DIGEST_TEXT_MAX];

    return memcmp(sha256, b->returned, sizeof(b->returned)) == 0 ||
           strcmp(digest_text(sha256, text), b->audit.returned) == 0;
}

// A relay that was taken over can ask for as many of these as it likes, and end for as many starts.
static bool changes_nothing(const struct broker *b, const struct attempt *a, bool accepted)
{
    char sha256[DIGEST_TEXT_MAX];

    if (!b->config && !accepted)
        return true;
    // A start that does not go on with what ran puts in force what was not, also if it was on trial.
    if (!b->config)
        return !b->left[0] && strcmp(digest_text(a->file.sha256, sha256), b->audit.sha256) == 0;
    // It can let a trial begin and go back again and again.
    if (accepted && has_returned(b, a->file.sha256))
        return true;
    return !accepted || memcmp(a->file.sha256, b->config->file.sha256, sizeof(a->file.sha256)) == 0;
}

// Writes the record of a load: one line with the file, the asker and the result. The broker writes it, because it
// decides. The asker, and what `more` quotes of a receipt, come from the relay.
static void write_record(struct broker *b, struct attempt *a, bool accepted, const char *more)
{
    char then[DIGEST_TEXT_MAX], now[DIGEST_TEXT_MAX], file[600], when[32] = "none", daemon[32] = "";
    const struct handover_file *f = &a->file;
    time_t mtime = (time_t) f->mtime_s;
    struct tm tm;

    if (f->mtime_s != 0 && gmtime_r(&mtime, &tm))
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    // In the record of a start, pid is the daemon's and by_pid the asker's; in that of a reload, pid is the asker's.
    if (!b->config)
        snprintf(daemon, sizeof(daemon), "pid=%d by_", (int) b->daemon);
    char fields[CHAIN_LINE_MAX];
    snprintf(fields, sizeof(fields),
             "result=%s generation=%llu file=%s sha256=%s sha256_before=%s size=%llu owner=%u mode=%04o mtime=%s "
             "%spid=%u uid=%u loginuid=%d took_ms=%.1f %s",
             accepted ? "accepted" : "refused", (unsigned long long) (accepted ? a->generation : a->generation - 1),
             log_quote(b->options->config_path, file, sizeof(file)), digest_or_none(f->sha256, now),
             digest_or_none(b->config ? b->config->file.sha256 : a->before, then), (unsigned long long) f->size,
             f->owner, f->mode & 07777, when, daemon, a->asker->pid, a->asker->uid, (int) f->loginuid,
             (double) (clock_monotonic_ns() - a->began_ns) / 1e6, more);

    enum log_level level = accepted ? LOG_LEVEL_NOTICE : LOG_LEVEL_ERR;
    enum event event = b->config ? EVENT_RELOAD : accepted ? EVENT_STARTED : EVENT_START;
    a->summed = changes_nothing(b, a, accepted) && !audit_admit(&b->audit, !accepted, clock_monotonic_ns());
    if (a->summed)
        log_record(level, event, "%s", fields);
    else
        audit_record(&b->audit, level, event, "%s", fields);
    audit_flush(&b->audit);
}

// " signed_by=a,b", and of a start " signatures=2/3 trust_sha256=...", or " signatures=none". Returns out.
static const char *tell_signatures(const struct broker *b, const struct attempt *a, bool start,
                                   char out[2 * SIGNATURES_NAMES_MAX])
{
    char sha256[DIGEST_TEXT_MAX];
    int used = 0;

    out[0] = '\0';
    if (b->approval.trust.required == 0)
        return start ? " signatures=none" : out;
    if (start)
        used = snprintf(out, 2 * SIGNATURES_NAMES_MAX, " signatures=%u/%zu trust_sha256=%s", b->approval.trust.required,
                        b->approval.trust.n_keys, digest_text(b->approval.trust.sha256, sha256));
    snprintf(out + used, (size_t) (2 * SIGNATURES_NAMES_MAX - used), " signed_by=%s", a->signed_by);
    return out;
}

void record_accepted(struct broker *b, struct attempt *a, const struct table_view *t, const struct handover_receipt *r)
{
    char left[2 * sizeof(b->left)], why[sizeof(left) + 160] = "";
    char more[512 + 2 * SIGNATURES_NAMES_MAX + sizeof(why)], signatures[2 * SIGNATURES_NAMES_MAX], changes[64] = "",
                                                                                                   trial[32] = "";

    if (!b->config && b->left[0])
        snprintf(why, sizeof(why), " reason=%s effect=\"%s\"", log_quote(b->left, left, sizeof(left)),
                 start_left_for(b, a->file.sha256));
    if (t->header->trial_seconds > 0)
        snprintf(trial, sizeof(trial), "trial_s=%u ", t->header->trial_seconds);
    if (b->config || a->compared)
        snprintf(changes, sizeof(changes), " added=%u removed=%u changed=%u", a->file.added, a->file.removed,
                 a->file.changed);
    if (b->config)
        snprintf(more, sizeof(more), "%srules=%u%s received=%llu ring_drops=%llu%s", trial, t->n_rules, changes,
                 (unsigned long long) r->received, (unsigned long long) r->ring_drops,
                 tell_signatures(b, a, false, signatures));
    else
        snprintf(
            more, sizeof(more),
            "version=%s rules=%u%s interfaces=%u seccomp=%s landlock=%u network=%s root=%s capabilities=%llx%s%s%s",
            PACKAGE_VERSION, t->n_rules, changes, t->n_interfaces, stats_seccomp_name(b->options->sandbox), r->landlock,
            r->isolation & STATS_OWN_NETWORK ? "own" : "host", r->isolation & STATS_EMPTY_ROOT ? "empty" : "host",
            (unsigned long long) r->capabilities, tell_signatures(b, a, true, signatures),
            b->goes_on ? " text=kept" : "", why);
    write_record(b, a, true, more);
    memset(b->begun, 0, sizeof(b->begun));
}

void record_refused(struct broker *b, struct attempt *a)
{
    char quoted[1100], more[1200];

    if (a->confirms) {
        log_warn(EVENT_CONFIRM_ASKED, "pid=%u uid=%u reason=%s effect=none", a->asker->pid, a->asker->uid,
                 log_quote(a->why, quoted, sizeof(quoted)));
        return;
    }
    snprintf(more, sizeof(more), "reason=%s", log_quote(a->why, quoted, sizeof(quoted)));
    write_record(b, a, false, more);
}

void record_confirmed(struct broker *b, const struct attempt *a)
{
    char now[DIGEST_TEXT_MAX], signatures[2 * SIGNATURES_NAMES_MAX];

    audit_record(&b->audit, LOG_LEVEL_NOTICE, EVENT_CONFIRMED, "generation=%llu sha256=%s pid=%u uid=%u loginuid=%d%s",
                 (unsigned long long) a->generation, digest_text(a->file.sha256, now), a->asker->pid, a->asker->uid,
                 (int) a->file.loginuid, tell_signatures(b, a, false, signatures));
    audit_flush(&b->audit);
}

void record_returned(struct broker *b, uint64_t from_generation, const uint8_t from_sha256[32], const char *why,
                     bool start)
{
    char was[DIGEST_TEXT_MAX], now[DIGEST_TEXT_MAX], quoted[1100], fields[CHAIN_LINE_MAX];

    snprintf(fields, sizeof(fields), "generation=%llu sha256=%s from_generation=%llu from_sha256=%s reason=%s",
             (unsigned long long) b->view.header->generation, digest_text(b->config->file.sha256, now),
             (unsigned long long) from_generation, digest_text(from_sha256, was),
             log_quote(why, quoted, sizeof(quoted)));
    if ((!start && !has_returned(b, from_sha256)) || audit_admit(&b->audit, false, clock_monotonic_ns()))
        audit_record(&b->audit, LOG_LEVEL_ERR, EVENT_RETURNED, "%s", fields);
    else
        log_record(LOG_LEVEL_ERR, EVENT_RETURNED, "%s", fields);
    audit_flush(&b->audit);
}

void record_changes(struct broker *b, const struct diff *d, const struct attempt *a)
{
    static const enum event events[] = {
        [DIFF_ADDED] = EVENT_RULE_ADDED, [DIFF_REMOVED] = EVENT_RULE_REMOVED, [DIFF_CHANGED] = EVENT_RULE_CHANGED};
    char note[2 * CONFIG_NOTE_MAX], fields[1024], line[CHAIN_LINE_MAX];

    for (size_t i = 0; i < d->n_rules; i++) {
        const struct diff_rule *r = &d->rules[i];
        const struct config_rule *rule = r->to ? r->to : r->from;
        size_t used = 0;
        fields[0] = '\0';
        for (size_t j = 0; j < r->n_fields && used < sizeof(fields); j++)
            used += (size_t) snprintf(fields + used, sizeof(fields) - used, "%s%s%s", j ? "," : " fields=",
                                      !r->fields[j].from ? "+"
                                      : !r->fields[j].to ? "-"
                                                         : "",
                                      r->fields[j].path);
        snprintf(line, sizeof(line), "generation=%llu rule=%s note=%s disturbs=%s%s",
                 (unsigned long long) a->generation, rule->name, log_quote(rule->note, note, sizeof(note)),
                 r->disturbs ? "yes" : "no", fields);
        if (a->summed)
            log_record(LOG_LEVEL_NOTICE, events[r->kind], "%s", line);
        else
            audit_record(&b->audit, LOG_LEVEL_NOTICE, events[r->kind], "%s", line);
    }
    if (d->n_rules > 0)
        audit_flush(&b->audit);
}

bool record_begins(struct broker *b, struct attempt *a, const struct config *c)
{
    const struct config *before = a->confirms ? b->trial.config : b->config;
    char now[DIGEST_TEXT_MAX], then[DIGEST_TEXT_MAX];

    // A start that goes on puts nothing in force that was not.
    if (!c->audit_required || (!b->config && b->goes_on))
        return true;
    // Once for each file: the relay may reject it as often as it likes.
    if ((a->confirms || !changes_nothing(b, a, true)) && memcmp(b->begun, a->file.sha256, sizeof(b->begun)) != 0 &&
        (!has_returned(b, a->file.sha256) || audit_admit(&b->audit, false, clock_monotonic_ns()))) {
        memcpy(b->begun, a->file.sha256, sizeof(b->begun));
        audit_record(&b->audit, LOG_LEVEL_NOTICE, EVENT_LOAD_BEGINS,
                     "generation=%llu sha256=%s sha256_before=%s pid=%u uid=%u loginuid=%d",
                     (unsigned long long) a->generation, digest_or_none(a->file.sha256, now),
                     digest_or_none(before ? before->file.sha256 : a->before, then), a->asker->pid, a->asker->uid,
                     (int) a->file.loginuid);
    }
    if (audit_flush(&b->audit) && !b->audit.failed)
        return true;
    snprintf(a->why, sizeof(a->why), "audit_required: the %s cannot be recorded: %s",
             a->confirms ? "confirmation" : "load",
             b->audit.path[0] ? b->audit.error : "the start had no audit_file: restart mcrd");
    return false;
}

void record_problems(const struct config_problems *p, const char *path)
{
    char line[LOG_RECORD_MAX];

    for (size_t i = 0; i < p->n; i++) {
        snprintf(line, sizeof(line), "%s%s", path, p->list[i].text);
        log_plain(p->list[i].warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERR, line, strlen(line));
    }
    if (p->left_out) {
        snprintf(line, sizeof(line), "%s: %zu more left out", path, p->left_out);
        log_plain(LOG_LEVEL_ERR, line, strlen(line));
    }
}
