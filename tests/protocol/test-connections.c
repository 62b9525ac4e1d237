// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Guests on an export that is not theirs: export=NAME:SIZE:LIMIT:CONNECTIONS refuses one connection
// too many, and a second client that writes is named on the log, once.  A client with two
// connections, one that only reads, and one that comes after another, are none.

#include <sys/wait.h>
#include <unistd.h>

#include "content.h"
#include "expect.h"
#include "server.h"
#include "stats.h"

static uint8_t page[PAGE_BYTES];

static void expect_nothing_said(const char *when)
{
    char *messages = server_take_messages();

    if (*messages)
        FAIL("%s the server says:\n%s", when, messages);
    free(messages);
}

// One line, which has all of these.
static void expect_line(const char *const *parts)
{
    char *messages = server_take_messages();

    if (!*messages || strchr(messages, '\n')[1] != '\0')
        FAIL("not one line but:\n%s", messages);
    for (; *parts; parts++)
        if (!strstr(messages, *parts))
            FAIL("no \"%s\" in: %s", *parts, messages);
    free(messages);
}

static void use(const char *export, bool writes)
{
    struct nbd_handle *nbd = server_connect(export);

    if (writes)
        NBD_OK(nbd_pwrite(nbd, page, sizeof page, 0, 0));
    else
        NBD_OK(nbd_pread(nbd, page, sizeof page, 0, 0));
    server_disconnect(nbd);
}

// Another process does it; returns its number.
static pid_t use_as_another(const char *export, bool writes)
{
    pid_t pid = SYSTEM_OK(fork());
    int status;

    if (pid == 0) {
        use(export, writes);
        _exit(0); // the server is the parent's
    }
    SYSTEM_OK(waitpid(pid, &status, 0));
    EXPECT(status == 0);
    return pid;
}

static void check_bound(void)
{
    struct nbd_handle *others[3], *first, *second;
    char self[40];
    int status;
    pid_t pid;

    server_start("export=one:1M:1M:1", "export=two:1M::2", "export=any:1M", STATS_PARAMETER);
    first = server_connect("one");
    EXPECT(!server_try_connect("one"));
    sprintf(self, "refused process %d of user %d", getpid(), getuid());
    expect_line((const char *const[]){"'one'", "(1)", self, NULL});
    NBD_OK(nbd_pwrite(first, page, sizeof page, 0, 0));
    server_disconnect(first);

    // Where one leaves another one may come at once: it cannot see that the server has not noticed.
    for (int i = 0; i < 100; i++)
        use("one", true);
    first = server_connect("one");
    pid = SYSTEM_OK(fork());
    if (pid == 0) {
        use("one", true);
        _exit(0);
    }
    usleep(50000);
    server_disconnect(first);
    SYSTEM_OK(waitpid(pid, &status, 0));
    EXPECT(status == 0);

    first = server_connect("two");
    second = server_connect("two");
    EXPECT(stats_now("connections") == 2);
    EXPECT(!server_try_connect("two"));
    expect_line((const char *const[]){"'two'", "(2)", NULL});
    server_disconnect(first);
    server_disconnect(second);
    stats_await_at_most("connections", 0);

    // A client that dies is gone, too; the bound is that of each export.
    first = server_connect("one");
    nbd_close(first);
    first = server_connect("one");
    for (int i = 0; i < 3; i++)
        others[i] = server_connect("any");
    EXPECT(stats_now("connections") == 4);
    for (int i = 0; i < 3; i++)
        server_disconnect(others[i]);
    server_disconnect(first);
    server_kill();
    expect_nothing_said("with as many connections as allowed");
}

static void check_second_client(void)
{
    struct nbd_handle *nbd, *again;
    char self[40], other[40];
    pid_t pid;

    server_start("export=vm1:1M", "export=vm2:1M");
    nbd = server_connect("vm1");
    NBD_OK(nbd_trim(nbd, sizeof page, 0, 0));
    again = server_connect("vm1");
    NBD_OK(nbd_pwrite(again, page, sizeof page, 0, 0));
    NBD_OK(nbd_pwrite(nbd, page, sizeof page, 0, 0));
    expect_nothing_said("with two connections of one client");
    use_as_another("vm1", false);
    use_as_another("vm2", true);
    expect_nothing_said("with a reader, and another export's client");

    pid = use_as_another("vm1", true);
    sprintf(self, "process %d of", getpid());
    sprintf(other, "process %d of", pid);
    expect_line((const char *const[]){"'vm1'", self, other, NULL});
    server_disconnect(nbd);
    server_disconnect(again);
    for (int i = 0; i < 20; i++)
        use_as_another("vm1", true);
    expect_nothing_said("with one client after the other");
    server_stop();
}

// The client is on nbdkit's standard input then.
static void check_stdin(void)
{
    struct nbd_handle *nbd;
    const char *const arguments[] = {"nbdkit", "-s", plugin_path(), "size=1M", NULL};
    FILE *messages = tmpfile();

    if (server_is_instrumented())
        return;
    nbd = nbd_create();
    EXPECT(messages && nbd);
    SYSTEM_OK(dup2(fileno(messages), STDERR_FILENO));
    NBD_OK(nbd_connect_command(nbd, (char **)arguments));
    NBD_OK(nbd_pwrite(nbd, page, sizeof page, 0, 0));
    NBD_OK(nbd_shutdown(nbd, 0));
    nbd_close(nbd);
    EXPECT(lseek(STDERR_FILENO, 0, SEEK_END) == 0);
    fclose(messages);
}

int main(void)
{
    random_start();
    content_fill(page, sizeof page, CONTENT_TEXT);
    check_bound();
    check_second_client();
    check_stdin();
}
