// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"
#include "fault.h"

#include "plugin/stats-document.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

static struct zr_server server;
static char default_name[] = "", other_name[] = "other";
static struct zr_export_config exports[2] = {
    {.name = default_name, .limit_bytes = UINT64_MAX},
    {.name = other_name, .limit_bytes = 100 * RAW_BYTES},
};

static struct zr_server_config config_of(uint64_t size_bytes, uint64_t limit_bytes)
{
    exports[0].size_bytes = size_bytes;
    exports[1].size_bytes = 2 * size_bytes;
    return (struct zr_server_config){
        .exports = exports,
        .nr_exports = 1,
        .limit_bytes = limit_bytes,
        .codec = &zr_codec_lz4,
    };
}

static void start(uint64_t size_bytes, uint64_t limit_bytes)
{
    struct zr_server_config config = config_of(size_bytes, limit_bytes);

    ck_assert_int_eq(zr_server_init(&server, &config), 0);
}

static void start_two(void)
{
    struct zr_server_config config = config_of(GiB, 64 * MiB);

    config.nr_exports = 2;
    ck_assert_int_eq(zr_server_init(&server, &config), 0);
}

static struct zr_server_stats get_stats(void)
{
    struct zr_server_stats stats;

    zr_server_get_stats(&server, &stats);
    return stats;
}

static void write_to(struct zr_device *device, uint64_t first, size_t nr_pages,
                     enum content content)
{
    unsigned char *buffer = malloc(nr_pages * PAGE_BYTES);

    content_fill(buffer, nr_pages * PAGE_BYTES, content);
    ck_assert_int_eq(zr_device_write(device, buffer, nr_pages * PAGE_BYTES, first * PAGE_BYTES), 0);
    free(buffer);
}

static void write_pages(uint64_t first, size_t nr_pages, enum content content)
{
    write_to(&server.devices[0], first, nr_pages, content);
}

START_TEST(a_new_server_stores_nothing)
{
    struct zr_server_stats stats;

    start(GiB + 1, 10 * MiB);
    stats = get_stats();
    ck_assert_uint_eq(stats.total.disksize, GiB + 1);
    ck_assert_uint_eq(stats.mem_limit, 10 * MiB);
    ck_assert_uint_eq(stats.total.orig_data_size, 0);
    ck_assert_uint_eq(stats.total.compr_data_size, 0);
    ck_assert_uint_eq(stats.total.same_pages, 0);
    ck_assert_uint_eq(stats.total.huge_pages, 0);
    ck_assert_uint_eq(stats.pending_free_bytes, 0);
    ck_assert_uint_eq(stats.pending_free_objects, 0);
    ck_assert_uint_eq(stats.mem_used_max, stats.mem_used_total);
    zr_server_fini(&server);
}
END_TEST

START_TEST(each_kind_of_page_is_counted_as_what_it_is)
{
    struct zr_server_stats stats;

    start(GiB, 64 * MiB);
    write_pages(0, 10, CONTENT_SAME);
    write_pages(10, 20, CONTENT_RANDOM);
    write_pages(30, 40, CONTENT_TEXT);
    write_pages(70, 80, CONTENT_ZERO); // not stored at all
    stats = get_stats();
    ck_assert_uint_eq(stats.total.orig_data_size, (10 + 20 + 40) * PAGE_BYTES);
    ck_assert_uint_eq(stats.total.same_pages, 10);
    ck_assert_uint_eq(stats.total.huge_pages, 20);
    ck_assert_uint_gt(stats.total.compr_data_size, 20 * PAGE_BYTES);
    ck_assert_uint_lt(stats.total.compr_data_size, (20 + 40 / 2) * PAGE_BYTES);
    ck_assert_uint_ge(stats.mem_used_total, stats.total.compr_data_size);
    ck_assert_uint_ge(stats.mem_used_max, stats.mem_used_total);
    ck_assert_uint_le(stats.mem_used_max, stats.mem_limit);
    zr_server_fini(&server);
}
END_TEST

