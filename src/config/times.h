// SPDX-License-Identifier: Apache-2.0
// times: what serial, validity and the times of rules mean for a load. Pure: the time is an argument, in seconds since
// the epoch.
#ifndef MCR_CONFIG_TIMES_H
#define MCR_CONFIG_TIMES_H

#include "config/model.h"
#include "config/problems.h"

// Adds an error where the file is outside valid_from and valid_until, and a warning for each rule that has expired.
void times_check(const struct config *c, uint64_t now, struct config_problems *problems);

// Returns whether a load may take the file at this time; if not, writes why.
#define TIMES_LOAD_MAX 128
bool times_may_load(const struct config *c, uint64_t now, char why[TIMES_LOAD_MAX]);

// Sets the phase of every rule (whether it runs now), next_change and clock_least. set: times_clock_is_set(); a clock
// that is not opens no rule that has a time. A rule that was expired before stays so.
void times_apply(struct config *c, uint64_t now, bool set);

// Whether such a file has times at all, so that a clock matters to it.
bool times_matter(const struct config *c);

// Whether the clock can be believed: see schedule_clock_least().
bool times_clock_is_set(const struct config *c, uint64_t now);

// Returns whether `next` may be loaded while a file of this serial and digest runs; if not, writes why, without the
// path.
#define TIMES_WHY_MAX 256
bool times_may_follow(uint64_t serial, const uint8_t sha256[32], const struct config *next, char why[TIMES_WHY_MAX]);

// Writes "from TIME until TIME", or the bound that is given; empty without any. Returns text.
#define TIMES_TEXT_MAX 64
const char *times_text(struct schedule s, char text[TIMES_TEXT_MAX]);

// Writes why a rule that is outside its times does not run: "from TIME", "until TIME", "the clock is not set". Empty
// for one that runs. Returns text.
const char *times_reason(const struct config_rule *r, char text[TIMES_TEXT_MAX]);

#endif
