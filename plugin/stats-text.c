// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "stats-text.h"

#include <inttypes.h>

#define NS_PER_S UINT64_C(1000000000)
#define NR_AGES (ZR_SLOT_AGE_MAX + 1)
#define NR_OF(array) (sizeof(array) / sizeof((array)[0]))

// One number and what it is called in either text.
struct field {
    const char *name;
    const char *metric;
    const char *type;
    const char *help;
    size_t offset; // in zr_device_stats or zr_server_stats
};

#define DEVICE(member) #member, .offset = offsetof(struct zr_device_stats, member)
#define SERVER(member) #member, .offset = offsetof(struct zr_server_stats, member)

static const struct field device_fields[] = {
    {DEVICE(disksize), .metric = "disksize_bytes", .type = "gauge", .help = "Size of the disk."},
    {DEVICE(orig_data_size), .metric = "orig_data_bytes", .type = "gauge",
     .help = "Data stored, before compression; zeros are not stored."},
    {DEVICE(compr_data_size), .metric = "compr_data_bytes", .type = "gauge",
     .help = "Data stored, compressed."},
    {DEVICE(same_pages), .metric = "same_pages", .type = "gauge",
     .help = "Pages filled with one value, which take no memory."},
    {DEVICE(huge_pages), .metric = "huge_pages", .type = "gauge",
     .help = "Pages that do not compress and are stored as they are."},
    {DEVICE(corrupt_pages), .metric = "corrupt_pages_total", .type = "counter",
     .help = "Reads of a stored page that was found damaged; they fail with EIO."},
    {DEVICE(lost_pages), .metric = "lost_pages", .type = "gauge",
     .help = "Pages that were lost and cannot be read: EIO until they are written or trimmed."},
    {DEVICE(served), .metric = "served", .type = "gauge",
     .help = "1 if clients can open the export, 0 if it is only kept in the store."},
    {DEVICE(coldest_age_s), .metric = "coldest_age_seconds", .type = "gauge",
     .help = "The page unwritten for longest has been so for at least this long."},
    {DEVICE(limit_hits), .metric = "limit_hits_total", .type = "counter",
     .help = "Requests refused with ENOSPC, at the limit of the export or of the server."},
    {DEVICE(connections), .metric = "connections", .type = "gauge",
     .help = "Connections that clients have now."},
    {DEVICE(cold_pages), .metric = "cold_pages", .type = "gauge",
     .help = "Pages not written for long, compressed in groups."},
    {DEVICE(cold_data_size), .metric = "cold_data_bytes", .type = "gauge",
     .help = "Data of cold pages, compressed; part of compr_data_bytes."},
    {DEVICE(cold_reads), .metric = "cold_reads_total", .type = "counter",
     .help = "Reads of cold pages."},
    {DEVICE(cold_promoted), .metric = "cold_promoted_pages_total", .type = "counter",
     .help = "Cold pages that were read again, and so taken out of their group."},
};

static const struct field server_fields[] = {
    {SERVER(mem_used_total), .metric = "mem_used_bytes", .type = "gauge",
     .help = "Memory taken for all that is stored, tables and reserve included."},
    {SERVER(mem_limit), .metric = "mem_limit_bytes", .type = "gauge",
     .help = "The most memory that may be taken."},
    {SERVER(mem_used_max), .metric = "mem_used_max_bytes", .type = "gauge",
     .help = "The most memory that ever was taken."},
    {SERVER(pages_compacted), .metric = "pages_compacted_total", .type = "counter",
     .help = "Objects moved by compaction."},
    {SERVER(spans_compacted), .metric = "spans_compacted_total", .type = "counter",
     .help = "Spans of 128 KiB freed by compaction."},
    {SERVER(pending_free_bytes), .metric = "pending_free_bytes", .type = "gauge",
     .help = "Backlog of deferred free."},
    {SERVER(pending_free_objects), .metric = "pending_free_objects", .type = "gauge",
     .help = "Backlog of deferred free, in objects."},
    {SERVER(drained_batches), .metric = "drained_batches_total", .type = "counter",
     .help = "Grace periods after which something was freed."},
    {SERVER(cold_spans), .metric = "cold_spans_total", .type = "counter",
     .help = "Spans taken before their memory was populated: writes took the page faults."},
    {SERVER(populated_pages), .metric = "populated_pages_total", .type = "counter",
     .help = "Pages of memory populated ahead: page faults that no request took."},
    {SERVER(cold_on), .metric = "cold_on", .type = "gauge",
     .help = "1 if pages become cold, 0 if they do not (cold=off)."},
    {SERVER(cold_after_s), .metric = "cold_after_seconds", .type = "gauge",
     .help = "A page not written for at least so long is cold now, if pages become cold."},
    {SERVER(cold_demoted_pages), .metric = "cold_demoted_pages_total", .type = "counter",
     .help = "Pages that became cold."},
    {SERVER(cold_groups), .metric = "cold_groups_total", .type = "counter",
     .help = "Groups of cold pages made."},
    {SERVER(cold_saved_bytes), .metric = "cold_saved_bytes", .type = "gauge",
     .help = "What all pages that became cold took less from then on."},
    {SERVER(cold_cleaned_spans), .metric = "cold_cleaned_spans_total", .type = "counter",
     .help = "Sparse spans of groups freed by moving what was left in them."},
    {SERVER(cold_cache_hits), .metric = "cold_cache_hits_total", .type = "counter",
     .help = "Looks at a page of a group (reads, writes of part of it, cleaning) that found it "
             "decompressed."},
    {SERVER(cold_cache_misses), .metric = "cold_cache_misses_total", .type = "counter",
     .help = "Looks at a page of a group (reads, writes of part of it, cleaning) that decompressed "
             "it."},
};

