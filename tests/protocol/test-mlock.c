// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// mlock=on: the server is locked in memory also in the background, where nbdkit's own lock is
// lost; a reservation costs nothing all the same, and freed memory goes back. Where the system
// does not allow it, the server does not start, and says which limit to raise.
//
// A sanitizer's runtime makes mlockall do nothing: then only what does not need the lock is tested.

#include <inttypes.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "expect.h"
#include "server.h"
#include "shadow.h"

#define EMPTY_RESIDENT_BYTES (32 * MiB)
#define STORED_BYTES (64 * MiB)
#define AWAIT_SECONDS 10

static bool can_lock_everything(void)
{
    setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0 && munlockall() == 0;
}

// For this process and all that it starts.
static void forbid_locking(void)
{
    // Who may not drop it does not have it.
    prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0);
    SYSTEM_OK(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){64 * KiB, 64 * KiB}));
}

static void expect_resident_at_most(uint64_t most)
{
    uint64_t resident;

    for (int i = 0; (resident = server_resident_bytes()) > most; i++) {
        if (i == AWAIT_SECONDS * 100)
            FAIL("%" PRIu64 " KiB stay resident, more than %" PRIu64, resident / KiB, most / KiB);
        usleep(10000);
    }
}

static void expect_locked(void)
{
    uint64_t locked = server_status_bytes("VmLck");

    printf("%" PRIu64 " KiB locked, %" PRIu64 " KiB resident\n", locked / KiB,
           server_resident_bytes() / KiB);
    EXPECT(locked > 0);
}

static void expect_lock_on_fault(void)
{
    static uint8_t data[STORED_BYTES];
    struct nbd_handle *nbd;
    uint64_t empty;

    server_start_in_background("size=1T", "mlock=on");
    nbd = server_connect("");
    empty = server_resident_bytes();
    if (!server_is_instrumented()) {
        expect_locked();
        EXPECT(empty < EMPTY_RESIDENT_BYTES);
    }

    content_fill(data, sizeof data, CONTENT_RANDOM);
    for (uint64_t offset = 0; offset < sizeof data; offset += MiB)
        NBD_OK(nbd_pwrite(nbd, data + offset, MiB, offset, 0));
    EXPECT(server_resident_bytes() > empty + STORED_BYTES / 2);
    NBD_OK(nbd_trim(nbd, sizeof data, 0, 0));
    if (!server_is_instrumented())
        expect_resident_at_most(empty + STORED_BYTES / 4);

    server_disconnect(nbd);
    server_stop();
}

static void expect_one_line(int status, char *output)
{
    if (status != EXIT_FAILURE || strchr(output, '\n')[1] != '\0' || !strstr(output, "mlock=on") ||
        !strstr(output, "RLIMIT_MEMLOCK") || !strstr(output, "LimitMEMLOCK="))
        FAIL("exit status %d, not one line that names the limit:\n%s", status, output);
    free(output);
}

static void expect_refusal(void)
{
    char *output;
    int status;

    output =
        nbdkit_run(&status, "--unix", "-", "--run", "true", plugin_path(), "size=1M", "mlock=on");
    expect_one_line(status, output);
    // Before it goes into the background, from where nobody would see it.
    output = nbdkit_run(&status, "--unix", server_socket(), plugin_path(), "size=1M", "mlock=on");
    expect_one_line(status, output);
}

int main(void)
{
    bool can_lock = can_lock_everything();

    random_start();
    if (can_lock)
        expect_lock_on_fault();
    forbid_locking();
    if (!server_is_instrumented())
        expect_refusal();
    if (!can_lock)
        SKIP("no memory may be locked here: run as root, or after ulimit -l unlimited");
}
