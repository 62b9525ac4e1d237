# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/slot-table.c
# A leaf's entry is exchanged outside a read-side section.
/^static void extract_leaf/,/^}/{
    /zr_rcu_read/d
}
