// SPDX-License-Identifier: Apache-2.0
// Runs mcrd and makes one system call of one of its processes fail, once: the n-th of a name since the test has said
// so (fault.h). The kernel does not see that call, but for close(2), which Linux always does. Calls of the dynamic
// linker are left alone: they come before main().
//
// usage: fault PAGE LOG PRELOAD COMMAND...
//
// PRELOAD is the command's LD_PRELOAD, or empty. LOG gets a line for each call, if the page asks for it:
// EPOCH WHO NAME NTH RESULT KIND ARGUMENT...
// where KIND is what the first argument is as a descriptor, before the call: socket, pipe, memfd, file, other, or -.
//
// COMMAND keeps the pid; who traces it is a child of init. Linux 5.3 and later, x86-64 and arm64; else exit status 77.
#include <config.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"

#if defined(__x86_64__) || defined(__aarch64__)

// linux/ptrace.h, which does not go with sys/ptrace.h.
struct call_info {
    uint8_t op, pad[3];
    uint32_t arch;
    uint64_t ip, sp;
    union {
        struct {
            uint64_t number, args[6];
        } entry;
        struct {
            int64_t result;
            uint8_t is_error;
        } exit;
    };
};

#define GET_SYSCALL_INFO 0x420e
#define CALL_ENTRY       1
#define CALL_EXIT        2
#define STOP             (SIGTRAP | 0x80)
#define CALLS_MAX        1024 // numbers of system calls
#define OPTIONS                                                                                                        \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |     \
     PTRACE_O_EXITKILL)

struct process {
    pid_t pid; // 0: has ended
    uint32_t epoch, counts[CALLS_MAX];
    uint64_t linker, linker_end; // where the dynamic linker lies
    struct call_info call;
    const char *kind;
    int64_t program_break; // brk(2) tells that it has failed by giving the old one
    bool counted, fails;
};

static struct process processes[2]; // FAULT_*
static struct fault_page *page;
static const char *names[CALLS_MAX];
static int log_fd;
static int brk_number;
static bool begun; // the command runs

// Skips a call at its entry.
static void skip(pid_t pid)
{
#ifdef __x86_64__
    ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), -1L);
#else
    int none = -1;
    struct iovec io = {&none, sizeof(none)};
    ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &io);
#endif
}

// Sets the result at a call's exit.
static void set_result(pid_t pid, long result)
{
#ifdef __x86_64__
    ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), result);
#else
    struct user_regs_struct regs;
    struct iovec io = {&regs, sizeof(regs)};
    if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &io) == 0) {
        regs.regs[0] = (unsigned long long) result;
        ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &io);
    }
#endif
}

static void find_linker(struct process *p)
{
    char path[64], line[512];
    uint64_t from, to;

    p->linker = p->linker_end = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int) p->pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f))
        if ((strstr(line, "/ld-") || strstr(line, "/ld.so")) && sscanf(line, "%" SCNx64 "-%" SCNx64, &from, &to) == 2) {
            p->linker = p->linker ? p->linker : from;
            p->linker_end = to;
        }
    if (f)
        fclose(f);
}

static const char *name_of(uint64_t number)
{
    if (number >= CALLS_MAX)
        return "?";
    if (!names[number])
        names[number] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int) number);
    return names[number] ? names[number] : "?";
}

static const char *kind_of(const struct process *p)
{
    static const char *const kinds[][2] = {{"socket:", "socket"}, {"pipe:", "pipe"}, {"/memfd:", "memfd"},
                                           {"/dev/", "other"},    {"/", "file"},     {"", "other"}};
    char path[64], to[64] = "";
    size_t i = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int) p->pid, (int) p->call.entry.args[0]);
    if (readlink(path, to, sizeof(to) - 1) < 0)
        return "-";
    while (strncmp(to, kinds[i][0], strlen(kinds[i][0])) != 0)
        i++;
    return kinds[i][1];
}

static void on_entry(struct process *p)
{
    uint64_t number = p->call.entry.number;

    p->counted = begun && number < CALLS_MAX && !(p->call.ip >= p->linker && p->call.ip < p->linker_end);
    p->fails = false;
    if (p->epoch != page->epoch) {
        p->epoch = page->epoch;
        memset(p->counts, 0, sizeof(p->counts));
    }
    if (!p->counted)
        return;
    p->counts[number]++;
    p->fails = page->who == (uint32_t) (p - processes) && page->nth == p->counts[number] && page->hit != page->epoch &&
               strncmp(page->call, name_of(number), sizeof(page->call)) == 0;
    p->kind = page->log || p->fails ? kind_of(p) : "-";
    p->fails = p->fails && (!page->kind[0] || strncmp(page->kind, p->kind, sizeof(page->kind)) == 0);
    if (!p->fails)
        return;
    page->hit = page->epoch;
    if (strcmp(page->call, "close") != 0)
        skip(p->pid);
}

