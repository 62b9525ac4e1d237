// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "small-store.h"
#include "fake-codec.h"
#include "scheduler.h"

struct zs_store zs_store;
// Of 1 GiB, one leaf and a bit; of two leaves.
const uint64_t zs_device_bytes[ZS_NR_DEVICES] = {(ZS_GIB_SLOTS + 512 + 5) * ZR_PAGE_BYTES,
                                                 2u << 21};

struct zr_slot_table *const zs_tables[ZS_NR_DEVICES] = {&zs_store.devices[0].table,
                                                        &zs_store.devices[1].table};
static struct zr_slot_table *tables[ZS_NR_DEVICES] = {&zs_store.devices[0].table,
                                                      &zs_store.devices[1].table};

void zs_check(bool holds, const char *what)
{
    if (!holds) {
        zs_fail("%s", what);
    }
}

void zs_store_init(unsigned limit_spans, uint64_t limit_bytes)
{
    struct zs_store *store = &zs_store;
    unsigned i;

    zs_reset(&store->pool);
    zs_check(zr_pool_init(&store->pool, (uint64_t)limit_spans << ZR_SPAN_SHIFT, NULL) == 0 &&
                 zr_deferred_free_create(&store->pool, &store->deferred) == 0 &&
                 zr_codec_init(&store->codec, &zs_codec_ops, 0) == 0 &&
                 zr_group_cache_init(&store->groups) == 0 &&
                 zr_demoter_init(&store->demoter, &store->pool, store->deferred, store->devices,
                                 ZS_NR_DEVICES) == 0,
             "store not made");
    for (i = 0; i < ZS_NR_DEVICES; i++) {
        zs_check(zr_device_init(&store->devices[i], i ? "b" : "a", zs_device_bytes[i],
                                i ? limit_bytes : UINT64_MAX, &store->codec, &store->pool,
                                store->deferred, &store->compactor, NULL, 0) == 0,
                 "device not made");
        store->devices[i].groups = &store->groups;
        store->devices[i].demoter = &store->demoter;
    }
    zr_compactor_init(&store->compactor, &store->pool, store->deferred, tables, ZS_NR_DEVICES);
    zr_ager_init(&store->ager, tables, ZS_NR_DEVICES);
    zr_keeper_start(&store->keeper, &store->pool, store->deferred);
    zr_compactor_start(&store->compactor);
    zr_ager_start(&store->ager);
}

static uint64_t list_length(struct cds_list_head *list)
{
    struct cds_list_head *node;
    uint64_t nr = 0;

    for (node = list->next; node != list; node = node->next) {
        zs_check(node->next->prev == node && nr++ < 10000, "a list is broken");
    }
    return nr;
}

// Each span knows which of its pages have memory, and a cold one has none.
static void check_backed(const struct zr_pool *pool)
{
    const struct zr_span *span;
    uint64_t i;

    for (i = 0; i < pool->nr_opened_spans * ZR_SPAN_PAGES; i++) {
        span = zr_pool_span_at(pool, i / ZR_SPAN_PAGES);
        zs_check(zs_is_backed(i) == (zr_span_backed(span) >> i % ZR_SPAN_PAGES & 1),
                 "a span is wrong about its memory");
    }
    cds_list_for_each_entry(span, &pool->cold, node)
    {
        zs_check(zr_span_backed(span) == 0, "a cold span has memory");
    }
}

// At its log's end, or spare: isolated as long as the demoter lives.
static bool is_of_demoter(const struct zr_span *span)
{
    return span == zs_store.demoter.log.end || span == zs_store.demoter.log.spare;
}

