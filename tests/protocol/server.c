// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "expect.h"
#include "server.h"

#define MAX_ARGUMENTS 24
#define MAX_SERVERS 8
#define COMMAND_NOT_FOUND 127

// No test is meant to take more than seconds, but stress that was asked for; nor the server to come
// or go.
#define TEST_SECONDS (server_is_instrumented() ? 900 : 120)
#define ANSWER_MS 10000
#define START_STOP_SECONDS (server_is_instrumented() ? 120 : 20)

static char directory[40];
static struct server servers[MAX_SERVERS]; // the first one is the fixture's
static struct server *const fixture = &servers[0];
static const char *preloaded = "";
static char tcp_port[8]; // where the fixture listens; "" at its Unix socket
static bool is_traced;   // the next server

// Runs at exit and from a signal handler: async-signal-safe calls only.
static void clean_up(void)
{
    for (const struct server *server = servers; server < servers + MAX_SERVERS; server++) {
        if (server->pid > 0)
            kill(server->pid, SIGKILL);
        unlink(server->socket);
        unlink(server->pidfile);
        unlink(server->messages);
    }
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
    if (*directory)
        return;

    strcpy(directory, "/tmp/zramswap-test-XXXXXX");
    if (!mkdtemp(directory))
        FAIL("mkdtemp: %s", strerror(errno));
    for (int i = 0; i < MAX_SERVERS; i++) {
        sprintf(servers[i].socket, "%s/socket%d", directory, i);
        sprintf(servers[i].pidfile, "%s/pid%d", directory, i);
        sprintf(servers[i].messages, "%s/messages%d", directory, i);
    }
    atexit(clean_up);
    signal(SIGALRM, die_of_signal);
    signal(SIGINT, die_of_signal);
    signal(SIGTERM, die_of_signal);
}

// The fixture is a test's, which ends in time.
static void begin_test(void)
{
    const char *stress_seconds = getenv("ZRAMSWAP_STRESS_SECONDS");

    if (!*directory)
        alarm((unsigned)TEST_SECONDS + (stress_seconds ? (unsigned)atoi(stress_seconds) : 0));
    make_directory();
}

static void append(const char **to, const char *const *from)
{
    while (*to)
        to++;
    while (*from)
        *to++ = *from++;
}

