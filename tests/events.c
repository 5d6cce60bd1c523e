// SPDX-License-Identifier: Apache-2.0
// The events of the log, one a line with its levels, for tests/man.sh.
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "log/log.h"

int main(void)
{
    static const char *const words[] = {[LOG_LEVEL_ERR] = "error",
                                        [LOG_LEVEL_WARNING] = "warning",
                                        [LOG_LEVEL_NOTICE] = "notice",
                                        [LOG_LEVEL_INFO] = "info",
                                        [LOG_LEVEL_DEBUG] = "debug"};

    for (unsigned i = 0; i < EVENTS; i++) {
        fputs(log_event_name((enum event) i), stdout);
        for (unsigned level = LOG_LEVEL_ERR; level <= LOG_LEVEL_DEBUG; level++)
            if (log_event_levels((enum event) i) & 1u << level)
                printf(" %s", words[level]);
        putchar('\n');
    }
    return EXIT_SUCCESS;
}
