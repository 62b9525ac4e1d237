// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((format(printf, 1, 0))) static void print(const char *format, va_list arguments)
{
    char text[1024], *at;

    vsnprintf(text, sizeof text, format, arguments);
    // Servers and libraries have a part in it: one line, and nothing that a terminal obeys.
    for (at = text; *at; at++) {
        *at = (unsigned char)*at < ' ' || *at == 0x7f ? ' ' : *at;
    }
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", ZR_PROGRAM, text);
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
