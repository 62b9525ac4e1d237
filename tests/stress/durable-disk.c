// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "durable-disk.h"
#include "tests/protocol/content.h"
#include "tests/protocol/expect.h"

#include <inttypes.h>
#include <sys/mman.h>

#define PIECE_BYTES (1 * MiB) // of a read

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t page_start(uint64_t offset)
{
    return offset / PAGE_BYTES * PAGE_BYTES;
}

static uint64_t page_end(uint64_t offset)
{
    return page_start(offset + PAGE_BYTES - 1);
}

void durable_init(struct durable_disk *disk, const char *name, uint64_t size, uint64_t max_size)
{
    *disk = (struct durable_disk){
        .name = name,
        .size = size,
        .queue = PTHREAD_MUTEX_INITIALIZER,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .is_changed = PTHREAD_COND_INITIALIZER,
    };
    disk->bytes = mmap(NULL, page_end(max_size), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT(disk->bytes != MAP_FAILED);
}

void durable_fini(struct durable_disk *disk)
{
    munmap(disk->bytes, page_end(disk->size));
}

static bool is_on_same_page(const struct durable_request *a, const struct durable_request *b)
{
    return a->bytes > 0 && b->bytes > 0 && page_start(a->offset) < page_end(b->offset + b->bytes) &&
           page_start(b->offset) < page_end(a->offset + a->bytes);
}

static bool must_wait(const struct durable_disk *disk, const struct durable_request *request)
{
    for (unsigned i = 0; i < DURABLE_SLOTS; i++) {
        if (is_on_same_page(&disk->under_way[i], request)) {
            return true;
        }
    }
    return false;
}

bool durable_begin(struct durable_disk *disk, unsigned slot, const struct durable_request *request)
{
    bool has_begun;

    // In a queue, or a request for the whole disk would wait for ever.
    pthread_mutex_lock(&disk->queue);
    pthread_mutex_lock(&disk->lock);
    while (!disk->is_over && must_wait(disk, request)) {
        pthread_cond_wait(&disk->is_changed, &disk->lock);
    }
    has_begun = !disk->is_over;
    if (has_begun) {
        disk->under_way[slot] = *request;
    }
    pthread_mutex_unlock(&disk->lock);
    pthread_mutex_unlock(&disk->queue);
    return has_begun;
}

// Nothing is under way in the slot any more.
static void forget(struct durable_disk *disk, unsigned slot)
{
    pthread_mutex_lock(&disk->lock);
    disk->under_way[slot].bytes = 0;
    pthread_cond_broadcast(&disk->is_changed);
    pthread_mutex_unlock(&disk->lock);
}

void durable_expect_kill(struct durable_disk *disk)
{
    disk->is_dying = true;
}

void durable_was_killed(struct durable_disk *disk)
{
    pthread_mutex_lock(&disk->lock);
    disk->is_over = true;
    pthread_cond_broadcast(&disk->is_changed);
    pthread_mutex_unlock(&disk->lock);
}

// The page at an offset as the request leaves it.
static void change_page(const struct durable_disk *disk, const struct durable_request *request,
                        uint64_t offset, uint8_t *page)
{
    uint64_t start = larger(offset, request->offset);
    uint64_t end = smaller(offset + PAGE_BYTES, request->offset + request->bytes);

    memcpy(page, disk->bytes + offset, PAGE_BYTES);
    if (request->kind == DURABLE_WRITE) {
        memcpy(page + start - offset, request->data + start - request->offset, end - start);
    } else if (request->kind != DURABLE_READ) {
        memset(page + start - offset, 0, end - start);
    }
}

// The range of the window that the request touches, whole pages.  False if none.
static bool clip(const struct durable_window *window, const struct durable_request *request,
                 uint64_t *start, uint64_t *end)
{
    *start = larger(window->start, page_start(request->offset));
    *end = smaller(window->end, page_end(request->offset + request->bytes));
    return *start < *end;
}

static void fail_page(const struct durable_disk *disk, uint64_t offset, const uint8_t *page,
                      const char *what)
{
    const uint8_t *expected = disk->bytes + offset;
    size_t i = 0;

    while (i < PAGE_BYTES - 1 && page[i] == expected[i]) {
        i++;
    }
    FAIL("export \"%s\", page %" PRIu64 ", byte %zu: reads %02x, not %02x%s", disk->name,
         offset / PAGE_BYTES, i, page[i], expected[i], what);
}

static bool is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE_BYTES - 1) == 0;
}

void durable_end(struct durable_disk *disk, unsigned slot)
{
    const struct durable_request *request = &disk->under_way[slot];
    uint8_t page[PAGE_BYTES];
    uint64_t start, end;

    if (request->kind == DURABLE_READ &&
        memcmp(disk->bytes + request->offset, request->data, request->bytes) != 0) {
        FAIL("export \"%s\": a read of %" PRIu64 " bytes at %" PRIu64 " is wrong", disk->name,
             request->bytes, request->offset);
    }
    for (size_t i = 0; request->kind != DURABLE_READ && i < disk->nr_windows; i++) {
        if (clip(&disk->windows[i], request, &start, &end)) {
            for (; start < end; start += PAGE_BYTES) {
                change_page(disk, request, start, page);
                memcpy(disk->bytes + start, page, PAGE_BYTES);
            }
        }
    }
    forget(disk, slot);
}

