// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// zramswapctl: which command, and what the commands share.
#include "commands.h"
#include "message.h"

#include <locale.h>
#include <stddef.h>
#include <string.h>

static const struct zr_command *const commands[] = {
    &zr_command_status,
    &zr_command_top,
    &zr_command_estimate,
};

const char *zr_single_operand(int argc, char **argv)
{
    if (argc - optind > 1) {
        zr_die_of_misuse("one address at most: what is '%s'?", argv[optind + 1]);
    }
    return argv[optind];
}

int main(int argc, char **argv)
{
    static char name[] = ZR_PROGRAM; // for getopt's messages
    size_t i;

    // Only characters: numbers are printed for scripts too.
    setlocale(LC_CTYPE, "");
    for (i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i]->name) == 0) {
            argv[1] = name;
            return commands[i]->run(commands[i], argc - 1, argv + 1);
        }
    }
    argv[0] = name;
    return commands[0]->run(commands[0], argc, argv);
}
