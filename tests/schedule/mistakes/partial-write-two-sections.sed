# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/device.c
# The word is loaded in another read-side section than it is replaced in.
s/^\( *\)rc = zr_slot_table_replace(&device->table, piece->slot, old, word);/\1zr_rcu_read_unlock();\n\1zr_rcu_read_lock();\n&/
