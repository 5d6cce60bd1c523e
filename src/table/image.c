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

bool table_image_equal(const struct table_image *a, const struct table_image *b)
{
    const struct table_header *h = b->bytes;
    uint8_t *copy = malloc(a->size);
    bool equal = copy && a->size == b->size && memcmp(a->bytes, h, sizeof(*h)) == 0;

    if (equal) {
        memcpy(copy, a->bytes, a->size);
        struct table_rule *rules = (void *) (copy + h->rules.offset);
        struct table_input *inputs = (void *) (copy + h->inputs.offset);
        struct table_output *outputs = (void *) (copy + h->outputs.offset);
        const struct table_rule *b_rules = (const void *) ((const uint8_t *) h + h->rules.offset);
        const struct table_input *b_inputs = (const void *) ((const uint8_t *) h + h->inputs.offset);
        const struct table_output *b_outputs = (const void *) ((const uint8_t *) h + h->outputs.offset);
        for (uint32_t i = 0; i < h->rules.n; i++)
            rules[i].carried_from = b_rules[i].carried_from;
        for (uint32_t i = 0; i < h->inputs.n; i++)
            inputs[i].carried_from = b_inputs[i].carried_from;
        for (uint32_t i = 0; i < h->outputs.n; i++)
            outputs[i].carried_from = b_outputs[i].carried_from;
        equal = memcmp(copy, h, a->size) == 0;
    }
    free(copy);
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
