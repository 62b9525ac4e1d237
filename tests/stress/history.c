// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE_SECTORS 8u
#define LEAF_SECTORS 4096u
#define WINDOW_SECTORS HISTORY_WINDOW_SECTORS

static void fail(const char *what, uint64_t sector, uint32_t value)
{
    fprintf(stderr, "sector %" PRIu64 ", value %08" PRIx32 ": %s\n", sector, value, what);
    exit(1);
}

uint64_t history_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

// splitmix64
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t history_random(struct history_log *log)
{
    log->random += UINT64_C(0x9e3779b97f4a7c15);
    return mix(log->random);
}

void history_log_init(struct history_log *log, uint32_t worker, uint64_t seed)
{
    *log = (struct history_log){.worker = worker, .random = mix(seed + worker)};
}

void history_log_fini(struct history_log *log)
{
    free(log->events);
}

static void append(struct history_log *log, struct event event)
{
    if (log->nr_events == log->capacity) {
        log->capacity = log->capacity ? 2 * log->capacity : 1024;
        log->events = realloc(log->events, log->capacity * sizeof *log->events);
        if (!log->events) {
            abort();
        }
    }
    log->events[log->nr_events++] = event;
}

// The windows: the disk's start, around each leaf boundary, and its end.
static uint64_t nr_windows(uint64_t disk_sectors)
{
    return disk_sectors / LEAF_SECTORS + 2;
}

static uint64_t window_start(uint64_t disk_sectors, uint64_t window)
{
    uint64_t middle = window * LEAF_SECTORS;

    if (window + 1 == nr_windows(disk_sectors)) {
        return disk_sectors - WINDOW_SECTORS;
    }
    return middle > WINDOW_SECTORS / 2 ? middle - WINDOW_SECTORS / 2 : 0;
}

// The words of a sector: a fourth of the values make same-filled pages, a fourth text-like ones, a
// fourth incompressible ones, a fourth half of each.
static uint32_t word_of(uint32_t value, uint64_t sector, uint32_t i)
{
    uint32_t kind = value & 3;

    if (value == 0 || i == 0 || kind == 0) {
        return value;
    }
    if (kind == 1 || (kind == 2 && i >= 64)) {
        return (uint32_t)sector + i / 8;
    }
    return (uint32_t)mix((uint64_t)value << 32 ^ sector << 8 ^ i);
}

static void fill_sector(void *buffer, uint32_t value, uint64_t sector)
{
    uint32_t i;

    for (i = 0; i < SECTOR_BYTES / 4; i++) {
        uint32_t word = word_of(value, sector, i);

        memcpy((char *)buffer + i * 4, &word, 4);
    }
}

static uint32_t value_in_sector(const void *buffer, uint64_t sector)
{
    char expected[SECTOR_BYTES];
    uint32_t value;

    memcpy(&value, buffer, 4);
    fill_sector(expected, value, sector);
    if (memcmp(buffer, expected, SECTOR_BYTES) != 0) {
        fail("the sector is not what this value makes", sector, value);
    }
    return value;
}

struct op history_begin(struct history_log *log, uint64_t disk_sectors, void *buffer)
{
    uint64_t dice = history_random(log) % 1000;
    uint64_t start = window_start(disk_sectors, history_random(log) % nr_windows(disk_sectors));
    uint64_t in_window = history_random(log) % WINDOW_SECTORS;
    struct op op = {.first_sector = start + in_window};
    uint64_t i;

    op.nr_sectors = 1 + history_random(log) % MAX_OP_SECTORS;
    if (history_random(log) % 2) { // whole pages, as a kernel sends them
        op.first_sector -= op.first_sector % PAGE_SECTORS;
        op.nr_sectors = (op.nr_sectors + PAGE_SECTORS - 1) / PAGE_SECTORS * PAGE_SECTORS;
    }
    if (dice < 400) {
        op.kind = OP_READ;
    } else if (dice < 850) {
        op.kind = OP_WRITE;
        op.value = log->worker << 24 | (++log->next_value & 0xffffff);
    } else {
        op.kind = dice % 2 ? OP_ZERO : OP_TRIM;
        if (dice >= 998) {
            op.first_sector = 0;
            op.nr_sectors = disk_sectors;
        } else if (dice >= 950) {
            op.first_sector -= op.first_sector % LEAF_SECTORS;
            op.nr_sectors = LEAF_SECTORS;
        }
    }
    if (op.nr_sectors > disk_sectors - op.first_sector) {
        op.nr_sectors = disk_sectors - op.first_sector;
    }
    for (i = 0; op.kind == OP_WRITE && i < op.nr_sectors; i++) {
        fill_sector((char *)buffer + i * SECTOR_BYTES, op.value, op.first_sector + i);
    }
    op.start_ns = history_now_ns();
    return op;
}

