// SPDX-License-Identifier: Apache-2.0
// loop_memory: the memory of libev, which has no way to report that there is none. A reserve bridges a moment without;
// beyond it the process ends with a message, as for every other failure of the loop.
#ifndef MCR_RELAY_LOOP_MEMORY_H
#define MCR_RELAY_LOOP_MEMORY_H

#include <stdbool.h>

// Before ev_loop_new(). failed: called, with errno set, when the reserve is used up too; it must not return. Returns
// false with errno set.
bool loop_memory_begin(void (*failed)(const char *what));

#endif