START_TEST(what_is_trimmed_is_pending_until_it_is_drained)
{
    struct zr_server_stats stats;

    start(GiB, 64 * MiB);
    write_pages(0, 1000, CONTENT_RANDOM);
    zr_device_zero(server.devices, 900 * PAGE_BYTES, 0);
    stats = get_stats();
    ck_assert_uint_eq(stats.pending_free_objects, 900);
    ck_assert_uint_eq(stats.pending_free_bytes, 900 * RAW_BYTES);
    ck_assert_uint_eq(stats.total.compr_data_size, 100 * RAW_BYTES);
    ck_assert_uint_eq(stats.drained_batches, 0);
    zr_deferred_free_drain(server.deferred);
    stats = get_stats();
    ck_assert_uint_eq(stats.pending_free_objects, 0);
    ck_assert_uint_eq(stats.pending_free_bytes, 0);
    ck_assert_uint_eq(stats.total.compr_data_size, 100 * RAW_BYTES);
    ck_assert_uint_eq(stats.drained_batches, 1);
    zr_server_fini(&server);
}
END_TEST

static bool has_drained(void *unused)
{
    (void)unused;
    return get_stats().pending_free_objects == 0;
}

START_TEST(a_started_server_frees_by_itself_even_after_a_silence)
{
    start(GiB, 64 * MiB);
    ck_assert_int_eq(zr_server_start(&server), 0);
    for (int round = 0; round < 3; round++) {
        write_pages(0, 1000, CONTENT_RANDOM);
        zr_device_zero(server.devices, 1000 * PAGE_BYTES, 0);
        ck_assert(unit_await(has_drained, NULL));
        unit_sleep_ms(round == 1 ? 700 : 0); // whoever works in the background sleeps then
    }
    zr_server_fini(&server);
}
END_TEST

START_TEST(fini_ends_a_server_that_is_full_and_has_much_to_free)
{
    for (int is_started = 0; is_started < 2; is_started++) {
        start(GiB, 64 * MiB);
        if (is_started) {
            ck_assert_int_eq(zr_server_start(&server), 0);
        }
        write_pages(0, 3000, CONTENT_MIXED);
        write_pages(1000, 3000, CONTENT_MIXED);
        zr_device_zero(server.devices, 1500 * PAGE_BYTES, 0);
        zr_server_fini(&server);
    }
}
END_TEST

START_TEST(without_a_limit_it_is_the_memory_of_the_machine)
{
    struct sysinfo info;
    uint64_t limit;

    ck_assert_int_eq(sysinfo(&info), 0);
    start(GiB, 0);
    limit = get_stats().mem_limit;
    ck_assert_uint_ge(limit, (uint64_t)info.totalram * info.mem_unit);
    ck_assert_uint_le(limit,
                      ((uint64_t)info.totalram + info.totalswap) * info.mem_unit + ZR_SPAN_BYTES);
    zr_server_fini(&server);
}
END_TEST

// ---- Exports ------------------------------------------------------------------------------------

START_TEST(an_export_is_found_by_its_exact_name)
{
    start_two();
    ck_assert_ptr_eq(zr_server_find(&server, ""), &server.devices[0]);
    ck_assert_ptr_eq(zr_server_find(&server, "other"), &server.devices[1]);
    ck_assert_ptr_null(zr_server_find(&server, "othe"));
    ck_assert_ptr_null(zr_server_find(&server, "other "));
    zr_server_fini(&server);
}
END_TEST

