// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "compile/compilation.h"

#include <stdarg.h>
#include <stdio.h>

#include "config/endpoint.h"

bool compile_refuse(struct compilation *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(c->why, COMPILE_WHY_MAX, format, args);
    va_end(args);
    return false;
}

uint32_t compile_paths(const struct config_rule *r)
{
    return r->enabled ? endpoint_paths(r) : 1;
}
