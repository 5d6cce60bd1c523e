// SPDX-License-Identifier: Apache-2.0
// The allow-lists of both processes. A reviewer checks the sandbox by reading these tables.
#include <config.h>

#include "sandbox/sandbox.h"

#include <seccomp.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/kernel.h"
#include "log/log.h"

#define ARGS_MAX 3

// How an argument is compared. EQUAL and TYPE compare the lower 32 bits, as the kernel does for an int; the others
// compare all 64. TYPE is EQUAL without the flags that socket(2) takes with a type.
enum match { ANY, EQUAL, TYPE, EXACT, BELOW, FROM, WITH, WITHOUT };

#define TYPE_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)

struct condition {
    unsigned argument;
    enum match match;
    uint64_t value;
    const char *text; // name of value
};

#define ARG(n, match, value)                                                                                           \
    {                                                                                                                  \
        n, match, value, #value                                                                                        \
    }

// tests/net/test_coverage.py must see each call, unless its reason begins with "rare:" or "elsewhere:" (on other
// machines or with another C library). "elsewhere: the same" marks another name of the call above: the test must see
// one of the two.
//
// A call that this machine does not have is in no filter and no list. Those of 32-bit machines: calls for times and
// offsets of 64 bits (clock_gettime64, _llseek, ftruncate64, fcntl64, mmap2, which takes its offset in pages), for ids
// of 32 (geteuid32), and sigreturn, by which signal handlers without SA_SIGINFO return on arm. There the C library asks
// statx for what struct stat has, because the older calls have times of 32 bits.
struct row {
    const int *calls;
    size_t n;
    const char *why;
    struct condition where[ARGS_MAX];
};

#define CALLS(...) (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int)
#define CALL(name) CALLS(SCMP_SYS(name))

