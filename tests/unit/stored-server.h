// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A server over a store in a file on a tmpfs, for the tests of what outlives it.
//
// An earlier server is a child process that does a piece of work and is killed, as the real ones
// are.  What it wrote is in shadow, DEVICE_BYTES of it, which the child shares.  server, device
// (the first one) and shadow are those of shadowed-device.h.
#ifndef ZR_TESTS_STORED_SERVER_H
#define ZR_TESTS_STORED_SERVER_H

#include "shadowed-device.h"

#define DEVICE_BYTES (8 * MiB)
#define DEVICE_PAGES (DEVICE_BYTES / PAGE_BYTES)

extern char store_path[64];
extern char why[ZR_STORE_WHY_BYTES];

// What the next server is started with: one export "a" of DEVICE_BYTES, 64 MiB, lz4.
extern struct zr_export_config exports[4];
extern struct zr_server_config config;

// In a folder of its own that is gone at the end of the program.  Skips the program without a
// tmpfs.
void store_begin(void);

// At the begin of each test: no file, and what is said above.
void store_fresh(void);

// 0 or what init returned.  Without threads.
int store_start(void);
void store_stop(void);

// Runs work with a server in a child that is killed then.
void store_kill_after(void (*work)(void));

// Starts a server and checks that all counts and lists are those of what is stored.
void store_restart(void);
void store_check(void);

// Page by page: right; or, where may_be_lost, EIO instead.  Returns the number that are lost.
uint64_t store_compare(bool may_be_lost);

void store_write(uint64_t slot, uint64_t nr_slots, enum content content);
void store_trim(uint64_t slot, uint64_t nr_slots);

#endif
