// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/audit_place.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/chain.h"

// The first line alone: whether the rest is whole is asked of --history.
static void doubt_content(const struct config *c, int fd, struct config_problems *problems)
{
    char line[CHAIN_LINE_MAX];
    ssize_t n = read(fd, line, sizeof(line));
    const char *end = n > 0 ? memchr(line, '\n', (size_t) n) : NULL;
    struct chain_record r;

    if (n <= 0 || (end && chain_parse(line, (size_t) (end - line), &r)))
        return;
    if (!end && n < CHAIN_LINE_MAX)
        config_warning(problems, 0, NULL,
                       "audit_file is %s, which has no record: mcrd would take its content for one that was cut, and "
                       "remove it: name another file",
                       c->audit_file);
    else
        config_warning(problems, 0, NULL,
                       "audit_file is %s, which holds something else than records: mcrd would set it aside as %s.1: "
                       "name another file",
                       c->audit_file, c->audit_file);
}

static bool is_lost(const char *path)
{
    static const char *const places[] = {"/run/", "/var/run/", "/dev/shm/"};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (strncmp(path, places[i], strlen(places[i])) == 0)
            return true;
    return false;
}

void audit_place_doubt(const struct config *c, struct config_problems *problems)
{
    struct stat st;

    if (is_lost(c->audit_file))
        config_warning(problems, 0, NULL,
                       "audit_file is %s: what lies there is removed when mcrd is stopped or the host boots: name one "
                       "in /var/lib/mcr",
                       c->audit_file);
    if (!c->audit_file[0] || lstat(c->audit_file, &st) != 0)
        return;
    if (S_ISLNK(st.st_mode)) {
        config_warning(problems, 0, NULL,
                       "audit_file is %s, a symbolic link, which mcrd does not follow: %s: name the file itself",
                       c->audit_file,
                       c->audit_required ? "with audit_required the start would be refused"
                                         : "the records would be in the log only");
        return;
    }
    int fd = S_ISREG(st.st_mode) ? open(c->audit_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY) : -1;
    if (fd < 0)
        return;
    doubt_content(c, fd, problems);
    close(fd);
}
