// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Makes this process one that swap may depend on.
#ifndef ZR_GUEST_UNSWAPPABLE_H
#define ZR_GUEST_UNSWAPPABLE_H

// Locks all memory, also what comes; sets memory aside, so that malloc does not ask the kernel any
// more; keeps the kernel from swapping out on behalf of this process, and from killing it when
// memory is short.  0 or -errno of what does not succeed; *what is its name then.
int zr_become_unswappable(const char **what);

#endif