static uint64_t value_of(const struct field *field, const void *stats)
{
    return *(const uint64_t *)((const char *)stats + field->offset);
}

// ---- JSON
// -----------------------------------------------------------------------------------------

static void print_number(FILE *out, const char *name, uint64_t value)
{
    fprintf(out, "\"%s\": %" PRIu64, name, value);
}

static void print_fields(FILE *out, const struct field *fields, size_t nr, const void *stats,
                         const char *between)
{
    size_t i;

    for (i = 0; i < nr; i++) {
        print_number(out, fields[i].name, value_of(&fields[i], stats));
        fputs(between, out);
    }
}

// A file of printable ASCII; nothing if there is none.
static void print_store(FILE *out, const struct zr_server_stats *stats)
{
    const char *c;

    fputs("\"store\": \"", out);
    for (c = stats->store ? stats->store : ""; *c; c++) {
        fprintf(out, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
    }
    fputc('"', out);
}

static void print_numbers(FILE *out, const char *name, const uint64_t *values, size_t nr)
{
    size_t i;

    fprintf(out, "\"%s\": [", name);
    for (i = 0; i < nr; i++) {
        fprintf(out, "%s%" PRIu64, i > 0 ? ", " : "", values[i]);
    }
    fputc(']', out);
}

static void print_lengths(FILE *out, const struct zr_device_stats *stats)
{
    print_numbers(out, "compr_length_pages", stats->compr_length_pages, ZR_NR_LENGTHS);
}

static void print_ages(FILE *out, const struct zr_device_stats *stats)
{
    print_numbers(out, "age_pages", stats->age_pages, NR_AGES);
}

// Buckets that counted nothing are left out.
static void print_buckets(FILE *out, const struct zr_histogram *latency)
{
    const char *between = "";
    unsigned i;

    fputs("\"buckets\": [", out);
    for (i = 0; i < ZR_NR_HISTOGRAM_BUCKETS; i++) {
        if (latency->count[i] > 0) {
            fprintf(out, "%s{\"le_ns\": %" PRIu64 ", \"count\": %" PRIu64 "}", between,
                    zr_histogram_bound_ns(i), latency->count[i]);
            between = ", ";
        }
    }
    fputc(']', out);
}

static void print_request_kind(FILE *out, const struct zr_request_counts *counts)
{
    const struct zr_histogram *latency = &counts->latency;
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"requests", zr_histogram_nr(latency)},
        {"bytes", counts->bytes},
        {"failed", counts->nr_failed},
        {"p50_ns", zr_histogram_percentile_ns(latency, 50)},
        {"p99_ns", zr_histogram_percentile_ns(latency, 99)},
        {"max_ns", latency->max_ns},
        {"sum_ns", latency->sum_ns},
    };
    size_t i;

    fputc('{', out);
    for (i = 0; i < NR_OF(numbers); i++) {
        print_number(out, numbers[i].name, numbers[i].value);
        fputs(", ", out);
    }
    print_buckets(out, latency);
    fputc('}', out);
}

static void print_requests(FILE *out, const struct zr_device_stats *stats, const char *indent)
{
    unsigned kind;

    fputs("\"requests\": {", out);
    for (kind = 0; kind < ZR_NR_REQUEST_KINDS; kind++) {
        fprintf(out, "%s%s  \"%s\": ", kind > 0 ? "," : "", indent, zr_request_kind_names[kind]);
        print_request_kind(out, &stats->requests[kind]);
    }
    fprintf(out, "%s}", indent);
}

