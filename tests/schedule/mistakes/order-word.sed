# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/slot-table.h
# A word is loaded without acquire.
/^static inline uint64_t zr_leaf_word/,/^}/s/memory_order_acquire/memory_order_relaxed/
