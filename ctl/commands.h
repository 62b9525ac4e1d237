// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The commands of zramswapctl, a file each, and what they share.
#ifndef ZR_CTL_COMMANDS_H
#define ZR_CTL_COMMANDS_H

#include "options.h"

#include <getopt.h>

extern const struct zr_command zr_command_status;
extern const struct zr_command zr_command_top;
extern const struct zr_command zr_command_estimate;

// The one operand after the options, NULL if there is none; exits with 2 if there are more.
const char *zr_single_operand(int argc, char **argv);

#endif
