// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Page source: the pages of a file, or the memory of a process that its kernel would swap out, one
// batch after another.  Dies of what it cannot read.
#ifndef ZR_CTL_PAGE_SOURCE_H
#define ZR_CTL_PAGE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zr_page_source {
    const char *name;
    uint64_t total_bytes; // about; 0: not known
    // Memory of a process that is not read, as smaps counts it.
    struct zr_left_out {
        uint64_t file_bytes;    // pages of files: dropped or written back, never swapped
        uint64_t swapped_bytes; // in swap already: reading would bring it back
        uint64_t hugetlb_bytes; // never swapped
    } left_out;
    // The next pages; 0 at the end.
    size_t (*read)(struct zr_page_source *source, unsigned char *pages, size_t nr_pages);
    int fd; // the file; or the process's memory

    // Of a process.
    bool is_process;
    int pagemap;
    size_t nr_ranges, range; // range: the current one
    uint64_t address;        // of the next page in it; 0: its first
    struct zr_address_range {
        uint64_t start, end;
        // What is mapped, if that is shared memory (shmem): its pages may be mapped more than once.
        bool is_shmem;
        uint64_t device, inode, offset;
    } *ranges;
};

// name: a number is a process, all else a file.  It must stay.
void zr_page_source_open(struct zr_page_source *source, const char *name);
void zr_page_source_close(struct zr_page_source *source);

// page-source-process.c
void zr_page_source_open_process(struct zr_page_source *source);

#endif
