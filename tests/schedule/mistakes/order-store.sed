# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/slot-table.c
# A word is published without release.
/^int zr_slot_table_store/,/^}/s/words\[i\] = atomic_exchange_explicit(&leaf\[i\], words\[i\], memory_order_acq_rel)/words[i] = atomic_exchange_explicit(\&leaf[i], words[i], memory_order_relaxed)/
