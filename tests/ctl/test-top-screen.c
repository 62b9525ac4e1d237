// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// zramswapctl top in a pseudo-terminal: it writes what this sort of terminal understands, and
// leaves the terminal as it was, however it ends.  What is to be seen is test-top-terminal's.

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

// Of an xterm: its other screen, and back; no cursor, and the cursor again.
#define ENTER "\033[?1049h"
#define LEAVE "\033[?1049l"
#define GREEN "\033[32m"
#define HIDE "\033[?25l"
#define SHOW "\033[?25h"
#define PATIENCE_MS (server_is_instrumented() ? 60000 : 10000)

static struct terminal {
    int master, slave; // the slave stays open here, so that its settings can be read
    pid_t shell;       // which has top as its job in the foreground
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

__attribute__((noreturn)) static void run_top(const char *term, const char *interval,
                                              const char *count)
{
    setenv("LC_ALL", "C.UTF-8", 1);
    unsetenv("NO_COLOR");
    unsetenv("TERM");
    if (term)
        setenv("TERM", term, 1);
    execl(program_path(), "zramswapctl", "top", "-i", interval, server_socket(),
          count ? "-n" : NULL, count, NULL);
    _exit(127);
}

// What a shell does with a job, without changing the terminal: stops, goes on and ends as it does.
__attribute__((noreturn)) static void run_shell(const char *term, const char *interval,
                                                const char *count)
{
    pid_t job;
    int status;

    signal(SIGTTOU, SIG_IGN);
    job = SYSTEM_OK(fork());
    if (job == 0) {
        setpgid(0, 0);
        tcsetpgrp(STDIN_FILENO, getpid());
        signal(SIGTTOU, SIG_DFL);
        run_top(term, interval, count);
    }
    while (waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status)) {
        tcsetpgrp(STDIN_FILENO, getpid());
        raise(SIGSTOP);
        tcsetpgrp(STDIN_FILENO, job);
        kill(job, SIGCONT);
    }
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    _exit(WEXITSTATUS(status));
}

