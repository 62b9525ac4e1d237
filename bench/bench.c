// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGES_MIN 16384u // more than the largest request has

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec time;

    if (clock_gettime(clock, &time) < 0) {
        bench_die("clock_gettime: %s", strerror(errno));
    }
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t bench_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t bench_thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t bench_process_cpu_ns(int pid)
{
    clockid_t clock;
    int rc = clock_getcpuclockid(pid, &clock);

    if (rc != 0) {
        bench_die("no CPU clock of process %d: %s", pid, strerror(rc));
    }
    return clock_ns(clock);
}

void bench_sleep_until_ns(uint64_t when)
{
    struct timespec until = {
        .tv_sec = (time_t)(when / 1000000000),
        .tv_nsec = (long)(when % 1000000000),
    };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
}

void bench_progress(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void bench_die(const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

void *bench_alloc(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (memory == MAP_FAILED) {
        bench_die("no memory for %zu bytes: %s", bytes, strerror(errno));
    }
    return memory;
}

void bench_free(void *memory, size_t bytes)
{
    munmap(memory, bytes);
}

uint64_t bench_random(struct bench_rng *rng)
{
    uint64_t x = rng->state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t bench_random_below(struct bench_rng *rng, uint64_t end)
{
    return (uint64_t)((unsigned __int128)bench_random(rng) * end >> 64);
}

uint32_t *bench_random_order(uint32_t nr, uint64_t seed)
{
    uint32_t *order = malloc(nr * sizeof *order);
    struct bench_rng rng = {seed};
    uint32_t i;

    if (!order) {
        bench_die("no memory");
    }
    for (i = 0; i < nr; i++) {
        uint32_t other = (uint32_t)bench_random_below(&rng, i + 1);

        order[i] = order[other];
        order[other] = i;
    }
    return order;
}

struct bench_pages bench_pages;

void bench_pages_load(void)
{
    struct bench_pages *pages = &bench_pages;
    const char *path = bench_options.pages_path;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat stat;
    unsigned char *data;
    size_t bytes, done = 0;

    if (fd < 0 || fstat(fd, &stat) < 0) {
        bench_die("%s: %s", path, strerror(errno));
    }
    pages->nr_pages = (size_t)stat.st_size / BENCH_PAGE_BYTES;
    if (pages->nr_pages < PAGES_MIN) {
        bench_die("%s: less than 64 MiB of pages (bench/capture-pages makes such a file)", path);
    }
    bytes = pages->nr_pages * BENCH_PAGE_BYTES;
    data = bench_alloc(bytes);
    while (done < bytes) {
        ssize_t nr = read(fd, data + done, bytes - done);

        if (nr <= 0) {
            bench_die("%s: %s", path, nr < 0 ? strerror(errno) : "shrank while it was read");
        }
        done += (size_t)nr;
    }
    close(fd);
    pages->data = data;
    bench_begin_round();
}

struct thread {
    pthread_t id;
    pthread_barrier_t *ready;
    void (*work)(void *arg, unsigned index);
    void *arg;
    unsigned index;
    uint64_t start_ns, end_ns;
};

static void *run_thread(void *arg)
{
    struct thread *thread = arg;

    pthread_barrier_wait(thread->ready);
    thread->start_ns = bench_now_ns();
    thread->work(thread->arg, thread->index);
    thread->end_ns = bench_now_ns();
    return NULL;
}

uint64_t bench_run_threads(unsigned nr, void (*work)(void *arg, unsigned index), void *arg)
{
    struct thread *threads = calloc(nr, sizeof *threads);
    pthread_barrier_t ready;
    uint64_t start = UINT64_MAX, end = 0;
    unsigned i;

    if (!threads || pthread_barrier_init(&ready, NULL, nr) != 0) {
        bench_die("no memory");
    }
    // The caller is the last of them, so that one thread is no extra thread.
    for (i = 0; i < nr; i++) {
        threads[i] = (struct thread){.ready = &ready, .work = work, .arg = arg, .index = i};
        if (i + 1 < nr && pthread_create(&threads[i].id, NULL, run_thread, &threads[i]) != 0) {
            bench_die("cannot start a thread");
        }
    }
    run_thread(&threads[nr - 1]);
    for (i = 0; i < nr; i++) {
        if (i + 1 < nr) {
            pthread_join(threads[i].id, NULL);
        }
        start = threads[i].start_ns < start ? threads[i].start_ns : start;
        end = threads[i].end_ns > end ? threads[i].end_ns : end;
    }
    pthread_barrier_destroy(&ready);
    free(threads);
    return end - start;
}

unsigned bench_nr_cpus(void)
{
    cpu_set_t cpus;

    if (sched_getaffinity(0, sizeof cpus, &cpus) < 0) {
        bench_die("sched_getaffinity: %s", strerror(errno));
    }
    return (unsigned)CPU_COUNT(&cpus);
}

void bench_samples_init(struct bench_samples *samples, size_t capacity)
{
    *samples = (struct bench_samples){
        .values = bench_alloc(capacity * sizeof *samples->values),
        .capacity = capacity,
    };
}

void bench_samples_fini(struct bench_samples *samples)
{
    bench_free(samples->values, samples->capacity * sizeof *samples->values);
    samples->values = NULL;
}

void bench_samples_clear(struct bench_samples *samples)
{
    samples->nr = 0;
    samples->is_sorted = false;
}

void bench_samples_add(struct bench_samples *samples, uint64_t value)
{
    if (samples->nr < samples->capacity) {
        samples->values[samples->nr++] = value;
        samples->is_sorted = false;
    }
}

void bench_samples_append(struct bench_samples *samples, const struct bench_samples *more)
{
    size_t i;

    for (i = 0; i < more->nr; i++) {
        bench_samples_add(samples, more->values[i]);
    }
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

double bench_samples_percentile(struct bench_samples *samples, double percent)
{
    if (samples->nr == 0) {
        bench_die("no samples");
    }
    if (!samples->is_sorted) {
        qsort(samples->values, samples->nr, sizeof *samples->values, compare_u64);
        samples->is_sorted = true;
    }
    return (double)samples->values[(size_t)((double)(samples->nr - 1) * percent / 100 + 0.5)];
}

// ---- results -----------------------------------------------------------------------------------

void bench_add(const char *work, const char *subject, const char *unit, double value)
{
    printf("{\"work\": \"%s\", \"subject\": \"%s\", \"unit\": \"%s\", \"value\": %.6g}\n", work,
           subject, unit, value);
    fflush(stdout);
}

void bench_point(const char *chart, const char *line, double x, double y)
{
    printf("{\"chart\": \"%s\", \"line\": \"%s\", \"x\": %.6g, \"y\": %.6g}\n", chart, line, x, y);
}

// ---- the command line --------------------------------------------------------------------------

struct bench_options bench_options = {
    .plugin = "./zramswap.so",
    .only = "",
    .bytes = UINT64_MAX,
};

// A number, or one with K, M or G.
static uint64_t parse_number(const char *text)
{
    static const char suffixes[] = "KMG";
    char *end;
    uint64_t number = strtoull(text, &end, 10);
    const char *suffix = *end ? strchr(suffixes, *end) : NULL;

    if (end == text || *text == '-' || (*end && (!suffix || end[1]))) {
        bench_die("%s: not a number, or one with K, M or G", text);
    }
    return suffix ? number << 10 * (suffix - suffixes + 1) : number;
}

void bench_parse_options(int argc, char *argv[])
{
    static const struct option options[] = {
        {"pages", required_argument, NULL, 'p'},
        {"plugin", required_argument, NULL, 'l'},
        {"rounds", required_argument, NULL, 'r'},
        {"only", required_argument, NULL, 'o'},
        {"bytes", required_argument, NULL, 'b'},
        {"parameter", required_argument, NULL, 'a'},
        {NULL, 0, NULL, 0},
    };
    bool is_right = true;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            bench_options.pages_path = optarg;
            break;
        case 'l':
            bench_options.plugin = optarg;
            break;
        case 'r':
            bench_options.nr_rounds = (unsigned)parse_number(optarg);
            break;
        case 'o':
            bench_options.only = optarg;
            break;
        case 'b':
            bench_options.bytes = parse_number(optarg);
            break;
        case 'a':
            bench_options.parameter = optarg;
            break;
        default:
            is_right = false;
        }
    }
    if (!is_right || !bench_options.pages_path || optind < argc) {
        fprintf(stderr,
                "usage: %s --pages FILE [--plugin ZRAMSWAP.SO] [--rounds N] [--only TEXT]\n"
                "       [--bytes SIZE] [--parameter NAME=VALUE]\n"
                "bench/run --help says more\n",
                argv[0]);
        exit(2);
    }
}

bool bench_wants(const char *work)
{
    return strstr(work, bench_options.only) != NULL;
}

unsigned bench_nr_rounds(unsigned by_default)
{
    return bench_options.nr_rounds > 0 ? bench_options.nr_rounds : by_default;
}

// Two descriptors, "IN OUT": a byte comes in when it is our turn, and one goes out when it is the
// other's.  Who has ended has closed them, and is not waited for.
void bench_begin_round(void)
{
    static int in = -1, out = -1;
    static bool is_first = true;
    const char *turns = getenv("ZRAMSWAP_BENCH_TURNS");
    char byte = 0;

    if (!turns) {
        return;
    }
    if (is_first) {
        is_first = false;
        signal(SIGPIPE, SIG_IGN);
        if (sscanf(turns, "%d %d", &in, &out) != 2) {
            bench_die("ZRAMSWAP_BENCH_TURNS=%s: not two descriptors", turns);
        }
    } else if (write(out, &byte, 1) < 0) {
        return;
    }
    if (read(in, &byte, 1) < 0) {
        bench_die("cannot wait for a turn: %s", strerror(errno));
    }
}
