// SPDX-License-Identifier: Apache-2.0
// doubt: what a rule may say, but hardly means. Pure.
#ifndef MCR_CONFIG_DOUBT_H
#define MCR_CONFIG_DOUBT_H

#include "config/model.h"
#include "config/problems.h"

// Adds a warning for each such thing of an enabled rule.
void doubt_rule(const struct config_rule *rule, struct config_problems *problems);

// The same of how long the relay lets datagrams wait (coalesce_usecs), where the file says it.
void doubt_waits(const struct config *c, struct config_problems *problems);

// The same of the trial of a file.
void doubt_trial(const struct config *c, struct config_problems *problems);

// Whether two rules may take in copies of one stream: the same group and port, and no sources that differ.
bool doubt_one_stream(const struct config_rule *a, const struct config_rule *b);

#endif
