// SPDX-License-Identifier: Apache-2.0
// Makes another process execute one system call, as code of an attacker in it would: the process is stopped by
// ptrace(2), its registers and a piece of its stack are replaced, and it runs on from the system call instruction that
// it is waiting in. Afterwards it goes on as if nothing had been. Needs the right to trace it; x86-64 only.
//
// usage: inject [--memory HEX] [--pointer AT=TO]... [--read SIZE] PID CALL [ARGUMENT...] [, CALL [ARGUMENT...]]...
//
//   --memory    what lies at the scratch address
//   --pointer   at scratch + AT: the address of scratch + TO
//   --read      prints so many bytes of the scratch afterwards
//   CALL        a name of the list below, or a number
//   ARGUMENT    a number, or @N: the address of scratch + N
//   ,           then the next call, before the process itself goes on
//
// Prints for each call "result N" (N < 0: -errno), "killed SIGNAL", "forked" (the child is killed) or "executed" (so is the process).
// Exit status: 0, 1 failed, 2 usage, 77 not here.
#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SCRATCH  8192  // bytes
#define BELOW    16384 // the stack pointer: more than the red zone, less than what the process has used before
#define POINTERS 16
#define TRIES    2000 // of 1 ms, to find it in a system call

#define CALL(name)                                                                                                     \
    {                                                                                                                  \
#name, SYS_##name                                                                                              \
    }

static const struct {
    const char *name;
    long number;
} calls[] = {
    CALL(accept),
    CALL(accept4),
    CALL(add_key),
    CALL(bind),
    CALL(bpf),
    CALL(brk),
    CALL(capset),
    CALL(chmod),
    CALL(chroot),
    CALL(clone),
    CALL(clone3),
    CALL(close),
    CALL(connect),
    CALL(creat),
    CALL(dup),
    CALL(dup2),
    CALL(dup3),
    CALL(epoll_create1),
    CALL(execve),
    CALL(execveat),
    CALL(fallocate),
    CALL(fchmod),
    CALL(fcntl),
    CALL(fork),
    CALL(fstat),
    CALL(ftruncate),
    CALL(getpid),
    CALL(getsockopt),
    CALL(inotify_add_watch),
    CALL(io_uring_setup),
    CALL(ioctl),
    CALL(kcmp),
    CALL(keyctl),
    CALL(kill),
    CALL(link),
    CALL(linkat),
    CALL(listen),
    CALL(lseek),
    CALL(memfd_create),
    CALL(mkdir),
    CALL(mknod),
    CALL(mmap),
    CALL(mount),
    CALL(mprotect),
    CALL(mq_open),
    CALL(mremap),
    CALL(open),
    CALL(openat),
    CALL(openat2),
    CALL(perf_event_open),
    CALL(munmap),
    CALL(personality),
    CALL(poll),
    CALL(pidfd_getfd),
    CALL(pidfd_open),
    CALL(pidfd_send_signal),
    CALL(prctl),
    CALL(prlimit64),
    CALL(process_vm_readv),
    CALL(process_vm_writev),
    CALL(ptrace),
    CALL(pwrite64),
    CALL(pwritev),
    CALL(read),
    CALL(recvmsg),
    CALL(rename),
    CALL(seccomp),
    CALL(sendfile),
    CALL(sendmmsg),
    CALL(sendmsg),
    CALL(sendto),
    CALL(setgroups),
    CALL(setns),
    CALL(setrlimit),
    CALL(setsockopt),
    CALL(setuid),
    CALL(shmget),
    CALL(socket),
    CALL(socketpair),
    CALL(splice),
    CALL(symlink),
    CALL(sysinfo),
    CALL(tgkill),
    CALL(tkill),
    CALL(truncate),
    CALL(unlink),
    CALL(unshare),
    CALL(userfaultfd),
    CALL(vfork),
    CALL(vmsplice),
    CALL(write),
    CALL(writev),
};

static struct {
    pid_t pid;
    int memory; // /proc/PID/mem
    uint64_t scratch;
    unsigned char bytes[SCRATCH];
    size_t pointers[POINTERS][2], n_pointers, read;
} ctx;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static long call_number(const char *text)
{
    char *end;
    long number = strtol(text, &end, 0);

    if (*text && !*end)
        return number;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (strcmp(calls[i].name, text) == 0)
            return calls[i].number;
    fprintf(stderr, "inject: unknown call %s\n", text);
    exit(2);
}

