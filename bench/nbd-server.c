// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "nbd-server.h"
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LISTEN_FD 3 // of systemd's socket activation

static char folder[] = "/tmp/zramswap-bench-XXXXXX";
static unsigned nr_started;

static void remove_folder(void)
{
    char path[108];

    for (; nr_started > 0; nr_started--) {
        snprintf(path, sizeof path, "%s/%u", folder, nr_started);
        unlink(path);
    }
    rmdir(folder);
}

// What listen_fd listens on is handed over as systemd would, so that clients may connect at once:
// they wait until nbdkit is ready.
static void run_nbdkit(int listen_fd, const char *const *arguments)
{
    const char *argv[NBD_SERVER_ARGUMENTS_MAX + 4] = {"nbdkit", "--foreground",
                                                      "--exit-with-parent"};
    unsigned nr = 0;
    char pid[20];

    do {
        if (nr > NBD_SERVER_ARGUMENTS_MAX) {
            bench_die("too many arguments for nbdkit");
        }
        argv[3 + nr] = arguments[nr];
    } while (arguments[nr++]);
    snprintf(pid, sizeof pid, "%d", getpid());
    if (dup2(listen_fd, LISTEN_FD) < 0 || setenv("LISTEN_PID", pid, 1) < 0 ||
        setenv("LISTEN_FDS", "1", 1) < 0) {
        bench_die("%s", strerror(errno));
    }
    execvp("nbdkit", (char *const *)argv);
    bench_die("nbdkit: %s (install the Debian package nbdkit)", strerror(errno));
}

static void start(struct nbd_server *server, struct sockaddr *address, socklen_t address_bytes,
                  const char *const *arguments)
{
    int fd = socket(address->sa_family, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, address, address_bytes) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, address, &address_bytes) < 0) {
        bench_die("cannot listen: %s", strerror(errno));
    }
    server->pid = fork();
    if (server->pid < 0) {
        bench_die("fork: %s", strerror(errno));
    }
    if (server->pid == 0) {
        run_nbdkit(fd, arguments);
    }
    close(fd);
}

void nbd_server_start(struct nbd_server *server, const char *name, const char *const *arguments)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (nr_started++ == 0) {
        if (!mkdtemp(folder)) {
            bench_die("%s: %s", folder, strerror(errno));
        }
        atexit(remove_folder);
    }
    server->name = name;
    server->port = 0;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%u", folder, nr_started);
    memcpy(server->socket, address.sun_path, sizeof server->socket);
    start(server, (struct sockaddr *)&address, sizeof address, arguments);
}

void nbd_server_start_tcp(struct nbd_server *server, const char *name, const char *const *arguments)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };

    server->name = name;
    server->socket[0] = '\0';
    start(server, (struct sockaddr *)&address, sizeof address, arguments);
    server->port = ntohs(address.sin_port);
}

void nbd_server_stop(struct nbd_server *server)
{
    kill(server->pid, SIGTERM);
    waitpid(server->pid, NULL, 0);
    unlink(server->socket);
}

struct nbd_handle *nbd_server_connect(const struct nbd_server *server, const char *export)
{
    struct nbd_handle *nbd = nbd_create();
    char port[8];

    snprintf(port, sizeof port, "%u", server->port);
    // Our requests are right; checking and clearing would only cost the client's time.
    if (!nbd || nbd_set_strict_mode(nbd, 0) < 0 || nbd_set_pread_initialize(nbd, false) < 0 ||
        nbd_set_export_name(nbd, export) < 0 ||
        (server->port ? nbd_connect_tcp(nbd, "127.0.0.1", port)
                      : nbd_connect_unix(nbd, server->socket)) < 0) {
        bench_die("%s: %s", server->name, nbd_get_error());
    }
    return nbd;
}

void nbd_server_disconnect(struct nbd_handle *nbd)
{
    nbd_shutdown(nbd, 0);
    nbd_close(nbd);
}

uint64_t nbd_server_stat(const struct nbd_server *server, const char *name)
{
    struct nbd_handle *nbd = nbd_server_connect(server, "stats");
    int64_t bytes = nbd_get_size(nbd);
    char *text = calloc(1, (size_t)bytes + 1);
    char key[60];
    const char *at;
    uint64_t value;

    if (bytes <= 0 || !text || nbd_pread(nbd, text, (size_t)bytes, 0, 0) < 0) {
        bench_die("%s: no statistics: %s", server->name, nbd_get_error());
    }
    snprintf(key, sizeof key, "\"%s\":", name);
    at = strstr(text, key);
    if (!at) {
        bench_die("%s: no %s in its statistics", server->name, name);
    }
    value = strtoull(at + strlen(key), NULL, 10);
    free(text);
    nbd_server_disconnect(nbd);
    return value;
}

static uint64_t status_bytes(pid_t pid, const char *key)
{
    char path[60], line[200];
    uint64_t value = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", pid);
    file = fopen(path, "re");
    if (!file) {
        bench_die("%s: %s", path, strerror(errno));
    }
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) == 0) {
            value = strtoull(line + strlen(key), NULL, 10) * 1024;
        }
    }
    fclose(file);
    return value;
}

static uint64_t memory_file_bytes(pid_t pid)
{
    char path[80], target[100];
    uint64_t bytes = 0;
    struct dirent *entry;
    DIR *fds;

    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    fds = opendir(path);
    while (fds && (entry = readdir(fds))) {
        struct stat stat;
        ssize_t length = readlinkat(dirfd(fds), entry->d_name, target, sizeof target - 1);

        target[length > 0 ? length : 0] = '\0';
        if (strncmp(target, "/memfd:", 7) == 0 &&
            fstatat(dirfd(fds), entry->d_name, &stat, 0) == 0) {
            bytes += (uint64_t)stat.st_blocks * 512;
        }
    }
    if (fds) {
        closedir(fds);
    }
    return bytes;
}

uint64_t nbd_server_resident_bytes(const struct nbd_server *server)
{
    uint64_t mapped = status_bytes(server->pid, "RssShmem:");
    uint64_t files = memory_file_bytes(server->pid);

    return status_bytes(server->pid, "RssAnon:") + status_bytes(server->pid, "RssFile:") +
           (files > mapped ? files : mapped);
}
