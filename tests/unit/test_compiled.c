// SPDX-License-Identifier: Apache-2.0
// Tables as they are compiled, field by field: compared with tests/unit/transcripts/tables.txt.
#include <config.h>

#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "rig_text.h"
#include "table/view.h"
#include "../make_table.h"

// --- a machine -------------------------------------------------------------------------------------------------------

static bool called(const struct link *l, const char *name)
{
    return strncmp(l->name, name, strlen(name)) == 0;
}

// "gone..." is missing, "down..." not up, "tun..." has no Ethernet header, "bare..." no address.
static bool some_links(struct link *links, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct link *l = &links[i];
        uint8_t number = (uint8_t) (10 * strlen(l->name) + (size_t) (l->name[strlen(l->name) - 1] - '0'));
        if (called(l, "gone"))
            continue;
        l->ifindex = number;
        l->up = !called(l, "down");
        l->ethernet = !called(l, "tun");
        l->mtu = 1500;
        memcpy(l->mac, (uint8_t[]){2, 0, 0, 0, 0, number}, sizeof(l->mac));
        if (called(l, "bare"))
            continue;
        l->ipv4 = (struct addr){.family = ADDR_IPV4, .bytes = {198, 18, number, 1}};
        l->broadcast = (struct addr){.family = ADDR_IPV4, .bytes = {198, 18, number, 255}};
        l->ipv6 = (struct addr){.family = ADDR_IPV6, .bytes = {0x20, 0x01, 0x0d, 0xb8, [14] = number, [15] = 1}};
        l->local6 = (struct addr){.family = ADDR_IPV6, .bytes = {0xfe, 0x80, [14] = number, [15] = 1}};
        const struct addr own[] = {l->ipv4, l->broadcast}; // in order
        l->own = malloc(sizeof(own));
        cr_assert_not_null(l->own);
        memcpy(l->own, own, sizeof(own));
        l->n_own = 2;
    }
    return true;
}

// A port below 1024 may not be bound, one host has no route, and port 7777 is another program's.
static int some_outputs(enum registry_kind kind, const struct output_address *a, unsigned without, bool *gso,
                        const char **step)
{
    *step = "bind";
    errno = kind != REGISTRY_SOCKET          ? 0
            : a->source_port < 1024          ? EACCES
            : a->source_port == 7777         ? EADDRINUSE
            : a->destination.bytes[0] == 203 ? EHOSTUNREACH
                                             : 0;
    return errno ? -1 : machine_none.open(kind, a, without, gso, step);
}

// --- what a table says -----------------------------------------------------------------------------------------------

static const char *address(const struct addr *a)
{
    static char texts[4][ADDR_TEXT_MAX];
    static unsigned n;

    return a->family == ADDR_NONE ? "none" : addr_format(a, texts[n++ % 4]);
}

static void write_header(FILE *to, const struct table_view *v)
{
    const struct table_header *h = v->header;

    fprintf(to, "table of %u bytes, version %u, generation %llu, instance %s, probe %u of %u, flags %x, counters %u\n",
            h->size, h->version, (unsigned long long) h->generation, h->instance, h->longest_probe, v->n_slots,
            h->flags, h->n_counters);
    fprintf(to, "  coalesce %u, busy %u, trial %u, serial %llu, valid %llu %llu, next %llu, least %llu, holds %u\n",
            h->coalesce_usecs, h->busy_poll_usecs, h->trial_seconds, (unsigned long long) h->serial,
            (unsigned long long) h->valid_from, (unsigned long long) h->valid_until,
            (unsigned long long) h->next_change, (unsigned long long) h->clock_least, v->n_holds);
}

static void write_interface(FILE *to, const struct table_view *v, const struct table_interface *i)
{
    fprintf(to, "interface %s %u: state %u, link %u, super %u, ring %llu by %u: %u slots of %u in %u; loopback %u; own",
            i->name, i->ifindex, i->state, i->link, i->super_frames, (unsigned long long) i->ring_id, i->ring_socket,
            i->n_slots, i->slot_size, i->block_size, i->loopback);
    for (uint32_t j = i->first_own; j < i->first_own + i->n_own; j++)
        fprintf(to, " %s", address(&v->own[j]));
    fputc('\n', to);
}

