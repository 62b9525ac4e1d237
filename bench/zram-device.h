// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A zram device of our own, lz4, by direct I/O: what the kernel makes of the same pages.
//
// It is made by hot_add and never swapped on; devices that were there before are left alone.  A
// process of its own removes it when the benchmark ends, in whatever way that may be.
#ifndef ZR_BENCH_ZRAM_DEVICE_H
#define ZR_BENCH_ZRAM_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

struct zram_device {
    int number;
    int fd; // O_DIRECT: buffers, offsets and lengths are multiples of 4096
};

// False, and says why on stderr, where there is no zram, no lz4 in it, or no right to use it.
bool zram_device_open(struct zram_device *zram, uint64_t bytes);
void zram_device_close(struct zram_device *zram);

// They die if the device fails.
void zram_device_read(const struct zram_device *zram, void *buffer, uint64_t bytes,
                      uint64_t offset);
void zram_device_write(const struct zram_device *zram, const void *buffer, uint64_t bytes,
                       uint64_t offset);
void zram_device_discard(const struct zram_device *zram, uint64_t bytes, uint64_t offset);

struct zram_stats {
    uint64_t orig_data_size, compr_data_size, mem_used_total;
};
void zram_device_get_stats(const struct zram_device *zram, struct zram_stats *stats);
void zram_device_compact(const struct zram_device *zram);

#endif