START_TEST(exports_have_their_own_content_and_limit_and_are_counted_together)
{
    static unsigned char page[PAGE_BYTES];
    struct zr_server_stats stats;

    start_two();
    write_to(&server.devices[0], 0, 200, CONTENT_RANDOM);
    ck_assert_int_eq(zr_device_read(&server.devices[1], page, PAGE_BYTES, 0), 0);
    ck_assert_uint_eq(page[0], 0);
    ck_assert_mem_eq(page, page + 1, PAGE_BYTES - 1);
    write_to(&server.devices[1], 0, 100, CONTENT_RANDOM);
    content_fill(page, PAGE_BYTES, CONTENT_RANDOM);
    ck_assert_int_eq(zr_device_write(&server.devices[1], page, PAGE_BYTES, 100 * PAGE_BYTES),
                     -ENOSPC);
    write_to(&server.devices[0], 200, 10, CONTENT_RANDOM);
    write_to(&server.devices[1], 200, 5, CONTENT_SAME);
    stats = get_stats();
    ck_assert_uint_eq(stats.total.disksize, 3 * GiB);
    ck_assert_uint_eq(stats.total.huge_pages, 210 + 100);
    ck_assert_uint_eq(stats.total.same_pages, 5);
    ck_assert_uint_eq(stats.total.compr_data_size, (210 + 100) * RAW_BYTES);
    zr_server_fini(&server);
}
END_TEST

// ---- What is counted ----------------------------------------------------------------------------

START_TEST(what_is_stored_is_counted_by_its_length)
{
    struct zr_server_stats stats;
    uint64_t nr = 0;

    start(GiB, 64 * MiB);
    write_pages(0, 7, CONTENT_RANDOM);       // as they are: the last step
    write_pages(10, 20, CONTENT_SAME);       // no length
    write_pages(30, 40, CONTENT_ZERO);       // not stored
    write_pages(70, 5, CONTENT_NEARLY_SAME); // a few bytes: the first step
    stats = get_stats();
    ck_assert_uint_eq(stats.total.compr_length_pages[0], 5);
    ck_assert_uint_eq(stats.total.compr_length_pages[ZR_NR_LENGTHS - 1], 7);
    write_pages(0, 2000, CONTENT_MIXED);
    stats = get_stats();
    for (size_t i = 0; i < ZR_NR_LENGTHS; i++) {
        nr += stats.total.compr_length_pages[i];
    }
    ck_assert_uint_eq(nr, stats.total.orig_data_size / PAGE_BYTES - stats.total.same_pages);
    zr_server_fini(&server);
}
END_TEST

START_TEST(the_coldest_page_tells_the_age)
{
    start_two();
    ck_assert_uint_eq(get_stats().total.coldest_age_s, 0);
    write_to(&server.devices[1], 0, 2, CONTENT_RANDOM);
    for (int i = 0; i < 16; i++) {
        zr_ager_walk(&server.ager);
        write_to(&server.devices[0], 0, 2, CONTENT_RANDOM);
        write_to(&server.devices[1], 1, 1, CONTENT_RANDOM);
    }
    ck_assert_uint_eq(get_stats().total.coldest_age_s, zr_ager_least_walks(3) * 60);
    zr_device_zero(&server.devices[1], PAGE_BYTES, 0);
    ck_assert_uint_eq(get_stats().total.coldest_age_s, 0);
    zr_server_fini(&server);
}
END_TEST

