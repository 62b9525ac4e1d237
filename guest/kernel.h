// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The kernel's nbd driver, by netlink: connects a device, gives it sockets in place of dead ones,
// disconnects it.  One thread.  All return 0 or -errno, the kernel's where it is the kernel that
// refuses.
#ifndef ZR_GUEST_KERNEL_H
#define ZR_GUEST_KERNEL_H

#include "export.h"

struct nl_sock;

struct zr_kernel {
    struct nl_sock *netlink;
    int family;
    uint32_t device; // number of /dev/nbdN
    int error;       // what the kernel answered to the last request
};

// -ENOENT: the kernel has no nbd (module not loaded).
int zr_kernel_open(struct zr_kernel *kernel, uint32_t device);
void zr_kernel_close(struct zr_kernel *kernel);

// The kernel keeps the sockets; the caller may keep its descriptors too, to see when they die.
// timeout_s: how long a request may take until its connection is given up, and the request sent
// again on another one; 0: as long as it wants.  patience_s: how long requests wait when no
// connection is left; 0: they fail at once.
int zr_kernel_connect(struct zr_kernel *kernel, const struct zr_export *export, const int *sockets,
                      size_t nr_sockets, uint64_t timeout_s, uint64_t patience_s);

// Gives it a socket in place of a dead one.  -EAGAIN: it knows of no dead one (yet), and has not
// taken it.  Only for a device that was connected with a timeout.  Allocates as much as was free()d
// before.
int zr_kernel_replace(struct zr_kernel *kernel, const struct zr_export *export, int socket);

// Requests that wait fail, and so do all later ones.
int zr_kernel_disconnect(struct zr_kernel *kernel);

#endif
