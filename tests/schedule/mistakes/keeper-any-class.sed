# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: allocator/keeper.c
# A span is isolated in the class that it has by now, which the keeper did not mean.
/^static void release_unused(/,/^}/s/zr_pool_try_isolate(pool, span, class_nr)/zr_pool_try_isolate(pool, span, zr_span_class(span) == ZR_CLASS_NONE ? class_nr : zr_span_class(span))/
