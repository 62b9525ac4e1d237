# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/slot-table.c
# A leaf's entry is loaded without acquire.
/^_Atomic uint64_t \*zr_slot_table_leaf/,/^}/s/memory_order_acquire/memory_order_relaxed/
