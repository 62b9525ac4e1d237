# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/demoter.c
# A group is copied to its place when its words lead there already.
/^static bool publish(/,/^}/{
    /^    zr_group_copy(/d
    s/^    count(&demoter->nr_groups, 1);/    zr_group_copy(demoter->pool->arena.base + offset, demoter->maker.group);\n&/
}
