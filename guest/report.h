// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What others get to know: lines on stderr for the log, and one line in a file for who wants to
// know the state now.  Nothing here allocates, or touches memory that may be swapped out.
#ifndef ZR_GUEST_REPORT_H
#define ZR_GUEST_REPORT_H

#include <stdint.h>

enum zr_priority { ZR_LOG_ERROR = 3, ZR_LOG_WARNING = 4, ZR_LOG_INFO = 6 };

// One line.  Where stderr is no terminal it begins with the priority as "<3>", which journald and
// /dev/kmsg understand.
void zr_log(enum zr_priority priority, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Makes the file of the state, or empties it; it is "starting" then.  Before memory is locked.  0
// or -errno.
int zr_report_open(const char *path);

// "NUMBER PID WORD SECONDS WHY NUMBER": since when, by the clock of /proc/uptime, and a few words
// or
// "".  Does nothing when there is no file.  Who reads the file while it is written finds two
// numbers that differ, or fewer.  One thread.
void zr_report_state(const char *word, int64_t since_ms, const char *why);

#endif
