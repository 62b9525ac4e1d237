// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "rcu.h"

// The address that stands for the edge; in ordinary builds nothing refers to it.
char zr_rcu_tsan_edge;
