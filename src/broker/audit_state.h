// SPDX-License-Identifier: Apache-2.0
// audit_state: what audit.c and audit_open.c share.
#ifndef MCR_BROKER_AUDIT_STATE_H
#define MCR_BROKER_AUDIT_STATE_H

#include "broker/audit.h"

#define AUDIT_ASIDE     "it is set aside, and a new one is begun"
#define AUDIT_ASIDE_DUE "it is to be set aside, before a new one is begun"

// Makes the file older by one, and the others; the next record begins a new one. Returns false with errno and
// a->obstacle set.
bool audit_rotate(struct audit *a);

// Makes a record of what has become of the file.
void audit_note(struct audit *a, enum log_level level, const char *reason, const char *effect);

// The same of what somebody else has done to it, which the statistics show from then on.
void audit_note_change(struct audit *a, const char *reason, const char *effect);

// Locks PATH.lock in the open directory. Sets a->lock, or a->other if another process has it.
void audit_lock(struct audit *a, uint32_t uid, uint32_t gid);

// Notes why the file cannot be written, from errno, and tells it once.
void audit_fail(struct audit *a);

#endif
