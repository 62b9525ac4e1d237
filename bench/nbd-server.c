// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "nbd-server.h"
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR_ARGUMENTS_MAX 20

static char folder[] = "/tmp/zramswap-bench-XXXXXX";
static unsigned nr_started;

static void remove_folder(void)
{
    rmdir(folder); // nbdkit removes its socket
}

void nbd_server_start(struct nbd_server *server, const char *name, const char *const *arguments)
{
    // Ends with its parent, so that nothing is left behind even if this process is killed.
    const char *argv[NR_ARGUMENTS_MAX] = {"nbdkit", "--foreground", "--exit-with-parent", "--unix",
                                          server->socket};
    unsigned nr = 5;
    unsigned tries;

    if (nr_started++ == 0) {
        if (!mkdtemp(folder)) {
            bench_die("%s: %s", folder, strerror(errno));
        }
        atexit(remove_folder);
    }
    server->name = name;
    snprintf(server->socket, sizeof server->socket, "%s/%u", folder, nr_started);
    while (*arguments && nr < NR_ARGUMENTS_MAX - 1) {
        argv[nr++] = *arguments++;
    }
    server->pid = fork();
    if (server->pid < 0) {
        bench_die("fork: %s", strerror(errno));
    }
    if (server->pid == 0) {
        execvp("nbdkit", (char *const *)argv);
        bench_die("nbdkit: %s (install the Debian package nbdkit)", strerror(errno));
    }
    for (tries = 0; access(server->socket, F_OK) < 0; tries++) {
        if (tries > 500 || waitpid(server->pid, NULL, WNOHANG) != 0) {
            bench_die("nbdkit %s did not start", argv[5]);
        }
        usleep(20000);
    }
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

    // Our requests are right; checking and clearing would only cost the client's time.
    if (!nbd || nbd_set_strict_mode(nbd, 0) < 0 || nbd_set_pread_initialize(nbd, false) < 0 ||
        nbd_set_export_name(nbd, export) < 0 || nbd_connect_unix(nbd, server->socket) < 0) {
        bench_die("%s: %s", server->name, nbd_get_error());
    }
    return nbd;
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
    nbd_shutdown(nbd, 0);
    nbd_close(nbd);
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
