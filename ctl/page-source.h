// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Page source: the pages of a file, or the anonymous memory of a process, one batch after another.
// Dies of what it cannot read.
#ifndef ZR_CTL_PAGE_SOURCE_H
#define ZR_CTL_PAGE_SOURCE_H

#include <stddef.h>
#include <stdint.h>

struct zr_page_source {
    const char *name;
    uint64_t total_bytes; // about; 0: not known
    // The next pages; 0 at the end.
    size_t (*read)(struct zr_page_source *source, unsigned char *pages, size_t nr_pages);
    int fd; // the file; or the process's memory

    // Of a process.
    int pagemap;
    size_t nr_ranges, range; // range: the current one
    struct zr_address_range {
        uint64_t start, end;
    } *ranges;
};

// name: a number is a process, all else a file.  It must stay.
void zr_page_source_open(struct zr_page_source *source, const char *name);
void zr_page_source_close(struct zr_page_source *source);

// page-source-process.c
void zr_page_source_open_process(struct zr_page_source *source);

#endif
