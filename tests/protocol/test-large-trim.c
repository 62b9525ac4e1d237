// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A trim of gigabytes, which frees whole parts of the slot table at once, frees exactly its
// range, wherever in the table that begins and ends.

#include <inttypes.h>

#include "content.h"
#include "expect.h"
#include "server.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof *(array))
#define LEAF_BYTES (2 * MiB)
#define DIRECTORY_BYTES (1 * GiB)

// A shadow of such a disk is too big, so there are some pages that hold data: these, before and
// after each of the boundaries. Trims begin and end near them.
static const int64_t boundaries[] = {1 * DIRECTORY_BYTES, 2 * DIRECTORY_BYTES, 4 * DIRECTORY_BYTES};
static const int64_t distances[] = {
    -(int64_t)(LEAF_BYTES + PAGE_BYTES),
    -(int64_t)LEAF_BYTES,
    -(int64_t)PAGE_BYTES,
    0,
    LEAF_BYTES - PAGE_BYTES,
    LEAF_BYTES,
};
static const int64_t ends[] = {-(int64_t)LEAF_BYTES, -1, 0, 1, PAGE_BYTES, LEAF_BYTES};

#define NR_SAMPLES (ARRAY_SIZE(boundaries) * ARRAY_SIZE(distances))
#define NR_ENDS (ARRAY_SIZE(boundaries) * ARRAY_SIZE(ends))

struct sample {
    uint64_t offset;
    uint8_t bytes[PAGE_BYTES];
};

static struct sample samples[NR_SAMPLES];

static void write_samples(struct nbd_handle *nbd)
{
    for (size_t i = 0; i < NR_SAMPLES; i++) {
        struct sample *sample = &samples[i];

        sample->offset =
            boundaries[i / ARRAY_SIZE(distances)] + distances[i % ARRAY_SIZE(distances)];
        content_fill(sample->bytes, PAGE_BYTES, CONTENT_TEXT);
        NBD_OK(nbd_pwrite(nbd, sample->bytes, PAGE_BYTES, sample->offset, 0));
    }
}

static void compare_samples_after_trim(struct nbd_handle *nbd, uint64_t start, uint64_t end)
{
    uint8_t actual[PAGE_BYTES];

    for (size_t i = 0; i < NR_SAMPLES; i++) {
        struct sample *sample = &samples[i];

        for (uint64_t at = 0; at < PAGE_BYTES; at++)
            if (start <= sample->offset + at && sample->offset + at < end)
                sample->bytes[at] = 0;
        NBD_OK(nbd_pread(nbd, actual, PAGE_BYTES, sample->offset, 0));
        if (memcmp(actual, sample->bytes, PAGE_BYTES) != 0)
            FAIL("after a trim from %" PRIu64 " to %" PRIu64 " the page at %" PRIu64 " is wrong",
                 start, end, sample->offset);
    }
}

static uint64_t trim_end(size_t i)
{
    return boundaries[i / ARRAY_SIZE(ends)] + ends[i % ARRAY_SIZE(ends)];
}

int main(void)
{
    struct nbd_handle *nbd;

    random_start();
    server_start("size=5G");
    nbd = server_connect("");
    for (size_t start = 0; start < NR_ENDS; start++)
        for (size_t end = 0; end < NR_ENDS; end++)
            if (trim_end(start) < trim_end(end)) {
                write_samples(nbd);
                NBD_OK(nbd_trim(nbd, trim_end(end) - trim_end(start), trim_end(start), 0));
                compare_samples_after_trim(nbd, trim_end(start), trim_end(end));
            }
    server_disconnect(nbd);
    server_stop();
}
