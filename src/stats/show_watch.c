// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/show.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "stats/text.h"

#define NS_PER_S 1000000000

struct watch {
    const char *path;
    double seconds;
    bool json;
    bool screen; // redraws a terminal in place
    bool keys;   // stdin is that terminal
    struct stats_snapshot now, before;
    bool has_before;
    char *why; // of the last failure; empty while the daemon is there
    struct termios saved;
    sigset_t outside; // the signals that were blocked before
};

static volatile sig_atomic_t stopped, resized;

static void on_signal(int number)
{
    if (number == SIGWINCH)
        resized = 1;
    else
        stopped = 1;
}

// --- the terminal ----------------------------------------------------------------------------------------------------

// The signals come only while we wait: nothing is left half done.
static void begin_signals(struct watch *w)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        sigaddset(&set, numbers[i]);
        sigaction(numbers[i], &action, NULL);
    }
    sigprocmask(SIG_BLOCK, &set, &w->outside);
    stopped = resized = 0;
}

// Of the private modes, 1049 is the alternate screen, 25 the cursor and 7 wrapping (xterm's ctlseqs).
static void begin_screen(struct watch *w)
{
    struct termios t;

    fputs("\033[?1049h\033[?25l\033[?7l", stdout);
    w->keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &w->saved) == 0;
    if (!w->keys)
        return;
    t = w->saved;
    t.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
    // A stop by ^Z would leave the terminal to the shell as it is now.
    t.c_cc[VSUSP] = _POSIX_VDISABLE;
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &t);
}

static void end_screen(const struct watch *w)
{
    fputs("\033[?7h\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    if (w->keys)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &w->saved);
}

static int screen_rows(void)
{
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 ? size.ws_row : 24;
}

// --- frames ----------------------------------------------------------------------------------------------------------

static void write_table(const struct watch *w, FILE *to)
{
    struct show_style style = show_style_of(STDOUT_FILENO);
    struct stats_delta d;
    // Nothing is known about now while the daemon is away.
    bool has_delta = w->has_before && !*w->why && stats_delta_make(&d, &w->now, &w->before);
    struct show_view view = {.now = &w->now, .d = has_delta ? &d : NULL, .rates = true};

    show_table(&view, &style, to);
    if (has_delta)
        stats_delta_free(&d);
}

// The last line of the screen. `more` counts the lines that found no room.
static void draw_status(const struct watch *w, int more)
{
    char time[TEXT_NUMBER_MAX];

    fputs("\033[K", stdout);
    if (*w->why)
        printf("\033[7mq ends\033[0m  waiting for mcrd, last seen %s", text_time(time, w->now.realtime_ns));
    else
        printf("\033[7mq ends\033[0m  every %g s  %s", w->seconds, text_time(time, w->now.realtime_ns));
    if (more > 0)
        printf("  %d more line%s below", more, more == 1 ? "" : "s");
}

static void draw_screen(const struct watch *w)
{
    char *text = NULL, *rest;
    size_t size;
    int rows = screen_rows(), used = 0, more = 0;
    FILE *memory = open_memstream(&text, &size);

    if (!memory)
        return;
    if (*w->why) {
        struct show_style style = show_style_of(STDOUT_FILENO);
        show_notice(w->why, &style, memory);
        fputc('\n', memory);
    }
    write_table(w, memory);
    if (fclose(memory) != 0) {
        free(text);
        return;
    }
    rest = text;
    fputs("\033[H", stdout);
    for (char *line; (line = strsep(&rest, "\n")) != NULL && rest;) {
        if (++used < rows)
            printf("\033[K%s\r\n", line); // erased first: behind a full line it would take the last character
        else
            more++;
    }
    fputs("\033[J", stdout);
    printf("\033[%d;1H", rows);
    draw_status(w, more);
    free(text);
}

// Whether it was written.
static bool show(const struct watch *w)
{
    char time[TEXT_NUMBER_MAX];

    if (w->json) {
        return show_json(&w->now, stdout, true);
    } else if (w->screen) {
        draw_screen(w);
    } else {
        printf("--- %s\n", text_time(time, w->now.realtime_ns));
        write_table(w, stdout);
        fputc('\n', stdout);
    }
    return fflush(stdout) == 0 && !ferror(stdout);
}

// --- the loop --------------------------------------------------------------------------------------------------------

static void read_keys(struct watch *w)
{
    char keys[64];
    ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

    if (n <= 0) {
        w->keys = false;
        return;
    }
    for (ssize_t i = 0; i < n; i++)
        if (keys[i] == 'q' || keys[i] == 'Q')
            stopped = 1;
}

static void wait_until(struct watch *w, const struct timespec *until)
{
    while (!stopped) {
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        struct timespec now, left;
        clock_gettime(CLOCK_MONOTONIC, &now);
        left.tv_sec = until->tv_sec - now.tv_sec;
        left.tv_nsec = until->tv_nsec - now.tv_nsec;
        if (left.tv_nsec < 0) {
            left.tv_sec--;
            left.tv_nsec += NS_PER_S;
        }
        if (left.tv_sec < 0)
            return;
        int n = ppoll(&in, w->keys ? 1 : 0, &left, &w->outside);
        if (n > 0)
            read_keys(w);
        else if (n == 0)
            return;
        if (resized && w->screen) {
            resized = 0;
            draw_screen(w);
            fflush(stdout);
        }
    }
}

static void add(struct timespec *t, double seconds)
{
    t->tv_sec += (time_t) seconds;
    t->tv_nsec += (long) ((seconds - (double) (time_t) seconds) * NS_PER_S);
    if (t->tv_nsec >= NS_PER_S) {
        t->tv_sec++;
        t->tv_nsec -= NS_PER_S;
    }
}

// Takes the next snapshot, and keeps the one that is shown when there is none to take.
static bool advance(struct watch *w)
{
    struct stats_snapshot next;

    if (!stats_snapshot_take(&next, w->path, w->why))
        return false;
    *w->why = '\0';
    stats_snapshot_free(&w->before);
    w->before = w->now;
    w->has_before = w->before.memory != NULL;
    w->now = next;
    return true;
}

// Goes on from the first snapshot. Whether it ended as it was asked to.
static bool run(struct watch *w)
{
    struct timespec next, now;

    clock_gettime(CLOCK_MONOTONIC, &next);
    for (;;) {
        if (!show(w)) {
            snprintf(w->why, STATS_WHY_MAX, "cannot write to the standard output");
            return false;
        }
        add(&next, w->seconds);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > next.tv_sec + 1)
            next = now; // was suspended: what was missed is not made up for
        wait_until(w, &next);
        if (stopped)
            return true;
        if (!advance(w) && !w->screen)
            return false;
    }
}

int show_watch(const char *path, double seconds, bool json, char why[STATS_WHY_MAX])
{
    struct watch w = {.path = path, .seconds = seconds, .json = json, .why = why};
    bool ok;

    // A daemon that is not there at the start is more likely a wrong path than one to wait for.
    if (!stats_snapshot_take(&w.now, path, why))
        return EXIT_FAILURE;
    *why = '\0';
    w.screen = !json && isatty(STDOUT_FILENO);
    begin_signals(&w);
    if (w.screen)
        begin_screen(&w);
    ok = run(&w);
    if (w.screen)
        end_screen(&w);
    stats_snapshot_free(&w.now);
    stats_snapshot_free(&w.before);
    if (ok)
        *why = '\0';
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
