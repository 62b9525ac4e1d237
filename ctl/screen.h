// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Screen: the terminal on stdout, while a frame after another fills all of it.  However the program
// ends, by a signal too, the terminal is as it was before.
//
// A frame is text that is cut off at the right and lower edges; what a terminal would obey in it is
// replaced.  Plain escape codes of ECMA-48, which every terminal in use knows.
#ifndef ZR_CTL_SCREEN_H
#define ZR_CTL_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum zr_style { ZR_STYLE_PLAIN, ZR_STYLE_TITLE, ZR_STYLE_LABEL, ZR_STYLE_GOOD, ZR_STYLE_BAD };

struct zr_screen {
    unsigned width, height;
    bool has_utf8, has_colour;

    // The frame that is being made.
    FILE *frame;
    char *text;
    size_t text_bytes;
    unsigned row, column;
};

// One at a time.  Dies if stdout is no terminal.
void zr_screen_enter(struct zr_screen *screen);
void zr_screen_leave(void); // once more does nothing

void zr_screen_begin(struct zr_screen *screen); // asks for the terminal's size
void zr_screen_print(struct zr_screen *screen, enum zr_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void zr_screen_end_line(struct zr_screen *screen);
void zr_screen_show(struct zr_screen *screen);

// Waits for so many seconds, but returns at once with a key, or with ZR_KEY_RESIZED when the frame
// must be made anew.  ZR_KEY_NONE when the time is over.
enum { ZR_KEY_NONE = 0, ZR_KEY_RESIZED = -1 };
int zr_screen_wait(double seconds);

#endif