static void write_rule(FILE *to, const struct table_rule *r)
{
    const struct table_merge *m = &r->merge;
    const struct table_monitor *s = &r->monitor;

    fprintf(to, "rule %s (%s): inputs %u+%u, paths %u+%u, counters %u+%u, flags %x, payload %u, from %d; %s\n", r->name,
            r->note, r->first_input, r->n_inputs, r->first_path, r->n_paths, r->first_counter, r->n_outputs, r->flags,
            r->max_payload, (int) r->carried_from, r->reason);
    fprintf(
        to,
        "  silence %u, burst %u, residence %u, deadline %u, packets %llu, bits %llu, least %llu, active %llu %llu\n",
        r->silence_ms, r->burst_ms, r->max_residence_us, r->deadline_us, (unsigned long long) r->packets_per_second,
        (unsigned long long) r->bits_per_second, (unsigned long long) r->min_packets_per_second,
        (unsigned long long) r->active_from, (unsigned long long) r->active_until);
    if (m->by != TABLE_MERGE_NONE)
        fprintf(to,
                "  merge %u: %u %u ms, %u %u ms, %u numbers, at %u, %u bytes, little %u, session %u+%u, count %u+%u\n",
                m->by, m->window_ms, m->reorder_ms, m->switch_after_ms, m->return_after_ms, m->numbers, m->at, m->bytes,
                m->little, m->session_at, m->session_bytes, m->count_at, m->count_bytes);
    if (s->as != TABLE_MONITOR_NONE)
        fprintf(to, "  monitor %u: %u Hz, at %u, %u bytes, little %u, session %u+%u, loss %u, jitter %u\n", s->as,
                s->clock_hz, s->at, s->bytes, s->little, s->session_at, s->session_bytes, s->max_loss_ppm,
                s->max_jitter_us);
}

static void write_input(FILE *to, const struct table_view *v, const struct table_input *in)
{
    char text[TABLE_INPUT_TEXT_MAX];

    fprintf(to, "input %s of %u: interface %u, %s vlan %u, destinations %u+%u, from %d, sources", in->leg, in->rule,
            in->interface, table_input_text(in, text), in->vlan, in->first_destination, in->n_destinations,
            (int) in->carried_from);
    for (uint32_t i = in->first_source; i < in->first_source + in->n_sources; i++)
        fprintf(to, " %s/%u", address(&v->sources[i].addr), v->sources[i].bits);
    fputc('\n', to);
}

static void write_output(FILE *to, const struct table_view *v, const struct table_output *o)
{
    char text[TABLE_OUTPUT_TEXT_MAX];

    fprintf(to, "output %s: ttl %u, dscp %u, flags %x, egress %d, counter %u, from %d, burst %u, ip at %u of %u:",
            table_output_text(v, o, text), o->ttl, o->dscp, o->flags, (int) o->egress, o->counter,
            (int) o->carried_from, o->burst, o->ip_at, o->header_length);
    for (uint16_t i = 0; i < o->header_length; i++)
        fprintf(to, "%s%02x", i % 4 ? "" : " ", o->header[i]);
    fputc('\n', to);
}

static void write_table(FILE *to, const struct table_view *v)
{
    write_header(to, v);
    for (uint32_t i = 0; i < v->n_interfaces; i++)
        write_interface(to, v, &v->interfaces[i]);
    for (uint32_t i = 0; i < v->n_rules; i++)
        write_rule(to, &v->rules[i]);
    for (uint32_t i = 0; i < v->n_inputs; i++)
        write_input(to, v, &v->inputs[i]);
    for (uint32_t i = 0; i < v->n_paths; i++)
        fprintf(to, "path of %u: outputs %u\n", v->paths[i].rule, v->paths[i].first_output);
    for (uint32_t i = 0; i < v->n_outputs; i++)
        write_output(to, v, &v->outputs[i]);
    for (uint32_t i = 0; i < v->n_egress; i++)
        fprintf(to, "egress %llu: kind %u, flags %x, mtu %u, ring %d, slot %u\n", (unsigned long long) v->egress[i].id,
                v->egress[i].kind, v->egress[i].flags, v->egress[i].mtu, (int) v->egress[i].tx_ring,
                v->egress[i].slot_size);
    for (uint32_t i = 0; i < v->n_destinations; i++) {
        const struct table_destination *d = &v->destinations[i];
        fprintf(to, "destination %s:%u vlan %u by %u: path %u, leg %u, flags %x\n", address(&d->address), d->port,
                d->vlan, d->interface, d->path, d->leg, d->flags);
    }
}

// --- tables ----------------------------------------------------------------------------------------------------------

#define RULE(name, keys, input, outputs) "{name=\"" name "\";" keys "input={" input "};outputs=(" outputs ");}"
#define TWO(name, keys, outputs)                                                                                       \
    "{name=\"" name "\";" keys                                                                                         \
    "inputs=({leg=\"A\";interface=\"in0\";group=\"239.255.7.0\";port=5000;},"                                          \
    "{leg=\"B\";interface=\"down0\";group=\"239.255.7.1\";port=5000;sources=[\"198.18.0.1\"];});outputs=(" outputs     \
    ");}"
#define GROUP(n) "interface=\"in0\";group=\"239.255.0." n "\";port=5000;"
#define TO(n)    "{interface=\"out0\";group=\"239.255.1." n "\";port=6000;}"

