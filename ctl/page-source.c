// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "page-source.h"
#include "message.h"

#include "../store/same-filled.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Fills up the last page with zeros, as it would be stored on the device.
static size_t read_file(struct zr_page_source *source, unsigned char *pages, size_t nr_pages)
{
    size_t size = nr_pages * ZR_PAGE_BYTES, at = 0;
    ssize_t part;

    while (at < size) {
        part = read(source->fd, pages + at, size - at);
        if (part < 0 && errno != EINTR) {
            zr_die("cannot read %s: %m", source->name);
        }
        if (part == 0) {
            break;
        }
        at += part > 0 ? (size_t)part : 0;
    }
    nr_pages = (at + ZR_PAGE_BYTES - 1) / ZR_PAGE_BYTES;
    memset(pages + at, 0, nr_pages * ZR_PAGE_BYTES - at);
    return nr_pages;
}

static void open_file(struct zr_page_source *source)
{
    struct stat stat;

    source->read = read_file;
    source->fd = open(source->name, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0 || fstat(source->fd, &stat) < 0) {
        zr_die("cannot open %s: %m", source->name);
    }
    source->total_bytes = S_ISREG(stat.st_mode) ? (uint64_t)stat.st_size : 0;
}

void zr_page_source_open(struct zr_page_source *source, const char *name)
{
    *source = (struct zr_page_source){.name = name, .fd = -1, .pagemap = -1};
    if (*name && name[strspn(name, "0123456789")] == '\0') {
        zr_page_source_open_process(source);
    } else {
        open_file(source);
    }
}

void zr_page_source_close(struct zr_page_source *source)
{
    close(source->fd);
    if (source->pagemap >= 0) {
        close(source->pagemap);
    }
    free(source->ranges);
}
