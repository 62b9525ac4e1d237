// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// zramswapctl top in a terminal, a pseudo-terminal: it draws, goes along with a new size, ends with
// q, and leaves the terminal as it was, however it ends.

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "../protocol/expect.h"
#include "../protocol/server.h"

#define STATS_PARAMETER "stats-export=stats"
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"
#define PATIENCE_MS (server_is_instrumented() ? 60000 : 10000)

static struct terminal {
    int master, slave; // the slave stays open here, so that its settings can be looked at
    pid_t pid;
    struct termios before;
    char output[1 << 20]; // all that it wrote, in one string
    size_t length;
} terminal;

static const char *program_path(void)
{
    const char *path = getenv("ZRAMSWAPCTL");

    return path ? path : "./zramswapctl";
}

static void set_size(unsigned short columns, unsigned short rows)
{
    struct winsize size = {.ws_col = columns, .ws_row = rows};

    SYSTEM_OK(ioctl(terminal.master, TIOCSWINSZ, &size));
}

// Starts top with these options on a new terminal of 100 × 30.
static void start(const char *locale, bool has_colour, const char *interval)
{
    terminal.length = 0;
    *terminal.output = '\0';
    SYSTEM_OK(openpty(&terminal.master, &terminal.slave, NULL, NULL, NULL));
    set_size(100, 30);
    SYSTEM_OK(tcgetattr(terminal.slave, &terminal.before));
    terminal.pid = SYSTEM_OK(fork());
    if (terminal.pid == 0) {
        setenv("LC_ALL", locale, 1);
        unsetenv("NO_COLOR");
        if (!has_colour)
            setenv("NO_COLOR", "1", 1);
        close(terminal.master);
        login_tty(terminal.slave);
        execl(program_path(), "zramswapctl", "top", "-i", interval, server_socket(), NULL);
        _exit(127);
    }
}

static bool read_more(int ms)
{
    struct pollfd pollfd = {.fd = terminal.master, .events = POLLIN};
    ssize_t part;

    if (poll(&pollfd, 1, ms) <= 0)
        return false;
    part = read(terminal.master, terminal.output + terminal.length,
                sizeof terminal.output - 1 - terminal.length);
    if (part <= 0)
        return false;
    terminal.length += part;
    terminal.output[terminal.length] = '\0';
    return true;
}

// Waits until text comes in what is written from now on, but for what was seen before.
static void expect_output(size_t from, const char *text)
{
    while (!strstr(terminal.output + from, text))
        if (!read_more(PATIENCE_MS))
            FAIL("no '%s' in what top writes: %s", text, terminal.output + from);
}

static void type(const char *keys)
{
    EXPECT(write(terminal.master, keys, strlen(keys)) == (ssize_t)strlen(keys));
}

// Waits for its end, and looks at what it leaves behind. Returns the wait status.
static int finish(void)
{
    struct termios after;
    int status;

    while (waitpid(terminal.pid, &status, WNOHANG) == 0)
        read_more(10);
    while (read_more(0))
        ;
    EXPECT(terminal.length > strlen(LEAVE));
    if (strcmp(terminal.output + terminal.length - strlen(LEAVE), LEAVE) != 0)
        FAIL("the last it writes is not what restores the screen");
    SYSTEM_OK(tcgetattr(terminal.slave, &after));
    EXPECT(after.c_lflag == terminal.before.c_lflag);
    EXPECT(after.c_iflag == terminal.before.c_iflag);
    EXPECT(after.c_oflag == terminal.before.c_oflag);
    close(terminal.master);
    close(terminal.slave);
    return status;
}

static void expect_raw_mode(void)
{
    struct termios now;

    SYSTEM_OK(tcgetattr(terminal.slave, &now));
    EXPECT(!(now.c_lflag & (ICANON | ECHO)));
    EXPECT(now.c_lflag & ISIG);
}

// How many columns the widest line since `from` takes, and how many lines there are.
static void measure_frame(size_t from, size_t *columns, size_t *rows)
{
    const char *at = strstr(terminal.output + from, "\033[H");
    size_t column = 0;

    EXPECT(at);
    *columns = 0;
    *rows = 1;
    for (at += 3; *at && strncmp(at, "\033[H", 3) != 0; at++) {
        if (*at == '\033') {
            at += strcspn(at, "mKJhl");
        } else if (*at == '\n') {
            (*rows)++;
            column = 0;
        } else if (*at != '\r' && (*at & 0xc0) != 0x80) { // a byte that goes on is no column
            column++;
            *columns = column > *columns ? column : *columns;
        }
    }
}

