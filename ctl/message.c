// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void (*undo_at_end)(void);

void zr_at_end(void (*undo)(void))
{
    undo_at_end = undo;
    atexit(undo);
}

__attribute__((format(printf, 1, 0))) static void print(const char *format, va_list arguments)
{
    char *text, *at;

    if (undo_at_end) {
        undo_at_end();
    }
    if (vasprintf(&text, format, arguments) < 0) {
        fputs(ZR_PROGRAM ": out of memory\n", stderr);
        return;
    }
    // Parts of the text may come from a server: keep it on one line, and keep control characters
    // from the terminal.
    for (at = text; *at; at++) {
        *at = (unsigned char)*at < ' ' || *at == 0x7f ? ' ' : *at;
    }
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", ZR_PROGRAM, text);
    free(text);
}

void zr_die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
    exit(ZR_EXIT_FAILED);
}

void zr_die_of_misuse(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print(format, arguments);
    va_end(arguments);
    exit(ZR_EXIT_MISUSED);
}

void *zr_must_have(void *memory)
{
    if (!memory) {
        zr_die("out of memory");
    }
    return memory;
}
