// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/loop_memory.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>

#include "log/log.h"

#define RESERVE (256u << 10) // bytes: more than the loop has for as many descriptors as the process may open

static void *reserve;
static void (*give_up)(const char *what);

static void *allocate(void *p, long size)
{
    if (size == 0) {
        free(p);
        return NULL;
    }
    void *grown = realloc(p, (size_t) size);
    if (!grown && reserve) {
        free(reserve);
        reserve = NULL;
        grown = realloc(p, (size_t) size);
        log_warn(EVENT_LOOP, "reason=\"no memory\" effect=\"the reserve is in use\"");
    }
    // What was lent comes back as soon as there is memory.
    if (grown && !reserve)
        reserve = malloc(RESERVE);
    if (!grown) {
        errno = ENOMEM;
        give_up("no memory for the loop");
    }
    return grown;
}

bool loop_memory_begin(void (*failed)(const char *what))
{
    give_up = failed;
    reserve = malloc(RESERVE);
    ev_set_allocator(allocate);
    return reserve != NULL;
}
