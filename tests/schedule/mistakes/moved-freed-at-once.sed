# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/walk.c
# A walk frees the old object without a grace period.
s/^    zr_deferred_free_words(table->deferred, replaced, nr_replaced);/    zr_pool_free(table->pool, replaced, nr_replaced);/
