// SPDX-License-Identifier: Apache-2.0
// problems: the errors and warnings of a config file, in the order of its lines.
#ifndef MCR_CONFIG_PROBLEMS_H
#define MCR_CONFIG_PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct config_problem {
    int line;     // 0: the file as a whole
    bool warning; // the file is valid nevertheless
    char *text;   // the text after the path: ":LINE: warning: rule ..."
};

// The caller zeroes it, and frees it with config_problems_free(). It is always sorted by line.
struct config_problems {
    struct config_problem *list;
    size_t n;
    size_t n_errors; // errors, with those left out
    size_t left_out; // problems beyond the limit of 1000
};

// Add an error or a warning (printf format). rule: NULL, or the text begins with 'rule "NAME": ', or with 'rule #3: '
// if rule is "#3", which means a rule without a valid name.
void config_error(struct config_problems *p, int line, const char *rule, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void config_warning(struct config_problems *p, int line, const char *rule, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Writes each problem as "FILE:LINE: rule "NAME": text", or "FILE: text" for line 0.
void config_problems_print(const struct config_problems *p, const char *path, FILE *to);

// Writes the first error to text (size bytes), as one line for a verdict or the log.
void config_problems_first(const struct config_problems *p, const char *path, char *text, size_t size);

void config_problems_free(struct config_problems *p);

#endif