// clang-format off
static const struct row relay_allows[] = {
    {CALL(epoll_wait), "the loop", {{0}}},
    {CALL(epoll_pwait), "elsewhere: the same", {{0}}},
    {CALL(epoll_create1), "rare: libev, when a ring wakes it that the relay has closed and the broker has not yet", {ARG(0, EQUAL, EPOLL_CLOEXEC)}},
    {CALL(epoll_ctl), "rings that come and go with a table", {{0}}},
    {CALL(clock_gettime), "elsewhere: time, where the vDSO has no clock", {{0}}},
    {CALL(clock_gettime64), "elsewhere: the same", {{0}}},
    {CALL(clock_nanosleep), "rare: libev lets datagrams gather under load", {{0}}},
    {CALL(clock_nanosleep_time64), "elsewhere: the same", {{0}}},
    {CALL(read), "signalfd, inotify; super-frames that a ring slot cannot hold", {{0}}},
    {CALL(recvmsg), "messages of the broker, news of rtnetlink", {{0}}},
    {CALL(writev), "datagrams out, by connected or bound sockets", {ARG(0, BELOW, SANDBOX_INGRESS_FD)}},
    {CALL(write), "log, requests to the broker, news for systemd, empty datagrams, transmit rings", {ARG(0, BELOW, SANDBOX_INGRESS_FD)}},
    {CALL(poll), "whether the log has room; whether the broker has ended", {{0}}},
    {CALL(ppoll), "elsewhere: the same", {{0}}},
    {CALL(close), "descriptors of a table that was replaced", {{0}}},
    {CALL(lseek), "size of a table; no way back to what the log has", {ARG(1, EXACT, 0), ARG(2, EQUAL, SEEK_END)}},
    {CALL(_llseek), "elsewhere: the same", {ARG(1, EQUAL, 0), ARG(2, EQUAL, 0), ARG(4, EQUAL, SEEK_END)}},
    {CALL(fcntl), "moves sockets of rings and memberships out of reach of write and writev", {ARG(1, EQUAL, F_DUPFD_CLOEXEC), ARG(2, EQUAL, SANDBOX_INGRESS_FD)}},
    {CALL(fcntl64), "elsewhere: the same", {ARG(1, EQUAL, F_DUPFD_CLOEXEC), ARG(2, EQUAL, SANDBOX_INGRESS_FD)}},
    {CALL(fcntl), "checks that a table is sealed", {ARG(1, EQUAL, F_GET_SEALS)}},
    {CALL(fcntl64), "elsewhere: the same", {ARG(1, EQUAL, F_GET_SEALS)}},
    {CALL(mmap), "rings, statistics", {ARG(2, EXACT, PROT_READ | PROT_WRITE), ARG(3, EXACT, MAP_SHARED)}},
    {CALL(mmap2), "elsewhere: the same", {ARG(2, EXACT, PROT_READ | PROT_WRITE), ARG(3, EXACT, MAP_SHARED)}},
    {CALL(mmap), "tables", {ARG(2, EXACT, PROT_READ), ARG(3, EXACT, MAP_SHARED)}},
    {CALL(mmap2), "elsewhere: the same", {ARG(2, EXACT, PROT_READ), ARG(3, EXACT, MAP_SHARED)}},
    {CALL(mmap), "elsewhere: tables, before Linux 6.7", {ARG(2, EXACT, PROT_READ), ARG(3, EXACT, MAP_PRIVATE)}},
    {CALL(mmap2), "elsewhere: the same", {ARG(2, EXACT, PROT_READ), ARG(3, EXACT, MAP_PRIVATE)}},
    {CALL(mmap), "memory", {ARG(2, EXACT, PROT_READ | PROT_WRITE), ARG(3, EXACT, MAP_PRIVATE | MAP_ANONYMOUS)}},
    {CALL(mmap2), "elsewhere: the same", {ARG(2, EXACT, PROT_READ | PROT_WRITE), ARG(3, EXACT, MAP_PRIVATE | MAP_ANONYMOUS)}},
    {CALL(munmap), "the same, given back", {{0}}},
    {CALL(mremap), "rare: realloc of what is large", {ARG(3, EXACT, MREMAP_MAYMOVE)}},
    {CALL(madvise), "elsewhere: free", {ARG(2, EQUAL, MADV_DONTNEED)}},
    {CALL(brk), "malloc", {{0}}},
    {CALL(getsockopt), "ring drops", {ARG(1, EQUAL, SOL_PACKET), ARG(2, EQUAL, PACKET_STATISTICS)}},
    {CALL(getsockopt), "clears the error of a link that went down", {ARG(1, EQUAL, SOL_SOCKET), ARG(2, EQUAL, SO_ERROR)}},
    {CALL(setsockopt), "size of the datagrams of a batch", {ARG(1, EQUAL, IPPROTO_UDP), ARG(2, EQUAL, UDP_SEGMENT)}},
    {CALL(setsockopt), "dscp = \"preserve\" in socket mode", {ARG(1, EQUAL, IPPROTO_IP), ARG(2, EQUAL, IP_TOS)}},
    {CALL(setsockopt), "ttl of unicast in socket mode", {ARG(1, EQUAL, IPPROTO_IP), ARG(2, EQUAL, IP_TTL)}},
    {CALL(setsockopt), "ttl of groups in socket mode", {ARG(1, EQUAL, IPPROTO_IP), ARG(2, EQUAL, IP_MULTICAST_TTL)}},
    {CALL(setsockopt), "the same as IP_TOS", {ARG(1, EQUAL, IPPROTO_IPV6), ARG(2, EQUAL, IPV6_TCLASS)}},
    {CALL(setsockopt), "the same as IP_TTL", {ARG(1, EQUAL, IPPROTO_IPV6), ARG(2, EQUAL, IPV6_UNICAST_HOPS)}},
    {CALL(setsockopt), "the same as IP_MULTICAST_TTL", {ARG(1, EQUAL, IPPROTO_IPV6), ARG(2, EQUAL, IPV6_MULTICAST_HOPS)}},
    {CALL(prctl), "verifies that this filter is in force", {ARG(0, EQUAL, PR_GET_SECCOMP)}},
    {CALL(rt_sigreturn), "rare: return from a signal", {{0}}},
    {CALL(sigreturn), "elsewhere: the same", {{0}}},
    {CALL(rt_sigprocmask), "rare: abort", {{0}}},
    {CALL(restart_syscall), "rare: after a stop and continue", {{0}}},
    {CALL(exit), "rare: end", {{0}}},
    {CALL(exit_group), "end", {{0}}},
};

