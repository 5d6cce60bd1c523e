// SPDX-License-Identifier: Apache-2.0
// rig_sign: trust.conf and signatures of the rig's file.
#ifndef MCR_TESTS_UNIT_RIG_SIGN_H
#define MCR_TESTS_UNIT_RIG_SIGN_H

#include <stdint.h>

struct rig;

// Writes trust.conf, of this time: so many of these keys must sign. Each letter of names is a key.
void rig_trust(struct rig *x, unsigned required, const char *names, int64_t time_s);

// Signs mcr.conf as it is.
void rig_sign(struct rig *x, char name);

#endif
