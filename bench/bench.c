// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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

uint64_t bench_parse_bytes(const char *text)
{
    static const char suffixes[] = "KMG";
    const char *suffix;
    char *end;
    uint64_t bytes;

    errno = 0;
    bytes = strtoull(text, &end, 10);
    suffix = *end ? strchr(suffixes, *end) : NULL;
    if (errno || end == text || *text == '-' || (*end && (!suffix || end[1]))) {
        bench_die("%s: not a size (a number, or one with K, M or G)", text);
    }
    return suffix ? bytes << 10 * (suffix - suffixes + 1) : bytes;
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

void bench_pages_load(struct bench_pages *pages, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat stat;
    unsigned char *data;
    size_t bytes, done = 0;

    if (fd < 0 || fstat(fd, &stat) < 0) {
        bench_die("%s: %s", path, strerror(errno));
    }
    pages->nr_pages = (size_t)stat.st_size / BENCH_PAGE_BYTES;
    if (pages->nr_pages < 4096) {
        bench_die("%s: less than 16 MiB of pages (bench/capture-pages makes such a file)", path);
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

bool bench_run_on_cpu(int nr)
{
    static cpu_set_t all;
    cpu_set_t one;
    int cpu;

    if (CPU_COUNT(&all) == 0 && sched_getaffinity(0, sizeof all, &all) < 0) {
        bench_die("sched_getaffinity: %s", strerror(errno));
    }
    CPU_ZERO(&one);
    for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all) && nr-- == 0) {
            CPU_SET(cpu, &one);
        }
    }
    return sched_setaffinity(0, sizeof one, CPU_COUNT(&one) > 0 ? &one : &all) == 0 &&
           CPU_COUNT(&one) > 0;
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
        samples->values[samples->nr++] = value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
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

static int compare_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

double bench_samples_percentile(struct bench_samples *samples, double percent)
{
    if (samples->nr == 0) {
        bench_die("no samples");
    }
    if (!samples->is_sorted) {
        qsort(samples->values, samples->nr, sizeof *samples->values, compare_u32);
        samples->is_sorted = true;
    }
    return samples->values[(size_t)((double)(samples->nr - 1) * percent / 100 + 0.5)];
}

void bench_parse_arguments(struct bench_arguments *arguments, int argc, char *argv[])
{
    static const struct option options[] = {
        {"pages", required_argument, NULL, 'p'},  {"json", required_argument, NULL, 'j'},
        {"plugin", required_argument, NULL, 'l'}, {"rounds", required_argument, NULL, 'r'},
        {"only", required_argument, NULL, 'o'},   {NULL, 0, NULL, 0},
    };
    const bool has_only = arguments->only != NULL;
    bool is_right = true;
    int option;

    arguments->plugin = "./zramswap.so";
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            arguments->pages_path = optarg;
            break;
        case 'j':
            arguments->json_path = optarg;
            break;
        case 'l':
            arguments->plugin = optarg;
            break;
        case 'r':
            arguments->nr_rounds = (unsigned)bench_parse_bytes(optarg);
            break;
        case 'o':
            arguments->only = optarg;
            is_right &= has_only;
            break;
        default:
            is_right = false;
        }
    }
    if (!is_right || !arguments->pages_path || optind < argc || arguments->nr_rounds == 0) {
        fprintf(stderr,
                "usage: %s --pages FILE [--json FILE] [--plugin ZRAMSWAP.SO] [--rounds N]%s\n",
                argv[0], has_only ? " [--only TEXT]" : "");
        exit(2);
    }
}