static void print_device(FILE *out, const struct zr_device_stats *stats)
{
    fprintf(out, "\n    {\"name\": \"%s\", ", stats->name);
    print_fields(out, device_fields, NR_OF(device_fields), stats, ", ");
    print_number(out, "mem_limit", stats->mem_limit);
    fputs(",\n     ", out);
    print_lengths(out, stats);
    fputs(",\n     ", out);
    print_ages(out, stats);
    fputs(",\n     ", out);
    print_requests(out, stats, "\n     ");
    fputc('}', out);
}

void zr_stats_print_json(const struct zr_server_stats *stats, FILE *out)
{
    size_t i;

    fprintf(out, "{\n  \"version\": \"%s\",\n  \"compression\": \"%s\",\n  ", PACKAGE_VERSION,
            stats->compression);
    print_fields(out, device_fields, NR_OF(device_fields), &stats->total, ",\n  ");
    print_fields(out, server_fields, NR_OF(server_fields), stats, ",\n  ");
    print_number(out, "cold_cpu_ns", stats->cold_cpu_ns);
    fputs(",\n  ", out);
    print_number(out, "uptime_ns", stats->uptime_ns);
    fputs(",\n  ", out);
    print_store(out, stats);
    fputs(",\n  ", out);
    print_number(out, "recovered_pages", stats->recovered_pages);
    fputs(",\n  ", out);
    print_number(out, "recovery_ns", stats->recovery_ns);
    fputs(",\n  ", out);
    print_lengths(out, &stats->total);
    fputs(",\n  ", out);
    print_numbers(out, "age_least_s", stats->age_least_s, NR_AGES);
    fputs(",\n  ", out);
    print_ages(out, &stats->total);
    fputs(",\n  ", out);
    print_requests(out, &stats->total, "\n  ");
    fputs(",\n  \"exports\": [", out);
    for (i = 0; i < stats->nr_devices; i++) {
        fputs(i > 0 ? "," : "", out);
        print_device(out, &stats->devices[i]);
    }
    fputs("\n  ]\n}\n", out);
}

// ---- Prometheus
// -----------------------------------------------------------------------------------

static void begin_metric(FILE *out, const char *metric, const char *type, const char *help)
{
    fprintf(out, "# HELP zramswap_%s %s\n# TYPE zramswap_%s %s\n", metric, help, metric, type);
}

// No floating point: the decimal mark is the locale's there.
static void print_seconds(FILE *out, uint64_t ns)
{
    fprintf(out, "%" PRIu64 ".%09" PRIu64, ns / NS_PER_S, ns % NS_PER_S);
}

static void print_device_metrics(FILE *out, const struct zr_server_stats *stats)
{
    size_t f, i;

    for (f = 0; f < NR_OF(device_fields); f++) {
        const struct field *field = &device_fields[f];

        begin_metric(out, field->metric, field->type, field->help);
        for (i = 0; i < stats->nr_devices; i++) {
            fprintf(out, "zramswap_%s{export=\"%s\"} %" PRIu64 "\n", field->metric,
                    stats->devices[i].name, value_of(field, &stats->devices[i]));
        }
    }
}

static void print_limits(FILE *out, const struct zr_server_stats *stats)
{
    size_t i;

    begin_metric(
        out, "export_limit_bytes", "gauge",
        "The most compressed data that the export may hold, if it has a limit of its own.");
    for (i = 0; i < stats->nr_devices; i++) {
        if (stats->devices[i].mem_limit > 0) {
            fprintf(out, "zramswap_export_limit_bytes{export=\"%s\"} %" PRIu64 "\n",
                    stats->devices[i].name, stats->devices[i].mem_limit);
        }
    }
}

static void print_length_metric(FILE *out, const struct zr_server_stats *stats)
{
    size_t i;
    unsigned length;

    begin_metric(out, "compr_length_pages", "gauge",
                 "Pages by compressed length: up to so many bytes, and above the step before.");
    for (i = 0; i < stats->nr_devices; i++) {
        for (length = 0; length < ZR_NR_LENGTHS; length++) {
            fprintf(out, "zramswap_compr_length_pages{export=\"%s\",bytes=\"%u\"} %" PRIu64 "\n",
                    stats->devices[i].name, (length + 1) * ZR_LENGTH_BYTES,
                    stats->devices[i].compr_length_pages[length]);
        }
    }
}

// The first ages have the same bound: one sample.
static void print_age_metric(FILE *out, const struct zr_server_stats *stats)
{
    uint64_t nr_pages;
    size_t i;
    unsigned age;

    begin_metric(out, "age_pages", "gauge",
                 "Pages by age: not written for at least so many seconds, to a factor of four.");
    for (i = 0; i < stats->nr_devices; i++) {
        nr_pages = 0;
        for (age = 0; age < NR_AGES; age++) {
            nr_pages += stats->devices[i].age_pages[age];
            if (age == ZR_SLOT_AGE_MAX || stats->age_least_s[age + 1] > stats->age_least_s[age]) {
                fprintf(out,
                        "zramswap_age_pages{export=\"%s\",seconds=\"%" PRIu64 "\"} %" PRIu64 "\n",
                        stats->devices[i].name, stats->age_least_s[age], nr_pages);
                nr_pages = 0;
            }
        }
    }
}

