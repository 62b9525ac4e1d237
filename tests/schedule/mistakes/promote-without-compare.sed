# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/device.c
# A page that was read takes the place of whatever its word is by now.
/^static bool try_promote(/,/^}/s/zr_slot_table_replace(&device->table, slot, word, promoted)/zr_slot_table_replace(\&device->table, slot, zr_leaf_word(zr_slot_table_leaf(\&device->table, slot), slot), promoted + 0 * word)/
