// SPDX-License-Identifier: Apache-2.0
// watch: which directories the inotify instance of mcrd watches for the config file.
//
// The broker, which has the file system, adds and removes watches; the relay, which has the loop, reads the events of
// the same instance and asks for a probe. Files are replaced by rename, so that directories are watched: the one that
// the path names, and, where it is a symbolic link, the one where the file really lies.
#ifndef MCR_BROKER_WATCH_H
#define MCR_BROKER_WATCH_H

struct watch {
    int inotify;
    int directories[2]; // watch descriptors; -1: none
};

void watch_init(struct watch *w, int inotify);

// Watches where path leads now. What cannot be watched is logged; a later call tries again.
void watch_update(struct watch *w, const char *path);

#endif
