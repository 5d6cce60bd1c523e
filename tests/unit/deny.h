// SPDX-License-Identifier: Apache-2.0
// deny: memory that is not to be had. In the units malloc, calloc and realloc of mcr's own code fail at a chosen call;
// those inside of libraries do not, but for jansson's if json is set.
#ifndef MCR_TESTS_DENY_H
#define MCR_TESTS_DENY_H

#include <stdbool.h>
#include <stdio.h>

// Does something once, and writes what came of it. Returns false when it says that it failed.
typedef bool deny_action(void *context, FILE *to);

// Does it with each of its allocations failing, by itself and with all that follow: it must say that it failed, or come
// to what it comes to with memory, and give back what it has taken. Returns how often it failed. json: jansson's
// allocations count.
unsigned deny_each(deny_action *action, void *context, bool json);

#endif
