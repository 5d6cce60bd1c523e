// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/show_merge.h"

#include <inttypes.h>

#include "stats/counters.h"
#include "stats/merge_doubt.h"
#include "stats/text.h"

#define INDENT 4 // of what is said of a leg
#define COUNT  7 // columns of a number: all that is said of a leg has room in one line
#define MUCH   1 // percent of its numbers; a leg that misses so many is no copy to rely on

// What has been counted since the snapshot before; without one, or after a reset, since the start.
static uint64_t grown(uint64_t now, const uint64_t *before)
{
    return before && now >= *before ? now - *before : now;
}

// No more than 100, whatever the segment says.
static double percent_of(uint64_t part, double whole)
{
    return part == 0 ? 0 : (double) part >= whole ? 100 : 100 * (double) part / whole;
}

// "612,004 (61.2 %)"; without a percentage where it would be one of nothing.
static void show_share(struct paragraph *f, enum paint how, const char *name, uint64_t count, double percent)
{
    char number[TEXT_NUMBER_MAX], share[TEXT_NUMBER_MAX];

    text_count(number, count, COUNT);
    if (percent > 0)
        paragraph_word(f, how, 2, "%s %s (%s)", name, number,
                       percent < 0.01 ? "<0.01 %" : text_scaled(share, percent, "%"));
    else
        paragraph_word(f, how, 2, "%s %s", name, number);
}

// "820 us", "1.2 ms", "3.4 s"
static const char *time_text(char out[TEXT_NUMBER_MAX], uint64_t us)
{
    if (us >= 10000)
        return text_age(out, us / 1000);
    if (us >= 1000)
        snprintf(out, TEXT_NUMBER_MAX, "%.1f ms", (double) us / 1000);
    else
        snprintf(out, TEXT_NUMBER_MAX, "%" PRIu64 " us", us);
    return out;
}

static void show_skew(struct paragraph *f, const struct stats_input *in, const struct stats_input *before)
{
    uint64_t copies = grown(in->skew_count, before ? &before->skew_count : NULL);
    uint64_t us = grown(in->skew_us, before ? &before->skew_us : NULL);
    char mean[TEXT_NUMBER_MAX], most[TEXT_NUMBER_MAX];

    if (copies > 0)
        paragraph_word(f, PLAIN, 2, "skew %s (max %s)", time_text(mean, us / copies), time_text(most, in->skew_max_us));
}

// What a leg has brought, copies and first ones: all numbers that it does not miss. Its packets may be older.
static uint64_t brought_by(const struct page *p, uint32_t rule, uint64_t first, uint64_t missing)
{
    const struct stats_rule *r = &p->view->now->at.rules[rule];
    const struct stats_rule *was = p->view->d ? p->view->d->rules[rule] : NULL;
    uint64_t all = grown(r->merged.lost, was ? &was->merged.lost : NULL);

    for (uint32_t i = r->first_input; i < r->first_input + r->n_inputs; i++) {
        const struct stats_input *before = p->view->d ? p->view->d->inputs[i] : NULL;
        all += grown(p->view->now->at.inputs[i].merged.first, before ? &before->merged.first : NULL);
    }
    return all > missing && all - missing > first ? all - missing : first;
}

void show_merge_leg(const struct page *p, uint32_t rule, uint32_t input)
{
    const bool numbered = stats_merge_numbered(p->view->now->at.rules[rule].merge);
    const struct stats_input *in = &p->view->now->at.inputs[input];
    const struct stats_input *before = p->view->d ? p->view->d->inputs[input] : NULL;
    uint64_t first = grown(in->merged.first, before ? &before->merged.first : NULL);
    uint64_t missing = grown(in->merged.missing, before ? &before->merged.missing : NULL);
    uint64_t brought = brought_by(p, rule, first, missing);
    double missed = percent_of(missing, (double) missing + (double) brought);
    bool copies = p->view->now->at.rules[rule].merge != STATS_MERGE_ACTIVE;
    struct paragraph f = {p, INDENT, INDENT};

    if (in->counters.packets == 0 && in->merged.missing == 0)
        return;
    fprintf(p->to, "%*s", INDENT, "");
    show_share(&f, PLAIN, "first", in->merged.first, copies ? percent_of(first, (double) brought) : 0);
    if (numbered && in->merged.missing > 0)
        show_share(&f, missed >= MUCH ? BAD : PLAIN, "missing", in->merged.missing, missed);
    show_skew(&f, in, before);
    if (numbered && in->merged.reordered > 0)
        show_share(&f, PLAIN, "reordered", in->merged.reordered, 0);
    if (in->merged.repeated > 0)
        show_share(&f, PLAIN, "repeated", in->merged.repeated, 0);
    fputc('\n', p->to);
}

// What is lost is told like a drop: it stands out, and more so while it grows.
static void show_count(const struct page *p, struct paragraph *f, const struct stats_counter *c, bool loss,
                       const struct stats_rule *r, const struct stats_rule *before)
{
    uint64_t value = stats_counter_value(c, &r->merged);
    double growth = before ? stats_delta_rate(p->view->d, value, stats_counter_value(c, &before->merged)) : 0;
    char number[TEXT_NUMBER_MAX], rate[TEXT_NUMBER_MAX];
    enum paint how = !loss ? PLAIN : growth > 0 ? BAD : WARN;

    text_count(number, value, COUNT);
    if (growth > 0)
        paragraph_word(f, how, 2, "%s %s (+%s/s)", c->name, number, text_scaled(rate, growth, ""));
    else
        paragraph_word(f, how, 2, "%s %s", c->name, number);
}

void show_merge(const struct page *p, uint32_t rule)
{
    const struct stats_rule *r = &p->view->now->at.rules[rule];
    const struct stats_rule *before = p->view->d ? p->view->d->rules[rule] : NULL;
    bool active = r->merge == STATS_MERGE_ACTIVE && r->active_leg < r->n_inputs;
    const char *doubt = merge_doubt(&p->view->now->at, r);
    struct paragraph f = {.page = NULL};
    char text[64];

    if (active) {
        snprintf(text, sizeof(text), "leg %s is active", p->view->now->at.inputs[r->first_input + r->active_leg].leg);
        f = paragraph(p, 2, "merged");
        paragraph_text(&f, r->active_leg > 0 ? WARN : PLAIN, text);
    }
    for (const struct stats_counter *c = stats_merge_counters; c->name; c++) {
        if (stats_counter_value(c, &r->merged) == 0 || !stats_counter_known(c, r->merge))
            continue;
        if (!f.page)
            f = paragraph(p, 2, "merged");
        show_count(p, &f, c,
                   c->at == offsetof(struct stats_merge_counters, lost) ||
                       c->at == offsetof(struct stats_merge_counters, lost_together),
                   r, before);
    }
    if (f.page)
        fputc('\n', p->to);
    if (doubt) {
        f = paragraph(p, 2, "");
        paragraph_text(&f, WARN, doubt);
        fputc('\n', p->to);
    }
}
