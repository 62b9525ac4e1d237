# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/slot-table.c
# A word is replaced, whatever it is by now.
/^int zr_slot_table_replace(/,/^}/{
    /if (!atomic_compare_exchange_strong_explicit(/{
        N
        s/.*/    if ((atomic_store_explicit(\&leaf[slot % ZR_LEAF_SLOTS], word, memory_order_release), 0)) {/
    }
}