static const struct row broker_allows[] = {
    {CALL(recvmsg), "requests of the relay, answers of rtnetlink", {{0}}},
    {CALL(sendmsg), "answers with descriptors", {{0}}},
    {CALL(sendto), "asks rtnetlink for links and addresses, whose address has this size, and no other", {ARG(3, EQUAL, 0), ARG(5, EQUAL, sizeof(struct sockaddr_nl))}},
    {CALL(read), "the config file, its signatures, the file of the records", {{0}}},
    {CALL(write), "log, answers, tables, the copy of the running file, records", {{0}}},
    {CALL(fsync), "records are on the disk before the verdict on a load is told", {{0}}},
    {CALL(poll), "whether the log has room; whether the relay is silent, or gives its verdict in time", {{0}}},
    {CALL(ppoll), "elsewhere: the same", {{0}}},
    {CALL(openat), "the config file, its signatures, statistics, the file of the records and what rotation has made of it", {{0}}},
    {CALL(close), "descriptors", {{0}}},
    {CALL(newfstatat), "the config file, its signatures, trust.conf, the file of the records: kind, owner, mode, change", {{0}}},
    {CALL(fstat), "elsewhere: the same", {{0}}},
    {CALL(statx), "elsewhere: the same", {{0}}},
    {CALL(fcntl), "seals a table", {ARG(1, EQUAL, F_ADD_SEALS)}},
    {CALL(fcntl64), "elsewhere: the same", {ARG(1, EQUAL, F_ADD_SEALS)}},
    {CALL(ftruncate), "statistics; a part of a record for which the disk had no room is taken back", {{0}}},
    {CALL(ftruncate64), "elsewhere: the same", {{0}}},
    {CALL(fallocate), "statistics: memory taken now, not when it is written", {ARG(1, EQUAL, 0)}},
    {CALL(fchmod), "statistics are readable by everyone, the copy of the file by whom the file is", {ARG(1, WITHOUT, 07777 & ~0644)}},
    {CALL(rename), "statistics replace the ones before at once; a full file of records becomes an older one", {{0}}},
    {CALL(renameat), "elsewhere: the same", {{0}}},
    {CALL(renameat2), "elsewhere: the same", {ARG(4, EQUAL, 0)}},
    {CALL(unlink), "statistics that were not adopted", {{0}}},
    {CALL(unlinkat), "elsewhere: the same", {ARG(2, EQUAL, 0)}},
    {CALL(memfd_create), "tables", {ARG(1, EQUAL, MFD_CLOEXEC | MFD_ALLOW_SEALING)}},
    {CALL(inotify_add_watch), "the directories of the config file", {{0}}},
    {CALL(inotify_rm_watch), "those that it has left", {{0}}},
    {CALL(readlink), "where the config file really lies", {{0}}},
    {CALL(readlinkat), "elsewhere: the same", {{0}}},
    {CALL(socket), "ingress sockets and outputs in frame mode; nothing comes before bind", {ARG(0, EQUAL, AF_PACKET), ARG(1, TYPE, SOCK_RAW), ARG(2, EQUAL, 0)}},
    {CALL(socket), "datagrams: outputs in socket mode, memberships, ports that are kept quiet, ioctl", {ARG(0, EQUAL, AF_INET), ARG(1, TYPE, SOCK_DGRAM), ARG(2, EQUAL, IPPROTO_UDP)}},
    {CALL(socket), "the same", {ARG(0, EQUAL, AF_INET6), ARG(1, TYPE, SOCK_DGRAM), ARG(2, EQUAL, IPPROTO_UDP)}},
    {CALL(socket), "raw outputs, which send only", {ARG(0, EQUAL, AF_INET), ARG(1, TYPE, SOCK_RAW), ARG(2, EQUAL, IPPROTO_RAW)}},
    {CALL(socket), "the same", {ARG(0, EQUAL, AF_INET6), ARG(1, TYPE, SOCK_RAW), ARG(2, EQUAL, IPPROTO_RAW)}},
    {CALL(socket), "raw outputs of UDP, whose filter takes nothing in", {ARG(0, EQUAL, AF_INET), ARG(1, TYPE, SOCK_RAW), ARG(2, EQUAL, IPPROTO_UDP)}},
    {CALL(socket), "the same", {ARG(0, EQUAL, AF_INET6), ARG(1, TYPE, SOCK_RAW), ARG(2, EQUAL, IPPROTO_UDP)}},
    {CALL(socket), "links and addresses", {ARG(0, EQUAL, AF_NETLINK), ARG(1, TYPE, SOCK_RAW), ARG(2, EQUAL, NETLINK_ROUTE)}},
    {CALL(bind), "to configured interfaces and source addresses; to none, what is out of use", {{0}}},
    {CALL(connect), "to configured destinations; to nobody, what is out of use", {{0}}},
    {CALL(getsockname), "rtnetlink, in the C library; packet sockets whose interface has gone", {{0}}},
    {CALL(setsockopt), "rings, in and out", {ARG(1, EQUAL, SOL_PACKET), ARG(2, EQUAL, PACKET_VERSION)}},
    {CALL(setsockopt), "ring, outputs", {ARG(1, EQUAL, SOL_PACKET), ARG(2, EQUAL, PACKET_VNET_HDR)}},
    {CALL(setsockopt), "super-frames", {ARG(1, EQUAL, SOL_PACKET), ARG(2, EQUAL, PACKET_COPY_THRESH)}},
    {CALL(setsockopt), "no frames of this host", {ARG(1, EQUAL, SOL_PACKET), ARG(2, EQUAL, PACKET_IGNORE_OUTGOING)}},
    {CALL(setsockopt), "ring", {ARG(1, EQUAL, SOL_PACKET), ARG(2, EQUAL, PACKET_RX_RING)}},
    {CALL(setsockopt), "transmit ring", {ARG(1, EQUAL, SOL_PACKET), ARG(2, EQUAL, PACKET_TX_RING)}},
    {CALL(setsockopt), "room for super-frames; none for errors", {ARG(1, EQUAL, SOL_SOCKET), ARG(2, EQUAL, SO_RCVBUF)}},
    {CALL(setsockopt), "room for batches", {ARG(1, EQUAL, SOL_SOCKET), ARG(2, EQUAL, SO_SNDBUF)}},
    {CALL(setsockopt), "what a socket may take in, and that it takes in nothing", {ARG(1, EQUAL, SOL_SOCKET), ARG(2, EQUAL, SO_ATTACH_FILTER)}},
    {CALL(setsockopt), "no other interface", {ARG(1, EQUAL, SOL_SOCKET), ARG(2, EQUAL, SO_BINDTODEVICE)}},
    {CALL(setsockopt), "rules that share a source port", {ARG(1, EQUAL, SOL_SOCKET), ARG(2, EQUAL, SO_REUSEADDR)}},
    {CALL(setsockopt), "broadcast outputs", {ARG(1, EQUAL, SOL_SOCKET), ARG(2, EQUAL, SO_BROADCAST)}},
    {CALL(setsockopt), "fragments where a link is smaller", {ARG(1, EQUAL, IPPROTO_IP), ARG(2, EQUAL, IP_MTU_DISCOVER)}},
    {CALL(setsockopt), "a full queue counts as an error", {ARG(1, EQUAL, IPPROTO_IP), ARG(2, EQUAL, IP_RECVERR)}},
    {CALL(setsockopt), "groups leave by the configured interface", {ARG(1, EQUAL, IPPROTO_IP), ARG(2, EQUAL, IP_MULTICAST_IF)}},
    {CALL(setsockopt), "and do not come back", {ARG(1, EQUAL, IPPROTO_IP), ARG(2, EQUAL, IP_MULTICAST_LOOP)}},
    {CALL(setsockopt), "groups of others are none of ours", {ARG(1, EQUAL, IPPROTO_IP), ARG(2, EQUAL, IP_MULTICAST_ALL)}},
    {CALL(setsockopt), "joins", {ARG(1, EQUAL, IPPROTO_IP), ARG(2, EQUAL, MCAST_JOIN_GROUP)}},
    {CALL(setsockopt), "leaves", {ARG(1, EQUAL, IPPROTO_IP), ARG(2, EQUAL, MCAST_LEAVE_GROUP)}},
    {CALL(setsockopt), "joins for one sender", {ARG(1, EQUAL, IPPROTO_IP), ARG(2, EQUAL, MCAST_JOIN_SOURCE_GROUP)}},
    {CALL(setsockopt), "leaves for one sender", {ARG(1, EQUAL, IPPROTO_IP), ARG(2, EQUAL, MCAST_LEAVE_SOURCE_GROUP)}},
    {CALL(setsockopt), "the same as IP_MTU_DISCOVER", {ARG(1, EQUAL, IPPROTO_IPV6), ARG(2, EQUAL, IPV6_MTU_DISCOVER)}},
    {CALL(setsockopt), "the same as IP_RECVERR", {ARG(1, EQUAL, IPPROTO_IPV6), ARG(2, EQUAL, IPV6_RECVERR)}},
    {CALL(setsockopt), "the same as IP_MULTICAST_IF", {ARG(1, EQUAL, IPPROTO_IPV6), ARG(2, EQUAL, IPV6_MULTICAST_IF)}},
    {CALL(setsockopt), "the same as IP_MULTICAST_LOOP", {ARG(1, EQUAL, IPPROTO_IPV6), ARG(2, EQUAL, IPV6_MULTICAST_LOOP)}},
    {CALL(setsockopt), "raw outputs bring their header", {ARG(1, EQUAL, IPPROTO_IPV6), ARG(2, EQUAL, IPV6_HDRINCL)}},
    {CALL(setsockopt), "joins", {ARG(1, EQUAL, IPPROTO_IPV6), ARG(2, EQUAL, MCAST_JOIN_GROUP)}},
    {CALL(setsockopt), "leaves", {ARG(1, EQUAL, IPPROTO_IPV6), ARG(2, EQUAL, MCAST_LEAVE_GROUP)}},
    {CALL(setsockopt), "joins for one sender", {ARG(1, EQUAL, IPPROTO_IPV6), ARG(2, EQUAL, MCAST_JOIN_SOURCE_GROUP)}},
    {CALL(setsockopt), "leaves for one sender", {ARG(1, EQUAL, IPPROTO_IPV6), ARG(2, EQUAL, MCAST_LEAVE_SOURCE_GROUP)}},
    {CALL(setsockopt), "whether the kernel cuts batches", {ARG(1, EQUAL, IPPROTO_UDP), ARG(2, EQUAL, UDP_SEGMENT)}},
    {CALL(getsockopt), "whether a ring takes super-frames", {ARG(1, EQUAL, SOL_PACKET), ARG(2, EQUAL, PACKET_VNET_HDR_SZ)}},
    {CALL(getsockopt), "clears what an earlier ring has counted", {ARG(1, EQUAL, SOL_PACKET), ARG(2, EQUAL, PACKET_STATISTICS)}},
    {CALL(getsockopt), "how much room there is", {ARG(1, EQUAL, SOL_SOCKET), ARG(2, EQUAL, SO_RCVBUF)}},
    {CALL(ioctl), "index of an interface", {ARG(1, EQUAL, SIOCGIFINDEX)}},
    {CALL(ioctl), "its MTU", {ARG(1, EQUAL, SIOCGIFMTU)}},
    {CALL(ioctl), "its kind and hardware address", {ARG(1, EQUAL, SIOCGIFHWADDR)}},
    {CALL(mmap), "statistics, the head of the records in them too", {ARG(2, EXACT, PROT_READ | PROT_WRITE), ARG(3, EXACT, MAP_SHARED)}},
    {CALL(mmap2), "elsewhere: the same", {ARG(2, EXACT, PROT_READ | PROT_WRITE), ARG(3, EXACT, MAP_SHARED)}},
    {CALL(mmap), "rare: malloc of what is large", {ARG(2, EXACT, PROT_READ | PROT_WRITE), ARG(3, EXACT, MAP_PRIVATE | MAP_ANONYMOUS)}},
    {CALL(mmap2), "elsewhere: the same", {ARG(2, EXACT, PROT_READ | PROT_WRITE), ARG(3, EXACT, MAP_PRIVATE | MAP_ANONYMOUS)}},
    {CALL(munmap), "the same, given back", {{0}}},
    {CALL(mremap), "rare: realloc of what is large", {ARG(3, EXACT, MREMAP_MAYMOVE)}},
    {CALL(madvise), "elsewhere: free", {ARG(2, EQUAL, MADV_DONTNEED)}},
    {CALL(brk), "malloc", {{0}}},
    {CALL(clock_gettime), "elsewhere: time, where the vDSO has no clock", {{0}}},
    {CALL(clock_gettime64), "elsewhere: the same", {{0}}},
    {CALL(getpid), "elsewhere: rtnetlink, in the C library", {{0}}},
    {CALL(geteuid), "owner of the config file", {{0}}},
    {CALL(geteuid32), "elsewhere: the same", {{0}}},
    {CALL(getrandom), "rare: malloc", {{0}}},
    {CALL(futex), "rare: locks of the C library", {ARG(1, EQUAL, FUTEX_WAIT_PRIVATE)}},
    {CALL(futex), "rare: the same", {ARG(1, EQUAL, FUTEX_WAKE_PRIVATE)}},
    {CALL(prctl), "verifies that this filter is in force", {ARG(0, EQUAL, PR_GET_SECCOMP)}},
    {CALL(rt_sigreturn), "rare: return from a signal", {{0}}},
    {CALL(sigreturn), "elsewhere: the same", {{0}}},
    {CALL(rt_sigprocmask), "rare: abort", {{0}}},
    {CALL(restart_syscall), "rare: after a stop and continue", {{0}}},
    {CALL(exit), "rare: end", {{0}}},
    {CALL(exit_group), "end", {{0}}},
};

