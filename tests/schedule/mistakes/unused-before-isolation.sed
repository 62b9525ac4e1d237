# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: allocator/keeper.c
# What is unused of a span is worked out while it gives objects out.
/^static void release_unused(/,/^}/{
    s/uint32_t pages = 0;/uint32_t pages = unused_pages(span);/
    /pages = unused_pages(span);$/{
        /uint32_t/!d
    }
}
