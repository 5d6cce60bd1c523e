// SPDX-License-Identifier: Apache-2.0
// section: what the keys of one section of the file must be together.
#ifndef MCR_CONFIG_SECTION_H
#define MCR_CONFIG_SECTION_H

#include <libconfig.h>
#include <stdbool.h>

#include "config/model.h"
#include "config/problems.h"
#include "config/schema.h"

struct parser {
    struct config_problems *problems;
    const char *rule; // name for messages; NULL outside of rules
    bool no_memory;   // for a list, which is not there
};

static inline int line_of(const config_setting_t *s)
{
    return (int) config_setting_source_line(s);
}

// Sets the lines of keys that warnings name, also where the section has errors.
void section_lines(enum schema_place where, const config_setting_t *group, void *target);

// Checks the keys of a section together, apart from those that were refused by themselves. target: what was read, as
// schema_places says. clean: nothing in the section was refused.
void section_finish(struct parser *p, enum schema_place where, const config_setting_t *group, void *target, bool clean);

#endif
