// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "run.h"
#include "history.h"
#include "small-store.h"

#include <errno.h>
#include <stdio.h>

bool zs_is_verbose;
uint64_t zs_nr_gave_up;

static const struct zs_workload *work;
static struct zs_history histories[ZS_MAX_PAGES];
static unsigned now; // of the requests' begins and ends
static unsigned next_id;
static unsigned nr_active; // ops

// The blocks of a page that a request covers, and where the first of the page would be in its
// buffer.
static uint8_t mask_of(const struct zs_op *op, const struct zs_page *page, int64_t *first)
{
    int64_t start = (int64_t)(page->slot * ZR_PAGE_BYTES) - (int64_t)op->offset;
    uint8_t mask = 0;
    unsigned i;

    *first = start / (int64_t)ZS_BLOCK_BYTES;
    for (i = 0; i < ZS_BLOCKS && page->device == op->device; i++) {
        int64_t at = start + i * ZS_BLOCK_BYTES;

        mask |= (uint8_t)((at >= 0 && at < (int64_t)op->bytes) << i);
    }
    return mask;
}

static void note(const struct zs_op *op, const char *buffer, unsigned begin, bool is_optional)
{
    unsigned page, i;

    for (page = 0; page < work->nr_pages; page++) {
        struct zs_history *history = &histories[page];
        struct zs_event *event = &history->events[history->nr];
        int64_t first;
        uint8_t mask = mask_of(op, &work->pages[page], &first);

        if (mask == 0) {
            continue;
        }
        zs_check(++history->nr < ZS_MAX_EVENTS, "too many events");
        *event = (struct zs_event){.is_write = op->kind != ZS_READ,
                                   .is_optional = is_optional,
                                   .mask = mask,
                                   .begin = begin,
                                   .end = now};
        for (i = 0; i < ZS_BLOCKS; i++) {
            if (mask >> i & 1) {
                event->blocks[i] = buffer ? zs_block_at(buffer, (size_t)(first + i)) : 0;
            }
        }
    }
}

static int ignore_extent(void *opaque, uint64_t offset, uint64_t bytes, bool is_hole)
{
    (void)opaque, (void)offset, (void)is_hole;
    return bytes == 0;
}

static unsigned nr_of_switches(void)
{
    unsigned nr;

    zs_switches(&nr);
    return nr;
}

static void fill(const struct zs_op *op, char *buffer)
{
    unsigned i;

    next_id++;
    for (i = 0; i < op->bytes / ZS_BLOCK_BYTES; i++) {
        unsigned block = (unsigned)(op->offset / ZS_BLOCK_BYTES + i) % ZS_BLOCKS;

        zs_fill_block(buffer + i * ZS_BLOCK_BYTES, zs_block_value(next_id, op->arg, block));
    }
}

// A write that nobody disturbed, in a pool with spans to spare, has no reason to fail.
static void check_refused(const struct zs_op *op, int rc, bool was_alone)
{
    const struct zr_pool *pool = &zs_store.pool;

    if (rc != -ENOSPC || op->kind == ZS_READ) {
        zs_fail("%s: error %d", zs_kind_names[op->kind], rc);
    }
    if (op->device == 0 && was_alone && pool->nr_used_spans + 3 <= pool->max_spans &&
        !zs_has_injected_faults()) {
        zs_fail("%s: no room, with %lu of %lu spans free", zs_kind_names[op->kind],
                (unsigned long)(pool->max_spans - pool->nr_used_spans),
                (unsigned long)pool->max_spans);
    }
}

static void do_request(const struct zs_op *op, char *buffer)
{
    struct zr_device *device = &zs_store.devices[op->device];
    unsigned begin = ++now, nr_switches = nr_of_switches();
    bool is_alone = nr_active == 1;
    int rc;

    zs_client_begins();
    if (op->kind == ZS_ZERO) {
        buffer = NULL;
        rc = zr_device_zero(device, op->bytes, op->offset);
    } else if (op->kind == ZS_READ) {
        rc = zr_device_read(device, buffer, op->bytes, op->offset);
    } else {
        fill(op, buffer);
        rc = zr_device_write(device, buffer, op->bytes, op->offset);
    }
    zs_client_ends();
    now++;
    if (rc < 0) {
        check_refused(op, rc, is_alone && nr_switches == nr_of_switches());
    }
    // When a write within one leaf fails nothing was changed.
    if (rc == 0 || op->kind == ZS_ZERO || op->offset >> 21 != (op->offset + op->bytes - 1) >> 21) {
        note(op, buffer, begin, rc < 0);
    }
}

static void count(void)
{
    struct zr_slot_counts counts;
    struct zr_pool_stats stats;
    struct zr_deferred_free_stats waiting;

    zr_slot_counts_get(&zs_store.devices[0].table, &counts);
    zr_pool_get_stats(&zs_store.pool, &stats);
    zr_deferred_free_get_stats(zs_store.deferred, &waiting);
    zs_check(stats.used_bytes <= stats.limit_bytes + ZR_SPAN_BYTES && waiting.nr_chunks < 1000,
             "statistics");
}

