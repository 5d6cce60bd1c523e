// SPDX-License-Identifier: Apache-2.0
// list: an option's value of several parts, "word,word,name=value,name=value". Pure.
#ifndef MCR_GEN_LIST_H
#define MCR_GEN_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIST_TEXT_MAX 512 // of a list, its NUL included
#define LIST_WHY_MAX  256 // of what is said of a wrong one

struct list_key {
    const char *name;
    size_t at; // of the uint64_t that a number goes to
    uint64_t least, most;
    // What reads a value that is no number, into the whole; and what it takes, as a message says it.
    bool (*take)(const char *value, void *into);
    const char *allowed;
};

// Copies a list, to be taken apart by strsep(3). False, with the reason in why, when it is too long.
bool list_copy(const char *text, char copy[LIST_TEXT_MAX], char why[LIST_WHY_MAX]);

// Takes the rest of a copy, which are parts "name=value" of these keys; NULL is no rest. False, with the reason in why,
// at the first that is wrong.
bool list_take(char *rest, const struct list_key *keys, size_t n_keys, void *into, char why[LIST_WHY_MAX]);

#endif
