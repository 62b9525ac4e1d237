# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: allocator/deferred-free.c
# The stack is popped without acquire.
/^static uint32_t begin_drain/,/^}/s/memory_order_acquire/memory_order_relaxed/