static void work_of(struct zr_worker *worker, uint64_t ms)
{
    zs_sleep(ms * 1000000);
    zs_sleep(worker->work(worker->opaque));
}

// The demoter fills another span from now on: one that was full would come after too many requests.
static void end_span(void)
{
    const struct zr_pool *pool = &zs_store.pool;

    zs_mutex_lock(&zs_store.demoter.lock, "another span");
    if (pool->nr_used_spans < pool->max_spans) { // the first one may be past the limit
        zr_log_fini(&zs_store.demoter.log);
    }
    zs_mutex_unlock(&zs_store.demoter.lock, "another span");
}

static void demote(unsigned min_age)
{
    struct zr_walk walk;
    uint64_t nr_stored = 0;

    zr_walk_begin(&walk, zs_tables, ZS_NR_DEVICES);
    while (zr_walk_find_leaf(&walk)) {
        zr_demoter_demote(&zs_store.demoter, &zs_store.devices[walk.table], &walk.slot, min_age,
                          &nr_stored);
    }
}

static void clean(bool is_urgent)
{
    zr_group_cache_expire(&zs_store.groups, zr_worker_now_ns());
    if (is_urgent) {
        zr_demoter_reclaim(&zs_store.demoter);
        return;
    }
    while (zr_demoter_clean(&zs_store.demoter)) {
    }
}

static void do_op(const struct zs_op *op)
{
    char buffer[ZS_MAX_REQUEST_PAGES * ZR_PAGE_BYTES];

    switch (op->kind) {
    case ZS_EXTENTS:
        zs_check(zr_device_extents(&zs_store.devices[op->device], op->bytes, op->offset,
                                   ignore_extent, NULL) == 0,
                 "empty extent");
        break;
    case ZS_COUNT:
        count();
        break;
    case ZS_KEEPER:
        work_of(&zs_store.keeper.worker, op->arg);
        break;
    case ZS_COMPACTOR:
        work_of(&zs_store.compactor.worker, op->arg);
        break;
    case ZS_PASS:
        zr_compactor_pass(&zs_store.compactor, (enum zr_urgency)op->arg);
        break;
    case ZS_RECLAIM:
        zr_compactor_reclaim(&zs_store.compactor, op->arg);
        break;
    case ZS_AGER:
        work_of(&zs_store.ager.worker, 61000);
        break;
    case ZS_DRAIN:
        zr_deferred_free_drain(zs_store.deferred);
        break;
    case ZS_DEMOTE:
        demote(op->arg & 1);
        if (op->arg & 2) {
            end_span();
        }
        break;
    case ZS_CLEAN:
        clean(op->arg);
        break;
    default:
        do_request(op, buffer);
    }
}

static void do_list(const struct zs_list *list)
{
    unsigned i;

    for (i = 0; i < list->nr_ops; i++) {
        zs_begin_op(i);
        nr_active++;
        do_op(&list->ops[i]);
        nr_active--;
    }
    zs_begin_op(i);
}

static void run_thread(unsigned i)
{
    do_list(&work->threads[i]);
}

static void check_histories(void)
{
    unsigned page;

    for (page = 0; page < work->nr_pages; page++) {
        switch (zs_history_explain(&histories[page])) {
        case ZS_EXPLAINED:
            break;
        case ZS_GAVE_UP:
            zs_nr_gave_up++;
            break;
        case ZS_UNEXPLAINED:
            if (zs_is_verbose) {
                printf("  device %u slot %lu\n", work->pages[page].device,
                       (unsigned long)work->pages[page].slot);
                zs_history_print(&histories[page]);
            }
            zs_fail("no order explains what was read of a page");
        }
    }
}

void zs_run_workload(const struct zs_workload *what, const struct zs_schedule *schedule)
{
    const char *names[ZS_MAX_THREADS];
    unsigned i;

    work = what;
    now = next_id = nr_active = 0;
    for (i = 0; i < work->nr_pages; i++) {
        histories[i].nr = 0;
    }
    zs_nr_cpus = work->nr_cpus;
    zs_store_init(work->limit_spans, work->account_limit);
    for (i = 0; i < work->nr_pages; i++) {
        zs_set_hot(work->pages[i].slot % ZR_LEAF_SLOTS);
        zs_set_hot(work->pages[i].slot / ZR_LEAF_SLOTS % ZR_CHUNK_WORDS);
    }
    do_list(&work->before);
    for (i = 0; i < work->nr_threads; i++) {
        names[i] = work->threads[i].name;
    }
    if (work->nr_threads > 0) {
        zs_run(schedule, work->nr_threads, run_thread, names);
    }
    zr_compactor_stop(&zs_store.compactor);
    for (i = 0; i < work->nr_pages; i++) {
        do_op(&(struct zs_op){ZS_READ, work->pages[i].device, work->pages[i].slot * ZR_PAGE_BYTES,
                              ZR_PAGE_BYTES, 0});
    }
    check_histories();
    zs_store_check();
    zs_store_check_empties();
    zs_store_fini();
}
