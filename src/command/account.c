// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/account.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

bool account_find(const struct config *c, struct file_reader *reader, struct config_problems *problems)
{
    static const char text[] = "%s \"%s\" does not exist here: mcrd cannot start as root";

    if (geteuid() != 0)
        return false;
    const struct passwd *user = getpwnam(c->user);
    const struct group *group = getgrnam(c->group);
    if (!user)
        config_warning(problems, 0, NULL, text, "user", c->user);
    if (!group)
        config_warning(problems, 0, NULL, text, "group", c->group);
    if (user && group)
        *reader = (struct file_reader){c->user, c->group, user->pw_uid, group->gr_gid};
    return user && group;
}

enum { MAY, MAY_NOT, NOT_TRIED };

// In a process of its own, which ends here: no right comes back to one that has given it up.
static void try_to_read(const char *path, const struct file_reader *reader)
{
    if (setgroups(0, NULL) != 0 || setresgid(reader->gid, reader->gid, reader->gid) != 0 ||
        setresuid(reader->uid, reader->uid, reader->uid) != 0)
        _exit(NOT_TRIED);
    _exit(access(path, R_OK) != 0 && errno == EACCES ? MAY_NOT : MAY);
}

bool account_may_read(const char *path, const struct file_reader *reader, char why[FILE_WHY_MAX])
{
    char real[PATH_MAX];
    int status = 0;

    // A relative path would not show what stands above the working directory.
    if (reader->uid == 0 || !realpath(path, real))
        return true;
    pid_t child = fork();
    if (child == 0)
        try_to_read(real, reader);
    if (child < 0 || TEMP_FAILURE_RETRY(waitpid(child, &status, 0)) != child || !WIFEXITED(status) ||
        WEXITSTATUS(status) != MAY_NOT)
        return true;
    if (!file_is_shut(real, reader, why))
        snprintf(why, FILE_WHY_MAX, "user %s cannot read it", reader->user);
    return false;
}
