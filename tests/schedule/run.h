// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// One run: makes a store, does a workload in a schedule, and checks all that must hold then.
#ifndef ZS_RUN_H
#define ZS_RUN_H

#include "workload.h"

void zs_run_workload(const struct zs_workload *work, const struct zs_schedule *schedule);

extern bool zs_is_verbose;     // prints the history of a page that no order explains
extern uint64_t zs_nr_gave_up; // pages with too many orders to try

#endif
