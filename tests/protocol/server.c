// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "expect.h"
#include "server.h"

#define MAX_ARGUMENTS 24
#define COMMAND_NOT_FOUND 127

// No test is meant to take more than seconds, but stress that was asked for; nor the server to come or go.
#define TEST_SECONDS (server_is_instrumented() ? 900 : 120)
#define ANSWER_MS 10000
#define START_STOP_SECONDS (server_is_instrumented() ? 120 : 20)

static char directory[40], socket_path[64], pidfile_path[64], messages_path[64];
static pid_t server_pid;
static const char *preloaded = "";

// Runs at exit and from a signal handler: async-signal-safe calls only.
static void clean_up(void)
{
    if (server_pid > 0)
        kill(server_pid, SIGKILL);
    unlink(socket_path);
    unlink(pidfile_path);
    unlink(messages_path);
    rmdir(directory);
}

static void die_of_signal(int number)
{
    static const char text[] = "FAILED: out of time, or interrupted\n";

    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);

    (void)ignored;
    clean_up();
    signal(number, SIG_DFL);
    raise(number);
}

static void make_directory(void)
{
    const char *stress_seconds = getenv("ZRAMSWAP_STRESS_SECONDS");

    if (*directory)
        return;

    strcpy(directory, "/tmp/zramswap-test-XXXXXX");
    if (!mkdtemp(directory))
        FAIL("mkdtemp: %s", strerror(errno));
    sprintf(socket_path, "%s/socket", directory);
    sprintf(pidfile_path, "%s/pid", directory);
    sprintf(messages_path, "%s/messages", directory);
    atexit(clean_up);
    signal(SIGALRM, die_of_signal);
    signal(SIGINT, die_of_signal);
    signal(SIGTERM, die_of_signal);
    alarm((unsigned)TEST_SECONDS + (stress_seconds ? (unsigned)atoi(stress_seconds) : 0));
}

static void append(const char **to, const char *const *from)
{
    while (*to)
        to++;
    while (*from)
        *to++ = *from++;
}

static pid_t spawn_nbdkit(const char *const *before, const char *const *after)
{
    const char *arguments[MAX_ARGUMENTS] = {"nbdkit"};
    const char *preload = getenv("NBDKIT_PRELOAD");
    char libraries[1024];
    int messages = SYSTEM_OK(open(messages_path, O_CREAT | O_WRONLY | O_APPEND, 0600));
    pid_t pid;

    append(arguments, before);
    append(arguments, after);
    pid = SYSTEM_OK(fork());
    if (pid == 0) {
        snprintf(libraries, sizeof libraries, "%s %s", preloaded, preload ? preload : "");
        if (*preloaded || preload)
            setenv("LD_PRELOAD", libraries, 1);
        dup2(messages, STDOUT_FILENO);
        dup2(messages, STDERR_FILENO);
        execvp(arguments[0], (char **)arguments);
        _exit(COMMAND_NOT_FOUND);
    }
    close(messages);
    return pid;
}

static double now_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static void sleep_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

// True once the server is gone, with its wait status.
static bool server_has_ended(int *status)
{
    if (SYSTEM_OK(waitpid(server_pid, status, WNOHANG)) == 0)
        return false;
    server_pid = 0;
    return true;
}

void server_preload(const char *library)
{
    preloaded = library;
}

bool server_try_start_list(int *status, const char *const *parameters)
{
    const char *const options[] = {
        "--foreground", "--exit-with-parent", "--unix",      socket_path,
        "--pidfile",    pidfile_path,         plugin_path(), NULL,
    };
    double deadline = now_seconds() + START_STOP_SECONDS;

    EXPECT(server_pid == 0);
    make_directory();
    server_pid = spawn_nbdkit(options, parameters);

    // nbdkit writes the pidfile when its socket accepts connections, and not before.
    while (access(pidfile_path, F_OK) == -1) {
        if (server_has_ended(status)) {
            unlink(socket_path);
            if (WIFEXITED(*status) && WEXITSTATUS(*status) == COMMAND_NOT_FOUND)
                SKIP("nbdkit is not installed");
            return false;
        }
        if (now_seconds() > deadline)
            FAIL("the server does not accept connections");
        sleep_ms(2);
    }
    return true;
}

void server_start_list(const char *const *parameters)
{
    int status;

    if (!server_try_start_list(&status, parameters))
        FAIL("the server did not start:\n%s", server_take_messages());
}

// 0 as long as there is none.
static pid_t read_pidfile(void)
{
    FILE *file = fopen(pidfile_path, "r");
    int pid = 0;

    if (file) {
        if (fscanf(file, "%d", &pid) != 1)
            pid = 0;
        fclose(file);
    }
    return pid;
}

void server_start_in_background_list(const char *const *parameters)
{
    const char *const options[] = {
        "--unix", socket_path, "--pidfile", pidfile_path, plugin_path(), NULL,
    };
    double deadline = now_seconds() + START_STOP_SECONDS;
    int status;

    EXPECT(server_pid == 0);
    make_directory();
    // Whom nbdkit leaves behind in the background becomes this process's child.
    SYSTEM_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    SYSTEM_OK(waitpid(spawn_nbdkit(options, parameters), &status, 0));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        FAIL("the server did not start:\n%s", server_take_messages());
    while ((server_pid = read_pidfile()) == 0) {
        if (now_seconds() > deadline)
            FAIL("the server does not write its pidfile");
        sleep_ms(2);
    }
}

