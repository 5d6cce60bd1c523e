// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/account.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// Whether there are other users than root, unlike in most user namespaces.
static bool has_users(void)
{
    FILE *f = fopen("/proc/self/uid_map", "re");
    unsigned n = 0;
    bool has = f && (fscanf(f, "%*u %*u %u", &n) != 1 || n > 1);

    if (f)
        fclose(f);
    return has;
}

bool account_find(const struct config *c, struct file_reader *reader, struct config_problems *problems)
{
    static const char text[] = "%s \"%s\" does not exist here: mcrd cannot start as root: %s";
    // The user and group of the packages, of a file that is there.
    static const char made[] = "run systemd-sysusers", other[] = "make it, or leave the key out";

    if (geteuid() != 0)
        return false;
    const struct passwd *user = getpwnam(c->user);
    const struct group *group = getgrnam(c->group);
    if (!user)
        config_warning(problems, 0, NULL, text, "user", c->user, strcmp(c->user, "mcr") == 0 ? made : other);
    if (!group)
        config_warning(problems, 0, NULL, text, "group", c->group, strcmp(c->group, "mcr") == 0 ? made : other);
    if (user && user->pw_uid == 0 && has_users())
        config_warning(problems, 0, NULL,
                       "user is \"%s\", and mcrd needs no right of root behind its start: make the user mcr (run "
                       "systemd-sysusers), and leave user and group out",
                       c->user);
    if (user && group)
        *reader = (struct file_reader){c->user, c->group, user->pw_uid, group->gr_gid};
    return user && group;
}

enum { MAY, MAY_NOT, NOT_TRIED };

#define GROUPS_MOST 256

struct groups {
    gid_t list[GROUPS_MOST];
    int n;
};

// Reads the present group and supplementary groups of a process from /proc. Returns false if that fails.
static bool groups_of_process(pid_t pid, gid_t *gid, struct groups *groups)
{
    char path[64], *line = NULL, *at, *end;
    size_t room = 0;
    bool has_gid = false, has_groups = false;

    snprintf(path, sizeof(path), "/proc/%d/status", (int) pid);
    FILE *f = fopen(path, "re");
    while (f && getline(&line, &room, f) > 0) {
        has_gid = has_gid || sscanf(line, "Gid: %*u %u", gid) == 1;
        if (strncmp(line, "Groups:", strlen("Groups:")) != 0)
            continue;
        has_groups = true;
        for (at = line + strlen("Groups:"); groups->n < GROUPS_MOST; at = end) {
            gid_t group = (gid_t) strtoul(at, &end, 10);
            if (end == at)
                break;
            groups->list[groups->n++] = group;
        }
    }
    free(line);
    if (f)
        fclose(f);
    return has_gid && has_groups;
}

// Tries to read the file with the reader's rights, then exits. Runs in a child process, because dropped rights cannot
// be regained.
static void try_in_child(const char *path, int how, const struct file_reader *reader, const struct groups *groups)
{
    if (setgroups((size_t) groups->n, groups->list) != 0 || setresgid(reader->gid, reader->gid, reader->gid) != 0 ||
        setresuid(reader->uid, reader->uid, reader->uid) != 0)
        _exit(NOT_TRIED);
    _exit(access(path, how) != 0 && errno == EACCES ? MAY_NOT : MAY);
}

// Whether access(2) refuses it; daemon: as account_may_read().
static bool is_refused(const char *path, int how, const struct file_reader *of_file, pid_t daemon)
{
    struct file_reader as = *of_file, *reader = &as;
    struct groups groups = {.n = 0};
    int status = 0;

    if (reader->uid == 0 || (daemon > 0 && !groups_of_process(daemon, &reader->gid, &groups)))
        return false;
    groups.n = daemon > 0 ? groups.n : GROUPS_MOST;
    if (daemon <= 0 && getgrouplist(reader->user, reader->gid, groups.list, &groups.n) < 0)
        return false;
    pid_t child = fork();
    if (child == 0)
        try_in_child(path, how, reader, &groups);
    return child > 0 && TEMP_FAILURE_RETRY(waitpid(child, &status, 0)) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == MAY_NOT;
}

bool account_may_read(const char *path, const struct file_reader *reader, pid_t daemon, char why[FILE_WHY_MAX])
{
    char real[PATH_MAX];

    // A relative path would not show what stands above the working directory.
    if (!realpath(path, real) || !is_refused(real, R_OK, reader, daemon))
        return true;
    if (!file_is_shut(real, reader, why))
        snprintf(why, FILE_WHY_MAX, "user %s cannot read it", reader->user);
    return false;
}

bool account_may_write(const char *path, const char *own, const struct file_reader *reader, char why[FILE_WHY_MAX])
{
    char directory[PATH_MAX];
    int length = (int) (strrchr(path, '/') - path);

    if ((size_t) snprintf(directory, sizeof(directory), "%.*s", length, path) >= sizeof(directory) ||
        !is_refused(directory, W_OK | X_OK, reader, 0))
        return true;
    if (!file_directory_is_shut(path, own, reader, why))
        snprintf(why, FILE_WHY_MAX, "user %s cannot write %.200s", reader->user, directory);
    return false;
}
