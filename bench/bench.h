// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What all benchmarks share: clocks, pages, threads, and results.
//
// A *row* is one figure of one subject ("engine lz4") at one work ("random reads"), with a value
// per round.  The subjects take turns within a round, so that whatever else the machine does meets
// all of them; a *ratio* is therefore made round by round, and its median is what counts.  A
// *target* is a ratio or a row that is held against what the project has set itself; benchmarks
// print it and never fail on it.
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
uint64_t bench_process_cpu_ns(int pid); // all threads, ended ones too; 0 is this process
void bench_sleep_until_ns(uint64_t when);

// ---- words for people, on stderr ---------------------------------------------------------------
void bench_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
void bench_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

// A size with an optional K, M or G; dies if text is none.
uint64_t bench_parse_bytes(const char *text);
void *bench_alloc(size_t bytes); // page-aligned, touched already
void bench_free(void *memory, size_t bytes);

// ---- arguments of a benchmark that runs servers ------------------------------------------------
struct bench_arguments {
    const char *pages_path, *json_path; // json_path may be NULL
    const char *plugin;
    unsigned nr_rounds; // the default when it is handed over
    const char *only;   // run what has this in its name; NULL when handed over: there is no --only
};
// Exits with a usage line and status 2 if they are wrong.
void bench_parse_arguments(struct bench_arguments *arguments, int argc, char *argv[]);

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
void bench_pages_load(struct bench_pages *pages, const char *path);

// The file repeats without end.
static inline const unsigned char *bench_page(const struct bench_pages *pages, uint64_t index)
{
    return pages->data + index % pages->nr_pages * BENCH_PAGE_BYTES;
}

// The same, for a run of nr_pages (fewer than the file has).
static inline const unsigned char *bench_page_run(const struct bench_pages *pages, uint64_t index,
                                                  size_t nr_pages)
{
    return pages->data + index % (pages->nr_pages - nr_pages + 1) * BENCH_PAGE_BYTES;
}

// ---- threads -----------------------------------------------------------------------------------
// Runs work(arg, 0) … work(arg, nr − 1) at the same time and returns how long that took, from when
// all are ready to when the last is done.
uint64_t bench_run_threads(unsigned nr, void (*work)(void *arg, unsigned index), void *arg);

// From now on the caller runs on this CPU alone (counted from 0 among those that it was allowed at
// first), and so does what it starts; -1: on all of them again.  False if there are not so many.
bool bench_run_on_cpu(int nr);

// ---- samples -----------------------------------------------------------------------------------
struct bench_samples {
    uint32_t *values;
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
struct bench_row;
enum bench_better { BENCH_HIGHER, BENCH_LOWER, BENCH_NEITHER };

// The row, made at its first use; valid until the end.  The strings are copied.
struct bench_row *bench_row(const char *work, const char *subject, const char *unit,
                            enum bench_better better);
void bench_add(struct bench_row *row, double value);
size_t bench_row_nr(const struct bench_row *row);
double bench_row_value(const struct bench_row *row, size_t round);
double bench_row_median(const struct bench_row *row);

// Held against: op is ">=" or "<=".  Rows without a value are passed over.
void bench_target_row(const char *name, const struct bench_row *row, const char *op, double limit);
void bench_target_ratio(const char *name, const struct bench_row *row,
                        const struct bench_row *reference, const char *op, double limit);

// Curves for pictures: points of a named line in a named chart.
void bench_point(const char *chart, const char *line, double x, double y);

// The end: a Markdown table to stdout, and JSON to json_path unless that is NULL.
void bench_report(const char *part, const char *json_path);

#endif
