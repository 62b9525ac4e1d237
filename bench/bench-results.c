// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Rows, targets and points: kept until bench_report writes them out.
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NR_ROUNDS_MAX 512

struct bench_row {
    struct bench_row *next;
    char *work, *subject, *unit;
    enum bench_better better;
    size_t nr;
    double values[NR_ROUNDS_MAX];
};

struct target {
    struct target *next;
    char *name;
    const char *op, *unit;
    double limit;
    struct bench_row *values;
};

struct point {
    struct point *next;
    char *chart, *line;
    double x, y;
};

static struct bench_row *rows, **rows_end = &rows;
static struct target *targets, **targets_end = &targets;
static struct point *points, **points_end = &points;

static void *must(void *memory)
{
    if (!memory) {
        bench_die("no memory");
    }
    return memory;
}

static struct bench_row *make_row(const char *work, const char *subject, const char *unit,
                                  enum bench_better better)
{
    struct bench_row *row = must(calloc(1, sizeof *row));

    row->work = must(strdup(work));
    row->subject = must(strdup(subject));
    row->unit = must(strdup(unit));
    row->better = better;
    return row;
}

struct bench_row *bench_row(const char *work, const char *subject, const char *unit,
                            enum bench_better better)
{
    struct bench_row *row;

    for (row = rows; row; row = row->next) {
        if (strcmp(row->work, work) == 0 && strcmp(row->subject, subject) == 0 &&
            strcmp(row->unit, unit) == 0) {
            return row;
        }
    }
    row = make_row(work, subject, unit, better);
    *rows_end = row;
    rows_end = &row->next;
    return row;
}

void bench_add(struct bench_row *row, double value)
{
    if (row->nr == NR_ROUNDS_MAX) {
        bench_die("%s: more than %d rounds", row->work, NR_ROUNDS_MAX);
    }
    row->values[row->nr++] = value;
}

size_t bench_row_nr(const struct bench_row *row)
{
    return row->nr;
}

