// SPDX-License-Identifier: Apache-2.0
// check: what only the whole file can tell: repetitions, circles, roles, bounds over all rules.
#ifndef MCR_CONFIG_CHECK_H
#define MCR_CONFIG_CHECK_H

#include "config/model.h"
#include "config/problems.h"

// Adds an error for each. Fields that are 0 or empty were refused before and are passed over.
//
// Disabled rules must have a name of their own and may not repeat an output, feed themselves or use a role the wrong
// way, so that enabling one later needs no other change. But they relay nothing: they neither occupy an input nor close
// a circle, and a rule may stand beside its disabled successor.
void check_config(const struct config *c, struct config_problems *problems);

// The same host runs `other`, which has been checked, too: adds an error for each rule that uses an interface against
// its role there.
void check_roles_of(const struct config *c, const struct config *other, struct config_problems *problems);

// Asks the kernel for each interface that an enabled rule uses: a warning when it does not exist, or an error when
// missing_interface is "reject"; and for the addresses of this host, see local_check().
void check_interfaces_exist(const struct config *c, struct config_problems *problems);

#endif
