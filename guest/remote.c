// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "remote.h"
#include "negotiate.h"
#include "transfer.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

// A host that is there answers within its round-trip time.  What was lost on the way is better sent
// anew by the next attempt than by TCP, which doubles its pauses.
enum { CONNECT_MS = 1000 };
// A server that is being started has its connections waiting.
enum { ANSWER_MS = 10 * 1000 };

int zr_remote_find(struct zr_remote *remote, const char *host, const char *port,
                   const char *export_name)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found;
    int error = getaddrinfo(host, port, &hints, &found);

    if (error) {
        return error;
    }
    *remote = (struct zr_remote){.host = host, .port = port, .export_name = export_name};
    for (struct addrinfo *address = found; address; address = address->ai_next) {
        if (remote->nr_addresses < ZR_MAX_ADDRESSES) {
            memcpy(&remote->addresses[remote->nr_addresses], address->ai_addr, address->ai_addrlen);
            remote->lengths[remote->nr_addresses++] = address->ai_addrlen;
        }
    }
    freeaddrinfo(found);
    return 0;
}

static int finish_connecting(int connecting)
{
    struct pollfd descriptor = {.fd = connecting, .events = POLLOUT};
    int result = zr_wait(&descriptor, 1, zr_now_ms() + CONNECT_MS);
    socklen_t length = sizeof result;

    if (result == 0) {
        getsockopt(connecting, SOL_SOCKET, SO_ERROR, &result, &length);
        result = -result;
    }
    return result;
}

static int connect_to(const struct sockaddr_storage *address, socklen_t length)
{
    // The kernel lets go of a dead socket when it is given another one.  What is unsent then is
    // dropped, or it might arrive after newer requests of the new connection.
    static const struct linger drop_unsent = {.l_onoff = 1};
    static const int yes = 1;
    int connecting =
        socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    int error;

    if (connecting == -1) {
        return -errno;
    }
    setsockopt(connecting, SOL_SOCKET, SO_LINGER, &drop_unsent, sizeof drop_unsent);
    setsockopt(connecting, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    error = connect(connecting, (const struct sockaddr *)address, length) == 0 ? 0 : -errno;
    if (error == -EINPROGRESS) {
        error = finish_connecting(connecting);
    }
    if (error) {
        close(connecting);
        return error;
    }
    return connecting;
}

int zr_remote_connect(const struct zr_remote *remote, struct zr_export *export)
{
    int result = -EADDRNOTAVAIL;

    for (size_t i = 0; i < remote->nr_addresses; i++) {
        result = connect_to(&remote->addresses[i], remote->lengths[i]);
        if (result >= 0) {
            int error = zr_negotiate(result, remote->export_name, zr_now_ms() + ANSWER_MS, export);

            if (error == 0) {
                break;
            }
            close(result);
            result = error;
        }
        if (result == -EINTR) {
            break;
        }
    }
    return result;
}
