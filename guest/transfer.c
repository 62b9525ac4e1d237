// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "transfer.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

int64_t zr_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int zr_wait(struct pollfd *descriptors, size_t nr, int64_t deadline_ms)
{
    struct timespec left = {0};
    sigset_t none;
    int ready;

    if (deadline_ms != ZR_NO_DEADLINE) {
        int64_t left_ms = deadline_ms - zr_now_ms();

        if (left_ms > 0) {
            left.tv_sec = left_ms / 1000;
            left.tv_nsec = left_ms % 1000 * 1000000;
        }
    }
    sigemptyset(&none);
    ready = ppoll(descriptors, nr, deadline_ms == ZR_NO_DEADLINE ? NULL : &left, &none);
    if (ready == -1) {
        return -errno;
    }
    return ready == 0 ? -ETIMEDOUT : 0;
}

static int wait_for(int socket, short events, int64_t deadline_ms)
{
    struct pollfd descriptor = {.fd = socket, .events = events};

    return zr_wait(&descriptor, 1, deadline_ms);
}

int zr_send(int socket, const void *bytes, size_t length, int64_t deadline_ms)
{
    const char *next = bytes;

    while (length > 0) {
        ssize_t sent = send(socket, next, length, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent > 0) {
            next += sent;
            length -= (size_t)sent;
        } else if (errno == EAGAIN) {
            int error = wait_for(socket, POLLOUT, deadline_ms);

            if (error) {
                return error;
            }
        } else {
            return -errno;
        }
    }
    return 0;
}

int zr_receive(int socket, void *bytes, size_t length, int64_t deadline_ms)
{
    char *next = bytes;

    while (length > 0) {
        ssize_t received = recv(socket, next, length, MSG_DONTWAIT);

        if (received > 0) {
            next += received;
            length -= (size_t)received;
        } else if (received == 0) {
            return -ECONNRESET;
        } else if (errno == EAGAIN) {
            int error = wait_for(socket, POLLIN, deadline_ms);

            if (error) {
                return error;
            }
        } else {
            return -errno;
        }
    }
    return 0;
}
