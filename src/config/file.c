// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sha256.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void file_digest(const char *text, size_t size, uint8_t sha256[32])
{
    SHA256_CTX hash;

    SHA256Init(&hash);
    SHA256Update(&hash, (const uint8_t *) text, size);
    SHA256Final(sha256, &hash);
}

static const char *type_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    case S_IFCHR:
    case S_IFBLK:
        return "a device";
    default:
        return "a special file";
    }
}

static bool check_stat(const char *path, const struct stat *st, struct config_problems *problems)
{
    size_t errors = problems->n_errors;

    if (!S_ISREG(st->st_mode)) {
        config_error(problems, 0, NULL, "is %s, allowed is a regular file", type_name(st->st_mode));
        return false;
    }
    if (st->st_size > CONFIG_FILE_MAX)
        config_error(problems, 0, NULL, "size is %llu bytes, allowed is up to %u", (unsigned long long) st->st_size,
                     CONFIG_FILE_MAX);
    if (st->st_mode & (S_IWGRP | S_IWOTH))
        config_error(problems, 0, NULL, "mode is %04o, allowed is one without write by group or others: chmod go-w %s",
                     (unsigned) (st->st_mode & 07777), path);
    return problems->n_errors == errors;
}

bool file_check_owner(const char *path, const struct config_file_info *info, const char *user,
                      struct config_problems *problems)
{
    uid_t self = geteuid();

    if (info->owner == 0 || info->owner == self)
        return true;
    if (self != 0) {
        config_error(problems, 0, NULL, "owner is uid %u, allowed is root or uid %u: chown root %s",
                     (unsigned) info->owner, (unsigned) self, path);
        return false;
    }
    const struct passwd *account = getpwnam(user);
    if (account && account->pw_uid == info->owner)
        return true;
    config_error(problems, 0, NULL,
                 "owner is uid %u, allowed is root or the user that the daemon becomes: chown root %s",
                 (unsigned) info->owner, path);
    return false;
}

// Returns whether the file has not been written to since *st. A write updates its change time. So does a rename that
// replaces its name, but then it has one link less.
static bool is_unchanged(int fd, const struct stat *st)
{
    struct stat now;

    return fstat(fd, &now) == 0 && now.st_size == st->st_size && now.st_mtim.tv_sec == st->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == st->st_mtim.tv_nsec &&
           (now.st_nlink != st->st_nlink ||
            (now.st_ctim.tv_sec == st->st_ctim.tv_sec && now.st_ctim.tv_nsec == st->st_ctim.tv_nsec));
}

static bool read_regular(int fd, const struct stat *st, struct config_bytes *out, struct config_problems *problems)
{
    size_t expected = (size_t) st->st_size, used = 0;
    ssize_t n = 1;

    out->text = malloc(expected + 1);
    if (!out->text) {
        config_error(problems, 0, NULL, "out of memory");
        return false;
    }
    // The size limit applies here, too, because the file can grow after fstat().
    for (; n > 0 && used <= expected; used += (size_t) n) {
        n = TEMP_FAILURE_RETRY(read(fd, out->text + used, expected + 1 - used));
        if (n < 0) {
            config_error(problems, 0, NULL, "cannot be read: %s", strerror(errno));
            return false;
        }
    }
    // A file that is written while it is read may be half old and half new. A replacement by rename avoids this.
    if (used != expected || !is_unchanged(fd, st)) {
        config_error(problems, 0, NULL, "changed while it was read, replace it by rename");
        return false;
    }
    out->text[used] = '\0';
    out->size = used;
    file_digest(out->text, out->size, out->info.sha256);
    out->info.size = out->size;
    out->info.owner = st->st_uid;
    out->info.mode = st->st_mode;
    out->info.mtime = st->st_mtim;
    return true;
}

