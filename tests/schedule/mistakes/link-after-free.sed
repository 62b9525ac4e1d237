# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: allocator/deferred-free.c
# The link of a chunk is read after the chunk was freed.
/^        place = link.below;/s/link.below/link_at(deferred, place - 1)->below/
