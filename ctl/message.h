// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// How zramswapctl ends when it cannot go on: one line on stderr, "zramswapctl: …", and an exit
// status.  So nothing in ctl/ returns an error.
#ifndef ZR_CTL_MESSAGE_H
#define ZR_CTL_MESSAGE_H

#define ZR_PROGRAM "zramswapctl"

enum { ZR_EXIT_FAILED = 1, ZR_EXIT_MISUSED = 2 };

void zr_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void zr_die_of_misuse(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

// Registers the one call that is made when the program ends, before its last message.  It may be
// made twice.
void zr_at_end(void (*undo)(void));

// Memory, or the end.
void *zr_must_have(void *memory);

#endif
