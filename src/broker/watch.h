// SPDX-License-Identifier: Apache-2.0
// watch: chooses the directories that the inotify instance of mcrd watches for changes of the config file.
//
// The broker, which may access the file system, adds and removes watches. The relay, which has the loop, reads the
// events of the same instance and asks for a probe. Directories are watched, because files are replaced by rename and
// links are swapped: the directory of the path, that of the file to which links lead, and that of each link on the way.
#ifndef MCR_BROKER_WATCH_H
#define MCR_BROKER_WATCH_H

#define WATCH_MAX 16 // directories; of a path with more links, only the first ones are watched

struct watch {
    int inotify;                // set by the caller, who zeroes the rest
    int directories[WATCH_MAX]; // watch descriptors
    int n;
};

// Calls `each` with every directory to watch for path, as links lead now: at most 2 + WATCH_MAX times, and perhaps
// twice for the same one.
typedef void watch_each(void *context, const char *directory);
void watch_directories(const char *path, watch_each *each, void *context);

// Watches the directories to which path leads now, and only these. Logs those that cannot be watched; a later call
// tries again.
void watch_update(struct watch *w, const char *path);

#endif
