// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Parsing of parameter values.  Silent, so that the caller's one line can name parameter and value.
#ifndef ZR_PARSE_H
#define ZR_PARSE_H

#include <stdbool.h>
#include <stdint.h>

// A whole number of bytes, with an optional suffix as nbdkit has them: b, k, m, g, t, p, e (powers
// of 1024, either case) or s (512-byte sectors).  0; -EINVAL: not a size; -ERANGE: negative, or
// does not fit.
int zr_parse_size(const char *text, uint64_t *bytes);

// on, true, yes, 1, t, y; or off, false, no, 0, f, n; in either case, as nbdkit_parse_bool has
// them. 0 or -EINVAL.
int zr_parse_bool(const char *text, bool *value);

// A decimal integer.  0; -EINVAL; -ERANGE: does not fit.
int zr_parse_int(const char *text, int *value);

#endif