static const char *const texts[] =
    {
        "version=1;rules=();",
        "version=1;instance=\"x\";ring_mib=1;serial=7;coalesce_usecs=9;busy_poll=8;reload_on_change=true;rules=(" //
        RULE("all",
             "note=\"CHG\";max_payload=1200;silence_ms=50;min_packets_per_second=2;max_residence_us=3000;"         //
             "deadline_us=4000;limit={packets_per_second=5;bits_per_second=\"6M\";burst_ms=7;per_source=true;};", //
             GROUP("1") "sources=[\"198.18.0.1\",\"198.18.1.0/24\"];", TO("1")) ","                               //
        RULE("fan", "", GROUP("2"),
             TO("2") ",{interface=\"out0\";vlan=7;group=\"ff15::2\";port=6000;dscp=46;ttl=9;burst=1;}," //
                     "{interface=\"out1\";address=\"198.18.2.1\";port=6000;ttl=\"decrement\";},"        //
                     "{interface=\"tun0\";address=\"2001:db8::1\";port=6000;source_port=53;},"          //
                     "{interface=\"gone0\";group=\"239.255.1.2\";port=6000;}") ","                      //
        RULE("kept", "", GROUP("3"),
             "{interface=\"out0\";group=\"239.255.1.3\";port=6000;source=\"preserve\";" //
             "source_port=\"preserve\";},{interface=\"out0\";address=\"198.18.2.4\";port=6000;source_port=\"preserve\";"
             "}") ","                                                                                                 //
        RULE("counts", "", GROUP("4"), "{interface=\"out0\";group=\"239.255.1.4\";port=6000;ttl=\"decrement\";}") "," //
        RULE("all-in", "", "interface=\"in0\";broadcast=true;port=5000;",
             "{interface=\"out0\";broadcast=true;port=6000;}") ","                                              //
        RULE("host", "shadow=true;", "interface=\"in0\";vlan=7;address=\"198.18.0.9\";port=5000;", TO("5")) "," //
        RULE("range", "", "interface=\"in1\";group=\"239.255.8.0/31\";port=\"5000-5001\";",                     //
             "{interface=\"out0\";group=\"239.255.9.0/31\";port=\"6000-6001\";},"                               //
             "{interface=\"out0\";group=\"239.255.9.2\";port=\"6000-6001\";mode=\"socket\";}") ","              //
        RULE("off", "enabled=false;", "interface=\"gone1\";group=\"239.255.0.9\";port=5000;", TO("9")) ","      //
        RULE("later", "active_from=\"2030-01-01T00:00:00Z\";", GROUP("10"), TO("10")) ","                       //
        RULE("past", "active_until=\"2020-01-01T00:00:00Z\";", GROUP("11"), TO("11")) ","                       //
        RULE("now", "active_from=\"2020-01-01T00:00:00Z\";active_until=\"2099-01-01T00:00:00Z\";", GROUP("12"),
             TO("12")) ","                                                                                            //
        RULE("taken", "", GROUP("13"), "{interface=\"out0\";address=\"198.18.2.5\";port=6000;source_port=7777;}") "," //
        RULE("unrouted", "", GROUP("14"), "{interface=\"out0\";address=\"203.0.113.1\";port=6000;}") ","              //
        RULE("bare", "", "interface=\"tun1\";group=\"ff15::6\";port=5000;",
             "{interface=\"bare0\";group=\"ff15::6\";port=6000;}") //
        ");",
        // Rules of the same names, in another order; what merges and what is monitored.
        "version=1;rules=("                                                                                         //
        RULE("kept", "", GROUP("3"), TO("3")) ","                                                                   //
        RULE("all", "monitor={as=\"rtp\";clock_hz=8000;max_loss_ppm=1;max_jitter_us=2;};", GROUP("1"), TO("1")) "," //
        TWO("rtp", "max_payload=1472;merge={by=\"rtp\";window_ms=100;reorder_ms=20;};limit={packets_per_second=900;};",
            TO("20")) ","                                              //
        RULE("ts", "monitor={as=\"ts\";};", GROUP("21"), TO("21")) "," //
        RULE("field", "monitor={as=\"field\";field={at=3;bytes=4;endian=\"little\";session_at=8;session_bytes=2;};};",
             GROUP("22"), TO("22")) //
        ");",
};

Test(compiled, tables)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    struct table_image tables[sizeof(texts) / sizeof(texts[0])];
    struct table_view views[sizeof(texts) / sizeof(texts[0])];
    struct machine machine = machine_none;
    const char *why;

    machine.links = some_links;
    machine.open = some_outputs;
    machine.only_raw = false;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        tables[i] = make_table(texts[i], &machine, i % 2 ? 0 : FEATURE_TX_RING, i ? &views[i - 1] : NULL);
        cr_assert(table_attach(&views[i], tables[i].bytes, tables[i].size, &why), "%s", why);
        write_table(to, &views[i]);
    }
    fclose(to);
    rig_text_compare(text, size, "tables");
    free(text);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(tables[i].bytes);
}
