// SPDX-License-Identifier: Apache-2.0
// The two allow-lists. A reviewer checks the sandbox by reading these tables.
#include <config.h>

#include "sandbox/sandbox.h"

#include <seccomp.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "log/log.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 // linux/udp.h, since 4.18
#endif

#define ARGS_MAX 2

// What an argument must be; int arguments are compared in their lower 32 bits, as the kernel reads them.
enum match { ANY, EQUAL, BELOW, WITHOUT };

struct condition {
    unsigned argument;
    enum match match;
    uint64_t value;
};

struct allowed {
    int call;
    const char *why;
    struct condition where[ARGS_MAX];
};

#define CALL(name) SCMP_SYS(name)

// clang-format off
static const struct allowed relay_allows[] = {
    {CALL(epoll_wait), "the loop", {{0}}},
    {CALL(epoll_pwait), "the loop, on machines without epoll_wait", {{0}}},
    {CALL(epoll_create1), "libev, when a ring wakes it that the relay has closed and the broker has not yet", {{0}}},
    {CALL(epoll_ctl), "rings that come and go with a table", {{0}}},
    {CALL(clock_gettime), "time, where the vDSO has no clock", {{0}}},
    {CALL(clock_nanosleep), "libev lets datagrams gather under load", {{0}}},
    {CALL(timerfd_settime), "libev's guard against clock jumps", {{0}}},
    {CALL(read), "signalfd, inotify; super-frames that a ring slot cannot hold", {{0}}},
    {CALL(recvmsg), "messages of the broker, news of rtnetlink", {{0}}},
    {CALL(writev), "datagrams out, by connected or bound sockets", {{0, BELOW, SANDBOX_INGRESS_FD}}},
    {CALL(write), "log, requests to the broker, news for systemd, empty datagrams", {{0, BELOW, SANDBOX_INGRESS_FD}}},
    {CALL(poll), "whether the log has room", {{0}}},
    {CALL(ppoll), "the same, on machines without poll", {{0}}},
    {CALL(close), "descriptors of a table that was replaced", {{0}}},
    {CALL(lseek), "size of a table", {{0}}},
    {CALL(fcntl), "moves ingress sockets out of reach of writev", {{1, EQUAL, F_DUPFD_CLOEXEC}, {2, EQUAL, SANDBOX_INGRESS_FD}}},
    {CALL(fcntl), "checks that a table is sealed", {{1, EQUAL, F_GET_SEALS}}},
    {CALL(mmap), "tables, rings, statistics, memory", {{2, WITHOUT, PROT_EXEC}}},
    {CALL(munmap), "the same, given back", {{0}}},
    {CALL(mremap), "realloc", {{0}}},
    {CALL(madvise), "free", {{0}}},
    {CALL(brk), "malloc", {{0}}},
    {CALL(getsockopt), "ring drops", {{1, EQUAL, SOL_PACKET}, {2, EQUAL, PACKET_STATISTICS}}},
    {CALL(getsockopt), "clears the error of a link that went down", {{1, EQUAL, SOL_SOCKET}, {2, EQUAL, SO_ERROR}}},
    {CALL(setsockopt), "size of the datagrams of a batch", {{1, EQUAL, IPPROTO_UDP}, {2, EQUAL, UDP_SEGMENT}}},
    {CALL(setsockopt), "dscp = \"preserve\" in socket mode", {{1, EQUAL, IPPROTO_IP}, {2, EQUAL, IP_TOS}}},
    {CALL(setsockopt), "ttl of unicast in socket mode", {{1, EQUAL, IPPROTO_IP}, {2, EQUAL, IP_TTL}}},
    {CALL(setsockopt), "ttl of groups in socket mode", {{1, EQUAL, IPPROTO_IP}, {2, EQUAL, IP_MULTICAST_TTL}}},
    {CALL(setsockopt), "the same three, IPv6", {{1, EQUAL, IPPROTO_IPV6}, {2, EQUAL, IPV6_TCLASS}}},
    {CALL(setsockopt), "", {{1, EQUAL, IPPROTO_IPV6}, {2, EQUAL, IPV6_UNICAST_HOPS}}},
    {CALL(setsockopt), "", {{1, EQUAL, IPPROTO_IPV6}, {2, EQUAL, IPV6_MULTICAST_HOPS}}},
    {CALL(prctl), "verifies that this filter is in force", {{0, EQUAL, PR_GET_SECCOMP}}},
    {CALL(rt_sigreturn), "return from a signal", {{0}}},
    {CALL(rt_sigprocmask), "abort", {{0}}},
    {CALL(restart_syscall), "after a stop and continue", {{0}}},
    {CALL(exit), "end", {{0}}},
    {CALL(exit_group), "end", {{0}}},
};

