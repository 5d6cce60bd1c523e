// SPDX-License-Identifier: Apache-2.0
// make_table: tables for tests, compiled from the text of a config as mcrd compiles them.
#ifndef MCR_TESTS_MAKE_TABLE_H
#define MCR_TESTS_MAKE_TABLE_H

#include "compile/compile.h"

// The table of this config on this machine; its bytes are the caller's. A text that cannot be compiled ends the test.
// before: the table from which is carried over, or NULL.
struct table_image make_table(const char *text, const struct machine *machine, unsigned without,
                              const struct table_view *before);

// The same for a text that is put together like printf() does, as a view: view->header is the caller's to free. Nothing
// is opened, and every interface is there: Ethernet, MTU 1500, index and last byte of its address 198.18.255.N are its
// place in the table, from 1 on.
void make_view(struct table_view *view, const struct table_view *before, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
