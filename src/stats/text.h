// SPDX-License-Identifier: Apache-2.0
// text: strings and numbers of the statistics, made fit to be shown. Pure.
#ifndef MCR_STATS_TEXT_H
#define MCR_STATS_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define TEXT_NUMBER_MAX 32 // bytes that any of the numbers below needs

// Replaces every character that a reader would not see or that steers a terminal (utf8_is_hidden()), and every byte
// that is no part of UTF-8, by '?'.
void text_repair(char *text);

// Copies UTF-8 text for a terminal: what text_repair() replaces becomes '?', and so does everything beyond ASCII unless
// the locale's character set is UTF-8. It cuts the text to columns and to size, with an ellipsis. Returns the columns
// that the text takes.
int text_show(char *out, size_t size, const char *text, int columns);

// The same without an ellipsis: moves *text behind what was copied.
int text_take(char *out, size_t size, const char **text, int columns);

// "1,234,567"; "12.3 M" where that would be wider than width.
const char *text_count(char out[TEXT_NUMBER_MAX], uint64_t value, int width);

// Three digits: "0.25", "12.3 MB", "999 G", with prefixes of powers of 1000; no wider than 6 columns and the unit.
const char *text_scaled(char out[TEXT_NUMBER_MAX], double value, const char *unit);

// "12 ms", "3.4 s", "17 min", "5 h", "12 d"
const char *text_age(char out[TEXT_NUMBER_MAX], uint64_t ms);

// "00:12:34", "3 d 00:12:34"
const char *text_duration(char out[TEXT_NUMBER_MAX], uint64_t seconds);

// "2026-11-20T18:45:41Z" of nanoseconds since the epoch.
const char *text_time(char out[TEXT_NUMBER_MAX], uint64_t realtime_ns);

#endif
