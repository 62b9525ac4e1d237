# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/demoter.c
# A gathering that is over is taken up by the next cleaning.
/^static void end_gathering(/,/^}/s/^    demoter->gathering.device = NULL;.*//
