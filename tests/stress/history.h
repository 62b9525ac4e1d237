// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What overlapping requests did to a disk, and whether every byte read is explained by some order
// of them.
//
// Each sector (512 bytes) is a register.  Every write stores a value of its own in all sectors of
// its range, and what a sector holds follows from that value, so a torn, misplaced, stale or
// foreign sector is told from a right one.  A sector that reads as value v is explained if a write
// of v began before the read ended, and no other write lay wholly after that write and wholly
// before the read.  (Trims write the value 0, all zeros.)  A write that was refused for want of
// memory may have been done in part: it explains what is read, but need not be seen.
//
// Only the sectors of a few windows are watched: requests crowd there.
//
// Threads: each worker has a log of its own; history_check when all are at rest.
#ifndef ZR_TESTS_HISTORY_H
#define ZR_TESTS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECTOR_BYTES 512u
#define HISTORY_WINDOWS_MAX 16
#define HISTORY_WINDOW_SECTORS 48u
#define MAX_OP_SECTORS 40u // five pages: a request crosses page and leaf boundaries now and then

struct event {
    uint64_t start_ns, end_ns;
    uint64_t first_sector, nr_sectors;
    uint32_t value;
    bool is_read; // of one sector
    bool was_refused;
};

// A disk: zeroed but for its size, it is a fresh one.
struct history_disk {
    uint64_t nr_sectors;
    uint32_t initial_values[HISTORY_WINDOWS_MAX * HISTORY_WINDOW_SECTORS]; // when the round began
};

struct history_log {
    struct event *events;
    size_t nr_events, capacity;
    uint32_t worker; // 1 to 255: the top byte of its values
    uint32_t next_value;
    uint64_t random; // state of its generator
};

void history_log_init(struct history_log *log, uint32_t worker, uint64_t seed);
void history_log_fini(struct history_log *log);

uint64_t history_now_ns(void);
uint64_t history_random(struct history_log *log);

enum op_kind { OP_READ, OP_WRITE, OP_ZERO, OP_TRIM };

struct op {
    enum op_kind kind;
    uint64_t first_sector, nr_sectors;
    uint32_t value; // of a write
    uint64_t start_ns;
};

// A random request on a disk of disk_sectors; now and then a trim of 2 MiB or of the whole disk.
// Its time starts now; the data of a write is put into buffer (MAX_OP_SECTORS).
struct op history_begin(struct history_log *log, uint64_t disk_sectors, void *buffer);

// The request succeeded: logs it; for a read checks the sectors in buffer.
void history_end(struct history_log *log, const struct op *op, const void *buffer);

// A write, trim or zero was refused.
void history_refused(struct history_log *log, const struct op *op);

// Ends the program with a message unless every read in the logs is explained.  Then reads all
// watched sectors through read_sector, which must be explained too, and empties the logs: what was
// read is what the next round starts from.
typedef void (*history_read_sector)(void *opaque, uint64_t sector, void *buffer);
void history_check(struct history_disk *disk, struct history_log *logs, size_t nr_logs,
                   history_read_sector read_sector, void *opaque);

// The seed: from ZRAMSWAP_SEED, else of the clock.  Prints it.
uint64_t history_seed(void);

// ZRAMSWAP_STRESS_SECONDS, else the default.
double history_seconds(double default_seconds);

#endif
