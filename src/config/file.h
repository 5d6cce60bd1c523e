// SPDX-License-Identifier: Apache-2.0
// file: a config file as bytes: read once, judged by its owner and mode, hashed as it was read.
#ifndef MCR_CONFIG_FILE_H
#define MCR_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/model.h"
#include "config/problems.h"

struct config_bytes {
    char *text; // size bytes and a NUL
    size_t size;
    struct config_file_info info;
    int open_error; // errno, when it could not be opened
};

// Reads the file at path, which may be a symbolic link if that is to be followed. Returns false with an error for each
// reason why it is refused: not a regular file, too large, writable by others, changed while it was read. The owner is
// judged by file_check_owner(). The caller frees what is in out with file_free(), also after a failure.
bool file_read(const char *path, bool follow, struct config_bytes *out, struct config_problems *problems);

// The owner must be root, the effective user or, as long as that is root, user: whom the daemon becomes.
bool file_check_owner(const char *path, const struct config_file_info *info, const char *user,
                      struct config_problems *problems);

// Whose rights are asked for: no other groups, no capability.
struct file_reader {
    const char *user, *group; // as messages call them
    uid_t uid;
    gid_t gid;
};

#define FILE_WHY_MAX 400

// Whether modes and owners keep this reader from the file at path; then who cannot do what, and what to write, in why:
// "user mcr cannot read it (0600 root:root): chgrp mcr, chmod 640". What else may keep it (ACLs, Landlock, a security
// module) is not looked at.
bool file_is_shut(const char *path, const struct file_reader *reader, char why[FILE_WHY_MAX]);

// The same for making a file beside the one at this absolute path: "user mcr cannot write /srv/run (0755 root:root):
// chown mcr /srv/run". False where the directory is not there.
bool file_directory_is_shut(const char *path, const struct file_reader *reader, char why[FILE_WHY_MAX]);

void file_free(struct config_bytes *bytes);

#endif
