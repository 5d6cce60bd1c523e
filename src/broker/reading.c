// SPDX-License-Identifier: Apache-2.0
// Reads and checks the file, as it is now.
#include <config.h>

#include "broker/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/problems.h"

struct handover_file reading_describe(const struct config_file_info *info, uint32_t login)
{
    struct handover_file f = {
        .size = info->size,
        .mtime_s = info->mtime.tv_sec,
        .mtime_ns = (uint32_t) info->mtime.tv_nsec,
        .owner = info->owner,
        .mode = info->mode,
        .loginuid = login,
    };

    memcpy(f.sha256, info->sha256, sizeof(f.sha256));
    return f;
}

void reading_take(struct broker *b, bool print, uint32_t login, struct reading *r)
{
    struct config_problems problems = {0};

    *r = (struct reading){.config = NULL};
    watch_update(&b->watch, b->options->config_path);
    r->config = config_load(b->options->config_path, CONFIG_LOAD_OFFLINE_INTERFACES, &problems, &r->bytes);
    r->file = reading_describe(&r->bytes.info, login);
    if (!r->config) {
        if (print)
            config_problems_print(&problems, b->options->config_path, stderr);
        config_problems_first(&problems, b->options->config_path, r->why, sizeof(r->why));
        size_t used = strlen(r->why);
        if (r->bytes.open_error == EACCES && b->landlock)
            snprintf(r->why + used, sizeof(r->why) - used,
                     "; mcrd may only read directories that existed when it started: restart it to use this one");
    }
    config_problems_free(&problems);
    if (r->config && (strcmp(r->config->user, b->user) != 0 || strcmp(r->config->group, b->group) != 0 ||
                      strcmp(r->config->stats_file, b->stats_file) != 0)) {
        snprintf(r->why, sizeof(r->why),
                 "%s: user, group and stats_file are fixed at the start (%s, %s, %s): restart to change them",
                 b->options->config_path, b->user, b->group, b->stats_file);
        config_free(r->config);
        r->config = NULL;
    }
}

void reading_free(struct reading *r)
{
    config_free(r->config);
    file_free(&r->bytes);
}
