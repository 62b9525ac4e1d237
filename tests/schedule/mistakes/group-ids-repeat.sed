# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: store/group.c
# Two groups of a leaf have the same id: a cache takes one for the other.
s/group->id = maker->next_id++;/group->id = leaf + 1;/
