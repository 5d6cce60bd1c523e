// SPDX-License-Identifier: Apache-2.0
// digest: a SHA-256 digest (FIPS 180-4) as text.
#ifndef MCR_COMMON_DIGEST_H
#define MCR_COMMON_DIGEST_H

#include <stdint.h>

#define DIGEST_BYTES    32
#define DIGEST_TEXT_MAX 65 // bytes, with the NUL

// Writes 64 hexadecimal digits. Returns out.
const char *digest_text(const uint8_t digest[DIGEST_BYTES], char out[DIGEST_TEXT_MAX]);

// Does the same, but writes "none" if all bytes are zero (nothing was read).
const char *digest_or_none(const uint8_t digest[DIGEST_BYTES], char out[DIGEST_TEXT_MAX]);

#endif
