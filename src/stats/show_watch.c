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

#include "stats/keys.h"
#include "stats/text.h"

#define NS_PER_S 1000000000

struct watch {
    const char *path;
    double seconds;
    bool json;
    bool screen;   // redraws a terminal in place
    bool has_keys; // stdin is that terminal
    struct keys keys;
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
    w->has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &w->saved) == 0;
    if (!w->has_keys)
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
    if (w->has_keys)
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
    // Without memory all of them are shown.
    uint32_t *rules = calloc(w->now.at.header->n_rules + 1, sizeof(*rules));

    view.rules = rules;
    if (rules)
        view.n_rules = stats_order(&w->now, view.d, w->keys.sort, w->keys.filter, rules);
    show_table(&view, &style, to);
    if (rules && view.n_rules == 0 && *w->keys.filter)
        fprintf(to, "none contains \"%s\"\n", w->keys.filter);
    free(rules);
    if (has_delta)
        stats_delta_free(&d);
}

// The last line of the screen. `more` counts the lines that found no room.
static void draw_status(const struct watch *w, int more)
{
#define TEXT(NAME, text) text,
    static const char *const sorts[] = {STATS_SORTS(TEXT)};
    const struct keys *k = &w->keys;
    char time[TEXT_NUMBER_MAX];

    fputs("\033[K", stdout);
    if (k->typing) {
        printf("/%s\033[7m \033[0m  Enter keeps it, Esc shows all", k->filter);
        return;
    }
    fputs(k->paused ? "\033[7m PAUSED \033[0m " : "\033[7m ? help \033[0m ", stdout);
    if (*w->why)
        printf("waiting for mcrd, last seen %s", text_time(time, w->now.realtime_ns));
    else
        printf("every %g s  %s", w->seconds, text_time(time, w->now.realtime_ns));
    if (k->sort != STATS_SORT_FILE)
        printf("  %s", sorts[k->sort]);
    if (*k->filter)
        printf("  /%s", k->filter);
    if (more > 0)
        printf("  %d more line%s below", more, more == 1 ? "" : "s");
}

// Writes the lines that find room, and counts those that do not.
static int draw_lines(struct watch *w, char *text, int rows)
{
    int used = 0, more = 0, lines = 0;

    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    w->keys.page = rows - 1;
    if (w->keys.scroll > lines - (rows - 1))
        w->keys.scroll = lines > rows - 1 ? lines - (rows - 1) : 0;
    int above = w->keys.scroll;
    for (char *line; (line = strsep(&text, "\n")) != NULL && text;) {
        if (above-- > 0)
            continue;
        if (++used < rows)
            printf("\033[K%s\r\n", line); // erased first: behind a full line it would take the last character
        else
            more++;
    }
    return more;
}

static void draw_screen(struct watch *w)
{
    char *text = NULL;
    size_t size;
    int rows = screen_rows();
    FILE *memory = open_memstream(&text, &size);

    if (!memory)
        return;
    if (*w->why) {
        struct show_style style = show_style_of(STDOUT_FILENO);
        show_notice(w->why, &style, memory);
        fputc('\n', memory);
    }
    if (w->keys.help)
        fprintf(memory, "%s\n", keys_help);
    write_table(w, memory);
    if (fclose(memory) != 0) {
        free(text);
        return;
    }
    fputs("\033[H", stdout);
    int more = draw_lines(w, text, rows);
    fputs("\033[J", stdout);
    printf("\033[%d;1H", rows);
    draw_status(w, more);
    free(text);
}

// Whether it was written.
static bool show(struct watch *w)
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
        w->has_keys = false;
        return;
    }
    keys_take(&w->keys, keys, (size_t) n);
    if (w->keys.quit)
        stopped = 1;
    resized = 1; // what was asked for is shown at once
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
        int n = ppoll(&in, w->has_keys ? 1 : 0, &left, &w->outside);
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
        if (!w->keys.paused && !advance(w) && !w->screen)
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
