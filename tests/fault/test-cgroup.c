// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A real nbdkit in a memory cgroup. With limit= below the group's bound it stays within it, and
// refuses what is too much. Without, the kernel kills it, as it says it does; until that moment
// everything acknowledged reads back right.

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/protocol/expect.h"
#include "tests/protocol/server.h"
#include "tests/protocol/shadow.h"

#define GROUP_BYTES "100663296" // 96 MiB
#define DISK_BYTES (192 * MiB)
#define PIECE_BYTES (256 * KiB)

static char group[128];

static bool try_write_file(const char *name, const char *text)
{
    char path[256];
    int fd;
    bool done;

    snprintf(path, sizeof path, "%s/%s", group, name);
    fd = open(path, O_WRONLY);
    done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return done;
}

static void remove_group(void)
{
    // What was in it may take a moment to be gone.
    for (int i = 0; i < 100 && rmdir(group) == -1 && errno == EBUSY; i++)
        usleep(20000);
}

// Version 2, or the memory controller of version 1.
static void make_group(void)
{
    static const struct {
        const char *root, *limit;
    } kinds[] = {
        {"/sys/fs/cgroup", "memory.max"},
        {"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
    };

    for (int i = 0; i < 2; i++) {
        snprintf(group, sizeof group, "%s/zramswap-test-%d", kinds[i].root, getpid());
        if (mkdir(group, 0755) == -1)
            continue;
        if (try_write_file(kinds[i].limit, GROUP_BYTES)) {
            atexit(remove_group);
            return;
        }
        rmdir(group);
    }
    SKIP("no memory cgroup can be made here: run as root, with /sys/fs/cgroup writable");
}

static void start(const char *limit)
{
    char pid[16];

    server_start("size=192M", limit);
    sprintf(pid, "%d", server_process());
    EXPECT(try_write_file("cgroup.procs", pid));
}

// Writes pages that do not compress; how far it got.
static uint64_t fill(struct shadow *disk, int *error)
{
    uint64_t offset;

    *error = 0;
    for (offset = 0; offset < DISK_BYTES; offset += PIECE_BYTES) {
        content_fill(disk->bytes + offset, PIECE_BYTES, CONTENT_RANDOM);
        if (nbd_pwrite(disk->nbd, disk->bytes + offset, PIECE_BYTES, offset, 0) == -1) {
            *error = nbd_get_errno();
            memset(disk->bytes + offset, 0, PIECE_BYTES);
            break;
        }
        if (offset % (16 * MiB) == 0)
            shadow_compare(disk, offset / 2 / PIECE_BYTES * PIECE_BYTES, PIECE_BYTES);
    }
    return offset;
}

static void stay_within_a_limit(void)
{
    struct shadow disk;
    uint64_t filled;
    int error;

    start("limit=48M");
    shadow_init(&disk, server_connect(""));
    filled = fill(&disk, &error);
    EXPECT(error == ENOSPC);
    shadow_compare_all(&disk);
    printf("limit=48M in a group of 96 MiB: %" PRIu64 " MiB stored, then ENOSPC\n", filled / MiB);
    free(server_take_messages());
    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}

static void be_killed_without(void)
{
    struct shadow disk;
    uint64_t filled;
    int error, status;

    start("limit=1G");
    shadow_init(&disk, server_connect(""));
    filled = fill(&disk, &error);
    EXPECT(error != 0 && error != ENOSPC);
    status = server_end();
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    printf("limit=1G in a group of 96 MiB: killed by the kernel after %" PRIu64 " MiB\n",
           filled / MiB);
    free(server_take_messages());
    nbd_close(disk.nbd);
    shadow_fini(&disk);
}

int main(void)
{
    random_start();
    if (server_is_instrumented())
        SKIP("a sanitizer needs more memory than the cgroup has");
    make_group();
    stay_within_a_limit();
    be_killed_without();
}
