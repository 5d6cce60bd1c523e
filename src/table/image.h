// SPDX-License-Identifier: Apache-2.0
// image: a whole table in memory, as the broker makes it and hands it over.
#ifndef MCR_TABLE_IMAGE_H
#define MCR_TABLE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>

struct table_image {
    void *bytes; // freed by whoever holds it
    size_t size;
};

// Whether both tables say the same but for what is carried over.
bool table_image_equal(const struct table_image *a, const struct table_image *b);

// The table as a sealed memory file. Returns its descriptor, the caller's, or -1 with errno set.
int table_image_seal(const struct table_image *table);

#endif
