// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Options: one table per command, from which both the parser and --help come, so that they agree.
#ifndef ZR_CTL_OPTIONS_H
#define ZR_CTL_OPTIONS_H

struct zr_option {
    const char *name;
    int letter;           // the short option too, if it is a character
    const char *argument; // NULL if it takes none
    const char *help;
};

#define ZR_OPTIONS_MAX 24
#define ZR_OPTION_WITHOUT_LETTER 256 // and above

struct zr_command {
    const char *name;
    const char *usage; // the lines that show how it is called
    const char *about;
    const struct zr_option *options; // the last one's name is NULL; --help and --version are added
    void (*print_more_help)(void);   // may be NULL
    int (*run)(const struct zr_command *command, int argc, char **argv);
};

// The next option's letter, its argument in optarg; -1 after the last: operands are from optind on.
// Prints help or version and exits with 0 when asked; with 2 at what it does not know.
int zr_options_next(const struct zr_command *command, int argc, char **argv);

#endif
