// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "kernel.h"

#include <errno.h>
#include <linux/nbd-netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

static int note_error(struct sockaddr_nl *address, struct nlmsgerr *message, void *opaque)
{
    struct zr_kernel *kernel = opaque;

    (void)address;
    kernel->error = message->error;
    return NL_STOP;
}

int zr_kernel_open(struct zr_kernel *kernel, uint32_t device)
{
    *kernel = (struct zr_kernel){.netlink = nl_socket_alloc(), .device = device};
    if (!kernel->netlink) {
        return -ENOMEM;
    }
    if (genl_connect(kernel->netlink) == 0) {
        kernel->family = genl_ctrl_resolve(kernel->netlink, NBD_GENL_FAMILY_NAME);
        if (kernel->family > 0) {
            nl_socket_modify_err_cb(kernel->netlink, NL_CB_CUSTOM, note_error, kernel);
            return 0;
        }
    }
    zr_kernel_close(kernel);
    return -ENOENT;
}

void zr_kernel_close(struct zr_kernel *kernel)
{
    nl_socket_free(kernel->netlink);
}

// NULL: no memory.
static struct nl_msg *new_request(const struct zr_kernel *kernel, uint8_t command)
{
    struct nl_msg *message = nlmsg_alloc();

    if (message && (!genlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, kernel->family, 0, 0, command,
                                 NBD_GENL_VERSION) ||
                    nla_put_u32(message, NBD_ATTR_INDEX, kernel->device) != 0)) {
        nlmsg_free(message);
        message = NULL;
    }
    return message;
}

// It is in vain if another identity was given when the device was connected; kernels before 5.14
// do not know it, and leave it aside.
static int put_identity(struct nl_msg *message, const struct zr_export *export)
{
    return export->identity[0] == '\0'
               ? 0
               : nla_put_string(message, NBD_ATTR_BACKEND_IDENTIFIER, export->identity);
}

static int put_sockets(struct nl_msg *message, const int *sockets, size_t nr_sockets)
{
    struct nlattr *list = nla_nest_start(message, NBD_ATTR_SOCKETS);
    int failed = !list;

    for (size_t i = 0; i < nr_sockets && !failed; i++) {
        struct nlattr *item = nla_nest_start(message, NBD_SOCK_ITEM);

        failed = !item || nla_put_u32(message, NBD_SOCK_FD, (uint32_t)sockets[i]) != 0 ||
                 nla_nest_end(message, item) != 0;
    }
    return failed || nla_nest_end(message, list) != 0;
}

// Takes the message.
static int send_request(struct zr_kernel *kernel, struct nl_msg *message)
{
    int error;

    kernel->error = 0;
    error = nl_send_auto(kernel->netlink, message);
    nlmsg_free(message);
    if (error >= 0) {
        error = nl_wait_for_ack(kernel->netlink);
    }
    if (kernel->error) {
        return kernel->error;
    }
    return error < 0 ? -EIO : 0;
}

int zr_kernel_connect(struct zr_kernel *kernel, const struct zr_export *export, const int *sockets,
                      size_t nr_sockets, uint64_t timeout_s, uint64_t patience_s)
{
    struct nl_msg *message = new_request(kernel, NBD_CMD_CONNECT);

    if (!message) {
        return -ENOMEM;
    }
    if (nla_put_u64(message, NBD_ATTR_SIZE_BYTES, export->size_bytes) ||
        nla_put_u64(message, NBD_ATTR_BLOCK_SIZE_BYTES, ZR_BLOCK_BYTES) ||
        nla_put_u64(message, NBD_ATTR_SERVER_FLAGS, export->flags) ||
        nla_put_u64(message, NBD_ATTR_TIMEOUT, timeout_s) ||
        nla_put_u64(message, NBD_ATTR_DEAD_CONN_TIMEOUT, patience_s) ||
        put_identity(message, export) || put_sockets(message, sockets, nr_sockets)) {
        nlmsg_free(message);
        return -ENOMEM;
    }
    return send_request(kernel, message);
}

// The kernel says nothing when it has not taken a socket; but one that it takes gets its timeout.
static int was_taken(int socket)
{
    struct timeval timeout = {0};
    socklen_t length = sizeof timeout;

    getsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, &length);
    return timeout.tv_sec != 0 || timeout.tv_usec != 0;
}

int zr_kernel_replace(struct zr_kernel *kernel, const struct zr_export *export, int socket)
{
    struct nl_msg *message = new_request(kernel, NBD_CMD_RECONFIGURE);
    int error;

    if (!message) {
        return -ENOMEM;
    }
    if (put_identity(message, export) || put_sockets(message, &socket, 1)) {
        nlmsg_free(message);
        return -ENOMEM;
    }
    error = send_request(kernel, message);
    return error == 0 && !was_taken(socket) ? -EAGAIN : error;
}

int zr_kernel_disconnect(struct zr_kernel *kernel)
{
    struct nl_msg *message = new_request(kernel, NBD_CMD_DISCONNECT);

    return message ? send_request(kernel, message) : -ENOMEM;
}