// Text becomes cold, random bytes do not.  Of what is cold, 8 pages are read twice.
START_TEST(cold_pages_are_counted_where_they_are)
{
    static unsigned char pages[8 * PAGE_BYTES];
    uint64_t slot = 0, nr_stored = 0, before_bytes;
    struct zr_server_stats stats;

    start_two();
    write_to(&server.devices[1], 0, 40, CONTENT_TEXT);
    write_to(&server.devices[1], 40, 5, CONTENT_RANDOM);
    before_bytes = get_stats().total.compr_data_size;
    while (slot < 45) {
        zr_demoter_demote(&server.demoter, &server.devices[1], &slot, 0, &nr_stored);
    }
    zr_deferred_free_drain(server.deferred);
    ck_assert_int_eq(zr_server_get_all_stats(&server, &stats), 0);
    ck_assert_uint_eq(stats.devices[0].cold_pages, 0);
    ck_assert_uint_eq(stats.devices[1].cold_pages, 40);
    ck_assert_uint_eq(stats.total.cold_pages, 40);
    ck_assert_uint_eq(stats.cold_demoted_pages, 40);
    ck_assert_uint_eq(stats.cold_groups, 3);
    ck_assert_uint_eq(stats.total.huge_pages, 5);
    ck_assert_uint_gt(stats.total.cold_data_size, 0);
    ck_assert_uint_eq(stats.total.cold_data_size, stats.devices[1].cold_data_size);
    ck_assert_uint_eq(stats.total.compr_data_size, before_bytes - stats.cold_saved_bytes);
    free(stats.devices);

    ck_assert_int_eq(zr_device_read(&server.devices[1], pages, sizeof pages, 0), 0);
    ck_assert_int_eq(zr_device_read(&server.devices[1], pages, sizeof pages, 0), 0);
    stats = get_stats();
    ck_assert_uint_eq(stats.total.cold_reads, 16);
    ck_assert_uint_eq(stats.total.cold_promoted, 8);
    ck_assert_uint_eq(stats.total.cold_pages, 40 - 8);
    ck_assert_uint_eq(stats.cold_cache_hits, 15);
    ck_assert_uint_eq(stats.cold_cache_misses, 1);

    // A server that only cleans what an earlier one made may lose by it.
    atomic_store(&server.demoter.saved_bytes, UINT64_MAX);
    ck_assert_uint_eq(get_stats().cold_saved_bytes, 0);
    zr_server_fini(&server);
}
END_TEST

// Also those of a request that has taken as many pages out of their groups as it may.
START_TEST(each_read_of_a_cold_page_is_counted)
{
    static unsigned char pages[32 * PAGE_BYTES];
    uint64_t slot = 0, nr_stored = 0;

    start(GiB, 64 * MiB);
    write_pages(0, 32, CONTENT_TEXT);
    while (slot < 32) {
        zr_demoter_demote(&server.demoter, &server.devices[0], &slot, 0, &nr_stored);
    }
    ck_assert_uint_eq(get_stats().total.cold_pages, 32);
    ck_assert_int_eq(zr_device_read(&server.devices[0], pages, sizeof pages, 0), 0);
    ck_assert_uint_eq(get_stats().total.cold_reads, 32);
    ck_assert_int_eq(zr_device_read(&server.devices[0], pages, sizeof pages, 0), 0);
    ck_assert_uint_eq(get_stats().total.cold_reads, 64);
    ck_assert_uint_eq(get_stats().total.cold_promoted, 16);
    zr_server_fini(&server);
}
END_TEST

START_TEST(requests_are_counted_where_the_server_says)
{
    struct zr_server_stats stats;

    start_two();
    zr_request_stats_count(zr_server_requests(&server, &server.devices[0]), ZR_REQUEST_READ, 10,
                           500, 0);
    zr_request_stats_count(zr_server_requests(&server, &server.devices[1]), ZR_REQUEST_READ, 20,
                           900, 0);
    zr_request_stats_count(zr_server_requests(&server, &server.devices[1]), ZR_REQUEST_WRITE, 40,
                           700, -ENOSPC);
    ck_assert_int_eq(zr_server_get_all_stats(&server, &stats), 0);
    ck_assert_uint_eq(stats.nr_devices, 2);
    ck_assert_uint_eq(stats.devices[0].requests[ZR_REQUEST_READ].bytes, 10);
    ck_assert_uint_eq(stats.devices[0].limit_hits, 0);
    ck_assert_uint_eq(stats.devices[1].requests[ZR_REQUEST_READ].bytes, 20);
    ck_assert_uint_eq(stats.devices[1].limit_hits, 1);
    ck_assert_uint_eq(stats.total.requests[ZR_REQUEST_READ].bytes, 30);
    ck_assert_uint_eq(stats.total.requests[ZR_REQUEST_READ].latency.sum_ns, 1400);
    ck_assert_uint_eq(stats.total.requests[ZR_REQUEST_READ].latency.max_ns, 900);
    ck_assert_uint_eq(stats.total.limit_hits, 1);
    free(stats.devices);
    zr_server_fini(&server);
}
END_TEST

