// SPDX-License-Identifier: Apache-2.0
// What the service manager is told to keep, and what it hands over.
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/service.h"
#include "machine/store.h"

// Reads all messages, without the assignments that each has, as "+name" or "-name".
static const char *heard(int fd)
{
    static char all[4096];
    char text[512];

    all[0] = '\0';
    for (;;) {
        char control[CMSG_SPACE(sizeof(int))];
        struct iovec part = {.iov_base = text, .iov_len = sizeof(text) - 1};
        struct msghdr m = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);
        if (n < 0)
            return all;
        text[n] = '\0';
        bool comes = strstr(text, "FDSTORE=1\nFDPOLL=0\n") == text;
        cr_expect(comes || strstr(text, "FDSTOREREMOVE=1\n") == text, "%s", text);
        const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        cr_expect_eq(c != NULL, comes, "%s", text);
        if (c) {
            int got;
            memcpy(&got, CMSG_DATA(c), sizeof(got));
            close(got);
        }
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s ", comes ? "+" : "-", strstr(text, "FDNAME=") + 7);
    }
}

static void load(struct store *s, const char *const *names, const int *fds)
{
    store_begin(s, true);
    for (size_t i = 0; names[i]; i++)
        store_keep(s, names[i], fds[i], names[i][0] == 't');
    store_settle(s);
}

// The manager has room for two: what comes first of those that are urgent, then the others; the next one when one goes.
Test(store, tells_no_more_than_is_kept)
{
    int pair[2], fds[4] = {0, 1, 2, 0};
    struct store s = {.manager = -1, .most = 2};

    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    s.manager = pair[0];
    load(&s, (const char *const[]){"a", "b", "t", NULL}, fds);
    cr_expect(store_send(&s));
    cr_expect_str_eq(heard(pair[1]), "+t +a ");
    cr_expect_eq(store_over(&s), 1);
    load(&s, (const char *const[]){"a", "b", NULL}, fds);
    cr_expect(store_send(&s));
    cr_expect_str_eq(heard(pair[1]), "-t +b ");
    cr_expect_eq(store_over(&s), 0);
    store_free(&s);
    close(pair[0]);
    close(pair[1]);
}

Test(store, tells_what_changes)
{
    int pair[2], fds[3] = {0, 1, 2}, others[3] = {1, 1, 2};
    struct store s = {.manager = -1};

    load(&s, (const char *const[]){"a", NULL}, fds);
    cr_expect(store_send(&s) && s.n == 0, "without a manager");
    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    s.manager = pair[0];
    load(&s, (const char *const[]){"a", "b", "table", NULL}, fds);
    cr_expect(store_send(&s));
    cr_expect_str_eq(heard(pair[1]), "+table +a +b ", "the urgent ones come first");
    load(&s, (const char *const[]){"a", "b", "table", NULL}, fds);
    cr_expect(store_send(&s));
    cr_expect_str_eq(heard(pair[1]), "", "nothing new");
    // The same name for another descriptor: the old one goes before the new one comes.
    load(&s, (const char *const[]){"a", "b", NULL}, others);
    cr_expect(store_send(&s));
    cr_expect_str_eq(heard(pair[1]), "-table -a +a ");
    store_free(&s);
    close(pair[0]);
    close(pair[1]);
}

// One that is replaced before the rest of a load is told leaves the others as they are.
Test(store, tells_one_at_once)
{
    int pair[2], fds[3] = {0, 1, 2};
    struct store s = {.manager = -1};

    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    s.manager = pair[0];
    load(&s, (const char *const[]){"a", "b", "table", NULL}, fds);
    cr_expect(store_send(&s));
    cr_expect_str_eq(heard(pair[1]), "+table +a +b ");
    for (int i = 0; i < 2; i++) {
        store_begin(&s, false);
        store_keep(&s, "table", 1, true);
        store_settle(&s);
        cr_expect(store_send(&s));
        cr_expect_str_eq(heard(pair[1]), i == 0 ? "-table +table " : "", "once");
    }
    load(&s, (const char *const[]){"a", "table", NULL}, (int[]){0, 1});
    cr_expect(store_send(&s));
    cr_expect_str_eq(heard(pair[1]), "-b ");
    store_free(&s);
    close(pair[0]);
    close(pair[1]);
}

