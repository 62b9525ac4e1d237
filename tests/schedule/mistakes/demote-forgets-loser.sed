# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/demoter.c
# The share of a page that was changed meanwhile is not given back.
/^static bool publish(/,/^}/s/^ *zr_pool_free(demoter->pool, &word, 1);.*//
