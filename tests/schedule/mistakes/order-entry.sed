# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/slot-table.c
# A leaf's entry is loaded without acquire.
/^static uint64_t lowest_entry/,/^}/s/memory_order_acquire/memory_order_relaxed/
