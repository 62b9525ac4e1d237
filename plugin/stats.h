// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Statistics of a server, as plain numbers: collected here once, printed by stats-text.h.  Names
// and units are zram's where zram has them: bytes, and counts of 4 KiB pages.
//
// Collecting walks all slot words (8 bytes a page, about a ms per GiB stored), so that no request
// pays for these counters.  Exact when nothing is going on meanwhile.
#ifndef ZR_STATS_H
#define ZR_STATS_H

#include "request-stats.h"
#include "server.h"
#include "../store/slot-counts.h"

#include <stddef.h>
#include <stdint.h>

struct zr_device_stats {
    const char *name; // of the export; borrowed from the server, NULL in a total
    uint64_t disksize;
    uint64_t orig_data_size;  // pages that hold something but zeros, in bytes
    uint64_t compr_data_size; // lengths of the objects in the table
    uint64_t same_pages;      // same-filled, but not with zeros: those are not stored at all
    uint64_t huge_pages;      // stored raw
    uint64_t mem_limit;       // of compr_data_size; 0: none of its own.  In a total 0
    uint64_t lost_pages;      // cannot be read any more, and were not written since
    uint64_t served;          // 1; 0: only kept in the store.  In a total: how many are
    uint64_t corrupt_pages;   // how often a stored page was found damaged
    uint64_t limit_hits;      // requests that got ENOSPC
    uint64_t connections;     // that there are now
    uint64_t coldest_age_s;   // the page unwritten for longest is so for this long at least
    uint64_t cold_pages;      // in groups
    uint64_t cold_data_size;  // what those take of compr_data_size
    uint64_t cold_reads;      // of pages in groups, ever
    uint64_t cold_promoted;   // read again, and so taken out of their group, ever
    uint64_t age_pages[ZR_SLOT_AGE_MAX + 1];    // pages by age: see age_least_s
    uint64_t compr_length_pages[ZR_NR_LENGTHS]; // by length, in steps of ZR_LENGTH_BYTES
    struct zr_request_counts requests[ZR_NR_REQUEST_KINDS];
};

struct zr_server_stats {
    const char *compression;
    const char *store;            // path of the file; NULL: none.  Borrowed
    uint64_t recovered_pages;     // from it at the start
    uint64_t recovery_ns;         // how long that took
    struct zr_device_stats total; // of all exports
    uint64_t mem_used_total;      // memory taken for objects and tables, warm spans included
    uint64_t mem_limit;
    uint64_t mem_used_max;
    uint64_t pages_compacted;
    uint64_t spans_compacted; // that became free by it
    uint64_t pending_free_bytes;
    uint64_t pending_free_objects;
    uint64_t drained_batches;
    uint64_t cold_spans;         // taken without their memory having been populated ahead
    uint64_t populated_pages;    // OS pages populated ahead: page faults that no request took
    uint64_t cold_on;            // 1: pages become cold; 0: cold=off
    uint64_t cold_after_s;       // not written for so long is cold now
    uint64_t cold_demoted_pages; // put into groups, ever
    uint64_t cold_groups;        // made, ever
    uint64_t cold_saved_bytes;   // what the pages took less afterwards, ever
    uint64_t cold_cleaned_spans; // of groups, ever
    uint64_t cold_cpu_ns;        // spent on all that
    uint64_t cold_cache_hits;    // reads that found their group decompressed
    uint64_t cold_cache_misses;
    uint64_t age_least_s[ZR_SLOT_AGE_MAX + 1]; // a page of an age was not written for so long
    uint64_t uptime_ns;
    size_t nr_devices;
    struct zr_device_stats *devices; // the caller's to free; NULL if only totals were asked for
};

// Totals only.  Never allocates.
void zr_server_get_stats(struct zr_server *server, struct zr_server_stats *stats);

// And each export's.  0 or -ENOMEM; nothing is to be freed then.
int zr_server_get_all_stats(struct zr_server *server, struct zr_server_stats *stats);

#endif