static const struct allowed broker_allows[] = {
    {CALL(recvmsg), "requests of the relay, answers of rtnetlink", {{0}}},
    {CALL(sendmsg), "answers with descriptors", {{0}}},
    {CALL(sendto), "asks rtnetlink for links and addresses", {{0}}},
    {CALL(read), "the config file", {{0}}},
    {CALL(write), "log, answers, tables, the copy of the running file", {{0}}},
    {CALL(poll), "whether the log has room", {{0}}},
    {CALL(ppoll), "the same, on machines without poll", {{0}}},
    {CALL(pwrite64), "tables and statistics", {{0}}},
    {CALL(open), "the config file, statistics", {{0}}},
    {CALL(openat), "the config file, statistics", {{0}}},
    {CALL(close), "descriptors", {{0}}},
    {CALL(lseek), "the config file", {{0}}},
    {CALL(fstat), "the config file: kind, owner, mode", {{0}}},
    {CALL(newfstatat), "the same, as newer C libraries say it", {{0}}},
    {CALL(fcntl), "seals, locks, flags", {{0}}},
    {CALL(ftruncate), "tables and statistics", {{0}}},
    {CALL(fallocate), "statistics: memory taken now, not when it is written", {{0}}},
    {CALL(fchmod), "statistics are readable by everyone", {{0}}},
    {CALL(rename), "statistics replace the ones before at once", {{0}}},
    {CALL(renameat), "the same", {{0}}},
    {CALL(renameat2), "the same", {{0}}},
    {CALL(unlink), "statistics that were not adopted", {{0}}},
    {CALL(unlinkat), "the same", {{0}}},
    {CALL(memfd_create), "tables", {{0}}},
    {CALL(inotify_add_watch), "the directories of the config file", {{0}}},
    {CALL(inotify_rm_watch), "those that it has left", {{0}}},
    {CALL(readlink), "where the config file really lies", {{0}}},
    {CALL(readlinkat), "the same", {{0}}},
    {CALL(getcwd), "the same, for a relative path", {{0}}},
    {CALL(socket), "ingress and egress sockets, memberships", {{0}}},
    {CALL(bind), "to configured interfaces and source addresses", {{0}}},
    {CALL(connect), "to configured destinations", {{0}}},
    {CALL(getsockname), "rtnetlink, in the C library", {{0}}},
    {CALL(setsockopt), "ring, filter, memberships", {{0}}},
    {CALL(getsockopt), "what the kernel made of them", {{0}}},
    {CALL(ioctl), "index of an interface", {{1, EQUAL, SIOCGIFINDEX}}},
    {CALL(ioctl), "its MTU", {{1, EQUAL, SIOCGIFMTU}}},
    {CALL(ioctl), "its kind and hardware address", {{1, EQUAL, SIOCGIFHWADDR}}},
    {CALL(mmap), "memory, tables", {{2, WITHOUT, PROT_EXEC}}},
    {CALL(munmap), "memory, tables", {{0}}},
    {CALL(mremap), "realloc", {{0}}},
    {CALL(madvise), "free", {{0}}},
    {CALL(brk), "malloc", {{0}}},
    {CALL(clock_gettime), "time, where the vDSO has no clock", {{0}}},
    {CALL(getpid), "rtnetlink, in the C library", {{0}}},
    {CALL(geteuid), "owner of the config file", {{0}}},
    {CALL(getrandom), "malloc", {{0}}},
    {CALL(futex), "locks of the C library", {{0}}},
    {CALL(prctl), "verifies that this filter is in force", {{0, EQUAL, PR_GET_SECCOMP}}},
    {CALL(rt_sigreturn), "return from a signal", {{0}}},
    {CALL(rt_sigprocmask), "abort", {{0}}},
    {CALL(restart_syscall), "after a stop and continue", {{0}}},
    {CALL(exit), "end", {{0}}},
    {CALL(exit_group), "end", {{0}}},
};
// clang-format on

