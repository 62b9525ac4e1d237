// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Every request is counted once, for its export and its kind, with its bytes, its time, and whether
// it failed; what is refused for want of room is a limit hit.

#include <inttypes.h>

#include "content.h"
#include "expect.h"
#include "server.h"
#include "stats.h"

#define LIMIT_PAGES 16 // of the export "small": 65600 bytes, in pages of RAW_BYTES

struct expected {
    uint64_t requests, bytes, failed;
};

static uint8_t buffer[64 * KiB];

// The part of the document from the first `"name": ` on.
static const char *find(const char *document, const char *name)
{
    char key[64];
    const char *found;

    snprintf(key, sizeof key, "\"%s\": ", name);
    found = strstr(document, key);
    if (!found)
        FAIL("no %s in %s", key, document);
    return found;
}

// The part that an export has.
static const char *find_export(const char *document, const char *name)
{
    char key[64];
    const char *found;

    snprintf(key, sizeof key, "{\"name\": \"%s\",", name);
    found = strstr(document, key);
    if (!found)
        FAIL("no %s in %s", key, document);
    return found;
}

static uint64_t sum_of_buckets(const char *kind)
{
    const char *at = find(kind, "buckets");
    const char *end = strchr(at, ']');
    uint64_t nr, sum = 0;

    while ((at = strstr(at, "\"count\": ")) && at < end) {
        EXPECT(sscanf(at, "\"count\": %" SCNu64, &nr) == 1);
        sum += nr;
        at++;
    }
    return sum;
}

// `part` is an export's, or the whole document for the totals.
static void expect_requests(const char *part, const char *kind_name, struct expected expected)
{
    const char *kind = find(find(part, "requests"), kind_name);
    uint64_t p50 = stats_number(kind, "p50_ns"), p99 = stats_number(kind, "p99_ns");
    uint64_t max = stats_number(kind, "max_ns"), sum = stats_number(kind, "sum_ns");

    if (stats_number(kind, "requests") != expected.requests ||
        stats_number(kind, "bytes") != expected.bytes ||
        stats_number(kind, "failed") != expected.failed)
        FAIL("expected %" PRIu64 " %ss, %" PRIu64 " bytes, %" PRIu64 " failed in %s",
             expected.requests, kind_name, expected.bytes, expected.failed, part);
    EXPECT(sum_of_buckets(kind) == expected.requests);
    EXPECT((p50 > 0) == (expected.requests > 0));
    EXPECT(p50 <= p99 && p99 <= max && max <= sum && sum <= max * expected.requests);
}

static void expect_all(const char *part, struct expected read, struct expected write,
                       struct expected trim, struct expected block_status, uint64_t limit_hits)
{
    expect_requests(part, "read", read);
    expect_requests(part, "write", write);
    expect_requests(part, "trim", trim);
    expect_requests(part, "block_status", block_status);
    EXPECT(stats_number(part, "limit_hits") == limit_hits);
}

static int ignore_extents(void *user_data, const char *context, uint64_t offset, uint32_t *entries,
                          size_t nr_entries, int *error)
{
    (void)user_data;
    (void)context;
    (void)offset;
    (void)entries;
    (void)nr_entries;
    (void)error;
    return 0;
}

static void ask_for_block_status(struct nbd_handle *nbd, uint64_t bytes)
{
    NBD_OK(nbd_block_status(nbd, bytes, 0, (nbd_extent_callback){ignore_extents, NULL, NULL}, 0));
}

// 5 reads, 3 writes, 4 trims and zeros, 2 for block status, and some that are none of these.
static void use_default_export(void)
{
    struct nbd_handle *nbd = server_connect("");

    for (int i = 0; i < 4; i++)
        NBD_OK(nbd_pread(nbd, buffer, PAGE_BYTES, i * PAGE_BYTES, 0));
    NBD_OK(nbd_pread(nbd, buffer, 1, 12345, 0));
    content_fill(buffer, sizeof buffer, CONTENT_TEXT);
    NBD_OK(nbd_pwrite(nbd, buffer, sizeof buffer, 0, 0));
    NBD_OK(nbd_pwrite(nbd, buffer, 512, 512, 0));
    NBD_OK(nbd_pwrite(nbd, buffer, PAGE_BYTES, 2 * MiB, LIBNBD_CMD_FLAG_FUA));
    NBD_OK(nbd_trim(nbd, 2 * MiB, 2 * MiB, 0));
    NBD_OK(nbd_trim(nbd, 100, 100, 0));
    NBD_OK(nbd_zero(nbd, 8 * MiB, 0, 0));
    NBD_OK(nbd_zero(nbd, PAGE_BYTES, 0, LIBNBD_CMD_FLAG_FAST_ZERO));
    ask_for_block_status(nbd, MiB);
    ask_for_block_status(nbd, 8 * MiB);
    NBD_OK(nbd_flush(nbd, 0));
    NBD_OK(nbd_cache(nbd, PAGE_BYTES, 0, 0));
    server_disconnect(nbd);
}

// Writes one page at a time, 5 more than fit.
static void use_small_export(void)
{
    struct nbd_handle *nbd = server_connect("small");

    content_fill(buffer, PAGE_BYTES, CONTENT_RANDOM);
    for (uint64_t i = 0; i < LIMIT_PAGES; i++)
        NBD_OK(nbd_pwrite(nbd, buffer, PAGE_BYTES, i * PAGE_BYTES, 0));
    for (uint64_t i = LIMIT_PAGES; i < LIMIT_PAGES + 5; i++)
        NBD_REFUSED(nbd_pwrite(nbd, buffer, PAGE_BYTES, i * PAGE_BYTES, 0), ENOSPC);
    NBD_OK(nbd_trim(nbd, PAGE_BYTES, 0, 0));
    server_disconnect(nbd);
    free(server_take_messages());
}

int main(void)
{
    const struct expected none = {0};
    const struct expected reads = {5, 4 * PAGE_BYTES + 1, 0};
    const struct expected writes = {3, sizeof buffer + 512 + PAGE_BYTES, 0};
    const struct expected trims = {4, 10 * MiB + 100 + PAGE_BYTES, 0};
    const struct expected block_statuses = {2, 9 * MiB, 0};
    const struct expected small_writes = {LIMIT_PAGES + 5, LIMIT_PAGES * PAGE_BYTES, 5};
    const struct expected small_trims = {1, PAGE_BYTES, 0};
    char *document;

    random_start();
    server_start("size=8M", "export=small:8M:65600", STATS_PARAMETER);
    free(stats_read());
    document = stats_read(); // reading the statistics is no request
    expect_all(document, none, none, none, none, 0);
    free(document);

    use_default_export();
    document = stats_read();
    expect_all(find_export(document, ""), reads, writes, trims, block_statuses, 0);
    expect_all(find_export(document, "small"), none, none, none, none, 0);
    expect_all(document, reads, writes, trims, block_statuses, 0);
    free(document);

    use_small_export();
    document = stats_read();
    expect_all(find_export(document, ""), reads, writes, trims, block_statuses, 0);
    expect_all(find_export(document, "small"), none, small_writes, small_trims, none, 5);
    expect_all(document, reads,
               (struct expected){writes.requests + small_writes.requests,
                                 writes.bytes + small_writes.bytes, small_writes.failed},
               (struct expected){trims.requests + 1, trims.bytes + PAGE_BYTES, 0}, block_statuses,
               5);
    free(document);
    server_stop();
}
