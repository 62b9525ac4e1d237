// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Preloaded into nbdkit beside AddressSanitizer, whose runtime starts at the first malloc of all.
// Without this, that malloc is libp11-kit's newlocale, which holds glibc's lock of the locale: the
// runtime's dlsym fails, its message is translated under that same lock, and the lock's unlock
// leaves it with -1 readers.  From the next message with an errno on, newlocale and freelocale wait
// for ever, and so does nbdkit's exit.

#include <stdlib.h>

// The library is linked with -z initfirst: this runs before all other constructors.
__attribute__((constructor)) static void start_sanitizer(void)
{
    void *volatile memory = malloc(1); // volatile: else no call is left

    free(memory);
}
