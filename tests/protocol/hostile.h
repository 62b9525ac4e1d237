// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Clients that mean no good, or just die: each a process of its own that goes on until it is
// stopped. For the test of what the others get meanwhile, and for its benchmark.

#ifndef ZR_TESTS_HOSTILE_H
#define ZR_TESTS_HOSTILE_H

#include <sys/types.h>

struct hostile {
    const char *name;
    void (*run)(const char *socket_path, const char *export_name); // never returns
};

// All of them; the last has no name.
extern const struct hostile hostiles[];

// They connect to this socket and export. Ends the calling program if fork fails.
pid_t hostile_start(const struct hostile *hostile, const char *socket_path,
                    const char *export_name);

// With SIGKILL: as a client dies.
void hostile_stop(pid_t pid);

#endif
