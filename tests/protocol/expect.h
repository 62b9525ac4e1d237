// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What a test says when something is not as it should be. A test ends at its first
// failure, with status 1, or 77 when it could not run at all (automake's "skipped").

#ifndef ZR_TESTS_EXPECT_H
#define ZR_TESTS_EXPECT_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libnbd.h>

#define END(status, label, ...)                                                                    \
    do {                                                                                           \
        fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, label);                                 \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fputc('\n', stderr);                                                                       \
        exit(status);                                                                              \
    } while (0)

#define FAIL(...) END(1, "FAILED", __VA_ARGS__)
#define SKIP(...) END(77, "SKIPPED", __VA_ARGS__)

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            FAIL("expected %s", #condition);                                                       \
    } while (0)

// A system call that must not fail. Evaluates to its result.
#define SYSTEM_OK(call)                                                                            \
    ({                                                                                             \
        __typeof__(call) system_result = (call);                                                   \
        if (system_result == -1)                                                                   \
            FAIL("%s: %s", #call, strerror(errno));                                                \
        system_result;                                                                             \
    })

// A libnbd call that must not fail. Evaluates to its result.
#define NBD_OK(call)                                                                               \
    ({                                                                                             \
        __typeof__(call) nbd_result = (call);                                                      \
        if (nbd_result == -1)                                                                      \
            FAIL("%s: %s", #call, nbd_get_error());                                                \
        nbd_result;                                                                                \
    })

// A libnbd call that must fail, and with this very error.
#define NBD_REFUSED(call, error)                                                                   \
    do {                                                                                           \
        if ((call) != -1)                                                                          \
            FAIL("%s succeeded, expected %s", #call, strerror(error));                             \
        if (nbd_get_errno() != (error))                                                            \
            FAIL("%s: %s, expected %s", #call, nbd_get_error(), strerror(error));                  \
    } while (0)

#endif
