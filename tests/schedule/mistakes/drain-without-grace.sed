# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: allocator/deferred-free.c
# What waits is freed at once.
/^    zr_rcu_synchronize();/d
