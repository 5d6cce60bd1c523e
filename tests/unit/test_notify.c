// SPDX-License-Identifier: Apache-2.0
// What systemd is told, by a socket of the test whose queue may be full.
#include <config.h>

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/notify.h"

static int systemd;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static struct notify connected(void)
{
    struct notify n;
    socklen_t length = sizeof(address);

    // An abstract name that the kernel gives.
    systemd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(systemd, (struct sockaddr *) &address, sizeof(address.sun_family)), 0);
    cr_assert_eq(getsockname(systemd, (struct sockaddr *) &address, &length), 0);
    address.sun_path[0] = '@';
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    address.sun_path[0] = '\0';
    notify_init(&n);
    cr_assert_geq(n.fd, 0);
    return n;
}

static void fill(const struct notify *n)
{
    while (write(n->fd, "full", 4) == 4)
        ;
}

// Everything that has come, a line for each message, but what fill() has sent.
static const char *come(void)
{
    static char text[4096];
    char message[256];
    size_t used = 0;
    ssize_t n;

    text[0] = '\0';
    while ((n = recv(systemd, message, sizeof(message), 0)) > 0)
        if (n != 4)
            used += (size_t) snprintf(text + used, sizeof(text) - used, "%.*s\n", (int) n, message);
    return text;
}

Test(notify, goes_out_at_once_and_once)
{
    struct notify n = connected();

    notify_ready(&n);
    cr_expect_str_eq(come(), "READY=1\n");
    notify_reloading(&n, 42);
    cr_expect(notify_send(&n, "STATUS=%d", 1));
    notify_ready(&n);
    cr_expect_str_eq(come(), "RELOADING=1\nMONOTONIC_USEC=42\nSTATUS=1\nREADY=1\n");
    cr_expect_not(notify_again(&n));
    cr_expect_str_eq(come(), "");
}

Test(notify, what_has_no_room_goes_out_later)
{
    struct notify n = connected();

    fill(&n);
    notify_ready(&n);
    cr_expect_not(notify_again(&n));
    cr_expect_str_eq(come(), "");
    cr_expect(notify_again(&n));
    cr_expect_str_eq(come(), "READY=1\n");
    cr_expect_not(notify_again(&n));
    cr_expect_str_eq(come(), "");
}

Test(notify, in_its_order_and_of_the_last_load)
{
    struct notify n = connected();

    fill(&n);
    cr_expect_not(notify_send(&n, "STATUS=1"));
    notify_reloading(&n, 42);
    notify_ready(&n);
    notify_reloading(&n, 43);
    cr_expect_str_eq(come(), "");
    cr_expect(notify_again(&n));
    cr_expect_str_eq(come(), "RELOADING=1\nMONOTONIC_USEC=43\n", "it is not ready again");
    fill(&n);
    notify_ready(&n);
    come();
    cr_expect(notify_again(&n));
    cr_expect_str_eq(come(), "READY=1\n");
    // Never ready before it was reloading, with room for one only.
    fill(&n);
    notify_reloading(&n, 44);
    notify_ready(&n);
    recv(systemd, (char[8]){0}, 8, 0);
    cr_expect(notify_again(&n));
    cr_expect_str_eq(come(), "RELOADING=1\nMONOTONIC_USEC=44\n");
    cr_expect(notify_again(&n));
    cr_expect_str_eq(come(), "READY=1\n");
}

Test(notify, a_status_goes_out_until_it_is_delivered)
{
    struct notify n = connected();

    notify_status(&n, "STATUS=%d", 1);
    notify_status(&n, "STATUS=%d", 1);
    cr_expect_str_eq(come(), "STATUS=1\n", "once");
    fill(&n);
    notify_status(&n, "STATUS=%d", 2);
    notify_status(&n, "STATUS=%d", 3);
    cr_expect_not(notify_again(&n));
    cr_expect_str_eq(come(), "");
    cr_expect(notify_again(&n));
    cr_expect_str_eq(come(), "STATUS=3\n");
    cr_expect_not(notify_again(&n));
    // What was lost, and is no more.
    fill(&n);
    notify_status(&n, "STATUS=%d", 4);
    notify_status(&n, "STATUS=%d", 3);
    come();
    cr_expect_not(notify_again(&n));
    cr_expect_str_eq(come(), "");
}

Test(notify, nobody_wants_to_know_or_nobody_is_left)
{
    struct notify n;

    unsetenv("NOTIFY_SOCKET");
    notify_init(&n);
    notify_reloading(&n, 42);
    notify_ready(&n);
    cr_expect_not(notify_again(&n));
    n = connected();
    close(systemd);
    notify_ready(&n);
    cr_expect_not(notify_again(&n), "not tried over and over");
}
