// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/service.h"
#include "log/log.h"

static uint64_t watchdog_interval(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    char *end;

    if (!usec || (pid && strtoull(pid, NULL, 10) != (unsigned long long) getpid()))
        return 0;
    errno = 0;
    unsigned long long value = strtoull(usec, &end, 10);
    if (errno != 0 || *end != '\0' || value == 0 || value > UINT64_C(86400000000))
        return 0;
    return value * 1000 / 2;
}

void notify_init(struct notify *n)
{
    // A socket for life: the sandbox allows no later one.
    *n = (struct notify){.fd = service_connect()};
    n->keeps = n->fd >= 0 && service_keeps() > 0;
    if (n->fd >= 0)
        n->watchdog_ns = watchdog_interval();
    else if (errno != 0)
        log_warn(EVENT_NOTIFY, "reason=\"NOTIFY_SOCKET cannot be connected\"");
}

bool notify_send(const struct notify *n, const char *format, ...)
{
    char text[NOTIFY_MAX];
    va_list args;

    if (n->fd < 0)
        return true;
    va_start(args, format);
    int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (length <= 0)
        return true;
    // Any other error is permanent: systemd is gone.
    return write(n->fd, text, (size_t) length < sizeof(text) ? (size_t) length : sizeof(text) - 1) >= 0 ||
           errno != EAGAIN;
}

void notify_reloading(struct notify *n, uint64_t monotonic_usec)
{
    n->reloading_usec = monotonic_usec;
    n->ready = false; // a READY=1 of the previous load is obsolete
    notify_again(n);
}

void notify_ready(struct notify *n)
{
    n->ready = true;
    notify_again(n);
}

// Behind what systemd waits for.
static bool send_status(struct notify *n)
{
    if (n->ready || n->reloading_usec != 0 || strcmp(n->status, n->delivered) == 0 || !notify_send(n, "%s", n->status))
        return false;
    memcpy(n->delivered, n->status, sizeof(n->delivered));
    return true;
}

void notify_status(struct notify *n, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(n->status, sizeof(n->status), format, args);
    va_end(args);
    send_status(n);
}

bool notify_again(struct notify *n)
{
    bool some = false;

    if (n->reloading_usec != 0 &&
        notify_send(n, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long) n->reloading_usec)) {
        n->reloading_usec = 0;
        some = true;
    }
    if (n->ready && n->reloading_usec == 0 && notify_send(n, "READY=1")) {
        n->ready = false;
        some = true;
    }
    return send_status(n) || some;
}
