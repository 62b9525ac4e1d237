// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Attaches an export to the kernel's nbd device and keeps it attached: watches the connections, and
// gives the kernel a new one in place of each that dies, as long as the server proves that it is
// the one with the pages.
//
// It sees a connection die by its own descriptor of the socket, which it keeps: the kernel shuts it
// down when it gives it up, and the server's end shows there too.  The driver's own word (the
// multicast LINK_DEAD) does not say which one, needs memory to be sent, and may get lost.
//
// An export without an identity is attached as nbd-client would: no timeouts, never again.
#ifndef ZR_GUEST_RECONNECTOR_H
#define ZR_GUEST_RECONNECTOR_H

#include "kernel.h"
#include "remote.h"

#include <stdbool.h>

enum { ZR_MAX_CONNECTIONS = 16 };

struct zr_reconnector {
    struct zr_remote server;
    struct zr_kernel kernel;
    struct zr_export export; // as it was attached
    uint64_t timeout_s;      // until a request that is not answered is sent again
    size_t nr_connections;
    int sockets[ZR_MAX_CONNECTIONS]; // -1: dead

    // While connections are missing:
    bool is_missing;
    int64_t since_ms;
    int64_t
        refused_ms; // since when the server there is not the one; 0: it is not known to be another
    const char *failure; // of the last attempt; NULL: none yet
    const char *refusal; // the last that was logged
};

// server, kernel, timeout_s and nr_connections are set; the last becomes 1 if the server cannot
// have more.  Returns 0 or -errno, and logs why.
int zr_attach(struct zr_reconnector *reconnector);

// Returns -EINTR after a signal, with the device as it is; -ENODEV when somebody else has
// disconnected it; -ENODATA when the pages are lost: the device is disconnected then, and what
// waits for it fails. Needs no memory that was not set aside.
int zr_keep_attached(struct zr_reconnector *reconnector);

#endif
