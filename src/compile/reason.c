// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "compile/compilation.h"

// Bytes reserved for the end of a reason.
#define TAIL (sizeof("; and more") + sizeof(" (65535 of 65535 outputs)"))

// Returns whether the reason has this sentence already: the outputs of a range, or several on one interface, have the
// same problem.
static bool is_told(const char *reason, const char *sentence)
{
    size_t length = strlen(sentence);

    for (const char *at = reason; (at = strstr(at, sentence)) != NULL; at++)
        if ((at == reason || at[-1] == ' ') && (at[length] == '\0' || at[length] == ';'))
            return true;
    return false;
}

static void __attribute__((format(printf, 2, 3))) tell(struct table_rule *t, const char *format, ...)
{
    char sentence[TABLE_REASON_MAX];
    size_t used = strlen(t->reason);
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence) - TAIL - strlen("; "), format, args);
    va_end(args);
    if (is_told(t->reason, sentence))
        return;
    bool fits = used + strlen("; ") + strlen(sentence) + TAIL <= sizeof(t->reason);
    if (fits || !is_told(t->reason, "and more"))
        snprintf(t->reason + used, sizeof(t->reason) - used, "%s%s", used > 0 ? "; " : "",
                 fits ? sentence : "and more");
}

// Adds what is wrong with the interface to the rule's reason and, unless the rule goes on without it, to its flags.
// Returns whether the interface is up.
static bool tell_link(struct table_rule *t, const struct table_interface *i, bool goes_on)
{
    uint32_t flags = t->flags;

    if (i->state == TABLE_INTERFACE_MISSING) {
        flags |= TABLE_RULE_WAITING;
        tell(t, "interface %s is missing", i->name);
    } else if (i->state == TABLE_INTERFACE_DOWN) {
        flags |= TABLE_RULE_DOWN;
        tell(t, "%s is down", i->name);
    }
    if (!goes_on)
        t->flags = flags;
    return i->state == TABLE_INTERFACE_UP;
}

void compile_tell_output(struct compilation *c, uint32_t rule, const struct config_output *o, const char *step,
                         int error)
{
    struct table_rule *t = &c->rules[rule];
    bool no_source = error == EADDRNOTAVAIL && o->source.family != ADDR_NONE;
    char address[ADDR_TEXT_MAX];

    t->flags |= TABLE_RULE_WAITING;
    for (uint32_t i = 0; i < c->n_interfaces; i++)
        // compile_tell_outputs() reports interfaces that are missing or down.
        if (strcmp(c->interfaces[i].name, o->interface) == 0 && c->interfaces[i].state != TABLE_INTERFACE_UP)
            return;
    addr_format(no_source ? &o->source : o->kind == CONFIG_BROADCAST ? &addr_limited_broadcast : &o->address, address);
    if (error == EADDRINUSE)
        tell(t, "%s", step);
    else if (!error)
        tell(t, "%s has no address to send from", o->interface);
    else if (no_source)
        tell(t, "%s does not have the address %s", o->interface, address);
    else if (error == ENETUNREACH || error == EHOSTUNREACH)
        tell(t, "no route to %s", address);
    else
        tell(t, "%s by %s: %s: %s", address, o->interface, step, strerror(error));
}

// How many inputs of the rule lack nothing.
static uint32_t taking_inputs(const struct compilation *c, const struct table_rule *t)
{
    uint32_t n = 0;

    for (uint32_t i = t->first_input; i < t->first_input + t->n_inputs; i++)
        n += c->interfaces[c->inputs[i].interface].state == TABLE_INTERFACE_UP;
    return n;
}

void compile_tell_inputs(struct compilation *c, uint32_t rule)
{
    struct table_rule *t = &c->rules[rule];
    uint32_t taking = taking_inputs(c, t);

    // Of copies, one is enough: the leg that lacks raises its alarm (relay/streams.c).
    for (uint32_t i = t->first_input; i < t->first_input + t->n_inputs; i++)
        tell_link(t, &c->interfaces[c->inputs[i].interface], t->flags & TABLE_RULE_MERGES && taking > 0);
    size_t used = strlen(t->reason);
    if (taking > 0 && taking < t->n_inputs)
        snprintf(t->reason + used, sizeof(t->reason) - used, " (%u of %u inputs)", t->n_inputs - taking, t->n_inputs);
}

void compile_tell_outputs(struct compilation *c, uint32_t rule)
{
    struct table_rule *t = &c->rules[rule];
    const struct table_output *outputs = &c->outputs[c->paths[t->first_path].first_output];
    bool takes = taking_inputs(c, t) == t->n_inputs;
    uint32_t lacking = 0;

    for (uint32_t i = 0; i < t->n_outputs; i++) {
        bool sends = tell_link(t, &c->interfaces[outputs[i].interface], false);
        for (uint32_t p = 0; p < t->n_paths; p++)
            sends &= outputs[p * t->n_outputs + i].egress != TABLE_NONE;
        lacking += !sends;
    }
    size_t used = strlen(t->reason);
    if (takes && lacking > 0 && lacking < t->n_outputs)
        snprintf(t->reason + used, sizeof(t->reason) - used, " (%u of %u outputs)", lacking, t->n_outputs);
}