// ---- As JSON ------------------------------------------------------------------------------------

static char *print_stats(void)
{
    char *text;
    size_t length;

    ck_assert_int_eq(
        zr_stats_document_make(zr_stats_document_find("s", "s"), &server, &text, &length), 0);
    text = realloc(text, length + 1);
    text[length] = '\0';
    ck_assert_uint_eq(strlen(text), length);
    return text;
}

// The number behind the first place of a name.
static uint64_t value_of(const char *text, const char *name)
{
    char key[100];
    const char *found;
    uint64_t value;

    snprintf(key, sizeof key, "\"%s\": ", name);
    found = strstr(text, key);
    ck_assert_msg(found, "no %s", name);
    ck_assert_int_eq(sscanf(found + strlen(key), "%" SCNu64, &value), 1);
    return value;
}

START_TEST(the_printed_numbers_are_those_of_get_stats)
{
    struct zr_server_stats stats;
    char *text;

    start(GiB, 64 * MiB);
    write_pages(0, 2000, CONTENT_MIXED);
    zr_device_zero(server.devices, 500 * PAGE_BYTES, 0);
    zr_deferred_free_drain(server.deferred);
    zr_device_zero(server.devices, 400 * PAGE_BYTES, 500 * PAGE_BYTES);

    stats = get_stats();
    text = print_stats();
    ck_assert_uint_gt(stats.pending_free_objects, 0);
    ck_assert_uint_eq(value_of(text, "disksize"), stats.total.disksize);
    ck_assert_uint_eq(value_of(text, "orig_data_size"), stats.total.orig_data_size);
    ck_assert_uint_eq(value_of(text, "compr_data_size"), stats.total.compr_data_size);
    ck_assert_uint_eq(value_of(text, "same_pages"), stats.total.same_pages);
    ck_assert_uint_eq(value_of(text, "huge_pages"), stats.total.huge_pages);
    ck_assert_uint_eq(value_of(text, "mem_used_total"), stats.mem_used_total);
    ck_assert_uint_eq(value_of(text, "mem_limit"), stats.mem_limit);
    ck_assert_uint_eq(value_of(text, "mem_used_max"), stats.mem_used_max);
    ck_assert_uint_eq(value_of(text, "pages_compacted"), stats.pages_compacted);
    ck_assert_uint_eq(value_of(text, "pending_free_bytes"), stats.pending_free_bytes);
    ck_assert_uint_eq(value_of(text, "pending_free_objects"), stats.pending_free_objects);
    ck_assert_uint_eq(value_of(text, "drained_batches"), stats.drained_batches);
    free(text);
    zr_server_fini(&server);
}
END_TEST

START_TEST(each_export_is_printed_with_its_name_numbers_and_limit)
{
    const char *first, *second;
    char *text;

    start_two();
    write_to(&server.devices[0], 0, 3, CONTENT_RANDOM);
    write_to(&server.devices[1], 0, 4, CONTENT_RANDOM);
    text = print_stats();
    first = strstr(text, "\"name\": \"\"");
    second = strstr(text, "\"name\": \"other\"");
    ck_assert(first && second && first < second);
    ck_assert_uint_eq(value_of(text, "huge_pages"), 3 + 4);
    ck_assert_uint_eq(value_of(first, "huge_pages"), 3);
    ck_assert_uint_eq(value_of(first, "disksize"), GiB);
    ck_assert_uint_eq(value_of(first, "mem_limit"), 0); // none
    ck_assert_uint_eq(value_of(second, "huge_pages"), 4);
    ck_assert_uint_eq(value_of(second, "disksize"), 2 * GiB);
    ck_assert_uint_eq(value_of(second, "mem_limit"), 100 * RAW_BYTES);
    free(text);
    zr_server_fini(&server);
}
END_TEST

