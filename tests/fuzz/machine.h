// SPDX-License-Identifier: Apache-2.0
// machine: a machine with any interfaces: what the broker would ask the kernel for is answered here, by names alone, so
// that compile() runs without rights and without touching the machine that it runs on. System calls of the relay are
// led here by the linker (--wrap, in Makefile.am).
#ifndef MCR_TESTS_FUZZ_MACHINE_H
#define MCR_TESTS_FUZZ_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../tx_kernel.h"
#include "compile/compile.h"

extern const struct machine machine_any;

// Interfaces called "gone..." are missing, "tun..." have no Ethernet header, "bare..." no address, "down..." are down,
// "flap..." are there at every other question only; all others are there, with addresses of both families.
extern bool machine_flapped;

// Called, unless it is NULL, before a socket is given another segment size (UDP_SEGMENT).
extern void (*machine_on_segment)(int fd);

// Asked, unless it is NULL, before each writev(2): 0, or the error that it then fails with.
extern int (*machine_on_write)(void);

// Transmit ring i (below 32), as the kernel has it: a write(2) of nothing to its descriptor sends it. Made once; it
// stays the machine's.
struct tx_kernel *machine_tx_ring(uint32_t i, uint32_t slot_size);

// Configs that each target may take tables from.
extern const char *const machine_configs[];
extern const size_t machine_n_configs;

// The table of config i (modulo), compiled once; it stays the machine's.
const struct table_image *machine_table(size_t i);

#endif
