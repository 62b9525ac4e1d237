// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "screen.h"
#include "message.h"

#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

// The other screen, no cursor; and back.
static const char enter_codes[] = "\033[?1049h\033[?25l\033[2J";
static const char leave_codes[] = "\033[?25h\033[?1049l";

static const char *const style_codes[] = {
    [ZR_STYLE_PLAIN] = "",        [ZR_STYLE_TITLE] = "\033[7m", [ZR_STYLE_LABEL] = "\033[1m",
    [ZR_STYLE_GOOD] = "\033[32m", [ZR_STYLE_BAD] = "\033[31m",
};

static volatile sig_atomic_t is_entered, is_stale;
static bool has_keys; // stdin is a terminal
static struct termios termios_before;

static void write_codes(const char *codes, size_t bytes)
{
    // There is nobody to tell if the terminal is gone.
    ssize_t ignored = write(STDOUT_FILENO, codes, bytes);

    (void)ignored;
}

// Also from a handler of signals: async-signal-safe calls only.
static void enter(void)
{
    struct termios termios = termios_before;

    if (has_keys) {
        termios.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &termios);
    }
    write_codes(enter_codes, sizeof enter_codes - 1);
    is_entered = 1;
    is_stale = 1;
}

void zr_screen_leave(void)
{
    if (is_entered) {
        is_entered = 0;
        write_codes(leave_codes, sizeof leave_codes - 1);
        if (has_keys) {
            tcsetattr(STDIN_FILENO, TCSANOW, &termios_before);
        }
    }
}

static void end_by_signal(int number)
{
    zr_screen_leave();
    signal(number, SIG_DFL);
    raise(number); // takes effect when this handler returns
}

static void stop(int number)
{
    int saved_errno = errno;

    (void)number;
    zr_screen_leave();
    raise(SIGSTOP);
    enter();
    errno = saved_errno;
}

static void notice_size(int number)
{
    (void)number;
    is_stale = 1;
}

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};

    // None within another: leaving is not interrupted by entering.
    sigfillset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    sigaction(number, &action, NULL);
}

void zr_screen_enter(struct zr_screen *screen)
{
    static const int deadly[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    const char *no_color = getenv("NO_COLOR");
    sigset_t redrawing;
    size_t i;

    *screen = (struct zr_screen){
        .has_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
        .has_colour = !no_color || !*no_color,
    };
    has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &termios_before) == 0;

    // Noticed in zr_screen_wait only, so that none is missed between a look and a wait.
    sigemptyset(&redrawing);
    sigaddset(&redrawing, SIGWINCH);
    sigaddset(&redrawing, SIGTSTP);
    sigprocmask(SIG_BLOCK, &redrawing, NULL);
    handle(SIGWINCH, notice_size);
    handle(SIGTSTP, stop);
    for (i = 0; i < sizeof deadly / sizeof deadly[0]; i++) {
        handle(deadly[i], end_by_signal);
    }
    atexit(zr_screen_leave);
    enter();
}

void zr_screen_begin(struct zr_screen *screen)
{
    struct winsize size;
    bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row;

    is_stale = 0;
    screen->width = is_known ? size.ws_col : 80;
    screen->height = is_known ? size.ws_row : 24;
    screen->row = screen->column = 0;
    screen->frame = zr_must_have(open_memstream(&screen->text, &screen->text_bytes));
    fputs("\033[H", screen->frame);
}

// The next character, and how wide it is; what is none, or none to be seen, becomes "?".
static size_t next_character(const char *text, size_t left, const char **shown, int *width)
{
    mbstate_t state = {0};
    wchar_t wide;
    size_t bytes = mbrtowc(&wide, text, left, &state);

    *shown = text;
    *width = bytes <= left ? wcwidth(wide) : -1;
    if (*width < 0) {
        *shown = "?";
        *width = 1;
        return bytes <= left ? bytes : 1;
    }
    return bytes;
}

static void put_text(struct zr_screen *screen, const char *text)
{
    size_t left, bytes;
    const char *shown;
    int width;

    for (left = strlen(text); left > 0; left -= bytes, text += bytes) {
        bytes = next_character(text, left, &shown, &width);
        if (screen->column + (unsigned)width > screen->width) {
            return;
        }
        fwrite(shown, 1, shown == text ? bytes : 1, screen->frame);
        screen->column += (unsigned)width;
    }
}

void zr_screen_print(struct zr_screen *screen, enum zr_style style, const char *format, ...)
{
    bool has_style = style != ZR_STYLE_PLAIN && screen->has_colour;
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
    fputs(has_style ? style_codes[style] : "", screen->frame);
    put_text(screen, text);
    fputs(has_style ? "\033[0m" : "", screen->frame);
    free(text);
}

void zr_screen_end_line(struct zr_screen *screen)
{
    if (screen->row < screen->height) {
        // What was there before goes; not where the last column is taken, of which it is a part.
        fputs(screen->column < screen->width ? "\033[K" : "", screen->frame);
        // A line's end on the last line would scroll.
        fputs(screen->row + 1 < screen->height ? "\r\n" : "", screen->frame);
    }
    screen->row++;
    screen->column = 0;
}

void zr_screen_show(struct zr_screen *screen)
{
    if (screen->row < screen->height) {
        fputs("\033[J", screen->frame);
    }
    if (fclose(screen->frame) != 0) {
        zr_die("out of memory");
    }
    fwrite(screen->text, 1, screen->text_bytes, stdout);
    if (fflush(stdout) != 0) {
        zr_die("cannot write to the terminal: %m");
    }
    free(screen->text);
}

int zr_screen_wait(double seconds)
{
    struct pollfd key = {.fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN};
    struct timespec time = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    sigset_t mask;
    unsigned char letter;
    int nr;

    sigprocmask(SIG_SETMASK, NULL, &mask);
    sigdelset(&mask, SIGWINCH);
    sigdelset(&mask, SIGTSTP);
    nr = ppoll(&key, 1, &time, &mask);
    if (nr > 0) {
        if (read(STDIN_FILENO, &letter, 1) == 1) {
            return letter;
        }
        zr_die("the terminal is gone");
    }
    return nr < 0 || is_stale ? ZR_KEY_RESIZED : ZR_KEY_NONE;
}
