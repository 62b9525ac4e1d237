// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "panel.h"
#include "human.h"
#include "statistics.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BAR_WIDTH_MAX 60
#define LABEL "%-10s"

static uint64_t number(const struct zr_activity *activity, const char *path)
{
    return zr_statistics_number(activity->now, path);
}

static const char *size_text(char *text, uint64_t bytes)
{
    return bytes == ZR_ABSENT ? "-" : zr_human_size(text, bytes);
}

static void draw_title(struct zr_screen *screen, const struct zr_activity *activity,
                       const char *address)
{
    uint64_t uptime_ns = number(activity, "/uptime_ns");
    size_t nr_exports = zr_statistics_nr_exports(activity->now);
    char clock[16], age[ZR_HUMAN_BYTES], size[ZR_HUMAN_BYTES];
    time_t now = time(NULL);
    struct tm local;

    strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&now, &local));
    zr_screen_print(
        screen, ZR_STYLE_TITLE, "zramswap %s  %s  %zu %s of %s%s%s  %s  %s",
        zr_statistics_text(activity->now, "/version"),
        zr_statistics_text(activity->now, "/compression"), nr_exports,
        nr_exports == 1 ? "export" : "exports", size_text(size, number(activity, "/disksize")),
        uptime_ns == ZR_ABSENT ? "" : "  up ",
        uptime_ns == ZR_ABSENT ? "" : zr_human_age(age, uptime_ns / 1000000000), clock, address);
    zr_screen_print(screen, ZR_STYLE_TITLE, "%*s", (int)(screen->width - screen->column), "");
    zr_screen_end_line(screen);
}

// A bar, share (0 to 1) of it filled.
static void draw_bar(struct zr_screen *screen, double share, enum zr_style style)
{
    unsigned width = screen->width > 60 ? screen->width - 50 : 10, i;

    width = width < BAR_WIDTH_MAX ? width : BAR_WIDTH_MAX;
    zr_screen_print(screen, ZR_STYLE_PLAIN, "[");
    for (i = 0; i < width; i++) {
        zr_screen_print(screen, style, "%s",
                        i + 0.5 < share * width ? zr_history_block(1, screen->has_utf8) : " ");
    }
    zr_screen_print(screen, ZR_STYLE_PLAIN, "] ");
}

static void draw_memory(struct zr_screen *screen, const struct zr_activity *activity)
{
    uint64_t used = number(activity, "/mem_used_total"), limit = number(activity, "/mem_limit");
    uint64_t hits = number(activity, "/limit_hits");
    char used_text[ZR_HUMAN_BYTES], limit_text[ZR_HUMAN_BYTES], max_text[ZR_HUMAN_BYTES];
    double share;

    if (used == ZR_ABSENT || limit == ZR_ABSENT || limit == 0) {
        return;
    }
    share = (double)used / (double)limit;
    zr_screen_print(screen, ZR_STYLE_LABEL, LABEL, "memory");
    draw_bar(screen, share, share < 0.9 ? ZR_STYLE_GOOD : ZR_STYLE_BAD);
    zr_screen_print(screen, ZR_STYLE_PLAIN, "%s of %s, peak %s", size_text(used_text, used),
                    size_text(limit_text, limit),
                    size_text(max_text, number(activity, "/mem_used_max")));
    if (hits != ZR_ABSENT && hits > 0) {
        zr_screen_print(screen, ZR_STYLE_BAD, ", %" PRIu64 " refused", hits);
    }
    zr_screen_end_line(screen);
}

static void draw_ratio(struct zr_screen *screen, const struct zr_activity *activity)
{
    uint64_t data = number(activity, "/orig_data_size");
    uint64_t compressed = number(activity, "/compr_data_size");
    char ratio[ZR_HUMAN_BYTES], data_text[ZR_HUMAN_BYTES], compressed_text[ZR_HUMAN_BYTES];
    const char *text = zr_human_ratio(ratio, data, compressed);

    zr_screen_print(screen, ZR_STYLE_LABEL, LABEL, "ratio");
    draw_bar(screen, text && data > 0 ? (double)compressed / (double)data : 0, ZR_STYLE_GOOD);
    zr_screen_print(screen, ZR_STYLE_PLAIN, "%s: %s in %s", text ? text : "-",
                    size_text(data_text, data), size_text(compressed_text, compressed));
    zr_screen_end_line(screen);
}

