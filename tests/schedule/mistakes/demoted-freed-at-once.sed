# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/demoter.c
# What groups take the place of is freed without a grace period.
/^static void end_gathering(/,/^}/{
    s/zr_deferred_free_words(demoter->deferred,/zr_pool_free(demoter->pool,/
}
