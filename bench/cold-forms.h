// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Why groups are of 16 pages, and made with the parameters of store/group.c: groups of other sizes
// and by other parameters, without any engine, beside ours.
#ifndef ZR_COLD_FORMS_H
#define ZR_COLD_FORMS_H

// Rows "groups of N pages": what is saved, how fast a thread makes them, how long one takes to
// read.
void cold_forms_bench(void);

#endif
