// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What all benchmarks share: clocks, pages, threads, samples, and results.
//
// A result is a line of JSON on stdout: a value of a *row*, which is one figure (the unit) of one
// subject ("engine lz4") at one work ("random reads").  A row has a value per round.  The subjects
// take turns within a round, so that whatever else the machine does meets all of them.
// bench/results.py collects the lines, and holds the rows against targets.
//
// A benchmark that cannot go on says why on stderr and exits: nothing here returns an error.
#ifndef ZR_BENCH_H
#define ZR_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_PAGE_BYTES 4096u

// ---- clocks, all in ns -------------------------------------------------------------------------
uint64_t bench_now_ns(void);
uint64_t bench_thread_cpu_ns(void);
uint64_t bench_process_cpu_ns(int pid); // all threads, ended ones too
void bench_sleep_until_ns(uint64_t when);

// ---- words for people, on stderr ---------------------------------------------------------------
void bench_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
void bench_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

void *bench_alloc(size_t bytes); // page-aligned, touched already
void bench_free(void *memory, size_t bytes);

// ---- the command line, the same for all --------------------------------------------------------
extern struct bench_options {
    const char *pages_path;
    const char *plugin;    // zramswap.so
    unsigned nr_rounds;    // 0: each work has its own number
    const char *only;      // works with this in their names; "": all
    uint64_t bytes;        // stored, where that can be chosen; UINT64_MAX: the default
    const char *parameter; // for the plugin, where that is possible; NULL: none
} bench_options;

// Exits with a usage line and status 2 if it is wrong.
void bench_parse_options(int argc, char *argv[]);

bool bench_wants(const char *work);
unsigned bench_nr_rounds(unsigned by_default);

// Before each round.  Where bench/compare runs this program twice, for two builds, they take turns:
// here the other one has its round.
void bench_begin_round(void);

// ---- random numbers (splitmix64), the same in every run ----------------------------------------
struct bench_rng {
    uint64_t state;
};
uint64_t bench_random(struct bench_rng *rng);
uint64_t bench_random_below(struct bench_rng *rng, uint64_t end);
uint32_t *bench_random_order(uint32_t nr, uint64_t seed); // 0 … nr − 1, shuffled; to be freed

// ---- the page file -----------------------------------------------------------------------------
struct bench_pages {
    const unsigned char *data;
    size_t nr_pages;
};
extern struct bench_pages bench_pages;
void bench_pages_load(void);

// The file repeats without end.
static inline const unsigned char *bench_page(uint64_t index)
{
    return bench_pages.data + index % bench_pages.nr_pages * BENCH_PAGE_BYTES;
}

// The same, for a run of nr_pages (fewer than the file has).
static inline const unsigned char *bench_page_run(uint64_t index, size_t nr_pages)
{
    return bench_pages.data + index % (bench_pages.nr_pages - nr_pages + 1) * BENCH_PAGE_BYTES;
}

// ---- threads -----------------------------------------------------------------------------------
// Runs work(arg, 0) … work(arg, nr − 1) at the same time and returns how long that took, from when
// all are ready to when the last is done.
uint64_t bench_run_threads(unsigned nr, void (*work)(void *arg, unsigned index), void *arg);

// CPUs that this process may run on.
unsigned bench_nr_cpus(void);

// ---- samples -----------------------------------------------------------------------------------
struct bench_samples {
    uint64_t *values;
    size_t nr, capacity;
    bool is_sorted;
};
void bench_samples_init(struct bench_samples *samples, size_t capacity);
void bench_samples_fini(struct bench_samples *samples);
void bench_samples_clear(struct bench_samples *samples);
void bench_samples_add(struct bench_samples *samples, uint64_t value); // beyond capacity: dropped
void bench_samples_append(struct bench_samples *samples, const struct bench_samples *more);
double bench_samples_percentile(struct bench_samples *samples, double percent);

// ---- results -----------------------------------------------------------------------------------
// Names are ours: no quotes, backslashes or control characters in them.
void bench_add(const char *work, const char *subject, const char *unit, double value);

// Curves for pictures: points of a named line in a named chart.
void bench_point(const char *chart, const char *line, double x, double y);

// printf into a buffer of the caller's; returns it.
#define BENCH_NAME(buffer, ...) (snprintf(buffer, sizeof(buffer), __VA_ARGS__), (buffer))

#endif