// What follows a JSON value (of whole numbers, strings without escapes, objects, arrays), NULL if
// there is none.
static const char *skip_json(const char *text)
{
    const char close = *text == '{' ? '}' : ']';
    const bool is_object = *text == '{';

    if (*text >= '0' && *text <= '9') {
        return text + strspn(text, "0123456789");
    }
    if (*text == '"') {
        text += 1 + strcspn(text + 1, "\"\\\n");
        return *text == '"' ? text + 1 : NULL;
    }
    if (strncmp(text, "null", 4) == 0) {
        return text + 4;
    }
    if (*text != '{' && *text != '[') {
        return NULL;
    }
    if (text[1] == close) {
        return text + 2;
    }
    do {
        text += 1 + strspn(text + 1, " \n");
        if (is_object) {
            text = *text == '"' ? skip_json(text) : NULL;
            text = text && *text == ':' ? text + 1 + strspn(text + 1, " \n") : NULL;
        }
        text = text ? skip_json(text) : NULL;
        text = text ? text + strspn(text, " \n") : NULL;
    } while (text && *text == ',');
    return text && *text == close ? text + 1 : NULL;
}

START_TEST(the_printed_text_is_one_json_object)
{
    const char *end;
    char *text;

    start_two();
    text = print_stats();
    end = *text == '{' ? skip_json(text) : NULL;
    ck_assert_msg(end && strcmp(end, "\n") == 0, "%s", text);
    free(text);
    zr_server_fini(&server);
}
END_TEST

static unsigned nr_lines(const char *text, size_t length)
{
    unsigned nr = 0;

    while (length-- > 0) {
        nr += text[length] == '\n';
    }
    return nr;
}

START_TEST(a_document_without_memory_is_enomem)
{
    static const char *const names[] = {"s", "s.prom"};
    char *text;
    size_t length;

    start(GiB, 64 * MiB);
    free(print_stats()); // liburcu registers a thread at its first section, which cannot fail
    for (size_t i = 0; i < NR_OF(names); i++) {
        unsigned nth, nr_failed = 0, nr_all_lines;
        bool is_whole;
        int rc;

        ck_assert_int_eq(
            zr_stats_document_make(zr_stats_document_find("s", names[i]), &server, &text, &length),
            0);
        nr_all_lines = nr_lines(text, length);
        free(text);
        for (nth = 1;; nth++) {
            fault_arm(nth);
            rc = zr_stats_document_make(zr_stats_document_find("s", names[i]), &server, &text,
                                        &length);
            // A stream does without a buffer of its own.
            is_whole = rc == 0 && nr_lines(text, length) == nr_all_lines;
            if (rc == 0) {
                free(text);
            }
            if (!fault_disarm()) {
                break;
            }
            ck_assert(rc == -ENOMEM || is_whole);
            ck_assert_int_eq(fault_nr_live(), 0);
            nr_failed += rc < 0;
        }
        ck_assert_int_eq(rc, 0);
        ck_assert_int_eq(fault_nr_live(), 0);
        ck_assert_uint_ge(nr_failed, 3); // statistics, stream, text
    }
    zr_server_fini(&server);
}
END_TEST

START_TEST(a_document_is_found_by_its_exact_name)
{
    const struct zr_stats_document *json = zr_stats_document_find("s", "s");
    const struct zr_stats_document *prometheus = zr_stats_document_find("s", "s.prom");

    ck_assert(json && prometheus && json != prometheus);
    ck_assert_ptr_null(zr_stats_document_find(NULL, "s"));
    ck_assert_ptr_null(zr_stats_document_find("s", ""));
    ck_assert_ptr_null(zr_stats_document_find("s", "s.pro"));
    ck_assert_ptr_null(zr_stats_document_find("s", "s.prom."));
    ck_assert_ptr_null(zr_stats_document_find("s", "ss"));
    ck_assert_ptr_null(zr_stats_document_find("s.prom", "s"));
}
END_TEST

// ---- Without memory -----------------------------------------------------------------------------

