// SPDX-License-Identifier: Apache-2.0
// noalloc: loaded into mcrd with LD_PRELOAD. It counts the allocations of each process that are not freed, and lets the
// n-th fail if the page that $MCR_NOALLOC names says so (fault.h). For glibc.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fault.h"

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

static struct fault_page *page;
static uint32_t who, epoch;
static bool in_library;

static void __attribute__((constructor)) begin(void)
{
    const char *path = getenv("MCR_NOALLOC"), *process = getenv("MCR_PROCESS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    who = process && strncmp(process, "broker", 6) == 0 ? FAULT_BROKER : FAULT_RELAY;
    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED)
        return;
    page = memory;
    page->living[who] = 0;
}

// Whether the allocation that `caller` asks for fails.
static bool fails(const void *caller)
{
    Dl_info info = {.dli_fname = NULL};

    if (!page)
        return false;
    if (epoch != page->epoch) {
        epoch = page->epoch;
        page->seen[who] = 0;
    }
    if (in_library != (page->inside != 0))
        return false;
    page->seen[who]++;
    if (page->alloc_who != who || page->alloc_nth != page->seen[who] || page->alloc_hit == epoch)
        return false;
    page->alloc_hit = epoch;
    if (dladdr(caller, &info) != 0 && info.dli_fname)
        snprintf((char *) page->where, sizeof(page->where), "%s+%#zx", info.dli_fname,
                 (size_t) ((const char *) caller - (const char *) info.dli_fbase));
    errno = ENOMEM;
    return true;
}

static void *made(void *p)
{
    if (p && page)
        page->living[who]++;
    return p;
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size)
{
    return fails(CALLER) ? NULL : made(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
    return fails(CALLER) ? NULL : made(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
    if (fails(CALLER))
        return NULL;
    void *grown = __libc_realloc(p, size);
    if (!p)
        made(grown);
    else if (size == 0 && page)
        page->living[who]--;
    return grown;
}

void *memalign(size_t alignment, size_t size)
{
    return fails(CALLER) ? NULL : made(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails(CALLER) ? NULL : made(__libc_memalign(alignment, size));
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
    *p = fails(CALLER) ? NULL : made(__libc_memalign(alignment, size));
    return *p ? 0 : ENOMEM;
}

void free(void *p)
{
    int saved = errno;

    if (p && page)
        page->living[who]--;
    __libc_free(p);
    errno = saved;
}

// --- what does not check its allocations: libconfig before 1.7.3, libseccomp -----------------------------------------

// Calls the function of the library of which the name is wrapped here; its allocations are those of a library.
#define WITHIN(type, name, parameters, ...)                                                                            \
    type name parameters                                                                                               \
    {                                                                                                                  \
        type(*theirs) parameters = (type(*) parameters) dlsym(RTLD_NEXT, #name);                                       \
        bool before = in_library;                                                                                      \
        in_library = true;                                                                                             \
        type result = theirs(__VA_ARGS__);                                                                             \
        in_library = before;                                                                                           \
        return result;                                                                                                 \
    }

WITHIN(int, config_read_string, (config_t * config, const char *text), config, text)
WITHIN(scmp_filter_ctx, seccomp_init, (uint32_t action), action)
WITHIN(int, seccomp_attr_set, (scmp_filter_ctx c, enum scmp_filter_attr attr, uint32_t value), c, attr, value)
WITHIN(int, seccomp_rule_add_array,
       (scmp_filter_ctx c, uint32_t action, int call, unsigned n, const struct scmp_arg_cmp *args), c, action, call, n,
       args)
WITHIN(int, seccomp_export_bpf, (const scmp_filter_ctx c, int fd), c, fd)

void config_init(config_t *config)
{
    void (*theirs)(config_t *) = (void (*)(config_t *)) dlsym(RTLD_NEXT, "config_init");
    bool before = in_library;

    in_library = true;
    theirs(config);
    in_library = before;
}
