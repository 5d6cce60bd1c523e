// SPDX-License-Identifier: Apache-2.0
// file: reads the bytes of a config file once, hashes them, and checks owner and mode of the file.
#ifndef MCR_CONFIG_FILE_H
#define MCR_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model.h"
#include "config/problems.h"

struct config_bytes {
    char *text; // size bytes and a NUL
    size_t size;
    struct config_file_info info;
    int open_error; // errno if the file could not be opened
};

// Reads the file at path. follow: path may be a symbolic link. Returns false with an error for each reason to refuse
// it: it is not a regular file, too large, writable by others, or changed while it was read. file_check_owner() checks
// the owner. The caller frees *out with file_free(), even after a failure.
bool file_read(const char *path, bool follow, struct config_bytes *out, struct config_problems *problems);

// Computes the SHA-256 of size bytes of text, as file_read() does.
void file_digest(const char *text, size_t size, uint8_t sha256[32]);

// Adds an error and returns false unless the owner is root, the effective user, or, while that is root, `user`, which
// the daemon becomes.
bool file_check_owner(const char *path, const struct config_file_info *info, const char *user,
                      struct config_problems *problems);

// The user whose access is checked, without supplementary groups and capabilities.
struct file_reader {
    const char *user, *group; // names for messages
    uid_t uid;
    gid_t gid;
};

#define FILE_WHY_MAX 400

// Returns whether modes and owners deny this reader access to the file at path. If so, why has the reason and the
// remedy: "user mcr cannot read it (0600 root:root): chgrp mcr, chmod 640". ACLs, Landlock and security modules are not
// checked.
bool file_is_shut(const char *path, const struct file_reader *reader, char why[FILE_WHY_MAX]);

// The same for making a file beside the one at this absolute path: "user mcr cannot write /srv/run (0755 root:root):
// chown mcr /srv/run"; nobody is told to give away /run or /var/log: own is what the unit of an instance has in place
// of it, as "/run/mcr-NAME". False where the directory is not there.
bool file_directory_is_shut(const char *path, const char *own, const struct file_reader *reader,
                            char why[FILE_WHY_MAX]);

void file_free(struct config_bytes *bytes);

#endif
