// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Runs inside the guest: fills more memory than the guest has, reads it back
// in random order, rewrites a part, drops a part, and checks every byte on
// the way; or reads and rewrites at random for a given time, and tells how long
// it was kept waiting.  What a page holds follows from the seed, the page's number and
// how often it was written, so nothing has to be remembered that could itself
// be swapped out and come back wrong.
//
// A child does the work, because the time that its exit takes, in which the
// kernel gives back every swap slot, can only be measured from outside.
//
// Output: lines of "key=value".  Exit status: 0 all bytes right, 1 some
// wrong, 2 usage or system error, 3 killed by a signal.

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES 4096U
#define PAGE_WORDS (PAGE_BYTES / sizeof(uint64_t))
#define PAGES_PER_MIB 256U

// Wrong pages that are reported one by one before only counting goes on.
#define MAX_REPORTS 10U

struct options {
    size_t mib;
    uint64_t seed;
    const char *gate; // fifo to wait for between filling and reading, or null
    bool look_back;   // while filling, check a random earlier page now and then
    bool is_short;    // only fill, read in random order, exit
    unsigned seconds; // after filling, only churn for so long
};

struct region {
    unsigned char *base;
    size_t nr_pages;
    uint64_t seed;
    uint64_t nr_wrong;
};

// splitmix64: every state gives a good next value, also 0, 1, 2 ...
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15U;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static int64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void fail(const char *what)
{
    fprintf(stderr, "swapper: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void fill_text(unsigned char *page, uint64_t *state)
{
    static const char words[16][9] = {
        "the ", "swap ",   "page ",     "kernel ", "memory ", "of ",       "slot ",   "0x00000 ",
        "and ", "server ", "{\"id\": ", "null, ",  "guest ",  "request\n", "is not ", "\t\t\t\t",
    };
    size_t used = 0;

    while (used < PAGE_BYTES) {
        uint64_t bits = random_next(state);

        for (int i = 0; i < 16 && used < PAGE_BYTES; i++, bits >>= 4) {
            const char *word = words[bits & 15];
            size_t length = strlen(word);

            if (length > PAGE_BYTES - used)
                length = PAGE_BYTES - used;
            memcpy(page + used, word, length);
            used += length;
        }
    }
}

// The mix: one page in eight zero, one filled with one word, two that do not
// compress, four of text.
static void make_page(unsigned char *page, uint64_t seed, size_t number, bool rewritten)
{
    uint64_t state = seed ^ ((uint64_t)number << 1 | rewritten) * 0xd6e8feb86659fd93U;
    unsigned kind = random_next(&state) % 8;
    uint64_t *word = (uint64_t *)(void *)page;

    if (kind == 0) {
        memset(page, 0, PAGE_BYTES);
    } else if (kind == 1) {
        uint64_t pattern = random_next(&state);

        for (size_t i = 0; i < PAGE_WORDS; i++)
            word[i] = pattern;
    } else if (kind <= 3) {
        for (size_t i = 0; i < PAGE_WORDS; i++)
            word[i] = random_next(&state);
    } else {
        fill_text(page, &state);
    }
}

// Every fourth page is written a second time, scattered, as real programs do.
static bool is_rewritten(size_t number)
{
    return number * 0x9e3779b97f4a7c15U >> 62 == 0;
}

static void check_page(struct region *r, size_t number, bool rewritten)
{
    static _Alignas(8) unsigned char expected[PAGE_BYTES];
    const unsigned char *page = r->base + number * PAGE_BYTES;
    size_t i = 0;

    make_page(expected, r->seed, number, rewritten);
    if (memcmp(page, expected, PAGE_BYTES) == 0)
        return;
    while (page[i] == expected[i])
        i++;
    if (r->nr_wrong++ < MAX_REPORTS)
        printf("wrong_page=%zu byte=%zu got=%02x expected=%02x\n", number, i, page[i], expected[i]);
}

static void shuffle(uint32_t *order, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        size_t j = random_next(&seed) % (i + 1);

        order[i] = order[j];
        order[j] = (uint32_t)i;
    }
}

static void report_time(const char *phase, int64_t since_us)
{
    printf("%s_ms=%" PRId64 "\n", phase, (now_us() - since_us) / 1000);
}

static void fill(struct region *r, bool look_back)
{
    int64_t start = now_us();
    uint64_t state = r->seed;

    for (size_t i = 0; i < r->nr_pages; i++) {
        make_page(r->base + i * PAGE_BYTES, r->seed, i, false);
        if (look_back && i % 16 == 0)
            check_page(r, random_next(&state) % (i + 1), false);
        if (look_back && i % (16 * PAGES_PER_MIB) == 0)
            printf("filled_mib=%zu wrong=%" PRIu64 "\n", i / PAGES_PER_MIB, r->nr_wrong);
    }
    report_time("fill", start);
}

static void read_randomly(struct region *r)
{
    uint32_t *order = malloc(r->nr_pages * sizeof(*order));
    int64_t start;

    if (order == NULL)
        fail("malloc");
    shuffle(order, r->nr_pages, r->seed);
    start = now_us();
    for (size_t i = 0; i < r->nr_pages; i++)
        check_page(r, order[i], false);
    report_time("random_read", start);
    free(order);
}

static void rewrite_and_check(struct region *r)
{
    int64_t start = now_us();

    for (size_t i = 0; i < r->nr_pages; i++)
        if (is_rewritten(i))
            make_page(r->base + i * PAGE_BYTES, r->seed, i, true);
    report_time("rewrite", start);

    start = now_us();
    for (size_t i = 0; i < r->nr_pages; i++)
        check_page(r, i, is_rewritten(i));
    report_time("verify", start);
}

// Drops the middle half, a quarter by madvise and a quarter by munmap, and
// checks what stays, and that the first quarter reads as zero.
static void drop_and_check(struct region *r)
{
    static const unsigned char zero[PAGE_BYTES];
    size_t quarter = r->nr_pages / 4;
    int64_t start = now_us();

    if (madvise(r->base + quarter * PAGE_BYTES, quarter * PAGE_BYTES, MADV_DONTNEED) == -1)
        fail("madvise");
    if (munmap(r->base + 2 * quarter * PAGE_BYTES, quarter * PAGE_BYTES) == -1)
        fail("munmap");
    report_time("drop", start);

    start = now_us();
    for (size_t i = 0; i < r->nr_pages; i++) {
        if (i < quarter || i >= 3 * quarter)
            check_page(r, i, is_rewritten(i));
        else if (i < 2 * quarter && memcmp(r->base + i * PAGE_BYTES, zero, PAGE_BYTES) != 0)
            r->nr_wrong++;
    }
    report_time("verify_rest", start);
}

// A page that takes so long is worth a line.
#define STALL_MS 100

// Reads pages at random and rewrites every fourth; what is found in one must be what was written
// last.
static void churn(struct region *r, unsigned seconds)
{
    bool *rewritten = calloc(r->nr_pages, sizeof(*rewritten));
    int64_t start = now_us(), end = start + (int64_t)seconds * 1000000;
    uint64_t state = r->seed, nr_reads = 0;

    // What it knows of the pages must not come back from where they come back from.
    if (rewritten == NULL || mlock(rewritten, r->nr_pages * sizeof(*rewritten)) == -1)
        fail("mlock");
    for (int64_t now = start; now < end;) {
        uint64_t bits = random_next(&state);
        size_t number = (bits >> 2) % r->nr_pages;
        int64_t begun = now;

        check_page(r, number, rewritten[number]);
        if ((bits & 3) == 0) {
            rewritten[number] = !rewritten[number];
            make_page(r->base + number * PAGE_BYTES, r->seed, number, rewritten[number]);
        }
        nr_reads++;
        now = now_us();
        if ((now - begun) / 1000 >= STALL_MS)
            printf("stall_ms=%" PRId64 "\n", (now - begun) / 1000);
    }
    for (size_t i = 0; i < r->nr_pages; i++)
        check_page(r, i, rewritten[i]);
    printf("churned_pages=%" PRIu64 "\n", nr_reads);
    report_time("churn", start);
    free(rewritten);
}

static void wait_at(const char *gate)
{
    int fd = open(gate, O_RDONLY); // blocks until somebody opens it to write

    if (fd == -1)
        fail(gate);
    close(fd);
}

// Returns whether every byte was right.  The memory is left to exit().
static bool work(const struct options *o)
{
    struct region r = {.nr_pages = o->mib * PAGES_PER_MIB, .seed = o->seed};

    r.base = mmap(NULL, r.nr_pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r.base == MAP_FAILED)
        fail("mmap");
    fill(&r, o->look_back);
    if (o->gate != NULL)
        wait_at(o->gate);
    if (o->seconds > 0) {
        churn(&r, o->seconds);
    } else {
        read_randomly(&r);
        if (!o->is_short) {
            rewrite_and_check(&r);
            drop_and_check(&r);
        }
    }
    printf("wrong_pages=%" PRIu64 "\n", r.nr_wrong);
    return r.nr_wrong == 0;
}

static void usage(void)
{
    fputs("usage: swapper [-lr] [-m MIB] [-s SEED] [-t SECONDS] [-w FIFO]\n", stderr);
    exit(2);
}

static struct options parse(int argc, char **argv)
{
    struct options o = {.mib = 64, .seed = 1};

    for (int option; (option = getopt(argc, argv, "lm:rs:t:w:")) != -1;) {
        switch (option) {
        case 'l':
            o.look_back = true;
            break;
        case 'm':
            o.mib = strtoul(optarg, NULL, 10);
            break;
        case 'r':
            o.is_short = true;
            break;
        case 's':
            o.seed = strtoull(optarg, NULL, 10);
            break;
        case 't':
            o.seconds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'w':
            o.gate = optarg;
            break;
        default:
            usage();
        }
    }
    if (optind != argc || o.mib == 0 || o.mib > UINT32_MAX / PAGES_PER_MIB)
        usage();
    return o;
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);
    int64_t end_us = 0;
    int status, end[2];
    pid_t child;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (pipe(end) == -1)
        fail("pipe");
    child = fork();
    if (child == -1)
        fail("fork");
    if (child == 0) {
        bool is_right;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        is_right = work(&o);
        end_us = now_us();
        if (write(end[1], &end_us, sizeof(end_us)) != sizeof(end_us))
            fail("pipe");
        _exit(is_right ? 0 : 1);
    }
    close(end[1]);
    if (waitpid(child, &status, 0) == -1)
        fail("waitpid");
    if (WIFSIGNALED(status)) {
        printf("killed_by_signal=%d\n", WTERMSIG(status));
        return 3;
    }
    if (read(end[0], &end_us, sizeof(end_us)) == sizeof(end_us))
        report_time("exit", end_us);
    return WEXITSTATUS(status);
}