bool file_read(const char *path, bool follow, struct config_bytes *out, struct config_problems *problems)
{
    struct stat st;
    bool ok = false;
    int fd;

    memset(out, 0, sizeof(*out));
    // O_NONBLOCK, because a FIFO must not block. Symbolic links to the config file are followed, because config
    // management uses them; owner and mode of the opened file count.
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (follow ? 0 : O_NOFOLLOW));
    if (fd < 0 || fstat(fd, &st) < 0) {
        out->open_error = errno;
        config_error(problems, 0, NULL, "cannot be opened: %s%s", strerror(errno),
                     strcmp(path, "-") == 0 ? ": name /dev/stdin for what is redirected from a file" : "");
    } else {
        ok = check_stat(path, &st, problems) && read_regular(fd, &st, out, problems);
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

// --- who may read it -------------------------------------------------------------------------------------------------

// Returns the name of root or of the reader, and the number of any other id: the broker cannot look up names any more.
static const char *id_name(unsigned id, unsigned own, const char *name, char text[12])
{
    if (id == own)
        return name;
    if (id == 0)
        return "root";
    snprintf(text, 12, "%u", id);
    return text;
}

// Returns whether the mode denies a right (S_IROTH or S_IXOTH). As in the kernel, only the first matching class counts:
// owner, group, others.
static bool is_shut(const struct stat *st, const struct file_reader *r, mode_t right, const char *what,
                    char why[FILE_WHY_MAX])
{
    unsigned shift = st->st_uid == r->uid ? 6 : st->st_gid == r->gid ? 3 : 0;
    char owner[12], group[12], change[64] = "";
    mode_t mode = st->st_mode & 07777;

    if ((mode >> shift) & right)
        return false;
    if (shift == 0)
        snprintf(change, sizeof(change), "chgrp %s, ", r->group);
    // The suggested mode lets those who may enter a directory list it, too, as is usual.
    mode_t wanted = (mode | S_IRGRP | (right == S_IXOTH ? S_IXGRP : 0)) & ~(mode_t) S_IWGRP;
    if (shift == 6)
        wanted = mode | S_IRUSR | (right == S_IXOTH ? S_IXUSR : 0);
    snprintf(why, FILE_WHY_MAX, "user %s cannot %s (%04o %s:%s): %schmod %o", r->user, what, (unsigned) mode,
             id_name(st->st_uid, r->uid, r->user, owner), id_name(st->st_gid, r->gid, r->group, group), change,
             (unsigned) wanted);
    return true;
}

// Checks the directories above path, which is as it was afterwards.
// Uses fstatat(), because the broker's system call filter allows no other call for a file by its name.
static bool way_is_shut(char *path, const struct file_reader *reader, char why[FILE_WHY_MAX])
{
    bool shut = false;
    char what[300];
    struct stat st;

    for (char *slash = path; !shut && *slash && (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        snprintf(what, sizeof(what), "enter %.200s", path);
        shut = fstatat(AT_FDCWD, path, &st, 0) == 0 && is_shut(&st, reader, S_IXOTH, what, why);
        *slash = '/';
    }
    return shut;
}

bool file_is_shut(const char *path, const struct file_reader *reader, char why[FILE_WHY_MAX])
{
    char part[PATH_MAX];
    struct stat st;

    if (!realpath(path, part) && (size_t) snprintf(part, sizeof(part), "%s", path) >= sizeof(part))
        return false;
    return way_is_shut(part, reader, why) ||
           (fstatat(AT_FDCWD, part, &st, 0) == 0 && is_shut(&st, reader, S_IROTH, "read it", why));
}

// Whether it is of the whole system, as /run and /var/log are.
static bool is_of_system(const char *directory)
{
    const char *below = strncmp(directory, "/var/", strlen("/var/")) == 0 ? directory + strlen("/var/") : directory + 1;

    return strchr(below, '/') == NULL;
}

bool file_directory_is_shut(const char *path, const char *own, const struct file_reader *reader, char why[FILE_WHY_MAX])
{
    char directory[PATH_MAX], owner[12], group[12];
    const char *slash = strrchr(path, '/');
    struct stat st;

    if (!slash || slash == path ||
        (size_t) snprintf(directory, sizeof(directory), "%.*s", (int) (slash - path), path) >= sizeof(directory))
        return false;
    if (way_is_shut(directory, reader, why))
        return true;
    if (fstatat(AT_FDCWD, directory, &st, 0) != 0)
        return false;
    unsigned shift = st.st_uid == reader->uid ? 6 : st.st_gid == reader->gid ? 3 : 0;
    if (((st.st_mode >> shift) & (S_IWOTH | S_IXOTH)) == (S_IWOTH | S_IXOTH))
        return false;
    snprintf(why, FILE_WHY_MAX, "user %s cannot write %.120s (%04o %s:%s): ", reader->user, directory,
             (unsigned) st.st_mode & 07777, id_name(st.st_uid, reader->uid, reader->user, owner),
             id_name(st.st_gid, reader->gid, reader->group, group));
    size_t used = strlen(why);
    if (shift == 6)
        snprintf(why + used, FILE_WHY_MAX - used, "chmod u+wx %.120s", directory);
    else if (is_of_system(directory))
        snprintf(why + used, FILE_WHY_MAX - used, "name a directory of its own, as %s is of mcrd@NAME", own);
    else
        snprintf(why + used, FILE_WHY_MAX - used, "chown %s %.120s", reader->user, directory);
    return true;
}

void file_free(struct config_bytes *bytes)
{
    free(bytes->text);
    memset(bytes, 0, sizeof(*bytes));
}
