// SPDX-License-Identifier: Apache-2.0
// image: the bytes of a whole table, which the broker makes and hands over to the relay.
#ifndef MCR_TABLE_IMAGE_H
#define MCR_TABLE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>

struct table_image {
    void *bytes; // from malloc(); the owner of the struct frees them
    size_t size;
};

// Returns whether both tables are the same, apart from their carried_from fields. False without memory.
bool table_image_equal(const struct table_image *a, const struct table_image *b);

// Writes the table to a sealed memory file (memfd_create(2)). Returns its descriptor, which the caller closes, or -1
// with errno set.
int table_image_seal(const struct table_image *table);

#endif