double bench_row_value(const struct bench_row *row, size_t round)
{
    return row->values[round];
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct summary {
    double median, min, max;
};

static struct summary summarize(const struct bench_row *row)
{
    double sorted[NR_ROUNDS_MAX];

    if (row->nr == 0) {
        bench_die("%s, %s: no rounds", row->work, row->subject);
    }
    memcpy(sorted, row->values, row->nr * sizeof *sorted);
    qsort(sorted, row->nr, sizeof *sorted, compare_double);
    return (struct summary){
        .median = (sorted[(row->nr - 1) / 2] + sorted[row->nr / 2]) / 2,
        .min = sorted[0],
        .max = sorted[row->nr - 1],
    };
}

double bench_row_median(const struct bench_row *row)
{
    return summarize(row).median;
}

static void add_target(const char *name, struct bench_row *values, const char *op, double limit)
{
    struct target *target = must(calloc(1, sizeof *target));

    *target =
        (struct target){.name = must(strdup(name)), .op = op, .limit = limit, .values = values};
    *targets_end = target;
    targets_end = &target->next;
}

void bench_target_row(const char *name, const struct bench_row *row, const char *op, double limit)
{
    struct bench_row *copy;

    if (row->nr == 0) {
        return;
    }
    copy = make_row(row->work, row->subject, row->unit, row->better);
    copy->nr = row->nr;
    memcpy(copy->values, row->values, row->nr * sizeof *row->values);
    add_target(name, copy, op, limit);
}

void bench_target_ratio(const char *name, const struct bench_row *row,
                        const struct bench_row *reference, const char *op, double limit)
{
    struct bench_row *ratio;
    size_t i;

    if (row->nr == 0 || reference->nr == 0) {
        return;
    }
    ratio = make_row(row->work, row->subject, "×", row->better);
    for (i = 0; i < row->nr && i < reference->nr; i++) {
        bench_add(ratio, row->values[i] / reference->values[i]);
    }
    add_target(name, ratio, op, limit);
}

void bench_point(const char *chart, const char *line, double x, double y)
{
    struct point *point = must(calloc(1, sizeof *point));

    *point =
        (struct point){.chart = must(strdup(chart)), .line = must(strdup(line)), .x = x, .y = y};
    *points_end = point;
    points_end = &point->next;
}

static bool is_met(const struct target *target)
{
    double median = bench_row_median(target->values);

    return strcmp(target->op, ">=") == 0 ? median >= target->limit : median <= target->limit;
}

static void print_markdown(const char *part)
{
    const struct target *target;
    const struct bench_row *row;

    printf("## %s\n\n", part);
    if (targets) {
        printf("| target | measured | spread | set | met |\n|---|---:|---:|---:|---|\n");
    }
    for (target = targets; target; target = target->next) {
        struct summary summary = summarize(target->values);

        printf("| %s | %.4g %s | %.4g … %.4g | %s %.4g | %s |\n", target->name, summary.median,
               target->values->unit, summary.min, summary.max,
               strcmp(target->op, ">=") == 0 ? "≥" : "≤", target->limit,
               is_met(target) ? "yes" : "no");
    }
    printf("\n| work | subject | median | spread | unit |\n|---|---|---:|---:|---|\n");
    for (row = rows; row; row = row->next) {
        struct summary summary;

        if (row->nr == 0) {
            continue;
        }
        summary = summarize(row);
        printf("| %s | %s | %.4g | %.4g … %.4g | %s |\n", row->work, row->subject, summary.median,
               summary.min, summary.max, row->unit);
    }
}

// Names are ours: no quotes, backslashes or control characters in them.
static void print_values(FILE *out, const struct bench_row *row)
{
    struct summary summary = summarize(row);
    size_t i;

    fprintf(out,
            "\"unit\": \"%s\", \"better\": \"%s\", \"median\": %.6g, \"min\": %.6g, "
            "\"max\": %.6g, \"values\": [",
            row->unit,
            row->better == BENCH_HIGHER  ? "higher"
            : row->better == BENCH_LOWER ? "lower"
                                         : "neither",
            summary.median, summary.min, summary.max);
    for (i = 0; i < row->nr; i++) {
        fprintf(out, "%s%.6g", i > 0 ? ", " : "", row->values[i]);
    }
    fprintf(out, "]");
}

static void write_json(FILE *out, const char *part)
{
    const struct target *target;
    const struct bench_row *row;
    const struct point *point;
    const char *separator = "";

    fprintf(out, "{\n\"part\": \"%s\",\n\"targets\": [", part);
    for (target = targets; target; target = target->next) {
        fprintf(out, "%s\n{\"name\": \"%s\", \"op\": \"%s\", \"limit\": %.6g, \"met\": %s, ",
                target == targets ? "" : ",", target->name, target->op, target->limit,
                is_met(target) ? "true" : "false");
        print_values(out, target->values);
        fprintf(out, "}");
    }
    fprintf(out, "\n],\n\"rows\": [");
    for (row = rows; row; row = row->next) {
        if (row->nr == 0) {
            continue;
        }
        fprintf(out, "%s\n{\"work\": \"%s\", \"subject\": \"%s\", ", separator, row->work,
                row->subject);
        separator = ",";
        print_values(out, row);
        fprintf(out, "}");
    }
    fprintf(out, "\n],\n\"points\": [");
    for (point = points; point; point = point->next) {
        fprintf(out, "%s\n[\"%s\", \"%s\", %.6g, %.6g]", point == points ? "" : ",", point->chart,
                point->line, point->x, point->y);
    }
    fprintf(out, "\n]\n}\n");
}

void bench_report(const char *part, const char *json_path)
{
    FILE *out;

    print_markdown(part);
    if (!json_path) {
        return;
    }
    out = fopen(json_path, "w");
    if (!out) {
        bench_die("%s: %s", json_path, strerror(errno));
    }
    write_json(out, part);
    if (fclose(out) != 0) {
        bench_die("%s: %s", json_path, strerror(errno));
    }
}