// The lengths of the objects as a graph, if they are in the document.
static void draw_lengths(struct zr_screen *screen, const struct zr_activity *activity)
{
    uint64_t counts[8], max = 0;
    char path[32];
    int i;

    for (i = 0; i < 8; i++) {
        snprintf(path, sizeof path, "/compr_length_pages/%d", i);
        counts[i] = number(activity, path);
        if (counts[i] == ZR_ABSENT) {
            return;
        }
        max = counts[i] > max ? counts[i] : max;
    }
    zr_screen_print(screen, ZR_STYLE_LABEL, LABEL, "lengths");
    zr_screen_print(screen, ZR_STYLE_PLAIN, "512 ");
    for (i = 0; i < 8; i++) {
        zr_screen_print(
            screen, ZR_STYLE_GOOD, "%s",
            zr_history_block(max > 0 ? (double)counts[i] / (double)max : 0, screen->has_utf8));
    }
    zr_screen_print(screen, ZR_STYLE_PLAIN, " 4096 bytes");
    zr_screen_end_line(screen);
}

static void draw_pages(struct zr_screen *screen, const struct zr_activity *activity)
{
    static const struct {
        const char *label, *path;
    } fields[] = {
        {"same", "/same_pages"},
        {"huge", "/huge_pages"},
        {"compacted", "/pages_compacted"},
    };
    uint64_t pending = number(activity, "/pending_free_bytes");
    char text[ZR_HUMAN_BYTES];
    size_t i;

    zr_screen_print(screen, ZR_STYLE_LABEL, LABEL, "pages");
    for (i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (number(activity, fields[i].path) != ZR_ABSENT) {
            zr_screen_print(screen, ZR_STYLE_PLAIN, "%s %" PRIu64 "  ", fields[i].label,
                            number(activity, fields[i].path));
        }
    }
    if (pending != ZR_ABSENT) {
        zr_screen_print(screen, ZR_STYLE_PLAIN, "pending %s", size_text(text, pending));
    }
    zr_screen_end_line(screen);
}

// With one digit after the point if it is small.
static const char *rate_text(char *text, double rate)
{
    if (isnan(rate)) {
        return "-";
    }
    snprintf(text, ZR_HUMAN_BYTES, rate > 0 && rate < 10 ? "%.1f" : "%.0f", rate);
    return text;
}

// How much is cold, and what it takes; from which age on pages become so; how often they are read.
static void draw_cold(struct zr_screen *screen, const struct zr_activity *activity)
{
    uint64_t data = zr_statistics_cold_bytes(activity->now);
    uint64_t after_s = number(activity, "/cold_after_s");
    char data_text[ZR_HUMAN_BYTES], compressed_text[ZR_HUMAN_BYTES], text[ZR_HUMAN_BYTES];

    if (data == ZR_ABSENT) {
        return;
    }
    zr_screen_print(screen, ZR_STYLE_LABEL, LABEL, "cold");
    zr_screen_print(screen, ZR_STYLE_PLAIN, "%s in %s  ", size_text(data_text, data),
                    size_text(compressed_text, number(activity, "/cold_data_size")));
    if (number(activity, "/cold_on") == 0) {
        zr_screen_print(screen, ZR_STYLE_PLAIN, "off  ");
    } else if (after_s != ZR_ABSENT) {
        zr_screen_print(screen, ZR_STYLE_PLAIN, "after %s  ", zr_human_age(text, after_s));
    }
    zr_screen_print(screen, ZR_STYLE_PLAIN, "reads/s %s",
                    rate_text(text, zr_activity_rate(activity, SIZE_MAX, "/cold_reads")));
    zr_screen_end_line(screen);
}

// A rate; memory as a size.
static const char *value_text(char *text, enum zr_series series, double value)
{
    if (series == ZR_SERIES_MEMORY && !isnan(value)) {
        return zr_human_size(text, (uint64_t)value);
    }
    return rate_text(text, value);
}

static void draw_history(struct zr_screen *screen, const struct zr_activity *activity,
                         enum zr_series series, size_t width)
{
    static const char *const labels[ZR_NR_SERIES] = {"reads/s", "writes/s", "trims/s", "MB/s",
                                                     "memory"};
    const struct zr_history *history = &activity->histories[series];
    double max = zr_history_max(history, width);
    char graph[ZR_HISTORY_GRAPH_BYTES], now[ZR_HUMAN_BYTES], most[ZR_HUMAN_BYTES];

