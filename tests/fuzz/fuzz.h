// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What the fuzz targets share: bytes → numbers, and a check that ends the process.
//
// A target is one file with LLVMFuzzerTestOneInput.  libFuzzer brings its own main; without it
// replay.c is that, and runs the inputs that are kept in tests/fuzz/corpus.  Every input starts
// from the same state, so that an input alone repeats what it did.
#ifndef ZR_TESTS_FUZZ_H
#define ZR_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NR_OF(array) (sizeof(array) / sizeof((array)[0]))

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nr_bytes);

// abort, not a failed test: that is what libFuzzer keeps an input for.
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition);               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct fuzz_input {
    const uint8_t *bytes;
    size_t nr_bytes; // left
};

// The next number of so many bytes; zeros follow the last byte.
static inline uint64_t fuzz_number(struct fuzz_input *input, size_t nr_bytes)
{
    uint64_t number = 0;
    size_t nr = nr_bytes < input->nr_bytes ? nr_bytes : input->nr_bytes;

    if (nr > 0) { // an empty input may be NULL
        memcpy(&number, input->bytes, nr);
        input->bytes += nr;
        input->nr_bytes -= nr;
    }
    return number;
}

#endif
