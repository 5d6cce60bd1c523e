// SPDX-License-Identifier: Apache-2.0
// problems: everything found wrong with a config file, in the order of its lines.
#ifndef MCR_CONFIG_PROBLEMS_H
#define MCR_CONFIG_PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct config_problem {
    int line;     // 0: the file as a whole
    bool warning; // worth telling, but the file is valid
    char *text;   // what stands after the path: ":LINE: warning: rule ..."
};

// Zero-initialised by the caller, sorted by line at any time, freed with config_problems_free().
struct config_problems {
    struct config_problem *list;
    size_t n;
    size_t n_errors; // those that are not warnings, the left out ones too
    size_t left_out; // beyond the bound of 1000
};

// Adds one problem. rule may be NULL, else the text begins with: rule "NAME": (or rule #3: when rule is "#3", which
// stands for a rule without a valid name).
void config_error(struct config_problems *p, int line, const char *rule, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void config_warning(struct config_problems *p, int line, const char *rule, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Writes each as "FILE:LINE: rule "NAME": text" (or "FILE: text" for line 0).
void config_problems_print(const struct config_problems *p, const char *path, FILE *to);

// The first error as one line into text (at most size bytes), for a verdict or a log line.
void config_problems_first(const struct config_problems *p, const char *path, char *text, size_t size);

void config_problems_free(struct config_problems *p);

#endif
