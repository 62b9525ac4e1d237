// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LINE_BYTES = 512, NUMBER_BYTES = 8, END = LINE_BYTES - NUMBER_BYTES, NR_NUMBERS = 10000000 };

void zr_log(enum zr_priority priority, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    int length = 0;

    if (!isatty(STDERR_FILENO)) {
        length = snprintf(line, sizeof line, "<%d>", priority);
    }
    length += snprintf(line + length, sizeof line - (size_t)length, "zramswap-nbd: ");
    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof line - (size_t)length, format, arguments);
    va_end(arguments);
    if (length > LINE_BYTES - 1) {
        length = LINE_BYTES - 1;
    }
    line[length] = '\n';
    if (write(STDERR_FILENO, line, (size_t)length + 1) == -1) {
        return; // and nowhere to say so
    }
}

// The file, mapped: written through the page cache, a page of tmpfs might first have to be swapped
// in.  As a mapping it is locked with all the rest.
static char *state;

int zr_report_open(const char *path)
{
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    void *mapping = MAP_FAILED;
    int error = 0;

    if (file != -1 && ftruncate(file, LINE_BYTES) == 0) {
        mapping = mmap(NULL, LINE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    if (mapping == MAP_FAILED) {
        error = -errno;
    } else {
        state = mapping;
        zr_report_state("starting", 0, "");
    }
    if (file != -1) {
        close(file);
    }
    return error;
}

static _Atomic uint64_t *number_at(size_t offset)
{
    void *place = state + offset; // aligned: a mapping begins with a page

    return place;
}

// Readers have no lock: they read from the beginning to the end, and a line counts if it ends with
// the number that it begins with.  So the end is written first and the beginning last.
static void write_line(const char *line)
{
    uint64_t begin, end;

    memcpy(&begin, line, NUMBER_BYTES);
    memcpy(&end, line + END, NUMBER_BYTES);
    atomic_exchange_explicit(number_at(END), end, memory_order_acq_rel); // before what follows
    memcpy(state + NUMBER_BYTES, line + NUMBER_BYTES, END - NUMBER_BYTES);
    atomic_store_explicit(number_at(0), begin, memory_order_release);
}

void zr_report_state(const char *word, int64_t since_ms, const char *why)
{
    static unsigned number;
    char line[LINE_BYTES], end[NUMBER_BYTES + 1];
    int length;

    if (!state) {
        return;
    }
    number = (number + 1) % NR_NUMBERS;
    length = snprintf(line, sizeof line, "%07u %d %s %" PRId64 " %s", number, getpid(), word,
                      since_ms / 1000, why);
    if (length < LINE_BYTES) {
        memset(line + length, ' ', (size_t)(LINE_BYTES - length));
    }
    snprintf(end, sizeof end, "%07u\n", number);
    memcpy(line + END, end, NUMBER_BYTES);
    line[END - 1] = ' ';
    write_line(line);
}
