// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "content.h"

static _Thread_local uint64_t random_state;

void random_seed(uint64_t seed)
{
    random_state = seed;
}

void random_start(void)
{
    const char *given = getenv("ZRAMSWAP_SEED");
    struct timespec now;
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &now);
    seed = given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec << 20 ^ getpid();
    printf("replay with ZRAMSWAP_SEED=%" PRIu64 "\n", seed);
    fflush(stdout);
    random_seed(seed);
}

// splitmix64
uint64_t random_u64(void)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t random_below(uint64_t limit)
{
    return random_u64() % limit;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void fill_random(uint8_t *to, size_t length)
{
    for (size_t at = 0; at < length; at += sizeof(uint64_t)) {
        uint64_t bits = random_u64();

        memcpy(to + at, &bits, smaller(sizeof bits, length - at));
    }
}

static void fill_same(uint8_t *to, size_t length)
{
    uint32_t pattern = 1 + random_below(UINT32_MAX);

    for (size_t at = 0; at < length; at += sizeof pattern)
        memcpy(to + at, &pattern, smaller(sizeof pattern, length - at));
}

static void fill_text(uint8_t *to, size_t length)
{
    static const char *const words[] = {
        "swap ", "slot ", "page ", "leaf ", "span ",     "object ",      "handle ", "extract ",
        "the ",  "of ",   "a ",    "is ",   "drained, ", "compressed. ", "never ",  "waits\n",
    };
    size_t at = 0;

    while (at < length) {
        const char *word = words[random_below(sizeof words / sizeof *words)];
        size_t taken = smaller(strlen(word), length - at);

        memcpy(to + at, word, taken);
        at += taken;
    }
}

static void change_one_byte(uint8_t *to, size_t length)
{
    to[random_below(length)] ^= 1 + random_below(UINT8_MAX);
}

static void fill_page(uint8_t *to, size_t length, enum content content)
{
    size_t text_length;

    switch (content) {
    case CONTENT_ZERO:
        memset(to, 0, length);
        break;
    case CONTENT_NEARLY_ZERO:
        memset(to, 0, length);
        change_one_byte(to, length);
        break;
    case CONTENT_SAME:
        fill_same(to, length);
        break;
    case CONTENT_NEARLY_SAME:
        fill_same(to, length);
        change_one_byte(to, length);
        break;
    case CONTENT_TEXT:
        fill_text(to, length);
        break;
    case CONTENT_HALF_TEXT:
        text_length = random_below(length);
        fill_text(to, text_length);
        fill_random(to + text_length, length - text_length);
        break;
    case CONTENT_RANDOM:
        fill_random(to, length);
        break;
    case CONTENT_MIXED:
        fill_page(to, length, random_below(NR_CONTENTS));
        break;
    }
}

void content_fill(uint8_t *to, size_t length, enum content content)
{
    for (size_t at = 0; at < length; at += PAGE_BYTES)
        fill_page(to + at, smaller(PAGE_BYTES, length - at), content);
}
