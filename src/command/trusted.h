// SPDX-License-Identifier: Apache-2.0
// trusted: which trust.conf the running daemon goes by, whatever name it was given by.
#ifndef MCR_COMMAND_TRUSTED_H
#define MCR_COMMAND_TRUSTED_H

struct daemon;

// Returns the name of trust.conf by which this daemon is to be compared: its own, where trust, which --trust names, or
// NULL, is the same file by another name, or names none; else trust, with a note where the content differs, too. It is
// one of the two: d must outlive it.
const char *trusted_as(const char *trust, const struct daemon *d);

#endif
