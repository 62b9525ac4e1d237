// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Bytes over a socket, up to a deadline.  Signals are to be blocked by the caller: they arrive
// while one of these waits, and at no other time.
//
// All return 0 or -errno: -ETIMEDOUT at the deadline, -EINTR after a signal, -ECONNRESET when the
// other side has closed.  None allocates.
#ifndef ZR_GUEST_TRANSFER_H
#define ZR_GUEST_TRANSFER_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#define ZR_NO_DEADLINE INT64_MAX

// Of a clock that also goes on while the machine sleeps.
int64_t zr_now_ms(void);

// Waits until one of the descriptors has an event; revents tells which.
int zr_wait(struct pollfd *descriptors, size_t nr, int64_t deadline_ms);

int zr_send(int socket, const void *bytes, size_t length, int64_t deadline_ms);
int zr_receive(int socket, void *bytes, size_t length, int64_t deadline_ms);

#endif