static void on_exit_of_call(struct process *p, int64_t result)
{
    char line[256];

    bool is_break = p->call.entry.number == (uint64_t) brk_number;

    if (p->fails) {
        result = is_break ? p->program_break : -(int64_t) page->error;
        set_result(p->pid, (long) result);
    }
    if (is_break)
        p->program_break = result;
    if (!p->counted || !page->log)
        return;
    uint64_t number = p->call.entry.number;
    int n = snprintf(line, sizeof(line), "%u %u %s %u %" PRId64 " %s", p->epoch, (unsigned) (p - processes),
                     name_of(number), p->counts[number], result, p->kind);
    for (int i = 0; i < 6; i++)
        n += snprintf(line + n, sizeof(line) - (size_t) n, " %" PRIx64, p->call.entry.args[i]);
    line[n++] = '\n';
    if (write(log_fd, line, (size_t) n) != n)
        _exit(1);
}

static void on_call(struct process *p)
{
    struct call_info info = {.op = 0};

    if (ptrace(GET_SYSCALL_INFO, p->pid, sizeof(info), &info) <= 0)
        return;
    if (info.op == CALL_ENTRY) {
        p->call = info;
        on_entry(p);
    } else if (info.op == CALL_EXIT) {
        on_exit_of_call(p, info.exit.result);
    }
}

static struct process *process_of(pid_t pid)
{
    for (int i = 0; i < 2; i++)
        if (processes[i].pid == pid)
            return &processes[i];
    return NULL;
}

static void trace(pid_t first)
{
    int status;

    brk_number = seccomp_syscall_resolve_name("brk");
    processes[FAULT_RELAY].pid = first;
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0)
            return;
        struct process *p = process_of(pid);
        if (!p && WIFSTOPPED(status)) {
            p = &processes[FAULT_BROKER];
            *p = (struct process){.pid = pid, .program_break = processes[FAULT_RELAY].program_break};
            page->ended[FAULT_BROKER] = -1;
            find_linker(p);
        }
        if (!WIFSTOPPED(status)) {
            if (p) {
                page->ended[p - processes] = status + 1;
                p->pid = 0;
            }
            continue;
        }
        int number = WSTOPSIG(status), event = status >> 16;
        if (number == STOP)
            on_call(p);
        if (event == PTRACE_EVENT_EXEC) {
            find_linker(p);
            begun = true;
        }
        if (event == PTRACE_EVENT_STOP && (number == SIGSTOP || number == SIGTSTP))
            ptrace(PTRACE_LISTEN, pid, 0, 0);
        else
            ptrace(PTRACE_SYSCALL, pid, 0, event || number == STOP ? 0 : number);
    }
}

// Waits until somebody traces the caller, and becomes the command.
static void become(int traced, char **command)
{
    char c;

    if (read(traced, &c, 1) != 1)
        _exit(77);
    close(traced);
    if (command[-1][0])
        setenv("LD_PRELOAD", command[-1], 1);
    execvp(command[0], command);
    _exit(127);
}

int main(int argc, char **argv)
{
    int ends[2];
    int fd = argc >= 5 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;

    if (argc < 5 || fd < 0 || (log_fd = open(argv[2], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) < 0)
        return 2;
    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED || pipe2(ends, O_CLOEXEC) != 0)
        return 2;
    close(fd);
    page->ended[0] = page->ended[1] = 0;
    pid_t first = getpid(), child = fork();
    if (child == 0) {
        if (fork() != 0)
            _exit(0);
        setsid();
        close(ends[0]);
        // Not the descriptors that mcrd is handed, nor its output: who waits for their end waits for mcrd alone.
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int i = 0; i < 3 && null >= 0; i++)
            dup2(null, i);
        for (int i = 3; i < 256; i++)
            if (i != ends[1] && i != log_fd)
                close(i);
        if (ptrace(PTRACE_SEIZE, first, 0, OPTIONS) != 0 || ptrace(PTRACE_INTERRUPT, first, 0, 0) != 0)
            _exit(1);
        if (write(ends[1], "", 1) == 1)
            trace(first);
        _exit(0);
    }
    close(ends[1]);
    close(log_fd);
    if (child > 0)
        waitpid(child, NULL, 0);
    become(ends[0], argv + 4);
}

#else

int main(void)
{
    return 77;
}

#endif
