// SPDX-License-Identifier: Apache-2.0
// confine: the broker gives up what it does not need any more once it knows whom to become.
#ifndef MCR_BROKER_CONFINE_H
#define MCR_BROKER_CONFINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "broker/broker.h"

// Becomes uid and gid, and keeps: CAP_NET_RAW; files to read in the directories of the config file, as links lead now,
// and in /proc; the directory of stats_file to write. *landlock is the ABI in force, untouched where there is none.
// False with the reason logged.
bool confine(const struct broker_options *options, const char *stats_file, uid_t uid, gid_t gid, unsigned *landlock);

#endif
