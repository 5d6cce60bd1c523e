// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/slice.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLICE_NS UINT64_C(100000) // the shortest that the kernel gives

// The first version of struct sched_attr (sched_setattr(2)), which glibc has since 2.41.
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};
_Static_assert(sizeof(struct attributes) == 48, "SCHED_ATTR_SIZE_VER0");

void slice_ask(void)
{
    struct attributes a = {.size = sizeof(a)};

    if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) != 0 || a.policy != SCHED_OTHER)
        return;
    a.runtime = SLICE_NS; // ignored before Linux 6.12
    syscall(SYS_sched_setattr, 0, &a, 0);
}
