// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/show.h"

#include <ev.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "stats/live.h"
#include "stats/text.h"

struct watch {
    const char *path;
    const struct stats_selection *only;
    double seconds;
    bool json;
    bool screen;   // redraws a terminal in place
    bool has_keys; // stdin is that terminal
    struct live live;
    struct stats_snapshot now, before; // before holds nothing at first
    char *why;                         // of the last failure; empty while the daemon is there
    bool failed;
    struct termios saved;
    struct ev_loop *loop;
};

// --- the terminal ----------------------------------------------------------------------------------------------------

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
    // ^Z is off: a stop would leave the terminal to the shell in this mode.
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

// --- frames ----------------------------------------------------------------------------------------------------------

static void write_table(const struct watch *w, FILE *to)
{
    struct show_style style = show_style_of(STDOUT_FILENO);
    struct stats_delta d;
    // There are no rates while the daemon is away.
    bool has_delta = w->before.memory && !*w->why && stats_delta_make(&d, &w->now, &w->before);
    struct show_view view = {.now = &w->now, .d = has_delta ? &d : NULL, .rates = true};
    // NULL, without memory, shows all of them.
    uint32_t *rules = calloc(w->now.at.header->n_rules + 1, sizeof(*rules));

    view.rules = rules;
    if (rules)
        view.n_rules = live_rules(&w->live, &w->now, view.d, rules);
    show_table(&view, &style, to);
    if (rules && view.n_rules == 0 && *w->live.filter)
        fprintf(to, "none contains \"%s\"\n", w->live.filter);
    free(rules);
    if (has_delta)
        stats_delta_free(&d);
}

// The last line of the screen. `more` counts the lines that found no room.
static void draw_status(const struct watch *w, int more)
{
    static const char *const sorts[] = {
        [LIVE_SORT_RATE] = "by rate", [LIVE_SORT_DROPS] = "by drops", [LIVE_SORT_NAME] = "by name"};
    const struct live *l = &w->live;
    char time[TEXT_NUMBER_MAX];

    fputs("\033[K", stdout);
    if (l->typing) {
        printf("/%s\033[7m \033[0m  Enter keeps it, Esc shows all", l->filter);
        return;
    }
    fputs(l->paused ? "\033[7m PAUSED \033[0m " : "\033[7m ? help \033[0m ", stdout);
    if (*w->why)
        printf("waiting for mcrd, last seen %s", text_time(time, w->now.realtime_ns));
    else
        printf("every %g s  %s", w->seconds, text_time(time, w->now.realtime_ns));
    if (l->sort != LIVE_SORT_FILE)
        printf("  %s", sorts[l->sort]);
    if (*l->filter)
        printf("  /%s", l->filter);
    if (more > 0)
        printf("  %d more line%s below", more, more == 1 ? "" : "s");
}

// Writes the lines that fit on the page, and returns how many are below it.
static int draw_lines(struct watch *w, char *text)
{
    struct live *l = &w->live;
    int lines = 0;

    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    int hidden = lines > l->page ? lines - l->page : 0;
    if (l->scroll > hidden)
        l->scroll = hidden;
    for (int i = 0; i < l->scroll + l->page && i < lines; i++) {
        const char *line = strsep(&text, "\n");
        if (i >= l->scroll)
            printf("\033[K%s\r\n", line); // erased first: behind a full line it would take the last character
    }
    return hidden - l->scroll;
}

static void draw_screen(struct watch *w)
{
    struct winsize window;
    int rows = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_row > 1 ? window.ws_row : 24;
    char *text = NULL;
    size_t size;
    FILE *memory = open_memstream(&text, &size);

    if (!memory)
        return;
    if (*w->why) {
        struct show_style style = show_style_of(STDOUT_FILENO);
        show_notice(w->why, &style, memory);
        fputc('\n', memory);
    }
    if (w->live.help)
        fprintf(memory, "%s\n", live_help);
    write_table(w, memory);
    if (fclose(memory) == 0) {
        w->live.page = rows - 1;
        fputs("\033[H", stdout);
        int more = draw_lines(w, text);
        printf("\033[J\033[%d;1H", rows);
        draw_status(w, more);
    }
    free(text);
}

