# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/slot-table.c
# A word is loaded, then overwritten.
/^int zr_slot_table_store/,/^}/s/^\( *\)words\[i\] = atomic_exchange_explicit(&leaf\[i\], words\[i\], memory_order_acq_rel);/\1uint64_t was = atomic_load_explicit(\&leaf[i], memory_order_acquire);\n\1atomic_store_explicit(\&leaf[i], words[i], memory_order_release);\n\1words[i] = was;/