// Harmless queries of the C library, which works without an answer.
static const struct row refused_by_both[] = {
    {CALL(sysinfo), "qsort, how much memory there is", {{0}}},
    {CALL(ioctl), "stdio, whether it writes to a terminal", {ARG(1, EQUAL, TCGETS)}},
    {CALL(tgkill), "abort; what follows there is an instruction that ends the process", {{0}}},
};

// Calls that neither this program nor its libraries ever make: a process that makes one is compromised, and is killed.
// All other calls fail with ENOSYS, which the C library handles.
static const struct row kills_both[] = {
    {CALLS(SCMP_SYS(execve), SCMP_SYS(execveat)), "another program", {{0}}},
    {CALLS(SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(clone), SCMP_SYS(clone3)), "another process", {{0}}},
    {CALLS(SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(process_madvise),
           SCMP_SYS(pidfd_getfd), SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_send_signal), SCMP_SYS(kcmp), SCMP_SYS(kill),
           SCMP_SYS(tkill), SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(rt_tgsigqueueinfo)), "other processes", {{0}}},
    {CALLS(SCMP_SYS(prlimit64), SCMP_SYS(setrlimit)), "limits, its own too", {{0}}},
    {CALLS(SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(fsopen),
           SCMP_SYS(fsmount), SCMP_SYS(mount_setattr), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
           SCMP_SYS(open_by_handle_at)), "other files", {{0}}},
    {CALLS(SCMP_SYS(unshare), SCMP_SYS(setns)), "other namespaces", {{0}}},
    {CALLS(SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setresuid), SCMP_SYS(setresgid), SCMP_SYS(setreuid),
           SCMP_SYS(setregid), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups), SCMP_SYS(capset),
           SCMP_SYS(personality), SCMP_SYS(setuid32), SCMP_SYS(setgid32), SCMP_SYS(setresuid32),
           SCMP_SYS(setresgid32), SCMP_SYS(setreuid32), SCMP_SYS(setregid32), SCMP_SYS(setfsuid32),
           SCMP_SYS(setfsgid32), SCMP_SYS(setgroups32)), "other rights", {{0}}},
    {CALLS(SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
           SCMP_SYS(io_uring_register), SCMP_SYS(userfaultfd), SCMP_SYS(init_module), SCMP_SYS(finit_module),
           SCMP_SYS(delete_module), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(iopl), SCMP_SYS(ioperm),
           SCMP_SYS(modify_ldt), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key)),
     "what the kernel runs for others", {{0}}},
    {CALLS(SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4)), "callers", {{0}}},
    {CALLS(SCMP_SYS(mprotect), SCMP_SYS(pkey_mprotect)), "code that is not the program's", {{0}}},
};

