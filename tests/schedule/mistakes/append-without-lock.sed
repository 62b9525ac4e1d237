# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: allocator/log.c
# Owners come without the lock under which others go.
/^int zr_log_append(/,/^}/{
    /pthread_mutex_lock(/d
    /pthread_mutex_unlock(/d
    /^    struct zr_pool_class \*class/!b
}