    zr_history_draw(history, graph, width, max, screen->has_utf8);
    zr_screen_print(screen, ZR_STYLE_LABEL, LABEL, labels[series]);
    zr_screen_print(screen, ZR_STYLE_GOOD, "%s", graph);
    zr_screen_print(screen, ZR_STYLE_PLAIN, " %9s %9s",
                    value_text(now, series, activity->values[series]),
                    value_text(most, series, history->nr > 0 ? max : NAN));
    zr_screen_end_line(screen);
}

static void draw_histories(struct zr_screen *screen, const struct zr_activity *activity,
                           double seconds)
{
    unsigned width = screen->width > 60 ? screen->width - 31 : 29;
    char title[ZR_HISTORY_MAX];
    int i;

    width = width < ZR_HISTORY_MAX ? width : ZR_HISTORY_MAX;
    snprintf(title, sizeof title, "last %.0f s", width * seconds);
    zr_screen_print(screen, ZR_STYLE_LABEL, LABEL "%-*s %9s %9s", "", (int)width, title, "now",
                    "highest");
    zr_screen_end_line(screen);
    for (i = zr_statistics_requests(activity->now) ? 0 : ZR_SERIES_MEMORY; i < ZR_NR_SERIES; i++) {
        draw_history(screen, activity, (enum zr_series)i, width);
    }
    zr_screen_end_line(screen);
}

static const char *ns_text(char *text, uint64_t ns)
{
    return ns == ZR_ABSENT ? "-" : zr_human_ns(text, ns);
}

static const char *count_text(char *text, uint64_t count)
{
    if (count == ZR_ABSENT) {
        return "-";
    }
    snprintf(text, ZR_HUMAN_BYTES, "%" PRIu64, count);
    return text;
}

static void draw_latency(struct zr_screen *screen, const struct zr_activity *activity,
                         const char *kind, const struct json_object *counts)
{
    char texts[5][ZR_HUMAN_BYTES];
    uint64_t nr_failed = zr_statistics_number(counts, "/failed");

    // Room for "block_status", which the first column of numbers has to spare.
    zr_screen_print(screen, ZR_STYLE_LABEL, "%-12.12s", kind);
    zr_screen_print(screen, ZR_STYLE_PLAIN, "%7s %9s %9s %14s",
                    ns_text(texts[0], zr_activity_latency_ns(activity, kind, 0.5)),
                    ns_text(texts[1], zr_activity_latency_ns(activity, kind, 0.99)),
                    ns_text(texts[2], zr_statistics_number(counts, "/max_ns")),
                    count_text(texts[3], zr_statistics_number(counts, "/requests")));
    zr_screen_print(screen, nr_failed != ZR_ABSENT && nr_failed > 0 ? ZR_STYLE_BAD : ZR_STYLE_PLAIN,
                    " %10s", count_text(texts[4], nr_failed));
    zr_screen_end_line(screen);
}

// A row for each kind of request that the server counts, in its order.
static void draw_latencies(struct zr_screen *screen, const struct zr_activity *activity)
{
    struct json_object *requests = zr_statistics_requests(activity->now);

    if (!requests) {
        return;
    }
    zr_screen_print(screen, ZR_STYLE_LABEL, LABEL "%9s %9s %9s %14s %10s", "latency", "p50 now",
                    "p99 now", "max ever", "requests", "failed");
    zr_screen_end_line(screen);
    json_object_object_foreach(requests, kind, counts)
    {
        if (json_object_is_type(counts, json_type_object)) {
            draw_latency(screen, activity, kind, counts);
        }
    }
    zr_screen_end_line(screen);
}

