// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Whatever one client does, the others are served, and right. How long they wait for it is
// bench/bench-tenants's business.

#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"
#include "hostile.h"
#include "server.h"
#include "shadow.h"

#define SETTLE_US 200000
#define NR_ROUNDS 20
#define DISK_BYTES (16 * MiB)
#define PIECE_BYTES (256 * KiB)

static void use(struct shadow *disk)
{
    for (int round = 0; round < NR_ROUNDS; round++) {
        uint64_t offset = random_below(DISK_BYTES - PIECE_BYTES) / PAGE_BYTES * PAGE_BYTES;

        shadow_write(disk, offset, PIECE_BYTES, CONTENT_MIXED, 0);
        shadow_trim(disk, random_below(8) * 2 * MiB, 2 * MiB, 0);
        shadow_compare(disk, offset, PIECE_BYTES);
    }
    shadow_compare_all(disk);
}

static void serve_beside(const struct hostile *hostile)
{
    struct nbd_handle *late;
    struct shadow disk;
    char *messages;
    pid_t pid;
    int status;

    printf("%s\n", hostile->name);
    fflush(stdout);
    server_start("size=16M", "export=hostile:64M:16M");
    shadow_init(&disk, server_connect(""));
    pid = hostile_start(hostile, server_socket(), "hostile");
    usleep(SETTLE_US);
    use(&disk);

    // Who comes now is served as well.
    late = server_connect("");
    server_disconnect(disk.nbd);
    disk.nbd = late;
    use(&disk);
    server_disconnect(disk.nbd);
    shadow_fini(&disk);

    // nbdkit waits for the clients that are there when it ends, so this one must go first.
    hostile_stop(pid);
    status = server_end();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        FAIL("the server ended with wait status %#x:\n%s", status, server_take_messages());
    messages = server_take_messages();
    if (strstr(messages, "Sanitizer"))
        FAIL("%s", messages);
    free(messages);
}

int main(void)
{
    random_start();
    for (const struct hostile *hostile = hostiles; hostile->name; hostile++)
        serve_beside(hostile);
}
