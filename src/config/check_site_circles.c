// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/check_site_circles.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/circle.h"

#define CIRCLE_RULES_SHOWN 12

// The rules of all files, and which feeds which.
struct feeds {
    uint32_t *first, *to;
    size_t n, room;
};

static bool add_feed(struct feeds *f, uint32_t first, uint32_t to)
{
    if (f->n > first && f->to[f->n - 1] == to)
        return true;
    if (f->n == f->room) {
        size_t room = f->room ? 2 * f->room : 64;
        uint32_t *list = room < UINT32_MAX ? realloc(f->to, room * sizeof(*list)) : NULL;
        if (!list)
            return false;
        f->to = list;
        f->room = room;
    }
    f->to[f->n++] = to;
    return true;
}

static bool add_feeds_of(const struct site *s, uint32_t file, uint32_t index, enum takes least, struct feeds *f)
{
    const struct config *c = s->files[file];
    const struct config_rule *r = &c->rules[index];
    uint32_t first = (uint32_t) f->n;

    for (uint32_t o = 0; s->counts[file] && r->enabled && o < r->n_outputs; o++) {
        struct endpoint e = endpoint_of_output(&r->outputs[o], 0);
        struct place out = {.file = file, .rule = index, .end = o, .vlan = e.vlan};
        e.interface = config_zone(c, e.interface);
        e.vlan = 0;
        for (uint32_t j = 0; *e.interface && j < endpoint_span(&e); j++) {
            out.endpoint = endpoint_at(&e, j);
            for (size_t i = site_find(&s->inputs, &out.endpoint); i < s->inputs.n; i++) {
                const struct place *in = &s->inputs.list[i];
                if (endpoint_compare(&in->endpoint, &out.endpoint) != 0)
                    break;
                if (site_takes(s, in, &out) >= least && !add_feed(f, first, s->base[in->file] + in->rule))
                    return false;
            }
        }
    }
    return true;
}

static bool find_feeds(const struct site *s, enum takes least, struct feeds *f)
{
    f->first = calloc((size_t) s->base[s->n] + 1, sizeof(*f->first));
    for (uint32_t file = 0; f->first && file < s->n; file++)
        for (uint32_t i = 0; i < s->files[file]->n_rules; i++) {
            f->first[s->base[file] + i] = (uint32_t) f->n;
            if (!add_feeds_of(s, file, i, least, f))
                return false;
        }
    if (f->first)
        f->first[s->base[s->n]] = (uint32_t) f->n;
    return f->first != NULL;
}

static uint32_t file_of(const struct site *s, uint32_t node)
{
    uint32_t file = 0;

    while (node >= s->base[file + 1])
        file++;
    return file;
}

static void report_circle(const struct site *s, const uint32_t *path, uint32_t n, enum takes least)
{
    char text[(CIRCLE_RULES_SHOWN + 2) * (CONFIG_NAME_MAX + 80)] = "";
    uint32_t file = file_of(s, path[0]), shown = n > CIRCLE_RULES_SHOWN ? CIRCLE_RULES_SHOWN : n;
    const struct config_rule *start = &s->files[file]->rules[path[0] - s->base[file]];
    size_t used = 0;

    for (uint32_t i = 0; i < shown; i++) {
        uint32_t of = file_of(s, path[i]);
        const char *name = s->files[of]->rules[path[i] - s->base[of]].name;
        used += (size_t) snprintf(text + used, sizeof(text) - used, "\"%s\" of %.60s -> ", name, s->files[of]->path);
    }
    if (shown < n)
        snprintf(text + used, sizeof(text) - used, "%u more -> ", n - shown);
    if (least == TAKES)
        config_error(&s->problems[file], start->line, start->name,
                     "outputs run in a circle through several relays: %s\"%s\"; two_way does not allow it, for each "
                     "takes in what another one sends: take one of these rules away, or let \"sources\" of its input "
                     "name who may send",
                     text, start->name);
    else
        config_warning(&s->problems[file], start->line, start->name,
                       "outputs run in a circle through several relays if \"sources\" of their inputs let in the "
                       "relays' own addresses: %s\"%s\"",
                       text, start->name);
}

// least: TAKES finds what is a circle, TAKES_PERHAPS what may be one. told: the rules of circles that were told.
static bool check_circles_of(const struct site *s, enum takes least, bool *told, uint32_t *room)
{
    struct feeds f = {.n = 0};
    uint32_t n = s->base[s->n], circles = 0;
    uint32_t *feeders = room, *path = feeders + n, *previous = path + n;
    bool ok = find_feeds(s, least, &f);

    if (ok && f.n > 0) {
        const struct circle_graph g = {.n = n, .first = f.first, .to = f.to};
        circle_count_feeders(&g, feeders, path);
        for (uint32_t i = 0; i < n && circles < SITE_TOLD_MAX; i++) {
            if (feeders[i] == 0 || told[i])
                continue;
            uint32_t length = circle_through(&g, i, NULL, path, previous);
            for (uint32_t j = 0; j < length; j++)
                told[path[j]] = true;
            if (length > 0) {
                report_circle(s, path, length, least);
                circles++;
            }
        }
    }
    free(f.first);
    free(f.to);
    return ok;
}

bool check_site_circles(const struct site *s)
{
    size_t n = s->base[s->n];
    uint32_t *room = calloc(3 * n + 1, sizeof(*room));
    bool *told = calloc(n + 1, sizeof(*told));
    bool ok = room && told && check_circles_of(s, TAKES, told, room) && check_circles_of(s, TAKES_PERHAPS, told, room);

    free(room);
    free(told);
    return ok;
}
