# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/slot-table.c
# A leaf is loaded, then its entry is cleared.
/^static zr_handle take(/,/^}/s/    return (zr_handle){atomic_exchange_explicit(entry, 0, memory_order_acq_rel)};/    zr_handle taken = {atomic_load_explicit(entry, memory_order_acquire)};\n    atomic_store_explicit(entry, 0, memory_order_release);\n    return taken;/
