// SPDX-License-Identifier: Apache-2.0
// history: what is shown of the records of loads. Every byte of them is hostile.
#ifndef MCR_COMMAND_HISTORY_H
#define MCR_COMMAND_HISTORY_H

#include <stdbool.h>
#include <stddef.h>

#include "audit/chain.h"

struct json_t;

// Prints the heading of the table.
void history_head(void);

// Prints a record, whose line has r->body bytes of fields, in lines of 80 columns.
void history_show(const struct chain_record *r, const char *line);

// Returns the same as an object, a member for each field.
struct json_t *history_tree(const struct chain_record *r, const char *line);

// Pure: copies the value of a field of these bytes, without quotes, with '?' for what hides or steers, cut to size
// bytes. Returns false, and an empty text, if there is no such field.
bool history_field(const char *body, size_t length, const char *key, char *out, size_t size);

#endif
