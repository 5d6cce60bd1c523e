// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>

#include "log/log.h"

#define EVENTS                                                                                                  \
    (IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |             \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

void watch_init(struct watch *w, int inotify)
{
    *w = (struct watch){.inotify = inotify, .directories = {-1, -1}};
}

// Cuts the last component off.
static void to_directory(char *path)
{
    char *slash = strrchr(path, '/');

    if (!slash)
        strcpy(path, ".");
    else if (slash == path)
        path[1] = '\0';
    else
        *slash = '\0';
}

static int watch_directory(const struct watch *w, const char *path)
{
    char directory[PATH_MAX];

    if ((size_t) snprintf(directory, sizeof(directory), "%s", path) >= sizeof(directory))
        return -1;
    to_directory(directory);
    // The same directory gets the same descriptor again.
    int wd = inotify_add_watch(w->inotify, directory, EVENTS);
    if (wd < 0)
        log_errno(LOG_LEVEL_WARNING, "watch", "directory=%s effect=\"changes of the file go unnoticed\"", directory);
    return wd;
}

void watch_update(struct watch *w, const char *path)
{
    char real[PATH_MAX];
    int now[2] = {watch_directory(w, path), -1};

    if (realpath(path, real))
        now[1] = watch_directory(w, real);
    for (int i = 0; i < 2; i++)
        if (w->directories[i] >= 0 && w->directories[i] != now[0] && w->directories[i] != now[1])
            inotify_rm_watch(w->inotify, w->directories[i]);
    memcpy(w->directories, now, sizeof(now));
}
