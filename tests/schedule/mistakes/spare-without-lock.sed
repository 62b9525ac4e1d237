# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: allocator/deferred-free.c
# Spare chunks are taken without their lock: only the order of the accesses shows it.
/^static bool try_get_spare/,/^}/{
    /pthread_mutex/d
}
