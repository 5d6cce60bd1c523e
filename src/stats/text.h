// SPDX-License-Identifier: Apache-2.0
// text: formats strings and numbers of the statistics for a terminal. Pure.
#ifndef MCR_STATS_TEXT_H
#define MCR_STATS_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define TEXT_NUMBER_MAX 32 // bytes of the longest number below

// Replaces every hidden character (utf8_is_hidden()), and every byte that is not UTF-8, by '?'.
void text_repair(char *text);

// Copies UTF-8 text for a terminal: what text_repair() replaces becomes '?', and so does everything beyond ASCII unless
// the locale's character set is UTF-8. It cuts the text to columns and to size, with an ellipsis. Returns the columns
// that the text takes.
int text_show(char *out, size_t size, const char *text, int columns);

// Does the same without an ellipsis, and moves *text behind the copied part.
int text_take(char *out, size_t size, const char **text, int columns);

// These write a number, and return out. "1,234,567", or "12.3 M" if that is wider than width.
const char *text_count(char out[TEXT_NUMBER_MAX], uint64_t value, int width);

// Three digits: "0.25", "12.3 MB", "999 G", with prefixes of powers of 1000; no wider than 6 columns and the unit.
const char *text_scaled(char out[TEXT_NUMBER_MAX], double value, const char *unit);

// "12 ms", "3.4 s", "17 min", "5 h", "12 d"
const char *text_age(char out[TEXT_NUMBER_MAX], uint64_t ms);

// Three digits: "850 ns", "12.3 us", "4.56 ms", "1.20 s"
const char *text_span(char out[TEXT_NUMBER_MAX], uint64_t ns);

// "00:12:34", "3 d 00:12:34"
const char *text_duration(char out[TEXT_NUMBER_MAX], uint64_t seconds);

// "2026-11-20T18:45:41Z" of nanoseconds since the epoch.
const char *text_time(char out[TEXT_NUMBER_MAX], uint64_t realtime_ns);

#endif
