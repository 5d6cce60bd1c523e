// SPDX-License-Identifier: Apache-2.0
// The files of the rig's directory.
#include <config.h>

#include "rig.h"

#include <criterion/criterion.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rig_text.h"

void rig_file(struct rig *x, const char *text)
{
    char path[64];
    // Before anything that the machine's own clock says.
    const struct timespec times[2] = {{.tv_sec = (time_t) RIG_EPOCH - 60}, {.tv_sec = (time_t) RIG_EPOCH - 60}};

    snprintf(path, sizeof(path), "%s/mcr.conf", x->directory);
    unlink(path);
    if (!text)
        return;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    cr_assert_geq(fd, 0);
    dprintf(fd, "version=1;stats_file=\"%s/stats\";", x->directory);
    for (const char *at; (at = strstr(text, "DIR")); text = at + 3)
        dprintf(fd, "%.*s%s", (int) (at - text), text, x->directory);
    dprintf(fd, "%s", text);
    cr_assert_eq(fchmod(fd, 0644), 0);
    cr_assert_eq(futimens(fd, times), 0);
    close(fd);
}

void rig_text(struct rig *x, const char *name)
{
    char path[64], line[8192];

    rig_tell(x, "%s:", name);
    snprintf(path, sizeof(path), "%s/%s", x->directory, name);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        fputs("  ", x->to);
        rig_text_write(x->to, x->directory, line);
    }
    if (f)
        fclose(f);
}

void rig_remove(struct rig *x, const char *name)
{
    char path[64];

    rig_tell(x, "=== %s is removed", name);
    snprintf(path, sizeof(path), "%s/%s", x->directory, name);
    cr_assert_eq(unlink(path), 0);
}

FILE *rig_append(struct rig *x, const char *name)
{
    char path[64];

    rig_tell(x, "=== %s is written to", name);
    snprintf(path, sizeof(path), "%s/%s", x->directory, name);
    FILE *f = fopen(path, "a");
    cr_assert_not_null(f);
    return f;
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static void each_file(struct rig *x, void (*act)(struct rig *x, const char *path, const char *name))
{
    struct dirent **names;
    int n = scandir(x->directory, &names, visible, alphasort);

    for (int i = 0; i < n; i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", x->directory, names[i]->d_name);
        act(x, path, names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

static void tell_file(struct rig *x, const char *path, const char *name)
{
    struct stat st;

    cr_assert_eq(lstat(path, &st), 0);
    rig_tell(x, "  %s %04o", name, st.st_mode & 07777);
}

void rig_files(struct rig *x)
{
    rig_tell(x, "files:");
    each_file(x, tell_file);
}

static void remove_file(struct rig *x, const char *path, const char *name)
{
    (void) x, (void) name;
    unlink(path);
}

void rig_remove_all(struct rig *x)
{
    each_file(x, remove_file);
    rmdir(x->directory);
}
