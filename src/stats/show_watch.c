// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/show.h"

#include <ev.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <termios.h>
#include <unistd.h>

#include "stats/counters.h"
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

// Says why no rule is shown.
static void show_none(const struct live *l, const struct show_style *style, FILE *to)
{
    char text[STATS_WHY_MAX], contains[LIVE_FILTER_MAX + 32] = "";

    if (*l->filter)
        snprintf(contains, sizeof(contains), "%s contains \"%s\"", l->only ? " and" : "", l->filter);
    snprintf(text, sizeof(text), "none%s%s%s: Esc shows all", l->only ? " is " : "", live_only_name(l), contains);
    show_notice(text, false, style, to);
}

// Notes in heads where the heads of the rules begin and where they end, as positions of the stream.
static void write_table(struct watch *w, FILE *to, long heads[2])
{
    struct show_style style = show_style_of(STDOUT_FILENO);
    struct stats_delta d;
    // There are no rates while the daemon is away.
    bool has_delta = w->before.memory && !*w->why && stats_delta_make(&d, &w->now, &w->before);
    struct show_view view = {.now = &w->now, .d = has_delta ? &d : NULL, .rates = true};
    const struct live *l = &w->live;
    uint32_t n = w->now.at.header->n_rules;
    // NULL, without memory, shows all of them.
    uint32_t *rules = calloc(n + 1, sizeof(*rules));

    view.rules = rules;
    if (rules)
        view.n_rules = live_rules(l, &w->now, view.d, rules);
    w->live.present = 0;
    for (uint32_t i = 0; i < n; i++)
        w->live.present |= UINT32_C(1) << stats_shown_state(&w->now.at.rules[i]);
    show_top(&view, &style, to);
    heads[0] = ftell(to);
    show_heads(&view, &style, to);
    heads[1] = ftell(to);
    show_rules(&view, &style, to);
    if (rules && view.n_rules == 0 && n > 0)
        show_none(l, &style, to);
    free(rules);
    if (has_delta)
        stats_delta_free(&d);
}

// Writes a part of the last line, cut to what is left of it, and takes it from *room.
static void __attribute__((format(printf, 2, 3))) put_status(int *room, const char *format, ...)
{
    char text[STATS_WHY_MAX], shown[STATS_WHY_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    *room -= text_show(shown, sizeof(shown), text, *room);
    fputs(shown, stdout);
}

// Writes the same in reverse video.
static void put_reverse(int *room, const char *text)
{
    fputs("\033[7m", stdout);
    put_status(room, "%s", text);
    fputs("\033[0m", stdout);
}

// The last line of the screen. `more` counts the lines that found no room.
static void draw_status(const struct watch *w, int room, int more)
{
    static const char *const sorts[] = {[LIVE_SORT_RATE] = "by rate",
                                        [LIVE_SORT_DROPS] = "by drops",
                                        [LIVE_SORT_NAME] = "by name",
                                        [LIVE_SORT_STATE] = "by state"};
    const struct live *l = &w->live;
    int typed = (int) strlen(l->filter), shown = MAX(room - 2, 0);
    char time[TEXT_NUMBER_MAX];

    fputs("\033[K", stdout);
    text_time(time, w->now.realtime_ns);
    if (l->typing) {
        // The end of the text is where one types.
        put_status(&room, "/%s", l->filter + MAX(typed - shown, 0));
        put_reverse(&room, " ");
        put_status(&room, "  Enter keeps it, Esc shows all");
        return;
    }
    put_reverse(&room, l->paused ? " PAUSED " : " ? help ");
    if (*w->why)
        put_status(&room, " waiting for mcrd, last seen %s", time);
    if (more > 0)
        put_status(&room, "  %d more line%s below", more, more == 1 ? "" : "s");
    if (l->sort != LIVE_SORT_FILE)
        put_status(&room, "  %s", sorts[l->sort]);
    if (l->only)
        put_status(&room, "  only %s", live_only_name(l));
    if (*l->filter)
        put_status(&room, "  /%s", l->filter);
    if (!*w->why)
        put_status(&room, "  every %g s  %s", w->seconds, time);
}

static int count_lines(const char *text, long size)
{
    int lines = 0;

    for (long i = 0; i < size; i++)
        lines += text[i] == '\n';
    return lines;
}

// Writes so many rows of the lines of text, and returns how many lines are below them. Heads, so many lines from
// l->first on, stay above the lines behind them when one scrolls.
static int draw_lines(struct live *l, char *text, int rows, int heads)
{
    int lines = count_lines(text, (long) strlen(text));

    l->page = rows > heads ? rows - heads : 1;
    l->last = lines > rows ? lines - rows : 0;
    if (l->scroll > l->last)
        l->scroll = l->last;
    if (l->scroll <= l->first || rows <= heads)
        heads = 0;
    for (int i = 0; i < l->scroll + rows && i < lines; i++) {
        const char *line = strsep(&text, "\n");
        if (i >= l->scroll + heads || (i >= l->first && i < l->first + heads))
            printf("\033[K%s\r\n", line); // erased first: behind a full line it would take the last character
    }
    return l->last - l->scroll;
}

static void draw_screen(struct watch *w)
{
    struct show_style style = show_style_of(STDOUT_FILENO);
    struct winsize window;
    int rows = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_row > 1 ? window.ws_row : 24;
    long heads[2] = {0, 0};
    char *text = NULL;
    size_t size;
    FILE *memory = open_memstream(&text, &size);

    if (!memory)
        return;
    if (*w->why) {
        show_notice(w->why, true, &style, memory);
        fputc('\n', memory);
    }
    if (w->live.help) {
        for (const struct live_key *k = live_help; k->keys; k++)
            show_key(k->keys, k->what, &style, memory);
        fputc('\n', memory);
    }
    if (style.columns >= SHOW_COLUMNS_LEAST)
        write_table(w, memory, heads);
    else
        fprintf(memory, "Too narrow:\n%d columns\nare needed.\n", SHOW_COLUMNS_LEAST);
    if (fclose(memory) == 0) {
        w->live.first = count_lines(text, heads[0]);
        fputs("\033[H", stdout);
        int more = draw_lines(&w->live, text, rows - 1, count_lines(text, heads[1]) - w->live.first);
        printf("\033[J\033[%d;1H", rows);
        draw_status(w, style.columns, more);
    }
    free(text);
}

// Shows the last snapshot, and ends the loop if that cannot be written.
static void show(struct watch *w)
{
    char time[TEXT_NUMBER_MAX];
    long heads[2];
    bool ok = true;

    if (w->json) {
        ok = show_json(&w->now, stdout, true);
    } else if (w->screen) {
        draw_screen(w);
    } else {
        printf("--- %s\n", text_time(time, w->now.realtime_ns));
        write_table(w, stdout, heads);
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
    w.screen = !json && show_style_of(STDOUT_FILENO).obeys;
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
