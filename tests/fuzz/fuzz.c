// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef MCR_SANITIZERS
#include <sanitizer/common_interface_defs.h>
#endif

#include "handover/handover.h"
#include "sandbox/sandbox.h"

static int report = STDERR_FILENO;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct rlimit files;

    (void) argc;
    (void) argv;
    // Standard error is closed to the log, by libFuzzer's -close_fd_mask or by replay.c.
    report = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
#ifdef MCR_SANITIZERS
    __sanitizer_set_report_fd((void *) (uintptr_t) report);
#endif
    // As mcrd does: ingress sockets lie from SANDBOX_INGRESS_FD up.
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    return 0;
}

void fuzz_fail(const char *file, int line, const char *condition)
{
    dprintf(report, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

// --- input -----------------------------------------------------------------------------------------------------------

const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t n, size_t *got)
{
    const uint8_t *at = in->at;

    *got = n < in->left ? n : in->left;
    in->at += *got;
    in->left -= *got;
    return at;
}

static uint32_t number(struct fuzz_input *in, size_t size)
{
    size_t got;
    const uint8_t *bytes = fuzz_bytes(in, size, &got);
    uint32_t value = 0;

    for (size_t i = 0; i < got; i++)
        value |= (uint32_t) bytes[i] << 8 * i;
    return value;
}

uint8_t fuzz_u8(struct fuzz_input *in)
{
    return (uint8_t) number(in, 1);
}

uint16_t fuzz_u16(struct fuzz_input *in)
{
    return (uint16_t) number(in, 2);
}

uint32_t fuzz_u32(struct fuzz_input *in)
{
    return number(in, 4);
}

void fuzz_patch(struct fuzz_input *in, void *memory, size_t size)
{
    for (unsigned n = fuzz_u8(in); n > 0 && in->left > 0; n--) {
        size_t at = fuzz_u16(in) % size, length = fuzz_u8(in) & 15, got;
        const uint8_t *bytes = fuzz_bytes(in, length < size - at ? length : size - at, &got);
        memcpy((uint8_t *) memory + at, bytes, got);
    }
}

// --- checksums -------------------------------------------------------------------------------------------------------

uint16_t fuzz_sum(uint16_t sum, const uint8_t *bytes, size_t length)
{
    uint32_t s = sum;

    for (size_t i = 0; i < length; i++) {
        s += i % 2 ? bytes[i] : (uint32_t) bytes[i] << 8;
        s = (s & 0xffff) + (s >> 16);
    }
    return (uint16_t) s;
}

static void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t) (value >> 8);
    at[1] = (uint8_t) value;
}

void fuzz_mend(uint8_t *ip, size_t length, bool udp)
{
    bool v4 = length >= 20 && ip[0] >> 4 == 4;
    size_t header = v4 ? (ip[0] & 15u) * 4u : 40, addresses = v4 ? 8 : 32;

    if (v4 && header >= 20 && header <= length) {
        put16(ip + 10, 0);
        put16(ip + 10, (uint16_t) ~fuzz_sum(0, ip, header));
    }
    if (!udp || header + 8 > length)
        return;
    size_t bytes = (size_t) (ip[header + 4] << 8 | ip[header + 5]);
    if (bytes < 8 || bytes > length - header)
        return;
    put16(ip + header + 6, 0);
    uint16_t sum = fuzz_sum((uint16_t) bytes, ip + (v4 ? 12 : 8), addresses);
    sum = (uint16_t) ~fuzz_sum(fuzz_sum(sum, (const uint8_t[]){0, 17}, 2), ip + header, bytes);
    put16(ip + header + 6, sum ? sum : 0xffff);
}

// --- files -----------------------------------------------------------------------------------------------------------

static char directory[64];

static void remove_directory(void)
{
    DIR *list = opendir(directory);

    for (const struct dirent *entry; list && (entry = readdir(list));)
        unlinkat(dirfd(list), entry->d_name, 0);
    if (list)
        closedir(list);
    rmdir(directory);
}

const char *fuzz_directory(void)
{
    if (directory[0])
        return directory;
    snprintf(directory, sizeof(directory), "%s/mcr-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    FUZZ_ASSERT(mkdtemp(directory));
    atexit(remove_directory);
    return directory;
}

// --- descriptors -----------------------------------------------------------------------------------------------------

int fuzz_descriptors(void)
{
    int n = 0;

    for (int i = 0; i < 128; i++)
        n += (fcntl(i, F_GETFD) >= 0) + (fcntl(SANDBOX_INGRESS_FD + i, F_GETFD) >= 0);
    return n;
}

void fuzz_say(int socket, const void *message, size_t size, const int *fds, size_t n_fds)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int) * HANDOVER_FDS_MAX)];
    } control = {.room = {0}};
    struct iovec iov = {.iov_base = (void *) message, .iov_len = size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n_fds > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
    }
    (void) !sendmsg(socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}
