# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: allocator/keeper.c
# The keeper reads the pool's counters without their lock.
/^static uint64_t tick/,/^}/{
    /pthread_mutex/d
}