// What nbdkit says goes to the file messages, or where this process's goes if that is NULL.
static pid_t spawn_nbdkit(const char *const *before, const char *const *after,
                          const char *messages_path)
{
    const char *arguments[MAX_ARGUMENTS] = {"nbdkit"};
    const char *preload = getenv("NBDKIT_PRELOAD");
    char libraries[1024];
    pid_t pid;

    append(arguments, before);
    append(arguments, after);
    pid = SYSTEM_OK(fork());
    if (pid == 0) {
        snprintf(libraries, sizeof libraries, "%s %s", preloaded, preload ? preload : "");
        if (*preloaded || preload)
            setenv("LD_PRELOAD", libraries, 1);
        if (messages_path) {
            int messages = SYSTEM_OK(open(messages_path, O_CREAT | O_WRONLY | O_APPEND, 0600));

            dup2(messages, STDOUT_FILENO);
            dup2(messages, STDERR_FILENO);
        }
        if (is_traced)
            ptrace(PTRACE_TRACEME);
        execvp(arguments[0], (char **)arguments);
        _exit(COMMAND_NOT_FOUND);
    }
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
static bool has_ended(struct server *server, int *status)
{
    if (SYSTEM_OK(waitpid(server->pid, status, WNOHANG)) == 0)
        return false;
    server->pid = 0;
    unlink(server->socket);
    unlink(server->pidfile);
    return true;
}

static void await_end(struct server *server, int *status)
{
    double deadline = now_seconds() + START_STOP_SECONDS;

    while (!has_ended(server, status)) {
        if (now_seconds() > deadline)
            FAIL("the server does not end after its signal");
        sleep_ms(2);
    }
}

static void spawn(struct server *server, const char *const *before, const char *const *after,
                  const char *messages_path)
{
    bool is_tcp = server == fixture && *tcp_port;
    const char *options[MAX_ARGUMENTS] = {
        "--foreground",
        "--exit-with-parent",
        "--pidfile",
        server->pidfile,
        is_tcp ? "--port" : "--unix",
        is_tcp ? tcp_port : server->socket,
        is_tcp ? "--ipaddr=127.0.0.1" : NULL,
    };

    EXPECT(server->pid == 0);
    append(options, before);
    server->pid = spawn_nbdkit(options, after, messages_path);
}

// False if it ended instead of accepting connections, with its wait status.
static bool try_open(struct server *server, int *status, const char *const *before,
                     const char *const *after, const char *messages_path)
{
    double deadline = now_seconds() + START_STOP_SECONDS;

    spawn(server, before, after, messages_path);

    // nbdkit writes the pidfile when its socket accepts connections, and not before.
    while (access(server->pidfile, F_OK) == -1) {
        if (has_ended(server, status)) {
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

struct server *server_open_list(const char *const *arguments)
{
    struct server *server = fixture + 1;
    int status;

    make_directory();
    while (server->pid > 0)
        EXPECT(++server < servers + MAX_SERVERS);
    if (!try_open(server, &status, arguments, (const char *const[]){NULL}, NULL))
        FAIL("nbdkit %s did not start", *arguments);
    return server;
}

void server_close(struct server *server)
{
    int status;

    SYSTEM_OK(kill(server->pid, SIGTERM));
    await_end(server, &status);
}

static bool was_killed(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

void server_kill_at_once(struct server *server)
{
    int status;

    SYSTEM_OK(kill(server->pid, SIGKILL));
    await_end(server, &status);
    if (!was_killed(status))
        FAIL("the server ended by itself, with wait status %#x", status);
}

// One that was free a moment ago, below the range that the system gives to outgoing connections.
unsigned server_listen_on_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = SYSTEM_OK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    unsigned port = 20000 + (unsigned)getpid() % 10000;

    do
        address.sin_port = htons(++port);
    while (bind(fd, (const struct sockaddr *)&address, sizeof address) == -1);
    close(fd);
    sprintf(tcp_port, "%u", port);
    return port;
}

void server_preload(const char *library)
{
    preloaded = library;
}

bool server_try_start_list(int *status, const char *const *parameters)
{
    begin_test();
    return try_open(fixture, status, (const char *const[]){plugin_path(), NULL}, parameters,
                    fixture->messages);
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
    FILE *file = fopen(fixture->pidfile, "r");
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
        "--unix", fixture->socket, "--pidfile", fixture->pidfile, plugin_path(), NULL,
    };
    double deadline = now_seconds() + START_STOP_SECONDS;
    int status;

    EXPECT(fixture->pid == 0);
    begin_test();
    // Whom nbdkit leaves behind in the background becomes this process's child.
    SYSTEM_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    SYSTEM_OK(waitpid(spawn_nbdkit(options, parameters, fixture->messages), &status, 0));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        FAIL("the server did not start:\n%s", server_take_messages());
    while ((fixture->pid = read_pidfile()) == 0) {
        if (now_seconds() > deadline)
            FAIL("the server does not write its pidfile");
        sleep_ms(2);
    }
}

void server_kill(void)
{
    server_kill_at_once(fixture);
}

bool server_kill_in_start_list(unsigned after_us, int *status, const char *const *parameters)
{
    begin_test();
    spawn(fixture, (const char *const[]){plugin_path(), NULL}, parameters, fixture->messages);
    usleep(after_us);
    SYSTEM_OK(kill(fixture->pid, SIGKILL));
    await_end(fixture, status);
    return was_killed(*status);
}

// True once the server has this file open.
static bool has_open(const char *file)
{
    char folder_path[40], target[256];
    const struct dirent *entry;
    bool is_found = false;
    DIR *folder;

    sprintf(folder_path, "/proc/%d/fd", fixture->pid);
    folder = opendir(folder_path);
    EXPECT(folder);
    while (!is_found && (entry = readdir(folder))) {
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);

        is_found = length > 0 && strncmp(target, file, strlen(file)) == 0;
    }
    closedir(folder);
    return is_found;
}

// To where it enters or leaves a system call.
static void run_to_next_stop(void)
{
    int status, signal_number = 0;

    do {
        SYSTEM_OK(ptrace(PTRACE_SYSCALL, fixture->pid, NULL, signal_number));
        SYSTEM_OK(waitpid(fixture->pid, &status, __WALL));
        if (!WIFSTOPPED(status))
            FAIL("the server ended with wait status %#x:\n%s", status, server_take_messages());
        signal_number = WSTOPSIG(status);
    } while (signal_number != (SIGTRAP | 0x80));
}

bool server_kill_at_stop_list(unsigned nr_stops, const char *file, const char *const *parameters)
{
    bool has_started;
    int status;

    begin_test();
    is_traced = true;
    spawn(fixture, (const char *const[]){plugin_path(), NULL}, parameters, fixture->messages);
    is_traced = false;
    SYSTEM_OK(waitpid(fixture->pid, &status, 0)); // at exec
    EXPECT(WIFSTOPPED(status));
    SYSTEM_OK(
        ptrace(PTRACE_SETOPTIONS, fixture->pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
    while (!has_open(file))
        run_to_next_stop();
    while (nr_stops-- > 0 && access(fixture->pidfile, F_OK) == -1)
        run_to_next_stop();
    has_started = access(fixture->pidfile, F_OK) == 0;
    SYSTEM_OK(kill(fixture->pid, SIGKILL));
    SYSTEM_OK(waitpid(fixture->pid, &status, __WALL));
    EXPECT(was_killed(status));
    fixture->pid = 0;
    unlink(fixture->socket);
    unlink(fixture->pidfile);
    return !has_started;
}

int server_end(void)
{
    int status;

    SYSTEM_OK(kill(fixture->pid, SIGTERM));
    await_end(fixture, &status);
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
    int has_progressed = nbd_aio_connect_unix(nbd, fixture->socket) == 0;

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

    strcpy(address.sun_path, fixture->socket);
    SYSTEM_OK(connect(fd, (const struct sockaddr *)&address, sizeof address));
    return fd;
}

char *server_take_messages(void)
{
    int fd = SYSTEM_OK(open(fixture->messages, O_RDWR | O_CREAT, 0600));
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

uint64_t server_status_bytes_of(const struct server *server, const char *name)
{
    char path[40], line[128];
    unsigned long kib = 0;
    bool has_it = false;
    FILE *file;

    sprintf(path, "/proc/%d/status", server->pid);
    file = fopen(path, "r");
    EXPECT(file);
    while (!has_it && fgets(line, sizeof line, file))
        has_it = strncmp(line, name, strlen(name)) == 0 &&
                 sscanf(line + strlen(name), ": %lu kB", &kib) == 1;
    fclose(file);
    EXPECT(has_it);
    return kib * UINT64_C(1024);
}

uint64_t server_status_bytes(const char *name)
{
    return server_status_bytes_of(fixture, name);
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

    begin_test();
    pid = spawn_nbdkit(arguments, (const char *const[]){NULL}, fixture->messages);
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
    return fixture->pid;
}

const char *plugin_path(void)
{
    const char *path = getenv("ZRAMSWAP_PLUGIN");

    return path ? path : "./zramswap.so";
}

const char *server_socket(void)
{
    return fixture->socket;
}