static void trace(int request, void *address, void *data, const char *what)
{
    if (ptrace((enum __ptrace_request) request, ctx.pid, address, data) != 0)
        fail(what);
}

static void wait_for_stop(int *status)
{
    if (waitpid(ctx.pid, status, __WALL) != ctx.pid)
        fail("waitpid");
}

// Stops it in a system call: what is before the instruction pointer is then the instruction.
static void stop_in_call(struct user_regs_struct *regs)
{
    static const struct timespec pause = {.tv_nsec = 1000000};
    unsigned char code[2];
    int status;

    trace(PTRACE_SEIZE, NULL,
          (void *) (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                    PTRACE_O_TRACEEXEC),
          "PTRACE_SEIZE");
    for (int i = 0; i < TRIES; i++) {
        trace(PTRACE_INTERRUPT, NULL, NULL, "PTRACE_INTERRUPT");
        wait_for_stop(&status);
        trace(PTRACE_GETREGS, NULL, regs, "PTRACE_GETREGS");
        if (pread(ctx.memory, code, 2, (off_t) regs->rip - 2) == 2 && code[0] == 0x0f && code[1] == 0x05)
            return;
        trace(PTRACE_CONT, NULL, NULL, "PTRACE_CONT");
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "inject: it never waits in a system call\n");
    exit(1);
}

// Lets it run to the next stop of the call. False when there is none: what happened has been printed.
static bool next_stop(void)
{
    int status;
    unsigned long child, signal = 0;

    for (;;) {
        trace(PTRACE_SYSCALL, NULL, (void *) signal, "PTRACE_SYSCALL");
        wait_for_stop(&status);
        signal = 0;
        if (WIFSIGNALED(status)) {
            printf("killed SIG%s\n", sigabbrev_np(WTERMSIG(status)));
            return false;
        }
        if (WIFEXITED(status)) {
            printf("exited %d\n", WEXITSTATUS(status));
            return false;
        }
        if (WSTOPSIG(status) == (SIGTRAP | 0x80))
            return true;
        switch (status >> 16) {
        case PTRACE_EVENT_EXEC:
            puts("executed");
            kill(ctx.pid, SIGKILL);
            wait_for_stop(&status);
            return false;
        case PTRACE_EVENT_FORK:
        case PTRACE_EVENT_VFORK:
        case PTRACE_EVENT_CLONE:
            trace(PTRACE_GETEVENTMSG, NULL, &child, "PTRACE_GETEVENTMSG");
            kill((pid_t) child, SIGKILL);
            waitpid((pid_t) child, &status, __WALL);
            puts("forked");
            break;
        case 0:
            signal = (unsigned long) WSTOPSIG(status);
            break;
        default:
            break;
        }
    }
}

// Whether the filter has killed it: the call then ends, and the signal is delivered behind it.
static bool is_doomed(void)
{
    char name[32], line[256];
    unsigned long long pending = 0;

    snprintf(name, sizeof(name), "/proc/%d/status", (int) ctx.pid);
    FILE *f = fopen(name, "re");
    while (f && fgets(line, sizeof(line), f) && sscanf(line, "SigPnd: %llx", &pending) != 1)
        ;
    if (f)
        fclose(f);
    return pending >> (SIGSYS - 1) & 1;
}

static void put_scratch(void)
{
    for (size_t i = 0; i < ctx.n_pointers; i++) {
        uint64_t address = ctx.scratch + ctx.pointers[i][1];
        memcpy(ctx.bytes + ctx.pointers[i][0], &address, sizeof(address));
    }
    if (pwrite(ctx.memory, ctx.bytes, SCRATCH, (off_t) ctx.scratch) != SCRATCH)
        fail("writing its memory");
}

// A call that was interrupted is made again, as the kernel would have it made (signal(7)).
static void again(struct user_regs_struct *regs)
{
    const long interrupted[] = {-512, -513, -514, -516}; // ERESTARTSYS and the like, linux/errno.h
    long result = (long) regs->rax;

    for (size_t i = 0; i < sizeof(interrupted) / sizeof(interrupted[0]); i++)
        if ((long) regs->orig_rax >= 0 && result == interrupted[i]) {
            regs->rax = result == -516 ? SYS_restart_syscall : regs->orig_rax;
            regs->rip -= 2;
        }
    regs->orig_rax = (unsigned long) -1;
}

