# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: allocator/keeper.c
# The tail of a span is given back while it gives objects out.
/^static void release_unused(/,/^}/{
    s/if (!zr_pool_try_isolate(pool, span, class_nr)) {/if (0) {/
    /zr_pool_put_back/d
}
