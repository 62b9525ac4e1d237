# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/demoter.c
# A demoted page takes the place of whatever its word is by now.
/^static bool exchange(/,/^}/s/if (zr_slot_table_move(.*/old = atomic_exchange_explicit(entry, word | (old \& AGE_MASK), memory_order_acq_rel);\n        zr_account_uncharge(\&gathering->device->table.account, zr_slot_word_length_bytes(old) - zr_slot_word_length_bytes(word));\n        if (true) {/