// The number of a descriptor that was closed is given to the next one.
Test(store, tells_another_one_of_the_same_number)
{
    int pair[2], fd = memfd_create("a", MFD_CLOEXEC);
    struct store s = {.manager = -1};

    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    s.manager = pair[0];
    load(&s, (const char *const[]){"a", NULL}, &fd);
    cr_expect(store_send(&s));
    cr_expect_str_eq(heard(pair[1]), "+a ");
    close(fd);
    cr_assert_eq(memfd_create("a", MFD_CLOEXEC), fd);
    load(&s, (const char *const[]){"a", NULL}, &fd);
    cr_expect(store_send(&s));
    cr_expect_str_eq(heard(pair[1]), "-a +a ");
    store_free(&s);
    close(fd);
    close(pair[0]);
    close(pair[1]);
}

Test(store, goes_on_with_what_was_there)
{
    int pair[2], fds[2] = {0, 1};
    struct store s = {.manager = -1};

    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    s.manager = pair[0];
    store_note(&s, "a", 0, false);
    store_note(&s, "b", -1, false); // closed here
    store_note(&s, "", 7, false);
    load(&s, (const char *const[]){"a", "b", NULL}, fds);
    cr_expect(store_send(&s));
    cr_expect_str_eq(heard(pair[1]), "-b +b ");
    store_free(&s);
    close(pair[0]);
    close(pair[1]);
}

// A manager that reads nothing: no call waits, what comes and goes meanwhile is never told, and the rest is, in order.
Test(store, waits_for_nobody)
{
    int pair[2], fds[3] = {0, 1, 2};
    struct store s = {.manager = -1};
    unsigned filled = 0;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
    s.manager = pair[0];
    while (send(pair[0], "FDSTOREREMOVE=1\nFDNAME=x", 24, 0) > 0)
        filled++;
    load(&s, (const char *const[]){"a", "b", NULL}, fds);
    cr_expect_not(store_send(&s));
    load(&s, (const char *const[]){"a", "c", NULL}, (int[]){0, 2});
    cr_expect_not(store_send(&s));
    for (unsigned i = 0; i < filled; i++)
        cr_expect_eq(recv(pair[1], (char[64]){0}, 64, MSG_DONTWAIT), 24);
    cr_expect(store_send(&s));
    cr_expect_str_eq(heard(pair[1]), "+a +c ");
    store_free(&s);
    close(pair[0]);
    close(pair[1]);
}

Test(service, what_is_handed_over)
{
    static const struct {
        const char *fds;
        size_t n;
    } cases[] = {{"3", 3}, {"0", 0},  {"-1", 0},         {"1024", 1024}, {"1025", 0},
                 {"", 0},  {"3x", 0}, {"4294967297", 0}, {" 3", 0},      {"99999999999999999999", 0}};
    char pid[32];

    snprintf(pid, sizeof(pid), "%d", (int) getpid());
    setenv("LISTEN_PID", pid, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setenv("LISTEN_FDS", cases[i].fds, 1);
        cr_expect_eq(service_handed_over(), cases[i].n, "%s", cases[i].fds);
    }
    setenv("LISTEN_FDS", "3", 1);
    setenv("LISTEN_PID", "1", 1);
    cr_expect_eq(service_handed_over(), 0, "they are another process's");
    cr_expect_eq(service_other(getpid()), 1);
    setenv("LISTEN_PID", pid, 1);
    cr_expect_eq(service_other(getpid()), 0);
    unsetenv("LISTEN_PID");
    cr_expect_eq(service_handed_over(), 0);
}

Test(service, names)
{
    const char *list = "one::three:toolongforthis:last";
    char name[8];
    static const char *const wanted[] = {"one", "", "three", "", "last", "", ""};

    for (size_t i = 0; i < 7; i++) {
        service_next_name(&list, name, sizeof(name));
        cr_expect_str_eq(name, wanted[i]);
    }
}

Test(service, sockets_of_a_manager)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/tmp/mcr-units-notify"};

    unsetenv("NOTIFY_SOCKET");
    cr_expect(service_connect() == -1 && errno == 0);
    for (size_t i = 0; i < 3; i++) {
        setenv("NOTIFY_SOCKET", (const char *const[]){"relative", "/", "/nowhere/at/all"}[i], 1);
        cr_expect(service_connect() == -1 && errno != 0);
    }
    unlink(at.sun_path);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *) &at, sizeof(at)), 0);
    setenv("NOTIFY_SOCKET", at.sun_path, 1);
    int to = service_connect();
    cr_expect_geq(to, 0);
    close(to);
    close(fd);
    unlink(at.sun_path);
}
