// SPDX-License-Identifier: Apache-2.0
// Prints what mcrd was built with, for bug reports and to compare two hosts.
#include <config.h>

#include "command/command.h"

#include <ev.h>
#include <jansson.h>
#include <libconfig.h>
#include <linux/version.h>
#include <seccomp.h>
#include <sodium.h>
#include <stdio.h>

#include "command/commit.h"
#include "machine/feature.h"
#include "stats/layout.h"

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

void command_built(void)
{
    printf("commit " MCR_COMMIT "\nbuilt with %s, headers of Linux %d.%d.%d", COMPILER, LINUX_VERSION_CODE >> 16,
           LINUX_VERSION_CODE >> 8 & 0xff, LINUX_VERSION_CODE & 0xff);
#ifdef __GLIBC__
    printf(", glibc %d.%d", __GLIBC__, __GLIBC_MINOR__);
#endif
    printf("\nlibraries: libev %d.%d, libconfig %d.%d.%d, libseccomp %d.%d.%d, jansson " JANSSON_VERSION
           ", libcap-ng " LIBCAPNG_VERSION ", libmd " LIBMD_VERSION ", libsodium " SODIUM_VERSION_STRING
           "; libpcap is loaded by --replay alone\n",
           EV_VERSION_MAJOR, EV_VERSION_MINOR, LIBCONFIG_VER_MAJOR, LIBCONFIG_VER_MINOR, LIBCONFIG_VER_REVISION,
           SCMP_VER_MAJOR, SCMP_VER_MINOR, SCMP_VER_MICRO);
    printf("layout of the statistics: version %d\nabilities of the kernel, used where they are found:\n",
           STATS_VERSION);
#define PRINT(NAME, field, name, help) printf("  %-16s %s\n", name, help);
    FEATURES(PRINT, PRINT)
}
