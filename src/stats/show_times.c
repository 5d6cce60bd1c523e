// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/show_times.h"

#include <inttypes.h>

#include "common/moment.h"
#include "stats/counters.h"

void show_config_times(const struct page *p, const struct stats_header *h)
{
    struct paragraph f;
    char time[MOMENT_TEXT_MAX];

    if (h->serial || h->valid_until)
        f = paragraph(p, 0, "");
    if (h->serial)
        paragraph_word(&f, PLAIN, 1, "serial %" PRIu64 "%s", h->serial, h->valid_until ? "," : "");
    if (h->valid_until)
        paragraph_word(&f, h->expired ? BAD : PLAIN, 1, h->expired ? "EXPIRED: was valid until %s" : "valid until %s",
                       moment_format(h->valid_until, time));
    if (h->serial || h->valid_until)
        fputc('\n', p->to);
    if (h->clock == STATS_CLOCK_SET)
        return;
    f = paragraph(p, 0, "clock");
    paragraph_text(&f, h->clock == STATS_CLOCK_UNSYNCHRONISED ? WARN : BAD,
                   h->clock == STATS_CLOCK_UNSYNCHRONISED
                       ? "not synchronised: what begins and ends may do so too early or too late"
                       : "not set: rules that have times wait for it");
    fputc('\n', p->to);
}

// When a rule that runs began, and when it ends. The reason of others says it.
void show_rule_times(const struct page *p, const struct stats_rule *r)
{
    struct paragraph f;
    char time[MOMENT_TEXT_MAX];

    if (!r->active_until || r->state == STATS_RULE_EXPIRED || r->state == STATS_RULE_DISABLED)
        return;
    f = paragraph(p, 2, "ends");
    paragraph_word(&f, PLAIN, 1, "%s", moment_format(r->active_until, time));
    fputc('\n', p->to);
}