// Starts top on a new terminal of 100 × 30. term, count: may be NULL.
static void start(const char *term, const char *interval, const char *count)
{
    terminal.length = 0;
    *terminal.output = '\0';
    SYSTEM_OK(openpty(&terminal.master, &terminal.slave, NULL, NULL, NULL));
    set_size(100, 30);
    SYSTEM_OK(tcgetattr(terminal.slave, &terminal.before));
    terminal.shell = SYSTEM_OK(fork());
    if (terminal.shell == 0) {
        close(terminal.master);
        login_tty(terminal.slave);
        run_shell(term, interval, count);
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

static const char *last_of(const char *text)
{
    const char *last = NULL, *at = terminal.output;

    while ((at = strstr(at, text)))
        last = at++;
    return last;
}

static void expect_same_settings(void)
{
    struct termios now;

    SYSTEM_OK(tcgetattr(terminal.slave, &now));
    EXPECT(now.c_lflag == terminal.before.c_lflag);
    EXPECT(now.c_iflag == terminal.before.c_iflag);
    EXPECT(now.c_oflag == terminal.before.c_oflag);
}

// Waits for its end. Returns the wait status.
static int finish(void)
{
    int status;

    while (waitpid(terminal.shell, &status, WNOHANG) == 0)
        read_more(10);
    while (read_more(0))
        ;
    expect_same_settings();
    close(terminal.master);
    close(terminal.slave);
    return status;
}

static int finish_on_xterm(void)
{
    int status = finish();

    EXPECT(last_of(ENTER) && last_of(LEAVE) > last_of(ENTER));
    EXPECT(last_of(HIDE) && last_of(SHOW) > last_of(HIDE));
    return status;
}

static bool ended_well(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void expect_raw_mode(void)
{
    struct termios now;

    SYSTEM_OK(tcgetattr(terminal.slave, &now));
    EXPECT(!(now.c_lflag & (ICANON | ECHO)));
    EXPECT(now.c_lflag & ISIG);
}

static void test_q(void)
{
    start("xterm", "0.2", NULL);
    expect_output(0, "vm2");
    EXPECT(strstr(terminal.output, ENTER));
    EXPECT(strstr(terminal.output, GREEN));
    expect_raw_mode();
    type("q");
    EXPECT(ended_well(finish_on_xterm()));
}

static void test_count(void)
{
    start("xterm", "0.1", "3");
    EXPECT(ended_well(finish_on_xterm()));
}

static void test_signal(int number, const char *keys)
{
    int status;

    start("xterm", "3600", NULL);
    expect_output(0, "vm2");
    if (keys)
        type(keys);
    else
        SYSTEM_OK(kill(-tcgetpgrp(terminal.master), number));
    status = finish_on_xterm();
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == number);
}

// A signal ends it also while it waits for a server that does not answer.
static void test_signal_without_answer(void)
{
    int status;

    start("xterm", "0.1", NULL);
    expect_output(0, "vm2");
    SYSTEM_OK(kill(server_process(), SIGSTOP));
    while (read_more(500)) // frames until it waits
        ;
    type("\003");
    status = finish_on_xterm();
    SYSTEM_OK(kill(server_process(), SIGCONT));
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}

// The terminal belongs to the shell while it is stopped.
static void test_stop(void)
{
    size_t before;
    int status;

    start("xterm", "3600", NULL);
    expect_output(0, "vm2");
    type("\032");
    SYSTEM_OK(waitpid(terminal.shell, &status, WUNTRACED));
    EXPECT(WIFSTOPPED(status));
    expect_output(0, LEAVE);
    expect_same_settings();
    before = terminal.length;
    SYSTEM_OK(kill(terminal.shell, SIGCONT));
    expect_output(before, ENTER);
    expect_output(before, "vm2");
    expect_raw_mode();
    type("q");
    EXPECT(ended_well(finish_on_xterm()));
}

// Nothing but text and line ends, where nothing else is known to work.
static void test_lines(const char *term)
{
    size_t nr_lines = 0;

    start(term, "0.1", "3");
    EXPECT(ended_well(finish()));
    for (size_t i = 0; i < terminal.length; i++) {
        unsigned char letter = terminal.output[i];

        if ((letter < ' ' && letter != '\r' && letter != '\n') || letter >= 0x7f)
            FAIL("TERM=%s: it writes character %d", term, letter);
        nr_lines += letter == '\n';
    }
    if (nr_lines != 4 || !strstr(terminal.output, "WRITE-P99"))
        FAIL("TERM=%s: not a heading and three lines: %s", term, terminal.output);
}

// It has neither another screen nor colours.
static void test_vt100(void)
{
    start("vt100", "3600", NULL);
    expect_output(0, "vm2");
    type("q");
    EXPECT(ended_well(finish()));
    EXPECT(strchr(terminal.output, '\033'));
    EXPECT(!strstr(terminal.output, "\033[?1049"));
    EXPECT(!strstr(terminal.output, GREEN));
}

int main(void)
{
    if (access(program_path(), X_OK) == -1)
        SKIP("zramswapctl was not built: install the Debian packages libnbd-dev libjson-c-dev "
             "libncurses-dev libsmartcols-dev, and configure again");
    // As in a terminal, also where a script runs the test in the background, or nohup does.
    signal(SIGHUP, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    server_start("export=vm1:64M", "export=vm2:128M", "limit=4M", "stats-export=stats");
    test_q();
    test_count();
    test_signal(SIGINT, "\003");
    test_signal(SIGQUIT, NULL);
    test_signal(SIGTERM, NULL);
    test_signal(SIGHUP, NULL);
    test_stop();
    test_lines("dumb");
    test_lines("unknown");
    test_lines("no-such-terminal");
    test_lines(NULL);
    test_vt100();
    test_signal_without_answer();
    server_end(); // it may say that a client has gone
}
