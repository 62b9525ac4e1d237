// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Log: objects of any length, one behind the other, in spans that are filled from their start.  For
// what is made in order and in the background, and then stays: no size classes, so nothing is lost
// to rounding.
//
// An object has one owner or more.  Each has a handle of the object's offset whose length is what
// the owner has of it, its share; zr_pool_free takes one owner off.  Nothing is used again within a
// span.  It is free when the last owner in it is gone, so whoever has objects in a log cleans it:
// makes what is left in sparse spans anew at the log's end.
//
// A span at the log's end is isolated: neither the keeper nor a cleaner touches it.  One is kept
// spare, with its memory, for who cleans when the pool is full, or the system: that needs room
// before it makes some.
//
// Threads: one appends at a time.  Owners are freed by any meanwhile.
// Source of the idea: Rosenblum and Ousterhout, The Design and Implementation of a Log-Structured
// File System, 1992; for memory, Rumble et al., Log-structured Memory for DRAM-based Storage, 2014.
#ifndef ZR_LOG_H
#define ZR_LOG_H

#include "pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zr_log {
    struct zr_pool *pool;  // borrowed
    struct zr_span *end;   // where it is filled; NULL: it has none
    struct zr_span *spare; // NULL: there was no memory for one
};

static inline uint32_t zr_log_object_bytes(uint32_t bytes)
{
    return (bytes + (1u << ZR_HANDLE_UNIT_SHIFT) - 1) >> ZR_HANDLE_UNIT_SHIFT
                                                             << ZR_HANDLE_UNIT_SHIFT;
}

void zr_log_init(struct zr_log *log, struct zr_pool *pool);

// Lets go of its end and its spare; what was appended stays.
void zr_log_fini(struct zr_log *log);

// What an object may be long to go into the span at the end; 0 if there is none.
uint32_t zr_log_room_bytes(const struct zr_log *log);

// An object of 1 to ZR_SPAN_BYTES at *offset, in a new span if need be, for so many owners who have
// owned_bytes of it together, no more than it has.  0; -ENOSPC: at the limit (may_use_spare: and
// the spare is used up), or the system refuses memory.  Its memory is taken; may block for that.
int zr_log_append(struct zr_log *log, uint32_t bytes, uint32_t nr_owners, uint32_t owned_bytes,
                  bool may_use_spare, uint64_t *offset);

// How much from an object's start on, within its span, may be looked at: has memory.
size_t zr_log_readable_bytes(const struct zr_pool *pool, zr_handle object);

// Has a spare from now on, if the pool has a free span and the system the memory for it.
void zr_log_keep_spare(struct zr_log *log);

// What is lost in a span of a log to owners that are gone; 0 of any other span, of one at the end,
// and of one that could not be cleaned.  Racy: a hint.
uint32_t zr_log_waste_bytes(const struct zr_pool *pool, const struct zr_span *span);

#endif
