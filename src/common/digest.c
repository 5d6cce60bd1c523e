// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/digest.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

const char *digest_text(const uint8_t digest[DIGEST_BYTES], char out[DIGEST_TEXT_MAX])
{
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return out;
}

const char *digest_or_none(const uint8_t digest[DIGEST_BYTES], char out[DIGEST_TEXT_MAX])
{
    static const uint8_t nothing[DIGEST_BYTES];

    return memcmp(digest, nothing, DIGEST_BYTES) == 0 ? "none" : digest_text(digest, out);
}
