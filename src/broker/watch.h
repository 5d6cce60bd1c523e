// SPDX-License-Identifier: Apache-2.0
// watch: which directories the inotify instance of mcrd watches for the config file.
//
// The broker, which has the file system, adds and removes watches; the relay, which has the loop, reads the events of
// the same instance and asks for a probe. Files are replaced by rename and links are swapped, so that directories are
// watched: that of the path, that of the file where links lead, and that of each link on the way.
#ifndef MCR_BROKER_WATCH_H
#define MCR_BROKER_WATCH_H

#define WATCH_MAX 16 // directories; a path with more links is watched as far as they reach

struct watch {
    int inotify;                // the caller's, who zeroes the rest
    int directories[WATCH_MAX]; // watch descriptors
    int n;
};

// Tells each directory that matters for path as things are now, some perhaps twice: no more than 2 + WATCH_MAX.
typedef void watch_each(void *context, const char *directory);
void watch_directories(const char *path, watch_each *each, void *context);

// Watches where path leads now. What cannot be watched is logged; a later call tries again.
void watch_update(struct watch *w, const char *path);

#endif
