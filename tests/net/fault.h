// SPDX-License-Identifier: Apache-2.0
// fault: what test_faults.py, fault.c and noalloc.c share: a page of memory in a file. The test writes what is to fail,
// and then a new epoch, at which counting begins anew.
#ifndef MCR_TESTS_NET_FAULT_H
#define MCR_TESTS_NET_FAULT_H

#include <stdint.h>

#define FAULT_RELAY  0 // the first process, and what it becomes
#define FAULT_BROKER 1
#define FAULT_NAME   32
#define FAULT_WHERE  256

// faults.py knows these offsets.
struct fault_page {
    volatile uint32_t epoch;
    volatile uint32_t who;   // FAULT_*
    volatile uint32_t nth;   // 0: none fails
    volatile uint32_t error; // errno
    volatile uint32_t log;   // 1: fault.c writes each call to its log
    volatile uint32_t hit;   // the epoch in which one has failed
    char call[FAULT_NAME];
    // Of noalloc.c.
    volatile uint32_t alloc_who, alloc_nth, alloc_hit;
    volatile uint32_t inside;   // 1: those of libraries that do not check them, and no others; 0: the others
    volatile int64_t living[2]; // allocations of each process that are not freed
    volatile uint32_t seen[2];  // allocations since the epoch, inside or not as asked
    volatile char where[FAULT_WHERE];
    char kind[8];              // of fault.c: what the call's first argument must be as a descriptor; empty: anything
    volatile int32_t ended[2]; // of fault.c: 0, -1 while it runs, or how it has ended: its wait status + 1
};

#endif
