// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The memory of a process that its kernel would swap out: anonymous pages, and those of shared
// memory (shmem: memfd, tmpfs, shared anonymous and System V memory), where QEMU keeps a guest with
// share=on. Of shmem each page counts once, however often it is mapped.  smaps has the ranges,
// pagemap the pages of them that are in memory, mem the content.
#include "message.h"
#include "page-source.h"

#include "../store/same-filled.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
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
    char *path;
    int fd;

    if (asprintf(&path, "/proc/%s/%s", source->name, file) < 0) {
        zr_die("out of memory");
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        die_of(source, file);
    }
    free(path);
    return fd;
}

static FILE *open_proc_text(const struct zr_page_source *source, const char *file)
{
    return zr_must_have(fdopen(open_proc(source, file), "r"));
}

static void close_proc_text(const struct zr_page_source *source, const char *file, FILE *text)
{
    if (ferror(text)) {
        die_of(source, file);
    }
    fclose(text);
}

// ---- Ranges ------------------------------------------------------------------------------------

struct devices { // those whose files are shmem
    dev_t *list;
    size_t nr;
};

static void add_device(struct devices *devices, dev_t device)
{
    devices->list =
        zr_must_have(reallocarray(devices->list, devices->nr + 1, sizeof *devices->list));
    devices->list[devices->nr++] = device;
}

static void find_shmem_devices(const struct zr_page_source *source, struct devices *devices)
{
    FILE *mounts = open_proc_text(source, "mountinfo");
    unsigned major, minor;
    struct stat stat;
    char *line = NULL;
    size_t size = 0;
    int fd;

    while (getline(&line, &size, mounts) >= 0) {
        if (sscanf(line, "%*u %*u %u:%u ", &major, &minor) == 2 && strstr(line, " - tmpfs ")) {
            add_device(devices, makedev(major, minor));
        }
    }
    free(line);
    close_proc_text(source, "mountinfo", mounts);
    // Shared memory without a file name is on the kernel's internal mount; a memfd shows its
    // device.
    fd = memfd_create(ZR_PROGRAM, MFD_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) < 0) {
        zr_die("cannot find out which memory is shared: memfd_create: %m");
    }
    close(fd);
    add_device(devices, stat.st_dev);
}

static bool has_device(const struct devices *devices, dev_t device)
{
    size_t i;

    for (i = 0; i < devices->nr && devices->list[i] != device; i++) {
    }
    return i < devices->nr;
}

// The line of smaps that begins a mapping; false if it is another line.
static bool parse_mapping(const char *line, const struct devices *devices,
                          struct zr_address_range *range)
{
    struct zr_address_range parsed = {0};
    unsigned major, minor;
    int nr_read = 0;

    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %x:%x %" SCNu64 " %n", &parsed.start,
               &parsed.end, &parsed.offset, &major, &minor, &parsed.inode, &nr_read) < 6) {
        return false;
    }
    parsed.device = makedev(major, minor);
    parsed.is_shmem = parsed.inode != 0 && has_device(devices, parsed.device);
    // System V memory has its identifier for an inode: keep it apart from real inodes.
    if (strncmp(line + nr_read, "/SYSV", 5) == 0) {
        parsed.inode |= UINT64_C(1) << 63;
    }
    *range = parsed;
    return true;
}

struct mapping_sizes { // in KiB
    uint64_t resident, anonymous, swapped, hugetlb;
};

static void parse_size(const char *line, struct mapping_sizes *sizes)
{
    uint64_t kib;

    if (sscanf(line, "Rss: %" SCNu64 " kB", &kib) == 1) {
        sizes->resident = kib;
    } else if (sscanf(line, "Anonymous: %" SCNu64 " kB", &kib) == 1) {
        sizes->anonymous = kib;
    } else if (sscanf(line, "Swap: %" SCNu64 " kB", &kib) == 1) {
        sizes->swapped = kib;
    } else if (sscanf(line, "Shared_Hugetlb: %" SCNu64 " kB", &kib) == 1 ||
               sscanf(line, "Private_Hugetlb: %" SCNu64 " kB", &kib) == 1) {
        sizes->hugetlb += kib;
    }
}

static void add_range(struct zr_page_source *source, const struct zr_address_range *range,
                      const struct mapping_sizes *sizes)
{
    uint64_t kib = range->is_shmem ? sizes->resident : sizes->anonymous;

    source->left_out.file_bytes += (sizes->resident - kib) << 10;
    source->left_out.swapped_bytes += sizes->swapped << 10;
    source->left_out.hugetlb_bytes += sizes->hugetlb << 10;
    source->total_bytes += kib << 10;
    if (kib > 0) {
        source->ranges = zr_must_have(
            reallocarray(source->ranges, source->nr_ranges + 1, sizeof *source->ranges));
        source->ranges[source->nr_ranges++] = *range;
    }
}

