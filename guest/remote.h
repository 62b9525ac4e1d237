// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Where the server is, and a connection to it.
#ifndef ZR_GUEST_REMOTE_H
#define ZR_GUEST_REMOTE_H

#include "export.h"

#include <sys/socket.h>

enum { ZR_MAX_ADDRESSES = 8 };

struct zr_remote {
    struct sockaddr_storage addresses[ZR_MAX_ADDRESSES];
    socklen_t lengths[ZR_MAX_ADDRESSES];
    size_t nr_addresses;
    const char *host, *port, *export_name; // borrowed
};

// Looks the host up, once and for all: while its swap is away, a machine cannot ask a name server,
// whose answer needs memory.  0 or the error of getaddrinfo(3).
int zr_remote_find(struct zr_remote *remote, const char *host, const char *port,
                   const char *export_name);

// Returns a socket in the transmission phase, or -errno as zr_negotiate().  -EINTR after a signal.
// Waits as long as a server may take that is starting; allocates nothing in this process.
int zr_remote_connect(const struct zr_remote *remote, struct zr_export *export);

#endif
