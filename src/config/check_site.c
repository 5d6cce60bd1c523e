// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/check_site.h"

#include <string.h>
#include <strings.h>

#include "config/check_site_circles.h"
#include "config/doubt_site.h"
#include "config/site.h"

// Zones whose names differ in case only: most likely one is meant.
static void doubt_names(const struct site *s, uint32_t file, uint32_t other)
{
    const struct config *c = s->files[file], *before = s->files[other];

    for (size_t i = 0; i < c->n_interfaces; i++)
        for (size_t j = 0; c->interfaces[i].zone[0] && j < before->n_interfaces; j++) {
            const struct config_interface *a = &c->interfaces[i], *b = &before->interfaces[j];
            if (strcasecmp(a->zone, b->zone) != 0 || strcmp(a->zone, b->zone) == 0)
                continue;
            config_warning(&s->problems[file], a->line, NULL,
                           "zone \"%s\" is not zone \"%s\" of line %d of %s: they are two", a->zone, b->zone, b->line,
                           before->path);
            break;
        }
}

// On one host their lines in the log, and their metrics, would be those of one relay.
static void doubt_instance(const struct site *s, uint32_t file, uint32_t other)
{
    const struct config *c = s->files[file], *before = s->files[other];

    if (c->instance[0] && strcmp(c->instance, before->instance) == 0)
        config_warning(&s->problems[file], 0, NULL,
                       "instance is \"%s\", as that of %s: nothing tells the lines and metrics of the two apart",
                       c->instance, before->path);
}

void check_site(const struct config *const *files, size_t n, struct config_problems *problems)
{
    struct site s = {.files = files, .n = n, .problems = problems};

    for (uint32_t i = 0; i < n; i++) {
        s.base[i + 1] = s.base[i] + (uint32_t) files[i]->n_rules;
        s.counts[i] = true;
        for (uint32_t j = 0; j < i; j++) {
            if (memcmp(files[i]->file.sha256, files[j]->file.sha256, sizeof(files[i]->file.sha256)) == 0)
                s.counts[i] = false;
            else {
                doubt_names(&s, i, j);
                doubt_instance(&s, i, j);
            }
        }
    }
    if (site_collect(&s) && check_site_circles(&s)) {
        doubt_site_feeding(&s);
        doubt_site_untaken(&s);
    } else {
        config_error(&problems[0], 0, NULL, "out of memory");
    }
    site_free(&s);
}