static void draw_export(struct zr_screen *screen, const struct zr_activity *activity, size_t index)
{
    const struct json_object *export = zr_statistics_export(activity->now, index);
    uint64_t data = zr_statistics_number(export, "/orig_data_size");
    uint64_t compressed = zr_statistics_number(export, "/compr_data_size");
    uint64_t limit = zr_statistics_number(export, "/mem_limit");
    const char *name = zr_statistics_text(export, "/name");
    char size[ZR_HUMAN_BYTES], data_text[ZR_HUMAN_BYTES], compressed_text[ZR_HUMAN_BYTES];
    char ratio_text[ZR_HUMAN_BYTES], limit_text[ZR_HUMAN_BYTES];
    char reads[ZR_HUMAN_BYTES], writes[ZR_HUMAN_BYTES];
    const char *ratio = zr_human_ratio(ratio_text, data, compressed);

    zr_screen_print(screen, ZR_STYLE_PLAIN, "%-16s %8s %8s %8s %6s %8s %9s %9s",
                    *name ? name : "(default)",
                    size_text(size, zr_statistics_number(export, "/disksize")),
                    size_text(data_text, data), size_text(compressed_text, compressed),
                    ratio ? ratio : "-", size_text(limit_text, limit == 0 ? ZR_ABSENT : limit),
                    value_text(reads, ZR_SERIES_READS,
                               zr_activity_rate(activity, index, "/requests/read/requests")),
                    value_text(writes, ZR_SERIES_WRITES,
                               zr_activity_rate(activity, index, "/requests/write/requests")));
    zr_screen_end_line(screen);
}

// A row each; when there is no room for all, the last row says how many are left out.
static void draw_exports(struct zr_screen *screen, const struct zr_activity *activity)
{
    size_t nr = zr_statistics_nr_exports(activity->now), nr_rows, i;

    zr_screen_print(screen, ZR_STYLE_TITLE, "%-16s %8s %8s %8s %6s %8s %9s %9s", "NAME", "DISKSIZE",
                    "DATA", "COMPR", "RATIO", "LIMIT", "READS/s", "WRITES/s");
    zr_screen_end_line(screen);
    nr_rows = screen->row < screen->height ? screen->height - screen->row : 0;
    for (i = 0; i < nr && (nr <= nr_rows || i + 1 < nr_rows); i++) {
        draw_export(screen, activity, i);
    }
    if (i < nr) {
        zr_screen_print(screen, ZR_STYLE_LABEL, "and %zu more", nr - i);
        zr_screen_end_line(screen);
    }
}

void zr_panel_draw(struct zr_screen *screen, const struct zr_activity *activity,
                   const char *address, double seconds)
{
    draw_title(screen, activity, address);
    draw_memory(screen, activity);
    draw_ratio(screen, activity);
    draw_pages(screen, activity);
    draw_cold(screen, activity);
    draw_lengths(screen, activity);
    zr_screen_end_line(screen);
    draw_histories(screen, activity, seconds);
    draw_latencies(screen, activity);
    draw_exports(screen, activity);
}

// ---- Lines -------------------------------------------------------------------------------------

#define LINE "%8s %8s %8s %6s %8s %8s %8s %9s %9s %9s %9s %9s %9s %8s %11s\n"

void zr_panel_print_heading(void)
{
    printf(LINE, "TIME", "DATA", "COMPR", "RATIO", "TOTAL", "LIMIT", "PENDING", "READS/s",
           "WRITES/s", "TRIMS/s", "MB/s", "READ-P99", "WRITE-P99", "COLD", "COLDREADS/s");
}

void zr_panel_print_line(const struct zr_activity *activity)
{
    uint64_t data = number(activity, "/orig_data_size");
    uint64_t compressed = number(activity, "/compr_data_size");
    char clock[16], texts[14][ZR_HUMAN_BYTES];
    const char *ratio = zr_human_ratio(texts[0], data, compressed);
    time_t now = time(NULL);
    struct tm local;

    strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&now, &local));
    printf(LINE, clock, size_text(texts[1], data), size_text(texts[2], compressed),
           ratio ? ratio : "-", size_text(texts[3], number(activity, "/mem_used_total")),
           size_text(texts[4], number(activity, "/mem_limit")),
           size_text(texts[5], number(activity, "/pending_free_bytes")),
           value_text(texts[6], ZR_SERIES_READS, activity->values[ZR_SERIES_READS]),
           value_text(texts[7], ZR_SERIES_WRITES, activity->values[ZR_SERIES_WRITES]),
           value_text(texts[8], ZR_SERIES_TRIMS, activity->values[ZR_SERIES_TRIMS]),
           value_text(texts[9], ZR_SERIES_MB, activity->values[ZR_SERIES_MB]),
           ns_text(texts[10], zr_activity_latency_ns(activity, "read", 0.99)),
           ns_text(texts[11], zr_activity_latency_ns(activity, "write", 0.99)),
           size_text(texts[12], zr_statistics_cold_bytes(activity->now)),
           rate_text(texts[13], zr_activity_rate(activity, SIZE_MAX, "/cold_reads")));
}