void server_kill(void)
{
    int status;

    SYSTEM_OK(kill(server_pid, SIGKILL));
    while (!server_has_ended(&status))
        sleep_ms(2);
    unlink(socket_path);
    unlink(pidfile_path);
}

int server_end(void)
{
    double deadline = now_seconds() + START_STOP_SECONDS;
    int status;

    SYSTEM_OK(kill(server_pid, SIGTERM));
    while (!server_has_ended(&status)) {
        if (now_seconds() > deadline)
            FAIL("the server does not end after SIGTERM");
        sleep_ms(2);
    }
    unlink(socket_path);
    unlink(pidfile_path);
    return status;
}

void server_stop(void)
{
    int status = server_end();
    char *messages = server_take_messages();

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        FAIL("the server ended with wait status %#x:\n%s", status, messages);
    if (*messages)
        FAIL("the server had something to say:\n%s", messages);
    free(messages);
}

// False also when there is no answer: an nbdkit without memory for a connection leaves it open.
static bool is_answered(struct nbd_handle *nbd)
{
    int has_progressed = nbd_aio_connect_unix(nbd, socket_path) == 0;

    while (has_progressed > 0 && nbd_aio_is_connecting(nbd))
        has_progressed = nbd_poll(nbd, ANSWER_MS);
    return nbd_aio_is_ready(nbd);
}

struct nbd_handle *server_try_connect(const char *export_name)
{
    struct nbd_handle *nbd = nbd_create();

    if (!nbd)
        FAIL("nbd_create: %s", nbd_get_error());
    NBD_OK(nbd_set_export_name(nbd, export_name));
    NBD_OK(nbd_set_full_info(nbd, true));
    NBD_OK(nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION));
    if (is_answered(nbd))
        return nbd;
    nbd_close(nbd);
    return NULL;
}

struct nbd_handle *server_connect(const char *export_name)
{
    struct nbd_handle *nbd = server_try_connect(export_name);

    if (!nbd)
        FAIL("connecting to \"%s\": %s", export_name, nbd_get_error());
    return nbd;
}

void server_disconnect(struct nbd_handle *nbd)
{
    NBD_OK(nbd_shutdown(nbd, 0));
    nbd_close(nbd);
}

int server_connect_raw(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = SYSTEM_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

    strcpy(address.sun_path, socket_path);
    SYSTEM_OK(connect(fd, (const struct sockaddr *)&address, sizeof address));
    return fd;
}

char *server_take_messages(void)
{
    int fd = SYSTEM_OK(open(messages_path, O_RDWR));
    struct stat stat;
    char *text;

    SYSTEM_OK(fstat(fd, &stat));
    text = calloc(1, stat.st_size + 1);
    EXPECT(text);
    EXPECT(read(fd, text, stat.st_size) == stat.st_size);
    SYSTEM_OK(ftruncate(fd, 0));
    close(fd);
    return text;
}

uint64_t server_status_bytes(const char *name)
{
    char path[40], line[128];
    unsigned long kib = 0;
    bool has_it = false;
    FILE *file;

    sprintf(path, "/proc/%d/status", server_pid);
    file = fopen(path, "r");
    EXPECT(file);
    while (!has_it && fgets(line, sizeof line, file))
        has_it = strncmp(line, name, strlen(name)) == 0 &&
                 sscanf(line + strlen(name), ": %lu kB", &kib) == 1;
    fclose(file);
    EXPECT(has_it);
    return kib * UINT64_C(1024);
}

uint64_t server_resident_bytes(void)
{
    return server_status_bytes("VmRSS");
}

bool server_is_instrumented(void)
{
    return getenv("NBDKIT_PRELOAD") != NULL;
}

void server_skip_under_tsan(void)
{
    if (server_is_instrumented() && strstr(getenv("NBDKIT_PRELOAD"), "libtsan"))
        SKIP("nbdkit's own signal handler races with its end; run it plain or under ASan");
}

char *nbdkit_run_list(int *status, const char *const *arguments)
{
    int wait_status;
    char *output;
    pid_t pid;

    make_directory();
    pid = spawn_nbdkit(arguments, (const char *const[]){NULL});
    SYSTEM_OK(waitpid(pid, &wait_status, 0));
    output = server_take_messages();
    if (!WIFEXITED(wait_status))
        FAIL("nbdkit ended with wait status %#x:\n%s", wait_status, output);
    *status = WEXITSTATUS(wait_status);
    if (*status == COMMAND_NOT_FOUND)
        SKIP("nbdkit is not installed");
    return output;
}

pid_t server_process(void)
{
    return server_pid;
}

const char *plugin_path(void)
{
    const char *path = getenv("ZRAMSWAP_PLUGIN");

    return path ? path : "./zramswap.so";
}

const char *server_socket(void)
{
    return socket_path;
}
