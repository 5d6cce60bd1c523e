// SPDX-License-Identifier: Apache-2.0
// audit_state: what audit.c and audit_open.c share.
#ifndef MCR_BROKER_AUDIT_STATE_H
#define MCR_BROKER_AUDIT_STATE_H

#include "broker/audit.h"

// Makes the file older by one, and the others; the next record begins a new one. Returns false with errno set.
bool audit_rotate(struct audit *a);

// Makes a record of what has become of the file.
void audit_note(struct audit *a, enum log_level level, const char *reason, const char *effect);

// Notes why the file cannot be written, from errno, and tells it once.
void audit_fail(struct audit *a);

#endif
