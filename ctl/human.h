// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Numbers as people read them.
#ifndef ZR_CTL_HUMAN_H
#define ZR_CTL_HUMAN_H

#include <stdint.h>

#define ZR_HUMAN_BYTES 32

// As util-linux prints sizes: powers of 1024, one digit after the point unless it is 0: 0B, 1.2G.
// Returns text, which has ZR_HUMAN_BYTES.
char *zr_human_size(char *text, uint64_t bytes);

// data / compressed, as 2.81; NULL if there is no ratio.
char *zr_human_ratio(char *text, uint64_t data, uint64_t compressed);

// 850ns, 62us, 1.2ms, 3s.
char *zr_human_ns(char *text, uint64_t ns);

// Seconds as 3d 04:05:06.
char *zr_human_age(char *text, uint64_t seconds);

#endif
