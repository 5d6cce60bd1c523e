// SPDX-License-Identifier: Apache-2.0
// Which directories are watched for a path, as its links lead.
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/watch.h"

static char top[] = "/tmp/mcr-watch-XXXXXX";

static const char *path_of(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned n;
    char *path = paths[n++ % 4];

    snprintf(path, PATH_MAX, "%s/%s", top, name);
    return path;
}

static void make_file(const char *name)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    close(fd);
}

// top/a/mcr.conf, top/link to top/a/mcr.conf by ways, top/b empty.
static void make_tree(void)
{
    cr_assert(mkdtemp(top));
    cr_assert_eq(mkdir(path_of("a"), 0700), 0);
    cr_assert_eq(mkdir(path_of("b"), 0700), 0);
    cr_assert_eq(mkdir(path_of("c"), 0700), 0);
    make_file("a/mcr.conf");
}

static void remove_tree(void)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -r %s", top);
    cr_expect_eq(system(command), 0); // NOLINT
}

struct names {
    char text[4096];
    unsigned n;
};

// Those below top, without it.
static void add(void *context, const char *directory)
{
    struct names *names = context;
    size_t used = strlen(names->text), length = strlen(top);
    const char *below = strncmp(directory, top, length) == 0 ? directory + length : directory;

    snprintf(names->text + used, sizeof(names->text) - used, "%s ", *below ? below : "/");
    names->n++;
}

static void expect(const char *name, const char *directories)
{
    struct names names = {.text = ""};

    watch_directories(path_of(name), add, &names);
    cr_expect_str_eq(names.text, directories, "%s: %s", name, names.text);
}

Test(watch, where_links_lead)
{
    make_tree();
    expect("a/mcr.conf", "/a /a ");
    expect("a/none", "/a ");
    // An absolute link, a relative one, and one on the way.
    cr_assert_eq(symlink(path_of("a/mcr.conf"), path_of("b/absolute")), 0);
    expect("b/absolute", "/b /a /b ");
    cr_assert_eq(symlink("../a/mcr.conf", path_of("b/relative")), 0);
    expect("b/relative", "/b /a /b ");
    cr_assert_eq(symlink("a", path_of("way")), 0);
    expect("way/mcr.conf", "/way /a / ");
    cr_assert_eq(symlink(path_of("way"), path_of("c/way")), 0);
    expect("c/way/mcr.conf", "/c/way /a /c / ");
    cr_assert_eq(symlink("way/mcr.conf", path_of("c/file")), 0);
    expect("c/file", "/c /a /c /c / ");
    // Leads nowhere.
    cr_assert_eq(symlink("/nowhere/at/all", path_of("c/lost")), 0);
    expect("c/lost", "/c /c ");
    remove_tree();
}

Test(watch, a_link_to_itself_ends)
{
    struct names names = {.text = ""};

    make_tree();
    cr_assert_eq(symlink("round", path_of("round")), 0);
    watch_directories(path_of("round"), add, &names);
    cr_expect_eq(names.n, 1 + WATCH_MAX, "%u", names.n);
    remove_tree();
}

Test(watch, no_further_than_a_path_can_be)
{
    char target[PATH_MAX] = "", path[2 * PATH_MAX];
    struct names names = {.text = ""};

    make_tree();
    // The link's target alone fits, with what is behind it no longer.
    while (strlen(target) < PATH_MAX - 2)
        strcat(target, "/");
    cr_assert_eq(symlink(target, path_of("long")), 0, "%s", strerror(errno));
    snprintf(path, sizeof(path), "%s/mcr.conf", path_of("long"));
    watch_directories(path, add, &names);
    cr_expect_str_eq(names.text, "/long / ");
    remove_tree();
}

// --- watches ---------------------------------------------------------------------------------------------------------

static unsigned events_of(int inotify, int wd)
{
    char buffer[8192] __attribute__((aligned(8)));
    unsigned n = 0;
    ssize_t size;

    while ((size = read(inotify, buffer, sizeof(buffer))) > 0)
        for (char *at = buffer; at < buffer + size;) {
            const struct inotify_event *e = (const void *) at;
            n += e->wd == wd && !(e->mask & IN_IGNORED);
            at += sizeof(*e) + e->len;
        }
    return n;
}

Test(watch, what_is_not_led_to_any_more_is_not_watched)
{
    struct watch w = {.inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};

    make_tree();
    make_file("b/mcr.conf");
    cr_assert_eq(symlink("../a/mcr.conf", path_of("c/mcr.conf")), 0);
    watch_update(&w, path_of("c/mcr.conf"));
    cr_assert_eq(w.n, 2);
    int c = w.directories[0], a = w.directories[1];
    make_file("a/news");
    make_file("b/news");
    make_file("c/news");
    cr_expect_gt(events_of(w.inotify, a), 0);
    make_file("c/news2");
    cr_expect_gt(events_of(w.inotify, c), 0);
    // The same again changes nothing.
    watch_update(&w, path_of("c/mcr.conf"));
    cr_expect(w.n == 2 && w.directories[0] == c && w.directories[1] == a);
    cr_assert_eq(unlink(path_of("c/mcr.conf")), 0);
    cr_assert_eq(symlink("../b/mcr.conf", path_of("c/mcr.conf")), 0);
    watch_update(&w, path_of("c/mcr.conf"));
    cr_expect(w.n == 2 && w.directories[0] == c && w.directories[1] != a);
    events_of(w.inotify, a);
    make_file("a/news2");
    cr_expect_eq(events_of(w.inotify, a), 0, "it is not watched any more");
    make_file("b/news2");
    cr_expect_gt(events_of(w.inotify, w.directories[1]), 0);
    make_file("c/news3");
    cr_expect_gt(events_of(w.inotify, c), 0);
    // Nor is one that is gone.
    cr_assert_eq(unlink(path_of("c/mcr.conf")), 0);
    watch_update(&w, path_of("c/mcr.conf"));
    cr_expect(w.n == 1 && w.directories[0] == c);
    close(w.inotify);
    remove_tree();
}

Test(watch, no_more_than_there_are_places_for)
{
    struct watch w = {.inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
    char name[32], to[32];

    make_tree();
    for (unsigned i = 0; i < WATCH_MAX + 4; i++) {
        snprintf(name, sizeof(name), "d%u", i);
        cr_assert_eq(mkdir(path_of(name), 0700), 0);
        snprintf(name, sizeof(name), "d%u/mcr.conf", i);
        snprintf(to, sizeof(to), "../d%u/mcr.conf", i + 1);
        if (i < WATCH_MAX + 3)
            cr_assert_eq(symlink(to, path_of(name)), 0);
        else
            make_file(name);
    }
    watch_update(&w, path_of("d0/mcr.conf"));
    cr_expect_eq(w.n, WATCH_MAX);
    watch_update(&w, path_of("d0/mcr.conf"));
    cr_expect_eq(w.n, WATCH_MAX);
    close(w.inotify);
    remove_tree();
}
