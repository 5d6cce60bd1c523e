// SPDX-License-Identifier: Apache-2.0
// utf8: characters of UTF-8 (RFC 3629), and which of them a reader would not see. Pure.
#ifndef MCR_COMMON_UTF8_H
#define MCR_COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_MAX 4 // bytes of a character

// Decodes the character at text, which has size bytes, or UTF8_MAX where a NUL ends it. Returns its length, or 0 when
// the first byte begins none: only the shortest form counts, up to U+10FFFF without surrogates.
size_t utf8_decode(const char *text, size_t size, uint32_t *code);

// Whether a character is invisible or steers: it could move a terminal's cursor, change the order in which a line is
// shown, or let one name pass for another. Tab and line ends are among them.
bool utf8_is_hidden(uint32_t code);

#endif
