// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors

#include <inttypes.h>
#include <unistd.h>

#include "tests/protocol/content.h"
#include "tests/protocol/expect.h"
#include "tests/protocol/server.h"
#include "workload.h"

#define REQUEST_BYTES (64 * KiB)

struct disk {
    const char *name;
    struct nbd_handle *nbd; // NULL: the server is gone, or did not let us in
    uint64_t bytes;
    uint8_t *shadow;
};

static bool is_gone(struct disk *disk)
{
    return !disk->nbd || nbd_aio_is_dead(disk->nbd) || nbd_aio_is_closed(disk->nbd);
}

// The plugin's reads need no memory, so they must work whatever fails.  nbdkit's buffer does: each
// of its threads has one as long as the longest request that it has met.  A shorter one may do.
static void expect_content(struct disk *disk, uint64_t offset, uint64_t bytes,
                           struct workload *workload)
{
    static uint8_t buffer[REQUEST_BYTES];

    if (is_gone(disk))
        return;
    if (nbd_pread(disk->nbd, buffer, bytes, offset, 0) == 0) {
        if (memcmp(buffer, disk->shadow + offset, bytes) != 0)
            FAIL("\"%s\" at %" PRIu64 " is not what was stored", disk->name, offset);
    } else if (is_gone(disk)) {
        return;
    } else if (!workload->is_nbdkit_short || nbd_get_errno() != ENOMEM) {
        FAIL("read at %" PRIu64 " of \"%s\": %s", offset, disk->name, nbd_get_error());
    } else {
        workload->nr_no_buffer++;
        for (uint64_t page = 0; bytes > PAGE_BYTES && page < bytes; page += PAGE_BYTES)
            expect_content(disk, offset + page, PAGE_BYTES, workload);
    }
}

static void compare(struct disk *disk, struct workload *workload)
{
    for (uint64_t offset = 0; offset < disk->bytes; offset += REQUEST_BYTES)
        expect_content(disk, offset, REQUEST_BYTES, workload);
}

// A write that fails must have changed nothing: it lies within an aligned 2 MiB.
static void write_some(struct disk *disk, uint64_t offset, uint64_t bytes, enum content content,
                       struct workload *workload)
{
    uint8_t data[REQUEST_BYTES];

    if (is_gone(disk))
        return;
    content_fill(data, bytes, content);
    if (nbd_pwrite(disk->nbd, data, bytes, offset, 0) == 0) {
        memcpy(disk->shadow + offset, data, bytes);
        return;
    }
    workload->nr_refused++;
    expect_content(disk, offset / REQUEST_BYTES * REQUEST_BYTES, REQUEST_BYTES, workload);
}

static void trim(struct disk *disk, uint64_t offset, uint64_t bytes, struct workload *workload)
{
    if (is_gone(disk))
        return;
    if (nbd_trim(disk->nbd, bytes, offset, 0) == 0)
        memset(disk->shadow + offset, 0, bytes);
    else if (offset % PAGE_BYTES != 0 || bytes % PAGE_BYTES != 0)
        workload->nr_refused++;
    else if (!is_gone(disk))
        FAIL("trim of whole pages at %" PRIu64 ": %s", offset, nbd_get_error());
}

static int ignore_extents(void *user_data, const char *context, uint64_t offset, uint32_t *entries,
                          size_t nr_entries, int *error)
{
    (void)user_data, (void)context, (void)offset, (void)entries, (void)nr_entries, (void)error;
    return 0;
}

static void ask_extents(struct disk *disk, struct workload *workload)
{
    nbd_extent_callback callback = {ignore_extents, NULL, NULL};

    if (!is_gone(disk))
        workload->nr_refused += nbd_block_status(disk->nbd, disk->bytes, 0, callback, 0) == -1;
}

// The statistics are whole, or refused.
static void read_statistics(struct workload *workload)
{
    struct nbd_handle *nbd = server_try_connect("statistics");
    static const char end[] = "]\n}\n";
    char text[65536] = "";
    int64_t bytes;

    if (!nbd) {
        workload->nr_refused++;
        return;
    }
    bytes = nbd_get_size(nbd);
    EXPECT(bytes > 0 && bytes < (int64_t)sizeof text);
    if (nbd_pread(nbd, text, bytes, 0, 0) == 0 && strcmp(text + bytes - strlen(end), end) != 0)
        FAIL("statistics that are cut short:\n%s", text);
    nbd_close(nbd);
}

static void fill(struct disk *disk, struct workload *workload)
{
    disk->nbd = server_try_connect(disk->name);
    workload->is_served |= disk->nbd != NULL;
    workload->nr_refused += !disk->nbd;
    for (uint64_t offset = 0; offset < disk->bytes / 8; offset += REQUEST_BYTES)
        write_some(disk, offset, REQUEST_BYTES, CONTENT_MIXED, workload);
}

static void change(struct disk *disk, struct workload *workload)
{
    trim(disk, 3 * PAGE_BYTES, 40 * PAGE_BYTES, workload);
    trim(disk, disk->bytes / 8 + 100, PAGE_BYTES, workload);
    write_some(disk, 3 * PAGE_BYTES + 100, 100, CONTENT_TEXT, workload);
    ask_extents(disk, workload);
    // Past the limit, which the disks share.
    for (uint64_t offset = 0; offset < disk->bytes; offset += REQUEST_BYTES)
        write_some(disk, offset, REQUEST_BYTES, CONTENT_RANDOM, workload);
    compare(disk, workload);
    trim(disk, 0, disk->bytes / 2, workload);
    write_some(disk, 0, REQUEST_BYTES, CONTENT_HALF_TEXT, workload);
}

void workload_run(struct workload *workload)
{
    struct disk disks[2] = {
        {.name = "", .bytes = workload->bytes},
        {.name = "b", .bytes = 2 * MiB},
    };

    for (int i = 0; i < 2; i++) {
        EXPECT((disks[i].shadow = calloc(1, disks[i].bytes)));
        fill(&disks[i], workload);
    }
    read_statistics(workload);
    for (int i = 0; i < 2; i++)
        change(&disks[i], workload);
    usleep(workload->await_us);
    for (int i = 0; i < 2; i++) {
        compare(&disks[i], workload);
        if (disks[i].nbd)
            nbd_close(disks[i].nbd);
        free(disks[i].shadow);
    }
}

void expect_one_line_of_error(const char *messages)
{
    const char *newline = strchr(messages, '\n');

    if (!newline || newline[1] != '\0' || strncmp(messages, "nbdkit: error: ", 15) != 0)
        FAIL("not one line of error, but:\n%s", messages);
}

// nbdkit says which of its threads speaks: "nbdkit: zramswap.2: error: ...".
void expect_only_errors(char *messages)
{
    for (char *line = strtok(messages, "\n"); line; line = strtok(NULL, "\n"))
        if (strncmp(line, "nbdkit: ", 8) != 0 && strncmp(line, "zramswap: ", 10) != 0)
            FAIL("the server had something else to say:\n%s", line);
}