static const struct row kills_relay[] = {
    {CALLS(SCMP_SYS(writev), SCMP_SYS(write)), "the way back into a source zone", {ARG(0, FROM, SANDBOX_INGRESS_FD)}},
    {CALLS(SCMP_SYS(mmap), SCMP_SYS(mmap2)), "code that is not the program's", {ARG(2, WITH, PROT_EXEC)}},
    {CALLS(SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(bind), SCMP_SYS(connect)), "a way of its own", {{0}}},
    {CALLS(SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg)), "an address of its own", {{0}}},
    {CALLS(SCMP_SYS(pwritev), SCMP_SYS(pwritev2), SCMP_SYS(pwrite64), SCMP_SYS(sendfile),
           SCMP_SYS(sendfile64), SCMP_SYS(splice), SCMP_SYS(tee), SCMP_SYS(vmsplice)), "what goes round writev", {{0}}},
    {CALLS(SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3)), "an ingress socket below its bound", {{0}}},
    {CALLS(SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(creat), SCMP_SYS(memfd_create),
           SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
           SCMP_SYS(truncate), SCMP_SYS(ftruncate), SCMP_SYS(truncate64), SCMP_SYS(ftruncate64),
           SCMP_SYS(fallocate)), "a file", {{0}}},
};
// clang-format on

