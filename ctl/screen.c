// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "screen.h"
#include "message.h"

#include <curses.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <unistd.h>
#include <wchar.h>

static attr_t styles[ZR_STYLE_BAD + 1];

// Signals are blocked while ncurses draws: handlers call it, too.  Those that end the program are
// not blocked between zr_screen_wait and zr_screen_begin; those that draw anew are handled, by
// ncurses, within zr_screen_wait only, so that none is missed.
static sigset_t deadly, mask_before;

void zr_screen_leave(void)
{
    if (stdscr && !isendwin()) {
        endwin();
    }
}

static void end_by_signal(int number)
{
    sigset_t mask;

    zr_screen_leave();
    signal(number, SIG_DFL);
    sigemptyset(&mask);
    sigaddset(&mask, number);
    sigprocmask(SIG_UNBLOCK, &mask, NULL);
    raise(number);
}

static void handle_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = end_by_signal, .sa_flags = SA_RESTART}, before;
    sigset_t redrawing;
    size_t i;

    sigfillset(&action.sa_mask);
    sigemptyset(&deadly);
    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        sigaddset(&deadly, numbers[i]);
        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) { // as nohup wants it
            sigaction(numbers[i], &action, NULL);
        }
    }
    sigemptyset(&redrawing);
    sigaddset(&redrawing, SIGWINCH);
    sigaddset(&redrawing, SIGTSTP);
    sigprocmask(SIG_BLOCK, &redrawing, &mask_before);
}

static void choose_styles(void)
{
    const char *no_color = getenv("NO_COLOR");

    if (no_color && *no_color) {
        return;
    }
    styles[ZR_STYLE_TITLE] = A_REVERSE;
    styles[ZR_STYLE_LABEL] = A_BOLD;
    if (start_color() == OK && use_default_colors() == OK) {
        init_pair(1, COLOR_GREEN, -1);
        init_pair(2, COLOR_RED, -1);
        styles[ZR_STYLE_GOOD] = COLOR_PAIR(1);
        styles[ZR_STYLE_BAD] = COLOR_PAIR(2);
    }
}

bool zr_screen_is_possible(void)
{
    const char *place_cursor;
    bool is_possible;
    int error;

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ||
        setupterm(NULL, STDOUT_FILENO, &error) != OK) {
        return false;
    }
    place_cursor = tigetstr("cup");
    is_possible = place_cursor && place_cursor != (const char *)-1;
    del_curterm(cur_term);
    return is_possible;
}

void zr_screen_enter(struct zr_screen *screen)
{
    handle_signals();
    zr_at_end(zr_screen_leave);
    if (!newterm(NULL, stdout, stdin)) {
        zr_die("cannot use the terminal");
    }
    *screen = (struct zr_screen){.has_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0};
    cbreak();
    noecho();
    nodelay(stdscr, true);
    curs_set(0);
    choose_styles();
}

void zr_screen_begin(struct zr_screen *screen)
{
    sigprocmask(SIG_BLOCK, &deadly, NULL);
    erase();
    screen->width = (unsigned)getmaxx(stdscr);
    screen->height = (unsigned)getmaxy(stdscr);
    screen->row = screen->column = 0;
}

static void put_text(struct zr_screen *screen, const char *text)
{
    size_t left, bytes;
    wchar_t character;
    int width;

    for (left = strlen(text); left > 0; left -= bytes, text += bytes) {
        mbstate_t state = {0};

        bytes = mbrtowc(&character, text, left, &state);
        width = bytes <= left ? wcwidth(character) : -1;
        bytes = bytes <= left ? bytes : 1;
        if (width < 0) {
            character = L'?';
            width = 1;
        }
        if (screen->column + (unsigned)width > screen->width) {
            return;
        }
        addnwstr(&character, 1);
        screen->column += (unsigned)width;
    }
}

void zr_screen_print(struct zr_screen *screen, enum zr_style style, const char *format, ...)
{
    va_list arguments;
    char *text;

    if (screen->row >= screen->height) {
        return;
    }
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) {
        zr_die("out of memory");
    }
    va_end(arguments);
    attrset((int)styles[style]);
    put_text(screen, text);
    free(text);
}

void zr_screen_end_line(struct zr_screen *screen)
{
    move((int)++screen->row, 0); // below the last line nothing is printed
    screen->column = 0;
}

int zr_screen_wait(double seconds)
{
    struct pollfd keys = {.fd = STDIN_FILENO, .events = POLLIN};
    struct timespec time = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    int nr, key = ZR_KEY_NONE;

    refresh();
    nr = ppoll(&keys, 1, &time, &mask_before);
    if (nr > 0 && keys.revents != POLLIN) {
        zr_die("the terminal is gone");
    }
    if (nr != 0) {
        key = getch(); // takes a new size into account, too
        key = key == ERR ? ZR_KEY_REDRAW : key;
    }
    sigprocmask(SIG_UNBLOCK, &deadly, NULL);
    return key;
}