static void read_ranges(struct zr_page_source *source)
{
    struct devices devices = {0};
    struct zr_address_range range = {0}, next;
    struct mapping_sizes sizes = {0};
    char *line = NULL;
    size_t size = 0;
    FILE *smaps;

    find_shmem_devices(source, &devices);
    smaps = open_proc_text(source, "smaps");
    while (getline(&line, &size, smaps) >= 0) {
        if (parse_mapping(line, &devices, &next)) {
            add_range(source, &range, &sizes);
            range = next;
            sizes = (struct mapping_sizes){0};
        } else {
            parse_size(line, &sizes);
        }
    }
    add_range(source, &range, &sizes);
    free(line);
    free(devices.list);
    close_proc_text(source, "smaps", smaps);
}

// ---- Pages -------------------------------------------------------------------------------------

#define NR_WORDS 512

// Reads the words of the next pages; fewer when the address space ends.
static size_t read_words(const struct zr_page_source *source, uint64_t *words, uint64_t nr_pages,
                         uint64_t address)
{
    ssize_t bytes = pread(source->pagemap, words, (size_t)nr_pages * sizeof *words,
                          (off_t)(address / ZR_PAGE_BYTES * sizeof *words));

    if (bytes < 0) {
        die_of(source, "pagemap");
    }
    return (size_t)bytes / sizeof *words;
}

static bool is_shared(uint64_t word)
{
    return (word & PAGEMAP_PRESENT) && (word & PAGEMAP_FILE_OR_SHARED);
}

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

// Clears the words of shmem pages that were counted in an earlier range.
static void drop_counted(const struct zr_page_source *source, uint64_t *words, size_t nr_words)
{
    const struct zr_address_range *range = &source->ranges[source->range], *other;
    uint64_t start = range->offset + (source->address - range->start), from, to;
    uint64_t end = start + nr_words * ZR_PAGE_BYTES;
    uint64_t counted[NR_WORDS];
    size_t i, nr;

    for (other = source->ranges; other < range; other++) {
        from = start > other->offset ? start : other->offset;
        to = min(end, other->offset + (other->end - other->start));
        if (!other->is_shmem || other->device != range->device || other->inode != range->inode ||
            from >= to) {
            continue;
        }
        nr = read_words(source, counted, (to - from) / ZR_PAGE_BYTES,
                        other->start + (from - other->offset));
        for (i = 0; i < nr; i++) {
            uint64_t *word = &words[(from - start) / ZR_PAGE_BYTES + i];

            *word = is_shared(*word) && is_shared(counted[i]) ? 0 : *word;
        }
    }
}

// Fills pages from the current range, or comes to its end.
static size_t read_range(struct zr_page_source *source, unsigned char *pages, size_t nr_pages)
{
    const struct zr_address_range *range = &source->ranges[source->range];
    uint64_t words[NR_WORDS];
    size_t nr_words, i, nr = 0;

    while (nr < nr_pages && source->address < range->end) {
        nr_words = read_words(
            source, words,
            min((range->end - source->address) / ZR_PAGE_BYTES, min(nr_pages - nr, NR_WORDS)),
            source->address);
        if (nr_words == 0) {
            source->address = range->end; // the process has ended
        }
        if (range->is_shmem) {
            drop_counted(source, words, nr_words);
        }
        for (i = 0; i < nr_words; i++, source->address += ZR_PAGE_BYTES) {
            // The process goes on running: it may have freed the page meanwhile.
            nr += (words[i] & PAGEMAP_PRESENT) && (range->is_shmem || !is_shared(words[i])) &&
                  pread(source->fd, pages + nr * ZR_PAGE_BYTES, ZR_PAGE_BYTES,
                        (off_t)source->address) == ZR_PAGE_BYTES;
        }
    }
    return nr;
}

static size_t read_process(struct zr_page_source *source, unsigned char *pages, size_t nr_pages)
{
    size_t nr = 0;

    while (nr < nr_pages && source->range < source->nr_ranges) {
        if (source->address == 0) {
            source->address = source->ranges[source->range].start;
        }
        nr += read_range(source, pages + nr * ZR_PAGE_BYTES, nr_pages - nr);
        if (source->address == source->ranges[source->range].end) {
            source->range++;
            source->address = 0;
        }
    }
    return nr;
}

void zr_page_source_open_process(struct zr_page_source *source)
{
    if (sysconf(_SC_PAGESIZE) != ZR_PAGE_BYTES) {
        zr_die("process %s: its pages are of %ld bytes, not %u", source->name,
               sysconf(_SC_PAGESIZE), ZR_PAGE_BYTES);
    }
    source->is_process = true;
    source->read = read_process;
    source->fd = open_proc(source, "mem");
    source->pagemap = open_proc(source, "pagemap");
    read_ranges(source);
}