enum answer { ALLOWED, REFUSED, KILLED };

#define ALL(rows) rows, sizeof(rows) / sizeof((rows)[0])
#define OF(role)  (1u << (role))

static const struct list {
    unsigned roles;
    const char *process; // the role, as it is printed
    enum answer answer;
    const struct row *rows;
    size_t n;
} lists[] = {
    {OF(SANDBOX_RELAY), "relay", ALLOWED, ALL(relay_allows)},
    {OF(SANDBOX_BROKER), "broker", ALLOWED, ALL(broker_allows)},
    {OF(SANDBOX_RELAY), "relay", KILLED, ALL(kills_relay)},
    {OF(SANDBOX_RELAY) | OF(SANDBOX_BROKER), "both", KILLED, ALL(kills_both)},
    {OF(SANDBOX_RELAY) | OF(SANDBOX_BROKER), "both", REFUSED, ALL(refused_by_both)},
};

#define N_LISTS (sizeof(lists) / sizeof(lists[0]))

// --- the filter ------------------------------------------------------------------------------------------------------

static struct scmp_arg_cmp compare(const struct condition *c)
{
    switch (c->match) {
    case EXACT:
        return SCMP_CMP(c->argument, SCMP_CMP_EQ, c->value, 0);
    case BELOW:
        // The kernel uses only the lower 32 bits of a descriptor. The comparison is made on all 64, so a call with
        // upper bits set is refused.
        return SCMP_CMP(c->argument, SCMP_CMP_LT, c->value, 0);
    case FROM:
        return SCMP_CMP(c->argument, SCMP_CMP_GE, c->value, 0);
    case WITH:
        return SCMP_CMP(c->argument, SCMP_CMP_MASKED_EQ, c->value, c->value);
    case WITHOUT:
        return SCMP_CMP(c->argument, SCMP_CMP_MASKED_EQ, c->value, 0);
    case TYPE:
        return SCMP_CMP(c->argument, SCMP_CMP_MASKED_EQ, UINT32_MAX & ~TYPE_FLAGS, c->value);
    default: // EQUAL
        return SCMP_CMP(c->argument, SCMP_CMP_MASKED_EQ, UINT32_MAX, c->value);
    }
}

