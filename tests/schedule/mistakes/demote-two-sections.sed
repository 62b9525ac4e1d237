# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/demoter.c
# The words are loaded in another read-side section than they are exchanged in.
/^static bool publish(/,/^}/s/^    zr_group_copy(.*/    zr_rcu_read_unlock();\n    zr_rcu_read_lock();\n&/