static uint64_t argument(const char *text)
{
    return text[0] == '@' ? ctx.scratch + strtoul(text + 1, NULL, 0) : strtoull(text, NULL, 0);
}

// Makes one call and prints what came of it. False when the process is not there any more.
static bool make(const struct user_regs_struct *before, char **words, int n)
{
    struct user_regs_struct regs = *before;
    unsigned long long a[6] = {0};

    if (n < 1 || n > 7) {
        fputs("inject: a call has up to six arguments\n", stderr);
        exit(2);
    }
    for (int i = 1; i < n; i++)
        a[i - 1] = argument(words[i]);
    regs.rip -= 2;
    regs.rax = (unsigned long) call_number(words[0]);
    regs.orig_rax = (unsigned long) -1;
    regs.rdi = a[0];
    regs.rsi = a[1];
    regs.rdx = a[2];
    regs.r10 = a[3];
    regs.r8 = a[4];
    regs.r9 = a[5];
    trace(PTRACE_SETREGS, NULL, &regs, "PTRACE_SETREGS");
    if (!next_stop() || !next_stop())
        return false;
    if (is_doomed()) {
        next_stop();
        return false;
    }
    trace(PTRACE_GETREGS, NULL, &regs, "PTRACE_GETREGS");
    printf("result %lld\n", (long long) regs.rax);
    return true;
}

static int inject(char **words, int n)
{
    struct user_regs_struct before;
    unsigned char saved[SCRATCH];

    stop_in_call(&before);
    ctx.scratch = (before.rsp - BELOW) & ~UINT64_C(15);
    if (pread(ctx.memory, saved, SCRATCH, (off_t) ctx.scratch) != SCRATCH)
        fail("reading its memory");
    put_scratch();
    for (int from = 0, to; from < n; from = to + 1) {
        for (to = from; to < n && strcmp(words[to], ",") != 0; to++)
            ;
        if (!make(&before, words + from, to - from))
            return 0;
    }
    if (ctx.read) {
        if (pread(ctx.memory, ctx.bytes, ctx.read, (off_t) ctx.scratch) != (ssize_t) ctx.read)
            fail("reading its memory");
        printf("memory ");
        for (size_t i = 0; i < ctx.read; i++)
            printf("%02x", ctx.bytes[i]);
        putchar('\n');
    }
    if (pwrite(ctx.memory, saved, SCRATCH, (off_t) ctx.scratch) != SCRATCH)
        fail("writing its memory");
    again(&before);
    trace(PTRACE_SETREGS, NULL, &before, "PTRACE_SETREGS");
    trace(PTRACE_DETACH, NULL, NULL, "PTRACE_DETACH");
    return 0;
}

static bool parse_hex(const char *hex)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n && n <= SCRATCH; i++)
        if (sscanf(hex + 2 * i, "%2hhx", &ctx.bytes[i]) != 1)
            return false;
    return n <= SCRATCH;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"memory", required_argument, NULL, 'm'},
                                            {"pointer", required_argument, NULL, 'p'},
                                            {"read", required_argument, NULL, 'r'},
                                            {NULL, 0, NULL, 0}};
    char name[32];
    int c;

    while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (c == 'r' && (ctx.read = strtoul(optarg, NULL, 0)) <= SCRATCH)
            continue;
        if (c == 'm' && parse_hex(optarg))
            continue;
        if (c == 'p' && ctx.n_pointers < POINTERS &&
            sscanf(optarg, "%zu=%zu", &ctx.pointers[ctx.n_pointers][0], &ctx.pointers[ctx.n_pointers][1]) == 2 &&
            ctx.pointers[ctx.n_pointers++][0] <= SCRATCH - 8)
            continue;
        return 2;
    }
    if (argc - optind < 2)
        return 2;
    ctx.pid = (pid_t) strtol(argv[optind], NULL, 10);
    snprintf(name, sizeof(name), "/proc/%d/mem", (int) ctx.pid);
    ctx.memory = open(name, O_RDWR | O_CLOEXEC);
    if (ctx.memory < 0)
        fail(name);
    return inject(argv + optind + 1, argc - optind - 1);
}

#else

int main(void)
{
    fputs("inject: only for x86-64\n", stderr);
    return 77;
}

#endif
