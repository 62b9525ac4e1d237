// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The anonymous memory of a process: what its kernel would swap out.  smaps tells the ranges that
// have any, pagemap which pages of them are in memory, mem what they hold.  What is swapped out
// already is passed over: to read it would bring it back.
#include "message.h"
#include "page-source.h"

#include "../store/same-filled.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// A page's word in pagemap, see proc(5).
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_FILE_OR_SHARED (UINT64_C(1) << 61)

__attribute__((noreturn)) static void die_of(const struct zr_page_source *source, const char *file)
{
    if (errno == ENOENT || errno == ESRCH) {
        zr_die("there is no process %s (a file of that name is ./%s)", source->name, source->name);
    }
    if (errno == EACCES || errno == EPERM) {
        zr_die("may not read the memory of process %s (/proc/%s/%s: %m): be root, or its user",
               source->name, source->name, file);
    }
    zr_die("cannot read /proc/%s/%s: %m", source->name, file);
}

static int open_proc(const struct zr_page_source *source, const char *file)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/proc/%.20s/%s", source->name, file);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        die_of(source, file);
    }
    return fd;
}

static void add_range(struct zr_page_source *source, struct zr_address_range range)
{
    source->ranges =
        zr_must_have(reallocarray(source->ranges, source->nr_ranges + 1, sizeof *source->ranges));
    source->ranges[source->nr_ranges++] = range;
}

static void read_ranges(struct zr_page_source *source)
{
    FILE *smaps = zr_must_have(fdopen(open_proc(source, "smaps"), "r"));
    struct zr_address_range range = {0};
    char *line = NULL;
    size_t size = 0;
    uint64_t kib;

    while (getline(&line, &size, smaps) >= 0) {
        if (sscanf(line, "Anonymous: %" SCNu64 " kB", &kib) == 1) {
            if (kib > 0) {
                add_range(source, range);
                source->total_bytes += kib << 10;
            }
        } else {
            sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &range.start, &range.end);
        }
    }
    if (ferror(smaps)) {
        die_of(source, "smaps");
    }
    free(line);
    fclose(smaps);
}

// How many of the next pages of range have a word, up to nr_pages.
static size_t read_words(const struct zr_page_source *source, uint64_t *words, size_t nr_pages,
                         const struct zr_address_range *range)
{
    uint64_t nr_left = (range->end - range->start) / ZR_PAGE_BYTES;
    ssize_t bytes;

    nr_pages = nr_left < nr_pages ? (size_t)nr_left : nr_pages;
    bytes = pread(source->pagemap, words, nr_pages * sizeof *words,
                  (off_t)(range->start / ZR_PAGE_BYTES * sizeof *words));
    if (bytes < 0) {
        die_of(source, "pagemap");
    }
    return (size_t)bytes / sizeof *words;
}

#define NR_WORDS 512

// Fills pages, or comes to the end of the range.
static size_t read_range(struct zr_page_source *source, unsigned char *pages, size_t nr_pages,
                         struct zr_address_range *range)
{
    uint64_t words[NR_WORDS];
    size_t nr_words, i, nr = 0;

    while (nr < nr_pages && range->start < range->end) {
        nr_words =
            read_words(source, words, nr_pages - nr < NR_WORDS ? nr_pages - nr : NR_WORDS, range);
        if (nr_words == 0) {
            range->start = range->end; // the process has ended
        }
        for (i = 0; i < nr_words; i++, range->start += ZR_PAGE_BYTES) {
            // It may have gone meanwhile: the process goes on running.
            nr += (words[i] & PAGEMAP_PRESENT) && !(words[i] & PAGEMAP_FILE_OR_SHARED) &&
                  pread(source->fd, pages + nr * ZR_PAGE_BYTES, ZR_PAGE_BYTES,
                        (off_t)range->start) == ZR_PAGE_BYTES;
        }
    }
    return nr;
}

static size_t read_process(struct zr_page_source *source, unsigned char *pages, size_t nr_pages)
{
    size_t nr = 0;

    while (nr < nr_pages && source->range < source->nr_ranges) {
        struct zr_address_range *range = &source->ranges[source->range];

        nr += read_range(source, pages + nr * ZR_PAGE_BYTES, nr_pages - nr, range);
        source->range += range->start == range->end;
    }
    return nr;
}

void zr_page_source_open_process(struct zr_page_source *source)
{
    if (sysconf(_SC_PAGESIZE) != ZR_PAGE_BYTES) {
        zr_die("process %s: its pages are of %ld bytes, not %u", source->name,
               sysconf(_SC_PAGESIZE), ZR_PAGE_BYTES);
    }
    source->read = read_process;
    source->fd = open_proc(source, "mem");
    source->pagemap = open_proc(source, "pagemap");
    read_ranges(source);
}
