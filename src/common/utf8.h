// SPDX-License-Identifier: Apache-2.0
// utf8: decodes characters of UTF-8 (RFC 3629), and tells hidden ones. Pure.
#ifndef MCR_COMMON_UTF8_H
#define MCR_COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_MAX 4 // bytes of a character

// Decodes the character at text, which has size bytes (for a text that ends with a NUL, UTF8_MAX is enough). Returns
// its length in bytes, or 0 if there is no valid character: it must have the shortest form, and be at most U+10FFFF and
// no surrogate.
size_t utf8_decode(const char *text, size_t size, uint32_t *code);

// Returns whether a character is invisible or a control character: it could move a terminal's cursor, change the order
// in which a line is shown, or make two names look the same. Tab and line ends are among them.
bool utf8_is_hidden(uint32_t code);

#endif
