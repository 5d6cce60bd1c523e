// SPDX-License-Identifier: Apache-2.0
// rig_manager: the rig's service manager, which keeps descriptors from one mcrd to the next.
#ifndef MCR_TESTS_UNIT_RIG_MANAGER_H
#define MCR_TESTS_UNIT_RIG_MANAGER_H

#include <stddef.h>
#include <stdio.h>

// From now on $NOTIFY_SOCKET leads to it.
void rig_manager_open(void);

// Takes what it was told, so that it can be told more.
void rig_manager_hear(void);

// Writes what it was told since the last time.
void rig_manager_say(FILE *to, const char *directory);

// Copies what it keeps to descriptors from `first` up. Returns how many there are, and in names what they are called,
// as in $LISTEN_FDNAMES.
size_t rig_manager_hand_over(int first, char *names, size_t size);

// A descriptor of this name is another one from now on, which is the caller's: what a start finds is not what was kept.
void rig_manager_forge(const char *name, int fd);

// No message can be sent from now on, with this error; 0: as usual.
void rig_manager_fails(int error);

void rig_manager_close(void);

#endif
