// SPDX-License-Identifier: Apache-2.0
// check_site: what the files of several relays say together, where they share zones: relays that feed each other in a
// circle or feed one group, and outputs that no other relay takes in. Pure.
#ifndef MCR_CONFIG_CHECK_SITE_H
#define MCR_CONFIG_CHECK_SITE_H

#include "config/model.h"
#include "config/problems.h"

// Adds problems to those of each of n checked files, at most SITE_FILES_MAX (config/site.h): problems[n]. A zone is
// taken for one network; interfaces without a zone are shared with nobody. Files with one digest are a pair of relays
// of which one is active, and count once.
//
// Errors: a circle of rules through several relays, which two_way does not allow: a relay does not take in what it
// sends itself, but does take in what another one sends. Warnings: a circle for which a relay's own address would have
// to be among the sources of an input; two relays that send to one group or broadcast; what is sent to a group or
// broadcast of a zone in which another relay takes in, and none takes this; one instance.
void check_site(const struct config *const *files, size_t n, struct config_problems *problems);

#endif
