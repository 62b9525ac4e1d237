// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "options.h"
#include "message.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct zr_option common[] = {
    {"help", 'h', NULL, "print this help"},
    {"version", 'V', NULL, "print the version"},
    {0},
};

static void print_options(const struct zr_option *option)
{
    char left[64];

    for (; option->name; option++) {
        snprintf(left, sizeof left, "--%s%s%s", option->name, option->argument ? " " : "",
                 option->argument ? option->argument : "");
        if (option->letter < ZR_OPTION_WITHOUT_LETTER) {
            printf(" -%c, %-22s %s\n", option->letter, left, option->help);
        } else {
            printf("     %-22s %s\n", left, option->help);
        }
    }
}

static void print_help(const struct zr_command *command)
{
    printf("Usage:\n%s\n%s\n\nOptions:\n", command->usage, command->about);
    print_options(command->options);
    print_options(common);
    if (command->print_more_help) {
        command->print_more_help();
    }
}

static struct option *add_options(struct option *longs, char **shorts,
                                  const struct zr_option *option)
{
    for (; option->name; option++) {
        *longs++ = (struct option){
            .name = option->name,
            .has_arg = option->argument ? required_argument : no_argument,
            .val = option->letter,
        };
        if (option->letter < ZR_OPTION_WITHOUT_LETTER) {
            *(*shorts)++ = (char)option->letter;
            if (option->argument) {
                *(*shorts)++ = ':';
            }
        }
    }
    return longs;
}

int zr_options_next(const struct zr_command *command, int argc, char **argv)
{
    struct option longs[ZR_OPTIONS_MAX] = {0};
    char shorts[2 * ZR_OPTIONS_MAX] = "", *at = shorts;
    int letter;

    add_options(add_options(longs, &at, command->options), &at, common);
    letter = getopt_long(argc, argv, shorts, longs, NULL);
    switch (letter) {
    case 'h':
        print_help(command);
        exit(0);
    case 'V':
        printf("%s from zramswap %s\n", ZR_PROGRAM, PACKAGE_VERSION);
        exit(0);
    case '?':
        exit(ZR_EXIT_MISUSED); // getopt has printed why
    default:
        return letter;
    }
}
