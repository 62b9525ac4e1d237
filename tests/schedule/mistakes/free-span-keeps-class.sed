# SPDX-License-Identifier: BSD-3-Clause
# Copyright the zramswap authors
# file: allocator/pool.c
# A free span keeps its last class: the lock of a class does not show membership.
/^static void leave_class_locked/,/^}/{
    /zr_span_set_class/d
}
