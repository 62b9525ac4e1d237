// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Screen: the whole terminal, filled by one frame after another, by ncurses.  However the program
// ends, by a signal too, the terminal is as it was before.
//
// A frame is text that is cut off at the right and lower edges; characters that do not print are
// replaced, so that text from a server cannot control the terminal.
#ifndef ZR_CTL_SCREEN_H
#define ZR_CTL_SCREEN_H

#include <stdbool.h>

enum zr_style { ZR_STYLE_PLAIN, ZR_STYLE_TITLE, ZR_STYLE_LABEL, ZR_STYLE_GOOD, ZR_STYLE_BAD };

struct zr_screen {
    unsigned width, height;
    bool has_utf8;
    unsigned row, column; // where the next text goes
};

// Whether stdin and stdout are a terminal, and one that by TERM can place text.
bool zr_screen_is_possible(void);

void zr_screen_enter(struct zr_screen *screen); // one at a time
void zr_screen_leave(void);                     // once more does nothing

void zr_screen_begin(struct zr_screen *screen);
void zr_screen_print(struct zr_screen *screen, enum zr_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void zr_screen_end_line(struct zr_screen *screen);

// Shows the frame and waits for so many seconds, but returns at once with a key, or with
// ZR_KEY_REDRAW when the frame must be made anew.  ZR_KEY_NONE when the time is over.
enum { ZR_KEY_NONE = 0, ZR_KEY_REDRAW = -1 };
int zr_screen_wait(double seconds);

#endif