// Whole pages of one window, PIECE_BYTES at most; zeros follow the disk's end.  False without an
// answer: the server was killed.
static bool read_pages(const struct durable_disk *disk, struct nbd_handle *nbd, uint8_t *to,
                       uint64_t start, uint64_t end)
{
    uint64_t bytes = smaller(end, disk->size) - start;

    memset(to + bytes, 0, end - start - bytes);
    if (nbd_pread(nbd, to, bytes, start, 0) == 0) {
        return true;
    }
    if (!disk->is_dying || nbd_aio_is_ready(nbd)) {
        FAIL("export \"%s\": a read of %" PRIu64 " bytes at %" PRIu64 ": %s", disk->name, bytes,
             start, nbd_get_error());
    }
    return false;
}

struct settled {
    uint64_t nr_old, nr_new;
};

// A page of a request that was under way becomes what was read: what it was, or what the request
// makes of it.
static void settle_page(struct durable_disk *disk, const struct durable_request *request,
                        uint64_t offset, const uint8_t *page, struct settled *settled)
{
    uint8_t changed[PAGE_BYTES];

    change_page(disk, request, offset, changed);
    if (memcmp(changed, disk->bytes + offset, PAGE_BYTES) == 0) {
        return; // no difference; compared with all others
    }
    if (memcmp(page, changed, PAGE_BYTES) == 0) {
        settled->nr_new++;
        memcpy(disk->bytes + offset, changed, PAGE_BYTES);
    } else if (memcmp(page, disk->bytes + offset, PAGE_BYTES) == 0) {
        settled->nr_old++;
    } else {
        fail_page(disk, offset, page,
                  is_zero(page) ? ": zeros; neither before nor after the request under way"
                                : ": neither before nor after the request under way");
    }
}

// False without an answer; what was answered is settled.
static bool settle(struct durable_disk *disk, const struct durable_request *request,
                   struct nbd_handle *nbd, struct settled *settled)
{
    static _Thread_local uint8_t pages[PIECE_BYTES];
    uint64_t start, end, bytes, i;

    for (size_t w = 0; w < disk->nr_windows; w++) {
        if (!clip(&disk->windows[w], request, &start, &end)) {
            continue;
        }
        for (; start < end; start += bytes) {
            bytes = smaller(end - start, PIECE_BYTES);
            if (!read_pages(disk, nbd, pages, start, start + bytes)) {
                return false;
            }
            for (i = 0; i < bytes; i += PAGE_BYTES) {
                settle_page(disk, request, start + i, pages + i, settled);
            }
        }
    }
    return true;
}

bool durable_refused(struct durable_disk *disk, unsigned slot, struct nbd_handle *nbd)
{
    struct settled ignored = {0};
    bool is_settled = settle(disk, &disk->under_way[slot], nbd, &ignored);

    if (is_settled) {
        forget(disk, slot);
    }
    return is_settled;
}

static void compare(struct durable_disk *disk, struct nbd_handle *nbd,
                    const struct durable_window *window)
{
    static uint8_t pages[PIECE_BYTES];
    uint64_t start, bytes, i;

    for (start = window->start; start < window->end; start += bytes) {
        bytes = smaller(window->end - start, PIECE_BYTES);
        read_pages(disk, nbd, pages, start, start + bytes);
        for (i = 0; i < bytes; i += PAGE_BYTES) {
            if (memcmp(pages + i, disk->bytes + start + i, PAGE_BYTES) != 0) {
                fail_page(disk, start + i, pages + i,
                          is_zero(pages + i) ? ": zeros instead of what was acknowledged"
                                             : ": not what was acknowledged");
            }
        }
        disk->nr_pages_compared += bytes / PAGE_BYTES;
    }
}

void durable_check(struct durable_disk *disk, struct nbd_handle *nbd)
{
    struct settled settled = {0};

    disk->is_over = false;
    disk->is_dying = false;
    for (unsigned i = 0; i < DURABLE_SLOTS; i++) {
        if (disk->under_way[i].bytes > 0) {
            settle(disk, &disk->under_way[i], nbd, &settled);
            disk->under_way[i].bytes = 0;
        }
    }
    disk->nr_old += settled.nr_old;
    disk->nr_new += settled.nr_new;
    for (size_t i = 0; i < disk->nr_windows; i++) {
        compare(disk, nbd, &disk->windows[i]);
    }
}

bool durable_is_settled(const struct durable_disk *disk)
{
    for (unsigned i = 0; i < DURABLE_SLOTS; i++) {
        if (disk->under_way[i].bytes > 0) {
            return false;
        }
    }
    return true;
}

void durable_count(const struct durable_disk *disk, uint64_t *nr_stored, uint64_t *nr_same)
{
    const uint8_t *page;
    bool is_stored;

    *nr_stored = *nr_same = 0;
    for (size_t i = 0; i < disk->nr_windows; i++) {
        for (uint64_t at = disk->windows[i].start; at < disk->windows[i].end; at += PAGE_BYTES) {
            page = disk->bytes + at;
            is_stored = !is_zero(page);
            *nr_stored += is_stored;
            *nr_same += is_stored && memcmp(page, page + 4, PAGE_BYTES - 4) == 0;
        }
    }
}
