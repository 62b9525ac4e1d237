// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Lost is not empty: what was in use, and is not here any more, reads as EIO and never as zeros,
// until its guest begins anew.  With state=FILE alone (the content goes with each server), and with
// a store, whose file is deleted.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "content.h"
#include "expect.h"
#include "server.h"
#include "stats.h"
#include "tmpfs.h"

#define DISK_BYTES (64 * MiB)
#define NR_PAGES (DISK_BYTES / PAGE_BYTES)

static char state[64], store[64], other[64]; // "state=", "store=" and the path; another store
static const char *parameters[6];
static struct nbd_handle *nbd;

enum answer { LOST, EMPTY, FULL };

static void start(void)
{
    server_start_list(parameters);
    nbd = server_connect("");
}

static void kill_and_start(void)
{
    server_disconnect(nbd);
    server_kill();
    free(server_take_messages()); // what it told at its start
    start();
}

static void write_page(uint64_t page)
{
    uint8_t bytes[PAGE_BYTES];

    memset(bytes, 'a' + (int)(page % 20), sizeof bytes);
    bytes[7] = 'x'; // not same-filled
    NBD_OK(nbd_pwrite(nbd, bytes, sizeof bytes, page * PAGE_BYTES, 0));
}

static void expect_page(uint64_t page, enum answer answer)
{
    uint8_t bytes[PAGE_BYTES];
    int rc = nbd_pread(nbd, bytes, sizeof bytes, page * PAGE_BYTES, 0);

    if (answer == LOST) {
        if (rc == 0 || nbd_get_errno() != EIO)
            FAIL("page %d is lost, and was read", (int)page);
        return;
    }
    if (rc < 0)
        FAIL("page %d: %s", (int)page, nbd_get_error());
    EXPECT(bytes[0] == (answer == FULL ? 'a' + page % 20 : 0));
    EXPECT(bytes[7] == (answer == FULL ? 'x' : 0));
}

// A write of part of a page, which needs what is lost.
static void expect_no_partial_write(uint64_t page)
{
    EXPECT(nbd_pwrite(nbd, "part", 4, page * PAGE_BYTES + 100, 0) == -1);
    EXPECT(nbd_get_errno() == EIO);
}

// It says so once at its start, and that it cannot read each page that is asked for.
static void expect_told(void)
{
    char *messages = server_take_messages();

    if (!strstr(messages, "export '' is LOST"))
        FAIL("nobody is told: %s", messages);
    free(messages);
}

static void test_without_store(void)
{
    start();
    expect_page(3, EMPTY);
    kill_and_start();
    expect_page(3, EMPTY); // it was never in use
    write_page(3);
    write_page(4);
    for (unsigned i = 0; i < 2; i++) {
        kill_and_start();
        expect_told();
        EXPECT(stats_now("lost_pages") == NR_PAGES);
        expect_page(0, LOST);
        expect_page(3, LOST);
        expect_page(NR_PAGES - 1, LOST);
        expect_no_partial_write(3);
        write_page(3); // a guest that goes on
        expect_page(3, FULL);
        expect_page(2, LOST);
        expect_no_partial_write(4);
        EXPECT(stats_now("lost_pages") == NR_PAGES - 1);
    }
    write_page(0); // as mkswap does
    EXPECT(stats_now("lost_pages") == 0);
    expect_page(0, FULL);
    expect_page(2, EMPTY);
    expect_page(3, FULL);
    kill_and_start();
    expect_told();
    NBD_OK(nbd_trim(nbd, DISK_BYTES, 0, 0));
    expect_page(0, EMPTY);
    expect_page(3, EMPTY);
    server_disconnect(nbd);
    server_kill();
    free(server_take_messages());
}

static void test_with_store(void)
{
    char *messages;

    parameters[3] = store;
    unlink(state + strlen("state="));
    start();
    write_page(3);
    kill_and_start();
    expect_page(3, FULL);
    expect_page(2, EMPTY);

    server_disconnect(nbd);
    server_kill();
    free(server_take_messages());
    EXPECT(unlink(store + strlen("store=")) == 0); // the host was rebooted
    start();
    expect_told();
    expect_page(3, LOST);
    write_page(5);
    kill_and_start(); // what was written since is there, the rest is still lost
    expect_told();
    expect_page(5, FULL);
    expect_page(3, LOST);
    write_page(0);
    expect_page(3, EMPTY);
    kill_and_start();
    expect_page(0, FULL);
    expect_page(3, EMPTY);
    expect_page(5, FULL);
    server_disconnect(nbd);
    server_kill();
    messages = server_take_messages();
    EXPECT(!strstr(messages, "LOST"));
    free(messages);
}

// A state that is not the store's does not make it throw away what it holds.
static void test_other_state(void)
{
    int status;
    char *messages;

    unlink(state + strlen("state="));
    start();
    write_page(3);
    server_disconnect(nbd);
    server_kill();
    EXPECT(rename(store + strlen("store="), other) == 0);
    start();
    write_page(0);
    server_disconnect(nbd);
    server_kill();
    free(server_take_messages());
    EXPECT(rename(other, store + strlen("store=")) == 0);
    EXPECT(!server_try_start_list(&status, parameters));
    messages = server_take_messages();
    EXPECT(strstr(messages, "is not the one that is in use"));
    free(messages);
}

// What a store holds is in use, although no state knew of it and nobody writes any more.
static void test_first_state(void)
{
    unlink(state + strlen("state="));
    start();
    expect_page(3, FULL);
    server_disconnect(nbd);
    server_kill();
    free(server_take_messages());
    EXPECT(unlink(store + strlen("store=")) == 0);
    start();
    expect_told();
    expect_page(3, LOST);
    server_disconnect(nbd);
    server_kill();
    free(server_take_messages());
}

int main(void)
{
    const char *folder = tmpfs_folder(256 * MiB);

    snprintf(state, sizeof state, "state=%s/state", folder);
    snprintf(store, sizeof store, "store=%s/store", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    parameters[0] = "size=64M";
    parameters[1] = state;
    parameters[2] = STATS_PARAMETER;
    test_without_store();
    test_with_store();
    test_other_state();
    test_first_state();
    return 0;
}
