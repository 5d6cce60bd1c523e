// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/watch.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "log/log.h"

#define EVENTS                                                                                                         \
    (IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF |   \
     IN_MOVE_SELF | IN_ONLYDIR)

static void tell_parent(const char *path, watch_each *each, void *context)
{
    char copy[PATH_MAX];

    if ((size_t) snprintf(copy, sizeof(copy), "%s", path) < sizeof(copy))
        each(context, dirname(copy));
}

// Calls `each` with the directory of every component of path that is a link, then does the same for the link's target.
// The kernel resolves the names; this only reads links.
static void tell_links(const char *path, int depth, watch_each *each, void *context)
{
    char part[PATH_MAX], target[PATH_MAX], next[2 * PATH_MAX];

    for (size_t i = 1; depth < WATCH_MAX && path[i - 1]; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        snprintf(part, sizeof(part), "%.*s", (int) i, path);
        ssize_t n = readlink(part, target, sizeof(target) - 1);
        if (n <= 0)
            continue;
        target[n] = '\0';
        tell_parent(part, each, context);
        if (target[0] == '/')
            snprintf(next, sizeof(next), "%s%s", target, path + i);
        else
            snprintf(next, sizeof(next), "%s/%s%s", dirname(part), target, path + i);
        if (strlen(next) < PATH_MAX)
            tell_links(next, depth + 1, each, context);
        return;
    }
}

void watch_directories(const char *path, watch_each *each, void *context)
{
    char real[PATH_MAX];

    tell_parent(path, each, context);
    if (realpath(path, real))
        tell_parent(real, each, context);
    tell_links(path, 0, each, context);
}

static void watch_directory(void *context, const char *directory)
{
    struct watch *w = context;

    if (w->n == WATCH_MAX)
        return;
    // The kernel returns the same descriptor for the same directory.
    int wd = inotify_add_watch(w->inotify, directory, EVENTS);
    if (wd < 0) {
        char quoted[600];
        log_errno(LOG_LEVEL_WARNING, EVENT_WATCH, "directory=%s effect=\"changes of the file go unnoticed\"",
                  log_quote(directory, quoted, sizeof(quoted)));
        return;
    }
    for (int i = 0; i < w->n; i++)
        if (w->directories[i] == wd)
            return;
    w->directories[w->n++] = wd;
}

void watch_update(struct watch *w, const char *path)
{
    struct watch before = *w;

    w->n = 0;
    watch_directories(path, watch_directory, w);
    for (int i = 0; i < before.n; i++) {
        int j = 0;
        while (j < w->n && w->directories[j] != before.directories[i])
            j++;
        if (j == w->n)
            inotify_rm_watch(w->inotify, before.directories[i]);
    }
}
