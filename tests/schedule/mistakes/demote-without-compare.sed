# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/demoter.c
# A demoted page takes the place of whatever its word is by now.
/^static bool publish(/,/^}/{
    /if (zr_slot_table_move(/{
        N
        s/.*/        zr_account_uncharge(\&gathering->device->table.account, zr_slot_word_length_bytes(old = atomic_exchange_explicit(\&gathering->leaf[gathering->slots[i]], word, memory_order_acq_rel)) - shares[i]);\n        if (true) {/
    }
}
