// SPDX-License-Identifier: Apache-2.0
// moment: points of time as the config file writes them: RFC 3339, UTC, whole seconds: "2026-12-01T22:00:00Z". Pure.
#ifndef MCR_COMMON_MOMENT_H
#define MCR_COMMON_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

#define MOMENT_TEXT_MAX 24 // with the NUL

// Years of four digits, from one that is after 1970: 0 means "not given" where moments are stored.
#define MOMENT_LEAST "2000-01-01T00:00:00Z"
#define MOMENT_MOST  "9999-12-31T23:59:59Z"

// Parses exactly YYYY-MM-DDTHH:MM:SSZ, within the bounds above, with capitals, without a fraction, an offset or a leap
// second. Stores seconds since the epoch.
bool moment_parse(const char *text, uint64_t *seconds);

// Parses what a person may have meant: a date alone, a blank for T, an offset, no seconds, a fraction (cut off). For
// messages that say how to write it.
bool moment_guess(const char *text, uint64_t *seconds);

// Writes what moment_parse() reads; a moment beyond MOMENT_MOST as that. Returns text.
const char *moment_format(uint64_t seconds, char text[MOMENT_TEXT_MAX]);

#endif
