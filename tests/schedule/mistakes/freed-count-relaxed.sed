# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: allocator/deferred-free.c
# The number of freed chunks is not ordered with that of pushed ones.
s/atomic_fetch_add_explicit(&deferred->nr_freed, 1, memory_order_release)/atomic_fetch_add_explicit(\&deferred->nr_freed, 1, memory_order_relaxed)/
