// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// An nbdkit on a private socket, started for a benchmark and ended with it.
#ifndef ZR_BENCH_NBD_SERVER_H
#define ZR_BENCH_NBD_SERVER_H

#include <libnbd.h>
#include <stdint.h>
#include <sys/types.h>

struct nbd_server {
    const char *name;
    pid_t pid;
    char socket[108];
    uint16_t port; // on loopback; 0: it serves on the Unix socket
};

#define NBD_SERVER_ARGUMENTS_MAX 1024

// arguments: the plugin and its parameters, NULL at the end.  Clients may connect at once, and fail
// if the server does not come up.  However this process ends, the server ends with it.
void nbd_server_start(struct nbd_server *server, const char *name, const char *const *arguments);
void nbd_server_start_tcp(struct nbd_server *server, const char *name,
                          const char *const *arguments);
void nbd_server_stop(struct nbd_server *server);

// Ready for requests; dies on failure, as everything here does.
struct nbd_handle *nbd_server_connect(const struct nbd_server *server, const char *export);
void nbd_server_disconnect(struct nbd_handle *nbd);

// A number of the statistics document on the export "stats" of a zramswap.
uint64_t nbd_server_stat(const struct nbd_server *server, const char *name);

// Memory that the server takes: what it has mapped and touched, and what it keeps in memory files
// without having it mapped.
uint64_t nbd_server_resident_bytes(const struct nbd_server *server);

#endif
