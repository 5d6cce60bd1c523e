// SPDX-License-Identifier: Apache-2.0
// runner: runs the unit tests that criterion/criterion.h has collected, each in a process of its own, and prints TAP.
//
//   units [SUITE | SUITE/TEST]...
#include <config.h>

#include <criterion/criterion.h>

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECONDS      900 // under an emulator
#define LONG_SECONDS 15  // of which a test tells

static struct arch_test *tests;
static int n_failed; // of this test
static FILE *said;   // where a test tells, whatever it redirects
static FILE *redirected[3];

void arch_add(struct arch_test *test)
{
    struct arch_test **at = &tests;

    while (*at && strcmp((*at)->suite, test->suite) <= 0)
        at = &(*at)->next;
    test->next = *at;
    *at = test;
}

void arch_failed(const char *file, int line, const char *what, bool last, const char *format, ...)
{
    va_list args;

    fprintf(said, "# %s:%d: %s:", file, line, what);
    va_start(args, format);
    vfprintf(said, format, args);
    va_end(args);
    fputc('\n', said);
    n_failed++;
    if (last) {
        fflush(said);
        _exit(EXIT_FAILURE);
    }
}

void arch_lacks(const char *format, ...)
{
    va_list args;

    fputs("# not here: ", said);
    va_start(args, format);
    vfprintf(said, format, args);
    va_end(args);
}

#ifdef SYS_fcntl64
#define FCNTL SYS_fcntl64
#else
#define FCNTL SYS_fcntl
#endif

// In place of libc's: qemu's F_DUPFD (7.2 to 10.0) forgets of a signalfd that its records have the byte order and the
// numbers of real-time signals of the machine outside. Its dup3 does not.
int fcntl(int fd, int command, ...)
{
    va_list args;

    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    if (command != F_DUPFD_CLOEXEC)
        return (int) syscall(FCNTL, fd, command, argument);
    int to = (int) (intptr_t) argument;
    while (syscall(FCNTL, to, F_GETFD) >= 0)
        to++;
    return (int) syscall(SYS_dup3, fd, to, O_CLOEXEC);
}

static void redirect(int fd)
{
    char path[64];
    int file = memfd_create("redirected", 0);

    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    if (file < 0 || dup2(file, fd) < 0 || !(redirected[fd] = fopen(path, "r")))
        abort();
}

void cr_redirect_stdout(void)
{
    redirect(STDOUT_FILENO);
}

void cr_redirect_stderr(void)
{
    redirect(STDERR_FILENO);
}

FILE *cr_get_redirected_stdout(void)
{
    return redirected[STDOUT_FILENO];
}

FILE *cr_get_redirected_stderr(void)
{
    return redirected[STDERR_FILENO];
}

bool arch_printed(FILE *from, const char *wanted)
{
    static char text[65536];

    fflush(NULL);
    text[fread(text, 1, sizeof(text) - 1, from)] = '\0';
    return strcmp(text, wanted) == 0;
}

static const struct arch_test *suite_of(const struct arch_test *test)
{
    for (const struct arch_test *suite = tests; suite; suite = suite->next)
        if (!suite->run && strcmp(suite->suite, test->suite) == 0)
            return suite;
    return test;
}

static void run(const struct arch_test *test)
{
    const struct arch_test *suite = suite_of(test);
    void (*init)(void) = test->init ? test->init : suite->init, (*fini)(void) = test->fini ? test->fini : suite->fini;

    alarm(SECONDS);
    if (init)
        init();
    test->run();
    if (fini)
        fini();
    fflush(said);
    _exit(n_failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

static bool is_asked_for(const struct arch_test *test, int argc, char **argv)
{
    char name[256];

    snprintf(name, sizeof(name), "%s/%s", test->suite, test->name);
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0 || strcmp(argv[i], test->suite) == 0)
            return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    int n = 0, bad = 0;

    said = fdopen(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), "w");
    if (!said)
        return 2;
    for (const struct arch_test *test = tests; test; test = test->next) {
        int status = -1;
        if (!test->run || !is_asked_for(test, argc, argv))
            continue;
        fflush(NULL);
        time_t began = time(NULL);
        pid_t child = fork();
        if (child == 0)
            run(test);
        while (child > 0 && waitpid(child, &status, 0) != child)
            ;
        if (status != 0 && WIFSIGNALED(status))
            printf("# signal %d\n", WTERMSIG(status));
        printf("%s %d - %s/%s\n", status == 0 ? "ok" : "not ok", ++n, test->suite, test->name);
        bad += status != 0;
        if (time(NULL) - began >= LONG_SECONDS)
            printf("# took %d s: %s/%s\n", (int) (time(NULL) - began), test->suite, test->name);
    }
    printf("1..%d\n", n);
    return bad || n == 0;
}
