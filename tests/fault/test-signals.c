// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Where the kernel refuses by a signal what it could refuse by an error, the server lives on:
// memory that it does not have (SIGBUS at the first touch), files that may not be so long
// (SIGXFSZ).

#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/protocol/content.h"
#include "tests/protocol/expect.h"
#include "tests/protocol/server.h"

#define DISK_BYTES (UINT64_C(1) << 30)
#define PIECE_BYTES (256 * KiB)

// The same bytes for the same offset and round, each time.
static const void *content_of(uint64_t offset, unsigned round)
{
    static unsigned char piece[PIECE_BYTES];

    random_seed(offset + round);
    content_fill(piece, sizeof piece, CONTENT_RANDOM);
    return piece;
}

// Writes until it is refused, and returns how far it got.
static uint64_t fill(struct nbd_handle *nbd, unsigned round)
{
    uint64_t offset;

    for (offset = 0; offset < DISK_BYTES; offset += PIECE_BYTES)
        if (nbd_pwrite(nbd, content_of(offset, round), PIECE_BYTES, offset, 0) == -1) {
            if (nbd_get_errno() != ENOSPC)
                FAIL("write at %" PRIu64 ": %s, expected ENOSPC", offset, nbd_get_error());
            break;
        }
    return offset;
}

static void compare(struct nbd_handle *nbd, uint64_t end, unsigned round)
{
    static unsigned char piece[PIECE_BYTES];

    for (uint64_t offset = 0; offset < end; offset += PIECE_BYTES) {
        NBD_OK(nbd_pread(nbd, piece, sizeof piece, offset, 0));
        if (memcmp(piece, content_of(offset, round), sizeof piece) != 0)
            FAIL("what was acknowledged at %" PRIu64 " is lost", offset);
    }
}

static uint64_t read_kib(const char *path, const char *format)
{
    uint64_t value = 0;
    char line[128];
    FILE *file = fopen(path, "r");

    while (file && fgets(line, sizeof line, file) && sscanf(line, format, &value) != 1)
        ;
    if (file)
        fclose(file);
    return value;
}

// Twice, with a trim between: memory that went is taken again, and first touched again.
static void strict_overcommit(void)
{
    uint64_t mode = read_kib("/proc/sys/vm/overcommit_memory", "%" SCNu64);
    uint64_t commit_kib = read_kib("/proc/meminfo", "CommitLimit: %" SCNu64);
    struct nbd_handle *nbd;

    if (mode != 2 || commit_kib * 1024 >= DISK_BYTES)
        SKIP("vm.overcommit_memory is not 2, or the machine has more than the disk may take");
    server_start("size=1G");
    nbd = server_try_connect("");
    if (!nbd)
        FAIL("no connection: %s; the server says: %s", nbd_get_error(), server_take_messages());
    for (unsigned round = 0; round < 2; round++) {
        uint64_t end = fill(nbd, round);

        fprintf(stderr, "refused after %" PRIu64 " MiB of %" PRIu64 " MiB that may be committed\n",
                end / MiB, commit_kib / 1024);
        EXPECT(end < DISK_BYTES && end > commit_kib * 1024 / 4);
        compare(nbd, end, round);
        NBD_OK(nbd_trim(nbd, DISK_BYTES, 0, 0));
    }
    server_disconnect(nbd);
    free(server_take_messages()); // of each refused write
    server_stop();
}

static void limited_file_size(void)
{
    struct rlimit own, limit;
    bool has_started;
    char *messages;
    int status;

    SYSTEM_OK(getrlimit(RLIMIT_FSIZE, &own));
    limit = (struct rlimit){.rlim_cur = MiB, .rlim_max = own.rlim_max};
    SYSTEM_OK(setrlimit(RLIMIT_FSIZE, &limit));
    has_started =
        server_try_start_list(&status, (const char *const[]){"size=8M", "limit=8M", NULL});
    SYSTEM_OK(setrlimit(RLIMIT_FSIZE, &own));
    EXPECT(!has_started);
    if (WIFSIGNALED(status))
        FAIL("the server died of %s", strsignal(WTERMSIG(status)));
    messages = server_take_messages();
    EXPECT(strstr(messages, "File too large"));
    free(messages);
}

int main(int argc, char **argv)
{
    (void)argv;
    limited_file_size();
    if (argc < 2) // the machine's memory is everybody's: in a guest it may be short
        return 0;
    strict_overcommit();
    return 0;
}
