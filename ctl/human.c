// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "human.h"
#include "statistics.h"

#include <inttypes.h>
#include <stdio.h>

// Prints a value that is given in tenths; leaves out a .0.
static char *print_tenths(char *text, uint64_t tenths, const char *unit)
{
    if (tenths % 10 == 0) {
        snprintf(text, ZR_HUMAN_BYTES, "%" PRIu64 "%s", tenths / 10, unit);
    } else {
        snprintf(text, ZR_HUMAN_BYTES, "%" PRIu64 ".%u%s", tenths / 10, (unsigned)(tenths % 10),
                 unit);
    }
    return text;
}

char *zr_human_size(char *text, uint64_t bytes)
{
    static const char *const units[] = {"B", "K", "M", "G", "T", "P", "E"};
    unsigned exponent = 0;
    uint64_t unit = 1, thousandths;

    while (exponent < 6 && bytes / unit >= 1024) {
        unit <<= 10;
        exponent++;
    }
    // Three digits, cut off, and then rounded to one, as util-linux does.  The largest unit leaves
    // ten bits to spare only after a division.
    thousandths =
        unit > 1024 ? bytes % unit / 1024 * 1000 / (unit / 1024) : bytes % unit * 1000 / unit;
    return print_tenths(text, bytes / unit * 10 + (thousandths + 50) / 100, units[exponent]);
}

char *zr_human_ratio(char *text, uint64_t data, uint64_t compressed)
{
    if (data == ZR_ABSENT || compressed == ZR_ABSENT || compressed == 0) {
        return NULL;
    }
    snprintf(text, ZR_HUMAN_BYTES, "%.2f", (double)data / (double)compressed);
    return text;
}

char *zr_human_ns(char *text, uint64_t ns)
{
    if (ns < 1000) {
        return print_tenths(text, ns * 10, "ns");
    }
    if (ns < 1000000) {
        return print_tenths(text, ns < 10000 ? ns / 100 : ns / 1000 * 10, "us");
    }
    if (ns < 1000000000) {
        return print_tenths(text, ns / 100000, "ms");
    }
    return print_tenths(text, ns / 100000000, "s");
}

char *zr_human_age(char *text, uint64_t seconds)
{
    uint64_t days = seconds / 86400;
    unsigned rest = (unsigned)(seconds % 86400);
    int bytes = 0;

    if (days > 0) {
        bytes = snprintf(text, ZR_HUMAN_BYTES, "%" PRIu64 "d ", days);
    }
    snprintf(text + bytes, ZR_HUMAN_BYTES - (size_t)bytes, "%02u:%02u:%02u", rest / 3600,
             rest / 60 % 60, rest % 60);
    return text;
}