// Every power of two, which is enough for histogram_quantile.
static void print_histogram(FILE *out, const char *metric, const char *labels,
                            const struct zr_histogram *histogram)
{
    uint64_t nr = 0;
    unsigned i;

    for (i = 0; i < ZR_NR_HISTOGRAM_BUCKETS - 1; i++) {
        nr += histogram->count[i];
        if (i % ZR_HISTOGRAM_SUBS == 0) {
            fprintf(out, "zramswap_%s_bucket{%s,le=\"", metric, labels);
            print_seconds(out, zr_histogram_bound_ns(i));
            fprintf(out, "\"} %" PRIu64 "\n", nr);
        }
    }
    nr += histogram->count[i];
    fprintf(out, "zramswap_%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", metric, labels, nr);
    fprintf(out, "zramswap_%s_sum{%s} ", metric, labels);
    print_seconds(out, histogram->sum_ns);
    fprintf(out, "\nzramswap_%s_count{%s} %" PRIu64 "\n", metric, labels, nr);
}

enum request_metric { DURATION, BYTES, FAILURES };

static void print_request_metric(FILE *out, const struct zr_server_stats *stats,
                                 enum request_metric which, const char *metric)
{
    char labels[300];
    size_t i;
    unsigned kind;

    for (i = 0; i < stats->nr_devices; i++) {
        for (kind = 0; kind < ZR_NR_REQUEST_KINDS; kind++) {
            const struct zr_request_counts *counts = &stats->devices[i].requests[kind];

            snprintf(labels, sizeof labels, "export=\"%s\",request=\"%s\"", stats->devices[i].name,
                     zr_request_kind_names[kind]);
            if (which == DURATION) {
                print_histogram(out, metric, labels, &counts->latency);
            } else {
                fprintf(out, "zramswap_%s{%s} %" PRIu64 "\n", metric, labels,
                        which == BYTES ? counts->bytes : counts->nr_failed);
            }
        }
    }
}

static void print_request_metrics(FILE *out, const struct zr_server_stats *stats)
{
    begin_metric(out, "request_duration_seconds", "histogram",
                 "Time that a request took in the server, failed ones included.");
    print_request_metric(out, stats, DURATION, "request_duration_seconds");
    begin_metric(out, "request_bytes_total", "counter", "Bytes of the requests that did not fail.");
    print_request_metric(out, stats, BYTES, "request_bytes_total");
    begin_metric(out, "request_failures_total", "counter", "Requests that failed.");
    print_request_metric(out, stats, FAILURES, "request_failures_total");
}

void zr_stats_print_prometheus(const struct zr_server_stats *stats, FILE *out)
{
    size_t f;

    begin_metric(out, "build_info", "gauge", "1, of the version and codec in its labels.");
    fprintf(out, "zramswap_build_info{version=\"%s\",compression=\"%s\"} 1\n", PACKAGE_VERSION,
            stats->compression);
    begin_metric(out, "uptime_seconds", "gauge", "Time since the server started.");
    fputs("zramswap_uptime_seconds ", out);
    print_seconds(out, stats->uptime_ns);
    fputc('\n', out);
    if (stats->store) {
        begin_metric(out, "recovered_pages", "gauge", "Pages found in the store at the start.");
        fprintf(out, "zramswap_recovered_pages %" PRIu64 "\n", stats->recovered_pages);
        begin_metric(out, "recovery_seconds", "gauge", "Time that it took to find them.");
        fputs("zramswap_recovery_seconds ", out);
        print_seconds(out, stats->recovery_ns);
        fputc('\n', out);
    }
    for (f = 0; f < NR_OF(server_fields); f++) {
        const struct field *field = &server_fields[f];

        begin_metric(out, field->metric, field->type, field->help);
        fprintf(out, "zramswap_%s %" PRIu64 "\n", field->metric, value_of(field, stats));
    }
    begin_metric(out, "cold_cpu_seconds_total", "counter", "CPU time spent on cold pages.");
    fputs("zramswap_cold_cpu_seconds_total ", out);
    print_seconds(out, stats->cold_cpu_ns);
    fputc('\n', out);
    print_device_metrics(out, stats);
    print_limits(out, stats);
    print_length_metric(out, stats);
    print_age_metric(out, stats);
    print_request_metrics(out, stats);
}