// libseccomp gives what another architecture has numbers below 0.
static bool is_here(int call)
{
    return call >= 0;
}

static uint32_t action_of(enum answer answer, bool log_only)
{
    if (answer == ALLOWED)
        return SCMP_ACT_ALLOW;
    return log_only ? SCMP_ACT_LOG : answer == REFUSED ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS;
}

static int add(scmp_filter_ctx ctx, const struct list *list, bool log_only)
{
    for (const struct row *row = list->rows; row < list->rows + list->n; row++) {
        struct scmp_arg_cmp args[ARGS_MAX];
        unsigned n_args = 0;
        for (size_t j = 0; j < ARGS_MAX; j++)
            if (row->where[j].match != ANY)
                args[n_args++] = compare(&row->where[j]);
        for (const int *call = row->calls; call < row->calls + row->n; call++) {
            if (!is_here(*call))
                continue;
            int rc = seccomp_rule_add_array(ctx, action_of(list->answer, log_only), *call, n_args, args);
            // -EACCES: the row's action is the default action already (SANDBOX_LOG).
            if (rc != 0 && rc != -EACCES)
                return rc;
        }
    }
    return 0;
}

// Adds all of the role's rows, and writes the program to fd.
static int build(scmp_filter_ctx ctx, enum sandbox_role role, bool log_only, int fd)
{
    // A call of another ABI of this machine kills the process.
    int rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

    for (const struct list *list = lists; rc == 0 && list < lists + N_LISTS; list++)
        if (list->roles & OF(role))
            rc = add(ctx, list, log_only);
    return rc == 0 ? seccomp_export_bpf(ctx, fd) : rc;
}

// libseccomp 2.5.4 may go round forever where an allocation failed. The signal ends the process, before the other one
// gives up (HELLO_SECONDS).
#define BUILD_TIME_S 10

