// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Panel: what `zramswapctl top` shows of a server's activity, on a screen or as a line of text.
// What is not in the document is left out, or "-" in a line.
#ifndef ZR_CTL_PANEL_H
#define ZR_CTL_PANEL_H

#include "activity.h"
#include "screen.h"

// seconds: from one document to the next.
void zr_panel_draw(struct zr_screen *screen, const struct zr_activity *activity,
                   const char *address, double seconds);

// To stdout; a heading goes before the first line.
void zr_panel_print_heading(void);
void zr_panel_print_line(const struct zr_activity *activity);

#endif