// Nothing that this program or its libraries do by accident: asking for one of these means that the process is no
// longer ours. It is killed. All other calls answer ENOSYS, which the C library knows how to live with.
static const int kill_both[] = {
    CALL(execve),
    CALL(execveat),
    CALL(fork),
    CALL(vfork),
    CALL(clone),
    CALL(clone3),
    CALL(ptrace),
    CALL(process_vm_readv),
    CALL(process_vm_writev),
    CALL(pidfd_getfd),
    CALL(pidfd_open),
    CALL(kill),
    CALL(tkill),
    CALL(mount),
    CALL(umount2),
    CALL(pivot_root),
    CALL(chroot),
    CALL(unshare),
    CALL(setns),
    CALL(setuid),
    CALL(setgid),
    CALL(setresuid),
    CALL(setresgid),
    CALL(setreuid),
    CALL(setregid),
    CALL(setgroups),
    CALL(capset),
    CALL(bpf),
    CALL(perf_event_open),
    CALL(io_uring_setup),
    CALL(io_uring_enter),
    CALL(userfaultfd),
    CALL(init_module),
    CALL(finit_module),
    CALL(kexec_load),
    CALL(keyctl),
    CALL(add_key),
    CALL(listen),
    CALL(accept),
    CALL(accept4),
    CALL(mprotect),
    CALL(pkey_mprotect),
};

static const int kill_relay[] = {
    CALL(socket),   CALL(socketpair), CALL(bind),     CALL(connect), CALL(sendto),   CALL(sendmsg),
    CALL(sendmmsg), CALL(open),       CALL(openat),   CALL(openat2), CALL(creat),    CALL(memfd_create),
    CALL(rename),   CALL(unlink),     CALL(dup),      CALL(dup2),    CALL(dup3),     CALL(sendfile),
    CALL(splice),   CALL(tee),        CALL(vmsplice), CALL(pwritev), CALL(pwritev2), CALL(pwrite64),
};

// Descriptors, commands, levels and names are ints: their upper halves are not the kernel's business.
static struct scmp_arg_cmp compare(const struct condition *c)
{
    switch (c->match) {
    case BELOW:
        // A descriptor is an unsigned int to the kernel; one with upper bits set is no small number for it either,
        // because the comparison is made on all 64 bits and such a call is refused.
        return SCMP_CMP(c->argument, SCMP_CMP_LT, c->value);
    case WITHOUT:
        return SCMP_CMP(c->argument, SCMP_CMP_MASKED_EQ, c->value, 0);
    case EQUAL:
    case ANY:
        break;
    }
    return SCMP_CMP(c->argument, SCMP_CMP_MASKED_EQ, UINT32_MAX, c->value);
}

static int add_allowed(scmp_filter_ctx ctx, const struct allowed *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct scmp_arg_cmp args[ARGS_MAX];
        unsigned n_args = 0;
        for (size_t j = 0; j < ARGS_MAX; j++)
            if (rows[i].where[j].match != ANY)
                args[n_args++] = compare(&rows[i].where[j]);
        int rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rows[i].call, n_args, args);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int add_killed(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int rc = seccomp_rule_add_array(ctx, action, calls[i], 0, NULL);
        // -EACCES: this is the default action already (SANDBOX_LOG).
        if (rc != 0 && rc != -EACCES)
            return rc;
    }
    return 0;
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

bool sandbox_filter(enum sandbox_role role, enum sandbox_mode mode)
{
    const char *name = role == SANDBOX_RELAY ? "relay" : "broker";

    if (mode == SANDBOX_OFF)
        return true;

    uint32_t otherwise = mode == SANDBOX_LOG ? SCMP_ACT_LOG : SCMP_ACT_ERRNO(ENOSYS);
    uint32_t hostile = mode == SANDBOX_LOG ? SCMP_ACT_LOG : SCMP_ACT_KILL_PROCESS;
    scmp_filter_ctx ctx = seccomp_init(otherwise);
    int rc = ctx ? 0 : -ENOMEM;

    // no_new_privs is set by sandbox_drop(); calls of another ABI of this machine have no business here.
    if (rc == 0)
        rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (rc == 0)
        rc = role == SANDBOX_RELAY ? add_allowed(ctx, relay_allows, COUNT(relay_allows))
                                   : add_allowed(ctx, broker_allows, COUNT(broker_allows));
    if (rc == 0)
        rc = add_killed(ctx, hostile, kill_both, COUNT(kill_both));
    if (rc == 0 && role == SANDBOX_RELAY)
        rc = add_killed(ctx, hostile, kill_relay, COUNT(kill_relay));
    if (rc == 0)
        rc = seccomp_load(ctx);
    if (ctx)
        seccomp_release(ctx);
    if (rc == 0 && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2)
        rc = -EPERM;
    if (rc != 0) {
        log_error("sandbox_filter", "role=%s error=\"%s\" reason=\"the system call filter cannot be loaded\"", name,
                  strerror(-rc));
        return false;
    }
    return true;
}