void history_end(struct history_log *log, const struct op *op, const void *buffer)
{
    struct event event = {
        .start_ns = op->start_ns,
        .end_ns = history_now_ns(),
        .first_sector = op->first_sector,
        .nr_sectors = op->nr_sectors,
        .value = op->value,
        .is_read = op->kind == OP_READ,
    };
    uint64_t i;

    if (op->kind != OP_READ) {
        append(log, event);
        return;
    }
    for (i = 0; i < op->nr_sectors; i++) {
        event.first_sector = op->first_sector + i;
        event.nr_sectors = 1;
        event.value = value_in_sector((const char *)buffer + i * SECTOR_BYTES, event.first_sector);
        append(log, event);
    }
}

void history_refused(struct history_log *log, const struct op *op)
{
    append(log, (struct event){
                    .start_ns = op->start_ns,
                    .end_ns = history_now_ns(),
                    .first_sector = op->first_sector,
                    .nr_sectors = op->nr_sectors,
                    .value = op->value,
                    .was_refused = true,
                });
}

// All that happened to one sector, and what it held before (written at time 0).
static void check_sector(const struct event *writes, size_t nr_writes, const struct event *read)
{
    uint64_t latest_start_ns = 0; // among the writes that were over when the read began
    bool is_known = false;
    size_t i;

    for (i = 0; i < nr_writes; i++) {
        if (!writes[i].was_refused && writes[i].end_ns < read->start_ns &&
            writes[i].start_ns > latest_start_ns) {
            latest_start_ns = writes[i].start_ns;
        }
    }
    for (i = 0; i < nr_writes; i++) {
        if (writes[i].value != read->value || writes[i].start_ns > read->end_ns) {
            continue;
        }
        is_known = true;
        if (writes[i].end_ns >= latest_start_ns) {
            return;
        }
    }
    fail(is_known ? "read although it was overwritten before"
                  : "read although it was never written there",
         read->first_sector, read->value);
}

void history_check(struct history_disk *disk, struct history_log *logs, size_t nr_logs,
                   history_read_sector read_sector, void *opaque)
{
    size_t nr_sectors = nr_windows(disk->nr_sectors) * WINDOW_SECTORS;
    struct event *writes, *reads;
    size_t nr_events = 1, nr_writes, nr_reads, i, j, k;

    if (nr_sectors > sizeof disk->initial_values / sizeof disk->initial_values[0]) {
        abort();
    }
    for (i = 0; i < nr_logs; i++) {
        nr_events += logs[i].nr_events;
    }
    writes = malloc(nr_events * sizeof *writes);
    reads = malloc((nr_events + 1) * sizeof *reads);

    for (i = 0; i < nr_sectors; i++) {
        uint64_t sector = window_start(disk->nr_sectors, i / WINDOW_SECTORS) + i % WINDOW_SECTORS;
        char buffer[SECTOR_BYTES];

        writes[0] = (struct event){.value = disk->initial_values[i]};
        nr_writes = 1;
        nr_reads = 0;
        for (j = 0; j < nr_logs; j++) {
            for (k = 0; k < logs[j].nr_events; k++) {
                const struct event *event = &logs[j].events[k];

                if (sector - event->first_sector >= event->nr_sectors) {
                    continue;
                }
                if (event->is_read) {
                    reads[nr_reads++] = *event;
                } else {
                    writes[nr_writes++] = *event;
                }
            }
        }
        read_sector(opaque, sector, buffer);
        disk->initial_values[i] = value_in_sector(buffer, sector);
        reads[nr_reads++] = (struct event){.start_ns = UINT64_MAX,
                                           .end_ns = UINT64_MAX,
                                           .first_sector = sector,
                                           .value = disk->initial_values[i]};
        for (j = 0; j < nr_reads; j++) {
            check_sector(writes, nr_writes, &reads[j]);
        }
    }
    for (i = 0; i < nr_logs; i++) {
        logs[i].nr_events = 0;
    }
    free(writes);
    free(reads);
}

uint64_t history_seed(void)
{
    const char *text = getenv("ZRAMSWAP_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : history_now_ns();

    printf("ZRAMSWAP_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    return seed;
}

double history_seconds(double default_seconds)
{
    const char *text = getenv("ZRAMSWAP_STRESS_SECONDS");

    return text ? strtod(text, NULL) : default_seconds;
}
