// SPDX-License-Identifier: Apache-2.0
// Who asks, and how often.
#include <config.h>

#include "broker/state.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "log/log.h"

#define ASKER_INTERVAL_NS (NS_PER_S / ASKER_PER_SECOND)

uint32_t asker_login(const struct handover_asker *asker)
{
    char path[64], text[16] = "";

    if (asker->pid == 0)
        return UINT32_MAX;
    snprintf(path, sizeof(path), "/proc/%u/loginuid", asker->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return asker->loginuid;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    unsigned long value = n > 0 ? strtoul(text, NULL, 10) : UINT32_MAX;
    return value < UINT32_MAX ? (uint32_t) value : UINT32_MAX;
}

void asker_pace(uint64_t *due_ns)
{
    uint64_t now = clock_monotonic_ns();

    if (*due_ns < now)
        *due_ns = now;
    uint64_t ahead = *due_ns - now;
    *due_ns += ASKER_INTERVAL_NS;
    if (ahead <= ASKER_BURST * ASKER_INTERVAL_NS)
        return;
    log_warn(EVENT_RELAY, "reason=\"asks too often\" effect=\"answers wait\"");
    poll(NULL, 0, (int) ((ahead - ASKER_BURST * ASKER_INTERVAL_NS) / 1000000 + 1));
}