static int build_in_time(enum sandbox_role role, bool log_only, int fd)
{
    alarm(BUILD_TIME_S);
    scmp_filter_ctx ctx = seccomp_init(log_only ? SCMP_ACT_LOG : SCMP_ACT_ERRNO(ENOSYS));
    int rc = ctx ? build(ctx, role, log_only, fd) : -ENOMEM;

    if (ctx)
        seccomp_release(ctx);
    alarm(0);
    return rc;
}

// Loads the program of fd.
static int load(int fd)
{
    static struct sock_filter program[BPF_MAXINSNS + 1]; // the kernel refuses one that is longer
    ssize_t size = pread(fd, program, sizeof(program), 0);
    if (size < 0)
        return -errno;

    struct sock_fprog loaded = {.len = (unsigned short) ((size_t) size / sizeof(program[0])), .filter = program};
    // Without rights sandbox_drop() was not called, which sets it too.
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &loaded) != 0)
        return -errno;
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER ? 0 : -EPERM;
}

bool sandbox_filter(enum sandbox_role role, enum sandbox_mode mode)
{
    if (mode == SANDBOX_OFF)
        return true;

    int fd = memfd_create("mcr-filter", MFD_CLOEXEC);
    int rc = fd == -1 ? -errno : build_in_time(role, mode == SANDBOX_LOG, fd);

    if (rc == 0)
        rc = load(fd);
    if (fd != -1)
        close(fd);
    if (rc == 0)
        return true;
    log_error(EVENT_SANDBOX_FILTER, "role=%s error=\"%s\" reason=\"the system call filter cannot be loaded\"",
              sandbox_role_name(role), strerror(-rc));
    return false;
}

// --- the list for a reviewer -----------------------------------------------------------------------------------------

#define CONDITIONS_MAX 160

// Writes the conditions of a row: "arg0 = AF_INET (0x2), arg1 is SOCK_RAW (0x3)". Returns text.
static const char *describe(const struct row *row, char text[CONDITIONS_MAX])
{
    static const char *const matches[] = {[EQUAL] = "=", [TYPE] = "is",  [EXACT] = "==",     [BELOW] = "<",
                                          [FROM] = ">=", [WITH] = "has", [WITHOUT] = "lacks"};
    size_t used = 0;

    text[0] = '\0';
    for (const struct condition *c = row->where; c < row->where + ARGS_MAX; c++)
        if (c->match != ANY && used < CONDITIONS_MAX)
            used += (size_t) snprintf(text + used, CONDITIONS_MAX - used, "%sarg%u %s %s (%#" PRIx64 ")",
                                      used ? ", " : "", c->argument, matches[c->match], c->text, c->value);
    return text;
}

static int width_of_conditions(void)
{
    size_t most = 0;
    char text[CONDITIONS_MAX];

    for (const struct list *list = lists; list < lists + N_LISTS; list++)
        for (size_t i = 0; i < list->n; i++)
            if (strlen(describe(&list->rows[i], text)) > most)
                most = strlen(text);
    return (int) most;
}

bool sandbox_list(FILE *to)
{
    static const char *const answers[] = {[ALLOWED] = "allow", [REFUSED] = "EPERM", [KILLED] = "kill"};
    static const char line[] = "%-7s  %-6s  %-17s  %-*s  %s\n";
    const int width = width_of_conditions();

    fprintf(to, line, "PROCESS", "ANSWER", "CALL", width, "IF", "WHY");
    for (const struct list *list = lists; list < lists + N_LISTS; list++)
        for (const struct row *row = list->rows; row < list->rows + list->n; row++)
            for (const int *call = row->calls; call < row->calls + row->n; call++) {
                char text[CONDITIONS_MAX];
                if (!is_here(*call))
                    continue;
                char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, *call);
                fprintf(to, line, list->process, answers[list->answer], name ? name : "?", width, describe(row, text),
                        row->why);
                free(name);
            }
    fprintf(to, line, "both", "ENOSYS", "any other", width, "", "not needed");
    fprintf(to, line, "both", "kill", "any", width, "of another architecture", "not needed");
    fputs(
        "\n"
        "arg0 is the first argument. = and is look at its lower 32 bits; is leaves out\n"
        "SOCK_CLOEXEC and SOCK_NONBLOCK. ==, <, >=, has and lacks look at all 64 bits.\n",
        to);
    return fflush(to) == 0 && !ferror(to);
}
