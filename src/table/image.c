// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "table/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "table/layout.h"

// A copy of the table without what is carried over. NULL without memory.
static void *without_carried(const struct table_image *t)
{
    uint8_t *copy = malloc(t->size);

    if (!copy)
        return NULL;
    memcpy(copy, t->bytes, t->size);
    const struct table_header *h = (const void *) copy;
    struct table_rule *rules = (void *) (copy + h->rules.offset);
    struct table_output *outputs = (void *) (copy + h->outputs.offset);
    for (uint32_t i = 0; i < h->rules.n; i++)
        rules[i].carried_from = TABLE_NONE;
    for (uint32_t i = 0; i < h->outputs.n; i++)
        outputs[i].carried_from = TABLE_NONE;
    return copy;
}

bool table_image_equal(const struct table_image *a, const struct table_image *b)
{
    void *x = NULL, *y = NULL;
    bool equal = false;

    if (a->size == b->size && (x = without_carried(a)) && (y = without_carried(b)))
        equal = memcmp(x, y, a->size) == 0;
    free(x);
    free(y);
    return equal;
}

int table_image_seal(const struct table_image *table)
{
    int fd = memfd_create("mcr-table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t written = 0;

    if (fd < 0)
        return -1;
    while (written < table->size) {
        ssize_t n = write(fd, (const char *) table->bytes + written, table->size - written);
        if (n <= 0)
            goto fail;
        written += (size_t) n;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
        return fd;
fail:;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}