static void check_pool(void)
{
    struct zr_pool *pool = &zs_store.pool;
    uint64_t i, nr_partial = 0, nr_in_lists = 0;

    zs_check(zr_pool_is_valid(pool), "pool is not valid");
    check_backed(pool);
    zs_check(pool->nr_transit_spans == 0, "spans left in transit");
    zs_check(list_length(&pool->warm) == pool->nr_warm_spans, "number of warm spans");
    zs_check(list_length(&pool->cold) ==
                 pool->nr_opened_spans - pool->nr_used_spans - pool->nr_warm_spans,
             "number of cold spans");
    for (i = 0; i < pool->nr_opened_spans; i++) {
        struct zr_span *span = zr_pool_span_at(pool, i);

        if (is_of_demoter(span)) {
            continue;
        }
        // What is in it was readable.
        zs_check(!zr_span_is_log(span) || zr_span_is_empty(span) || !zr_span_is_kept(span),
                 "a span is not cleaned any more");
        nr_partial += !zr_span_is_empty(span) && !zr_span_is_full(span);
        zs_check(!zr_span_is_isolated(span), "span left isolated");
    }
    for (i = 0; i < pool->classes.nr_classes; i++) {
        nr_in_lists += list_length(&pool->class[i].partial);
    }
    zs_check(nr_in_lists == nr_partial, "partial spans that are in no list");
}

static uint64_t count_chunks(const struct zr_slot_table *table)
{
    uint64_t nr_chunks = 0, slot;

    for (slot = 0; slot < table->nr_root_entries; slot++) {
        nr_chunks += table->root[slot] != 0;
    }
    for (slot = 0; (slot = zr_slot_table_next_leaf(table, slot, table->nr_slots)) < table->nr_slots;
         slot += ZR_LEAF_SLOTS) {
        nr_chunks += zr_slot_table_leaf(table, slot) != NULL;
    }
    return nr_chunks;
}

static void check(bool is_empty)
{
    struct zr_pool_stats stats;
    uint64_t nr_objects = 0, nr_chunks = 0, stored_bytes = 0;
    unsigned i;

    zr_deferred_free_drain(zs_store.deferred);
    check_pool();
    for (i = 0; i < ZS_NR_DEVICES; i++) {
        struct zr_slot_counts counts;

        zr_slot_counts_get(tables[i], &counts);
        nr_objects += counts.nr_huge + counts.nr_compressed;
        nr_chunks += count_chunks(tables[i]);
        stored_bytes += counts.stored_bytes;
        zs_check(counts.stored_bytes == tables[i]->account.stored_bytes,
                 "account and stored bytes differ");
    }
    zr_pool_get_stats(&zs_store.pool, &stats);
    zs_check(stats.nr_objects == nr_objects, "objects that no word refers to");
    zs_check(stats.stored_bytes == stored_bytes, "the pool's stored bytes are not the words'");
    zs_check(stats.nr_chunks >= nr_chunks && stats.nr_chunks <= nr_chunks + NR_SPARE + zs_nr_cpus,
             "chunks that nothing refers to");
    zs_check(!is_empty || (nr_objects == 0 && nr_chunks == 0 && stats.stored_bytes == 0),
             "not empty after all was trimmed");
}

void zs_store_check(void)
{
    zs_check(zs_store.devices[0].nr_corrupt + zs_store.devices[1].nr_corrupt == 0,
             "damaged objects");
    check(false);
}

void zs_store_check_empties(void)
{
    unsigned i;

    for (i = 0; i < ZS_NR_DEVICES; i++) {
        zs_check(zr_device_zero(&zs_store.devices[i], zs_device_bytes[i], 0) == 0,
                 "trim of all failed");
    }
    check(true);
}

void zs_store_fini(void)
{
    struct zr_pool *pool = &zs_store.pool;
    unsigned i;

    zr_demoter_fini(&zs_store.demoter);
    for (i = 0; i < ZS_NR_DEVICES; i++) {
        zr_device_fini(&zs_store.devices[i]);
    }
    zr_group_cache_fini(&zs_store.groups);
    zr_codec_fini(&zs_store.codec);
    zr_deferred_free_destroy(zs_store.deferred);
    check_pool();
    zs_check(pool->nr_used_spans == 0, "spans in use at the end");
    for (i = 0; i < pool->classes.nr_classes; i++) {
        zs_check(pool->class[i].nr_objects == 0 && pool->class[i].stored_bytes == 0,
                 "objects in a class at the end");
    }
    zr_compactor_fini(&zs_store.compactor);
}
