// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// store=FILE: a server that is killed and started again has all that it had, with other parameters
// too; it refuses what does not fit; and a tmpfs that is full is ENOSPC, not the server's end.

#include <signal.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect.h"
#include "server.h"
#include "shadow.h"
#include "stats.h"
#include "tmpfs.h"

static const char *folder;
static char store[60]; // the parameter
static const char *const path = store + sizeof "store=" - 1;
static struct shadow a, b;

// The log has one line about the store.
static void expect_line(const char *words)
{
    char *messages = server_take_messages();
    const char *newline = strchr(messages, '\n');

    if (strncmp(messages, "zramswap: store ", 16) != 0 || !newline || newline[1] != '\0' ||
        !strstr(messages, words))
        FAIL("not one line with '%s': %s", words, messages);
    free(messages);
}

#define start(...)                                                                                 \
    do {                                                                                           \
        server_start(__VA_ARGS__, store, STATS_PARAMETER);                                         \
        expect_line(path);                                                                         \
    } while (0)

static void connect_both(void)
{
    a.nbd = server_connect("a");
    b.nbd = server_connect("b");
}

// As the guests notice it: their connections break.
static void kill_server(void)
{
    server_kill();
    nbd_close(a.nbd);
    nbd_close(b.nbd);
}

static void change_both(void)
{
    for (int i = 0; i < 30; i++) {
        struct shadow *disk = random_below(2) ? &a : &b;
        uint64_t length = 1 + random_below(MiB), offset = random_below(disk->size - length);

        if (random_below(3) == 0)
            shadow_trim(disk, offset, length, 0);
        else
            shadow_write(disk, offset, length, (enum content)random_below(NR_CONTENTS + 1), 0);
    }
}

static void compare_both(void)
{
    shadow_compare_all(&a);
    shadow_compare_all(&b);
}

static void test_kills(void)
{
    static const char *const parameters[][3] = {
        {"compression=lz4", "checksum=on", "limit=256M"},
        {"compression=zstd", "checksum=on", "limit=128M"},
        {"compression=zstd", "checksum=off", "limit=1G"},
        {"compression=lz4", "checksum=on", "limit=64M"},
        {"compression=lz4", "checksum=off", "limit=256M"},
        {"compression=zstd", "level=9", "limit=300M"},
    };

    start("export=a:16M", "export=b:20M:15M", "compression=lz4");
    shadow_init(&a, server_connect("a"));
    shadow_init(&b, server_connect("b"));
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        change_both();
        kill_server();
        start("export=a:16M", "export=b:20M:30M", parameters[i][0], parameters[i][1],
              parameters[i][2]);
        EXPECT(stats_now("lost_pages") == 0);
        EXPECT(stats_now("recovered_pages") > 0);
        EXPECT(stats_now("recovery_ns") > 0);
        connect_both();
        compare_both();
    }
}

// SIGTERM is as good as SIGKILL.
static void test_stop(void)
{
    server_disconnect(a.nbd);
    server_disconnect(b.nbd);
    server_stop();
    start("export=a:16M", "export=b:20M");
    connect_both();
    compare_both();
}

static void test_background(void)
{
    char holder[60];
    char *output;
    int status;

    kill_server();
    server_start_in_background("export=a:16M", "export=b:20M", store);
    connect_both();
    compare_both();
    output =
        nbdkit_run(&status, "--unix", "-", "--run", "true", plugin_path(), "export=c:1M", store);
    sprintf(holder, "process %d ", (int)server_process());
    if (status != EXIT_FAILURE || !strstr(output, holder) || !strstr(output, path))
        FAIL("a second server, while '%s' has the store: %d, %s", holder, status, output);
    free(output);
}

// With --run a parent stays when the server is killed: it does not hold the store.
static void test_run(void)
{
    const char *preload = getenv("NBDKIT_PRELOAD");
    char *output, file[sizeof store];
    int status;

    if (preload && strstr(preload, "libtsan")) {
        printf("SKIPPED nbdkit --run: its shell, Debian 12's dash, dies in ThreadSanitizer\n");
        return;
    }
    kill_server();
    snprintf(file, sizeof file, "%s/pid", folder);
    // Built-in commands: a sanitizer's library, which each program inherits, may hang in another.
    setenv("PIDFILE", file, 1);
    output = nbdkit_run(&status, "--unix", "-", "--pidfile", file, "--run",
                        "until read pid <$PIDFILE; do sleep 0.1; done; "
                        "kill -KILL $pid || echo FAILED; sleep 1; "
                        "exec nbdkit -U - --run true $PLUGIN export=a:16M $STORE",
                        plugin_path(), "export=a:16M", store);
    unlink(file);
    if (strstr(output, "FAILED") || strstr(output, "has this store open"))
        FAIL("the parent holds the store: %s", output);
    free(output);
    start("export=a:16M", "export=b:20M");
    connect_both();
    compare_both();
}

