# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: allocator/pool.c
# The keeper may give pages back that the taker of an object just has backed.
/nr_backing = (uint16_t)/d
/nr_backing--/d