// In longer and longer strides: the contexts of a codec, two per CPU, are all made alike.
START_TEST(an_init_that_fails_at_any_step_leaves_nothing_behind)
{
    for (size_t i = 0; zr_codecs[i]; i++) {
        struct zr_server_config config = config_of(GiB, 64 * MiB);
        unsigned nth;
        int rc;

        config.nr_exports = 2;
        config.codec = zr_codecs[i];
        config.level = zr_codecs[i]->default_level;
        for (nth = 1;; nth += 1 + nth / 24) {
            fault_arm(nth);
            rc = zr_server_init(&server, &config);
            if (!fault_disarm()) {
                break;
            }
            ck_assert(rc == -ENOMEM || rc == -ENOSPC);
            ck_assert_int_eq(fault_nr_live(), 0);
        }
        ck_assert_int_eq(rc, 0);
        fault_arm(0);
        zr_server_fini(&server);
        fault_disarm();
        ck_assert_int_eq(fault_nr_live(), 0);
    }
}
END_TEST

// The last things that are allocated are the tables of the devices and the batches: each of them.
START_TEST(a_device_table_or_batch_without_memory_leaves_nothing_behind)
{
    struct zr_server_config config = config_of(GiB, 64 * MiB);
    unsigned nr_calls, nth;
    int rc;

    config.nr_exports = 2;
    fault_arm(0);
    rc = zr_server_init(&server, &config);
    nr_calls = fault_nr_calls();
    zr_server_fini(&server);
    fault_disarm();
    ck_assert_int_eq(rc, 0);
    for (nth = nr_calls; nth + 40 > nr_calls; nth--) {
        fault_arm(nth);
        rc = zr_server_init(&server, &config);
        ck_assert(fault_disarm());
        ck_assert(rc == -ENOMEM || rc == -ENOSPC);
        ck_assert_int_eq(fault_nr_live(), 0);
    }
}
END_TEST

START_TEST(a_limit_too_small_to_start_with_is_enospc)
{
    struct zr_server_config config = config_of(GiB, 1);

    ck_assert_int_eq(zr_server_init(&server, &config), -ENOSPC);
}
END_TEST

START_TEST(a_server_whose_threads_cannot_be_started_can_be_ended)
{
    unsigned nth;
    int rc;

    for (nth = 1;; nth++) {
        start(GiB, 64 * MiB);
        write_pages(0, 100, CONTENT_MIXED);
        fault_arm(nth);
        rc = zr_server_start(&server);
        if (!fault_disarm()) {
            break;
        }
        ck_assert_int_eq(rc, -EAGAIN);
        zr_server_fini(&server);
    }
    ck_assert_int_eq(rc, 0);
    ck_assert_uint_gt(nth, 1);
    zr_server_fini(&server);
}
END_TEST

UNIT_MAIN("server", a_new_server_stores_nothing, each_kind_of_page_is_counted_as_what_it_is,
          what_is_trimmed_is_pending_until_it_is_drained,
          a_started_server_frees_by_itself_even_after_a_silence,
          fini_ends_a_server_that_is_full_and_has_much_to_free,
          without_a_limit_it_is_the_memory_of_the_machine, an_export_is_found_by_its_exact_name,
          exports_have_their_own_content_and_limit_and_are_counted_together,
          the_printed_numbers_are_those_of_get_stats,
          each_export_is_printed_with_its_name_numbers_and_limit,
          the_printed_text_is_one_json_object, a_document_without_memory_is_enomem,
          a_document_is_found_by_its_exact_name, what_is_stored_is_counted_by_its_length,
          the_coldest_page_tells_the_age, cold_pages_are_counted_where_they_are,
          each_read_of_a_cold_page_is_counted, requests_are_counted_where_the_server_says,
          an_init_that_fails_at_any_step_leaves_nothing_behind,
          a_device_table_or_batch_without_memory_leaves_nothing_behind,
          a_limit_too_small_to_start_with_is_enospc,
          a_server_whose_threads_cannot_be_started_can_be_ended)