static void test_exports(void)
{
    char *document;

    kill_server();
    start("export=a:16M", "export=c:5M");
    EXPECT(server_try_connect("b") == NULL);
    document = stats_read();
    EXPECT(strstr(document, "\"name\": \"b\""));
    EXPECT(strstr(document, "\"served\": 0"));
    free(document);
    a.nbd = server_connect("a");
    shadow_compare_all(&a);
    b.nbd = server_connect("c");
    kill_server();

    free(server_take_messages());
    start("export=a:16M", "export=b:30M", "size=1T");
    connect_both();
    shadow_compare_all(&a);
    shadow_compare(&b, 0, b.size);
    kill_server();

    start("export=a:16M", "drop=b", "drop=nothing");
    document = stats_read();
    EXPECT(!strstr(document, "\"name\": \"b\""));
    free(document);

    a.nbd = server_connect("a");
    b.nbd = server_connect("a");
    shadow_compare_all(&a);
    kill_server();
}

static void expect_refusal(const char *parameter, const char *other, const char *words)
{
    int status;
    char *output =
        nbdkit_run(&status, "--unix", "-", "--run", "true", plugin_path(), parameter, other, NULL);
    const char *newline = strchr(output, '\n');

    if (status != EXIT_FAILURE || strncmp(output, "nbdkit: error: ", 15) != 0 || !newline ||
        newline[1] != '\0' || !strstr(output, words))
        FAIL("%s %s: not refused in one line with '%s': %d, %s", parameter, other, words, status,
             output);
    free(output);
}

static void test_refusals(void)
{
    char foreign[80];
    FILE *file;

    expect_refusal("export=a:8M", store, "export=a: size");
    expect_refusal("size=8M", "store=", "store=");
    expect_refusal("size=8M", "store=/proc/store", "/proc/store: file system");
    expect_refusal("size=8M", "store=/dev/null", "/dev/null: ");
    expect_refusal("size=8M", "store=a\tb", "printable");
    expect_refusal("size=8M", "drop=b", "drop=b");
    expect_refusal("export=b:8M", "drop=b", "drop=b");
    snprintf(foreign, sizeof foreign, "store=%s/foreign", folder);
    file = fopen(foreign + 6, "w");
    EXPECT(file && fputs("not ours", file) > 0 && fclose(file) == 0);
    SYSTEM_OK(chmod(foreign + 6, 0600));
    expect_refusal("size=8M", foreign, "magic");
    SYSTEM_OK(chmod(foreign + 6, 0644));
    expect_refusal("size=8M", foreign, "mode");
    SYSTEM_OK(unlink(foreign + 6));
}

static void test_full_tmpfs(void)
{
    static uint8_t page[PAGE_BYTES];
    uint64_t offset = 0, nr_refused = 0;

    SYSTEM_OK(unlink(path));
    if (!tmpfs_try_set_room(24 * MiB)) {
        printf("not tried: a tmpfs that is full (needs root)\n");
        return;
    }
    start("export=a:64M", "export=b:1M");
    shadow_init(&a, server_connect("a"));
    b.nbd = server_connect("b");
    for (; offset < a.size; offset += PAGE_BYTES) {
        content_fill(page, PAGE_BYTES, CONTENT_RANDOM);
        if (nbd_pwrite(a.nbd, page, PAGE_BYTES, offset, 0) == 0) {
            memcpy(a.bytes + offset, page, PAGE_BYTES);
        } else {
            EXPECT(nbd_get_errno() == ENOSPC);
            nr_refused++;
        }
    }
    EXPECT(nr_refused > 1000);
    shadow_compare_all(&a);
    free(server_take_messages());
    for (int i = 0; i < 3; i++) {
        kill_server();
        start("export=a:64M", "export=b:1M");
        connect_both();
        shadow_compare_all(&a);
        // What is trimmed makes room.
        shadow_trim(&a, 0, 2 * MiB, 0);
        shadow_write(&a, 0, MiB, CONTENT_RANDOM, 0);
    }
    shadow_trim(&a, 0, a.size, 0);
    shadow_write(&a, 0, 8 * MiB, CONTENT_RANDOM, 0);
    shadow_compare_all(&a);
    kill_server();
}

int main(void)
{
    random_start();
    folder = tmpfs_folder(512 * MiB);
    sprintf(store, "store=%s/store", folder);
    setenv("PLUGIN", plugin_path(), 1);
    setenv("STORE", store, 1);
    test_kills();
    test_stop();
    test_background();
    test_run();
    test_exports();
    test_refusals();
    test_full_tmpfs();
}
