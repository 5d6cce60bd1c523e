// SPDX-License-Identifier: Apache-2.0
// check: checks that need the whole file: repetitions, circles, roles of interfaces, limits over all rules.
#ifndef MCR_CONFIG_CHECK_H
#define MCR_CONFIG_CHECK_H

#include "config/model.h"
#include "config/problems.h"

// Adds an error for each problem. Skips fields that are 0 or empty, because they were refused before.
//
// A disabled rule must have a unique name, and must not repeat an output, feed itself or violate a role, so that
// enabling it later needs no other change. It relays nothing: it neither occupies an input nor closes a circle, so a
// rule may stand beside its disabled successor.
void check_config(const struct config *c, struct config_problems *problems);

// The same host runs `other` (or c itself), too: adds an error for each rule that uses an interface against its role
// there. Returns how many interfaces the rules use.
size_t check_roles_of(const struct config *c, const struct config *other, struct config_problems *problems);

// Whether the rule uses the interface.
bool check_rule_names(const struct config_rule *r, const char *interface);

// Returns what of a rule that uses the interface waits for it where it is missing: "input" or "output", if it has
// others that go on, or "rule".
const char *check_part(const struct config_rule *r, const char *interface);

// Whether no rule, not even a disabled one, uses this interface of the list.
bool check_is_only_listed(const struct config *c, const struct config_interface *listed);

// Asks the kernel for each interface that an enabled rule uses or that is only listed: a warning when it does not
// exist, or an error when missing_interface is "reject"; and for the addresses of this host, see local_check().
void check_interfaces_exist(const struct config *c, struct config_problems *problems);

#endif