// Shows the last snapshot, and ends the loop if that cannot be written.
static void show(struct watch *w)
{
    char time[TEXT_NUMBER_MAX];
    bool ok = true;

    if (w->json) {
        ok = show_json(&w->now, stdout, true);
    } else if (w->screen) {
        draw_screen(w);
    } else {
        printf("--- %s\n", text_time(time, w->now.realtime_ns));
        write_table(w, stdout);
        fputc('\n', stdout);
    }
    if (fflush(stdout) == 0 && !ferror(stdout) && ok)
        return;
    snprintf(w->why, STATS_WHY_MAX, "cannot write to the standard output");
    w->failed = true;
    ev_break(w->loop, EVBREAK_ALL);
}

// --- the loop --------------------------------------------------------------------------------------------------------

static void on_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
    struct watch *w = signal->data;

    (void) events;
    if (signal->signum != SIGWINCH)
        ev_break(loop, EVBREAK_ALL);
    else if (w->screen)
        show(w);
}

static void on_keys(struct ev_loop *loop, ev_io *io, int events)
{
    struct watch *w = io->data;
    char keys[64];
    ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

    (void) events;
    if (n <= 0) {
        ev_io_stop(loop, io);
        return;
    }
    live_keys(&w->live, keys, (size_t) n);
    if (w->live.quit)
        ev_break(loop, EVBREAK_ALL);
    else
        show(w);
}

// Takes the next snapshot, or keeps the one that is shown if there is none to take.
static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct watch *w = timer->data;
    struct stats_snapshot next;

    (void) events;
    if (!w->live.paused && stats_snapshot_take(&next, w->path, w->why)) {
        stats_snapshot_select(&next, w->only, w->why); // a reload may bring the rule back
        *w->why = '\0';
        stats_snapshot_free(&w->before);
        w->before = w->now;
        w->now = next;
    }
    if (!*w->why || w->screen) {
        show(w);
        return;
    }
    w->failed = true;
    ev_break(loop, EVBREAK_ALL);
}

// Goes on from the first snapshot. The timer does not catch up after a suspension.
static void run(struct watch *w)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH};
    ev_signal signals[sizeof(numbers) / sizeof(numbers[0])];
    ev_timer timer = {.data = w};
    ev_io keys = {.data = w};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        ev_signal_init(&signals[i], on_signal, numbers[i]);
        signals[i].data = w;
        ev_signal_start(w->loop, &signals[i]);
    }
    ev_timer_init(&timer, on_time, w->seconds, w->seconds);
    ev_timer_start(w->loop, &timer);
    if (w->screen)
        begin_screen(w);
    ev_io_init(&keys, on_keys, STDIN_FILENO, EV_READ);
    if (w->has_keys)
        ev_io_start(w->loop, &keys);
    show(w);
    if (!w->failed)
        ev_run(w->loop, 0);
    // libev's handlers outlive the loop.
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        ev_signal_stop(w->loop, &signals[i]);
    if (w->screen)
        end_screen(w);
}

int show_watch(const char *path, const struct stats_selection *only, double seconds, bool json, char why[STATS_WHY_MAX])
{
    struct watch w = {.path = path, .only = only, .seconds = seconds, .json = json, .why = why};

    // If there is no daemon at the start, the path is more likely wrong than the daemon late.
    if (!stats_snapshot_take(&w.now, path, why))
        return EXIT_FAILURE;
    if (!stats_snapshot_select(&w.now, only, why)) {
        stats_snapshot_free(&w.now);
        return EXIT_FAILURE;
    }
    *why = '\0';
    w.screen = !json && isatty(STDOUT_FILENO);
    w.loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_POLL);
    if (w.loop) {
        run(&w);
        ev_loop_destroy(w.loop);
    } else {
        w.failed = true;
        snprintf(why, STATS_WHY_MAX, "no memory, or no descriptor is left");
    }
    stats_snapshot_free(&w.now);
    stats_snapshot_free(&w.before);
    if (!w.failed)
        *why = '\0';
    return w.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