static void test_q(void)
{
    size_t columns, rows;
    int status;

    start("C.UTF-8", true, "0.2");
    expect_output(0, "vm2");
    EXPECT(strncmp(terminal.output, ENTER, strlen(ENTER)) == 0);
    expect_raw_mode();
    expect_output(terminal.length, "vm2"); // drawn again after a while
    measure_frame(0, &columns, &rows);
    EXPECT(columns == 100 && rows <= 30);
    EXPECT(strstr(terminal.output, "\033[32m"));
    EXPECT(strstr(terminal.output, "█"));
    EXPECT(strstr(terminal.output, "64M")); // vm1's size
    type("q");
    status = finish();
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// With an hour's interval: it is the new size that makes it draw.
static void test_resize(void)
{
    size_t before, columns, rows;
    int status;

    start("C.UTF-8", true, "3600");
    expect_output(0, "vm2");
    while (read_more(100))
        ;
    before = terminal.length;
    set_size(50, 8);
    expect_output(before, "\033[H");
    while (read_more(100))
        ;
    measure_frame(before, &columns, &rows);
    if (columns != 50 || rows != 8)
        FAIL("the new frame is %zu × %zu, not 50 × 8", columns, rows);
    type("q");
    status = finish();
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_signal(int number, const char *keys)
{
    int status;

    start("C.UTF-8", true, "3600");
    expect_output(0, "vm2");
    if (keys)
        type(keys);
    else
        SYSTEM_OK(kill(terminal.pid, number));
    status = finish();
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == number);
}

// The terminal belongs to the shell while it is stopped.
static void test_stop(void)
{
    struct termios now;
    size_t before;
    int status;

    start("C.UTF-8", true, "3600");
    expect_output(0, "vm2");
    type("\032");
    SYSTEM_OK(waitpid(terminal.pid, &status, WUNTRACED));
    EXPECT(WIFSTOPPED(status));
    expect_output(0, LEAVE);
    SYSTEM_OK(tcgetattr(terminal.slave, &now));
    EXPECT(now.c_lflag == terminal.before.c_lflag);
    before = terminal.length;
    SYSTEM_OK(kill(terminal.pid, SIGCONT));
    expect_output(before, ENTER);
    expect_output(before, "vm2");
    expect_raw_mode();
    type("q");
    status = finish();
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_plain_characters(void)
{
    start("C", false, "3600");
    expect_output(0, "vm2");
    type("q");
    finish();
    for (size_t i = 0; i < terminal.length; i++)
        EXPECT((unsigned char)terminal.output[i] < 0x80);
    EXPECT(!strstr(terminal.output, "\033[3"));
    EXPECT(!strstr(terminal.output, "\033[7m"));
    EXPECT(strstr(terminal.output, "#")); // what bars are made of
}

// The one line that says why comes on the usual screen.
static void test_end_of_server(void)
{
    const char *message;
    int status;

    start("C.UTF-8", true, "0.2");
    expect_output(0, "vm2");
    server_stop();
    expect_output(0, LEAVE);
    while (waitpid(terminal.pid, &status, WNOHANG) == 0)
        read_more(10);
    while (read_more(0))
        ;
    message = strstr(terminal.output, "zramswapctl: cannot connect to ");
    EXPECT(message);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    (void)message;
}

static void store_something(void)
{
    struct nbd_handle *nbd = server_connect("vm1");
    char page[4096] = "not zero";

    for (int i = 0; i < 64; i++)
        NBD_OK(nbd_pwrite(nbd, page, sizeof page, i * sizeof page, 0));
    server_disconnect(nbd);
}

int main(void)
{
    if (access(program_path(), X_OK) == -1)
        SKIP("zramswapctl was not built: install the Debian packages libnbd-dev libjson-c-dev "
             "libsmartcols-dev, and configure again");
    server_start("export=vm1:64M", "export=vm2:128M", "limit=4M", STATS_PARAMETER);
    store_something();
    test_q();
    test_resize();
    test_signal(SIGINT, "\003");
    test_signal(SIGTERM, NULL);
    test_signal(SIGHUP, NULL);
    test_stop();
    test_plain_characters();
    test_end_of_server();
}
