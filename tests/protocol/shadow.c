// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors

#include <inttypes.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "expect.h"
#include "shadow.h"

// nbdkit keeps a buffer of the biggest request for each of its 16 threads a connection; small
// ones keep that out of what the tests find resident.
#define MAX_REQUEST_BYTES (1 * MiB)

// A hole reads as zeros here, so the two flags always come together.
#define STATE_HOLE (LIBNBD_STATE_HOLE | LIBNBD_STATE_ZERO)
#define STATE_ALLOCATED 0

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void shadow_init(struct shadow *shadow, struct nbd_handle *nbd)
{
    shadow->nbd = nbd;
    shadow->size = NBD_OK(nbd_get_size(nbd));
    shadow->bytes = mmap(NULL, shadow->size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT(shadow->bytes != MAP_FAILED);
    // Touching a gigabyte page by page takes seconds on some virtual machines. Where there are
    // no huge pages it works all the same.
    madvise(shadow->bytes, shadow->size, MADV_HUGEPAGE);
}

void shadow_fini(struct shadow *shadow)
{
    munmap(shadow->bytes, shadow->size);
}

void shadow_put(struct shadow *shadow, uint64_t offset, uint64_t length, uint32_t flags)
{
    while (length > 0) {
        size_t part = smaller(length, MAX_REQUEST_BYTES);

        NBD_OK(nbd_pwrite(shadow->nbd, shadow->bytes + offset, part, offset, flags));
        offset += part;
        length -= part;
    }
}

void shadow_write(struct shadow *shadow, uint64_t offset, uint64_t length, enum content content,
                  uint32_t flags)
{
    content_fill(shadow->bytes + offset, length, content);
    shadow_put(shadow, offset, length, flags);
}

void shadow_trim(struct shadow *shadow, uint64_t offset, uint64_t length, uint32_t flags)
{
    memset(shadow->bytes + offset, 0, length);
    NBD_OK(nbd_trim(shadow->nbd, length, offset, flags));
}

void shadow_zero(struct shadow *shadow, uint64_t offset, uint64_t length, uint32_t flags)
{
    memset(shadow->bytes + offset, 0, length);
    NBD_OK(nbd_zero(shadow->nbd, length, offset, flags));
}

static void compare_bytes(const uint8_t *actual, const uint8_t *expected, size_t length,
                          uint64_t offset)
{
    size_t i = 0;

    if (memcmp(actual, expected, length) == 0)
        return;
    while (actual[i] == expected[i])
        i++;
    FAIL("byte %" PRIu64 " (page %" PRIu64 ", byte %" PRIu64 " of it) reads 0x%02x, not 0x%02x",
         offset + i, (offset + i) / PAGE_BYTES, (offset + i) % PAGE_BYTES, actual[i], expected[i]);
}

void shadow_compare(struct shadow *shadow, uint64_t offset, uint64_t length)
{
    static uint8_t actual[MAX_REQUEST_BYTES];

    while (length > 0) {
        size_t part = smaller(length, MAX_REQUEST_BYTES);

        NBD_OK(nbd_pread(shadow->nbd, actual, part, offset, 0));
        compare_bytes(actual, shadow->bytes + offset, part, offset);
        offset += part;
        length -= part;
    }
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

struct extent_check {
    const struct shadow *shadow;
    uint64_t position; // Where the next extent begins.
    size_t nr_extents;
};

static void check_extent(const struct extent_check *check, uint64_t end, uint32_t state)
{
    const struct shadow *shadow = check->shadow;

    EXPECT(end <= shadow->size);
    for (uint64_t page = check->position / PAGE_BYTES; page * PAGE_BYTES < end; page++) {
        uint64_t start = page * PAGE_BYTES;
        size_t length = smaller(PAGE_BYTES, shadow->size - start);
        uint32_t expected = is_zero(shadow->bytes + start, length) ? STATE_HOLE : STATE_ALLOCATED;

        if (state != expected)
            FAIL("page %" PRIu64 " has block status %u, not %u", page, state, expected);
    }
}

static int on_extents(void *user_data, const char *context, uint64_t offset, uint32_t *entries,
                      size_t nr_entries, int *error)
{
    struct extent_check *check = user_data;

    (void)error;
    EXPECT(strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) == 0);
    EXPECT(offset == check->position);
    EXPECT(nr_entries > 0);
    for (size_t i = 0; i < nr_entries; i += 2) {
        uint64_t end = check->position + entries[i];

        EXPECT(entries[i] > 0);
        check_extent(check, end, entries[i + 1]);
        check->position = end;
        check->nr_extents++;
    }
    return 0;
}

size_t shadow_compare_extents(struct shadow *shadow, uint64_t offset, uint64_t length)
{
    struct extent_check check = {.shadow = shadow, .position = offset};
    uint64_t end = offset + length;

    // A server may answer for the beginning of the range only.
    while (check.position < end)
        NBD_OK(nbd_block_status(shadow->nbd, end - check.position, check.position,
                                (nbd_extent_callback){on_extents, &check, NULL}, 0));
    return check.nr_extents;
}

void shadow_compare_all(struct shadow *shadow)
{
    shadow_compare(shadow, 0, shadow->size);
    shadow_compare_extents(shadow, 0, shadow->size);
}
