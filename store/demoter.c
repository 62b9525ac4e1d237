// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "demoter.h"
#include "../allocator/rcu.h"

#include <string.h>

#ifndef MIN_WASTE_BYTES               // tests/schedule/small.h has other sizes
#define MIN_WASTE_BYTES ZR_SPAN_BYTES // lost in all: less is not looked for
#endif
#define CLEAN_SHARE 64      // a span, and all, that has lost so much is cleaned
#define URGENT_SHARE 8      // the same where a writer waits
#define MIN_ROOM_BYTES 1024 // at the end of a span: a smaller group is made to fill more
#define MAX_DRAINS 8        // until the owners in a cleaned span are gone
#define MAX_SHARE_BYTES ((1u << ZR_HANDLE_LENGTH_BITS) - 1)
#define AGE_MASK ((uint64_t)ZR_SLOT_AGE_MAX << ZR_SLOT_AGE_SHIFT)

int zr_demoter_init(struct zr_demoter *demoter, struct zr_pool *pool,
                    struct zr_deferred_free *deferred, struct zr_device *devices, size_t nr_devices)
{
    *demoter = (struct zr_demoter){
        .pool = pool,
        .deferred = deferred,
        .devices = devices,
        .nr_devices = nr_devices,
    };
    zr_log_init(&demoter->log, pool);
    pthread_mutex_init(&demoter->lock, NULL);
    return zr_group_maker_init(&demoter->maker);
}

void zr_demoter_fini(struct zr_demoter *demoter)
{
    while (demoter->nr_cleaned > 0) {
        zr_pool_put_back(demoter->pool, demoter->cleaned[--demoter->nr_cleaned]);
    }
    zr_log_fini(&demoter->log);
    zr_group_maker_fini(&demoter->maker);
    pthread_mutex_destroy(&demoter->lock);
}

// ---- A gathering

// Begins a read-side section, which lasts until the gathering is over.
static void begin_gathering(struct zr_demoter *demoter, struct zr_device *device, uint32_t leaf_nr)
{
    zr_rcu_read_lock();
    demoter->gathering = (struct zr_gathering){
        .device = device,
        .leaf = zr_slot_table_leaf(&device->table, (uint64_t)leaf_nr * ZR_LEAF_SLOTS),
        .leaf_nr = leaf_nr,
    };
}

// A page that cannot be read stays where it is: whoever wants it is told.
static void add_page(struct zr_demoter *demoter, uint16_t slot, uint64_t word)
{
    struct zr_gathering *gathering = &demoter->gathering;
    unsigned char *page = demoter->maker.pages + gathering->nr * (size_t)ZR_PAGE_BYTES;

    gathering->has_loaded = true;
    if (zr_device_load_page(gathering->device, (uint64_t)gathering->leaf_nr * ZR_LEAF_SLOTS + slot,
                            word, page) == 0) {
        gathering->slots[gathering->nr] = slot;
        gathering->words[gathering->nr++] = word;
    }
}

static uint64_t sum_lengths(const uint64_t *words, unsigned nr)
{
    uint64_t bytes = 0;
    unsigned i;

    for (i = 0; i < nr; i++) {
        bytes += zr_slot_word_length_bytes(words[i]);
    }
    return bytes;
}

// What each page has of a group: as much more or less as it had before, all of it together.  A
// handle cannot say 0, or more than a page and a bit.
static uint32_t divide(const uint64_t *words, unsigned nr, uint32_t bytes, uint32_t *shares)
{
    const uint64_t old_bytes = sum_lengths(words, nr);
    uint64_t seen_bytes = 0, given = 0, share, most;
    unsigned i;

    for (i = 0; i < nr; i++) {
        seen_bytes += zr_slot_word_length_bytes(words[i]);
        share = bytes * seen_bytes / old_bytes;
        share = share > given ? share - given : 1;
        most = bytes - given - (nr - i - 1); // a byte is left for each that comes
        most = most < MAX_SHARE_BYTES ? most : MAX_SHARE_BYTES;
        shares[i] = (uint32_t)(share < most ? share : most);
        given += shares[i];
    }
    return (uint32_t)given;
}

static void count(_Atomic uint64_t *counter, uint64_t nr)
{
    atomic_fetch_add_explicit(counter, nr, memory_order_relaxed);
}

// Puts a word in place of that of a page, unless the page is another by now.  Its age is no change:
// a page that the ager came upon meanwhile would stay, and with it the span that is to be cleaned.
static bool exchange(struct zr_gathering *gathering, unsigned i, uint64_t word)
{
    _Atomic uint64_t *entry = &gathering->leaf[gathering->slots[i]];
    uint64_t old, now = gathering->words[i];

    do {
        old = now;
        if (zr_slot_table_move(&gathering->device->table, entry, old, word | (old & AGE_MASK))) {
            return true;
        }
        now = zr_leaf_word(gathering->leaf, gathering->slots[i]);
    } while ((now & ~AGE_MASK) == (old & ~AGE_MASK));
    return false;
}

// Puts the group that was made of the first nr pages into the log, and their words in place of the
// old ones.  False without room.
static bool publish(struct zr_demoter *demoter, unsigned nr)
{
    struct zr_gathering *gathering = &demoter->gathering;
    const uint32_t bytes = zr_log_object_bytes(demoter->maker.group->bytes);
    uint32_t shares[ZR_GROUP_PAGES];
    uint32_t owned_bytes = divide(gathering->words, nr, bytes, shares);
    uint64_t offset;
    unsigned i;

    if (zr_log_append(&demoter->log, bytes, nr, owned_bytes, demoter->is_urgent, &offset) < 0) {
        return false;
    }
    zr_group_copy(demoter->pool->arena.base + offset, demoter->maker.group);
    for (i = 0; i < nr; i++) {
        uint64_t old = gathering->words[i];
        uint64_t word = zr_slot_word_make(ZR_SLOT_GROUP, zr_handle_make(offset, shares[i]));

        if (exchange(gathering, i, word)) {
            gathering->replaced[gathering->nr_replaced++] = old;
            // Unsigned: where it became longer, this takes the difference off.
            count(&demoter->saved_bytes, zr_slot_word_length_bytes(old) - shares[i]);
        } else {
            zr_pool_free(demoter->pool, &word, 1); // lost the race; nobody saw it
        }
    }
    count(&demoter->nr_groups, 1);
    zr_log_keep_spare(&demoter->log);
    return true;
}

static uint32_t make(struct zr_demoter *demoter, unsigned nr)
{
    const struct zr_gathering *gathering = &demoter->gathering;

    return zr_group_make(&demoter->maker, gathering->device->checksum_seed, gathering->leaf_nr,
                         gathering->slots, nr);
}

// The first nr have been dealt with.
static void forget_first(struct zr_demoter *demoter, unsigned nr)
{
    struct zr_gathering *gathering = &demoter->gathering;

    gathering->nr -= nr;
    memmove(gathering->slots, gathering->slots + nr, gathering->nr * sizeof gathering->slots[0]);
    memmove(gathering->words, gathering->words + nr, gathering->nr * sizeof gathering->words[0]);
    memmove(demoter->maker.pages, demoter->maker.pages + nr * (size_t)ZR_PAGE_BYTES,
            gathering->nr * (size_t)ZR_PAGE_BYTES);
}

static bool fits(const struct zr_demoter *demoter, uint32_t bytes)
{
    return zr_log_object_bytes(bytes) <= zr_log_room_bytes(&demoter->log);
}

// How many of nr pages, which would take so many bytes, fill what is left of the last span; all of
// them if that is hardly anything.
static unsigned nr_for_room(const struct zr_demoter *demoter, unsigned nr, uint64_t bytes)
{
    uint32_t room_bytes = zr_log_room_bytes(&demoter->log);
    uint64_t nr_fitting;

    if (bytes <= room_bytes || room_bytes < MIN_ROOM_BYTES) {
        return nr;
    }
    nr_fitting = nr * (uint64_t)room_bytes / bytes * 15 / 16; // a smaller group saves less
    return nr_fitting > 0 ? (unsigned)nr_fitting : 1;
}

// Makes a group of the first pages that were gathered: of all, or of as many as still go into the
// last span.  Returns how many.  The length is guessed by the last group's, since to compress all
// of them in vain at the end of each span would take a tenth of the time.
static unsigned make_fitting(struct zr_demoter *demoter, uint32_t *bytes)
{
    const unsigned nr_all = demoter->gathering.nr;
    unsigned nr = nr_for_room(demoter, nr_all, nr_all * (uint64_t)demoter->page_bytes);

    *bytes = make(demoter, nr);
    if (!fits(demoter, *bytes) && nr_for_room(demoter, nr, *bytes) < nr) {
        nr = nr_for_room(demoter, nr, *bytes);
        *bytes = make(demoter, nr);
    }
    if (!fits(demoter, *bytes) && nr < nr_all) {
        nr = nr_all;
        *bytes = make(demoter, nr);
    }
    if (*bytes != UINT32_MAX) {
        demoter->page_bytes = *bytes / nr;
    }
    return nr;
}

// Makes groups of what was gathered, as long as they take min_gain_share less than the pages did
// (0: in any case).
static void make_groups(struct zr_demoter *demoter, unsigned min_gain_share)
{
    struct zr_gathering *gathering = &demoter->gathering;

    while (gathering->nr > 0) {
        uint32_t bytes;
        unsigned nr = make_fitting(demoter, &bytes);
        uint64_t old_bytes = sum_lengths(gathering->words, nr);

        if (bytes != UINT32_MAX && min_gain_share > 0 &&
            bytes > old_bytes - old_bytes / min_gain_share) {
            break;
        }
        if (bytes == UINT32_MAX || !publish(demoter, nr)) { // zstd found no memory, or the log
            demoter->has_no_room = true;
            break;
        }
        forget_first(demoter, nr);
    }
    gathering->nr = 0;
}

static void end_gathering(struct zr_demoter *demoter)
{
    zr_rcu_read_unlock();
    if (demoter->gathering.has_loaded) { // their owner may trim them next
        explicit_bzero(demoter->maker.pages, ZR_GROUP_RAW_BYTES);
    }
    zr_deferred_free_words(demoter->deferred, demoter->gathering.replaced,
                           demoter->gathering.nr_replaced);
    demoter->gathering.device = NULL;
}

// ---- Demotion

// Pages stored raw are left alone: what lz4 finds nothing in is mostly random, or compressed.
static bool is_cold(uint64_t word, unsigned min_age)
{
    enum zr_slot_kind kind = zr_slot_word_kind(word);

    return (kind == ZR_SLOT_LZ4 || kind == ZR_SLOT_ZSTD) && zr_slot_word_age(word) >= min_age;
}

bool zr_demoter_demote(struct zr_demoter *demoter, struct zr_device *device, uint64_t *slot,
                       unsigned min_age, uint64_t *nr_stored)
{
    struct zr_gathering *gathering = &demoter->gathering;
    uint64_t end = (*slot / ZR_LEAF_SLOTS + 1) * ZR_LEAF_SLOTS;
    bool has_room;

    pthread_mutex_lock(&demoter->lock);
    demoter->has_no_room = false;
    begin_gathering(demoter, device, (uint32_t)(*slot / ZR_LEAF_SLOTS));
    while (gathering->leaf && *slot < end && gathering->nr < ZR_GROUP_PAGES) {
        uint64_t word = zr_leaf_word(gathering->leaf, *slot);

        *nr_stored += word != ZR_SLOT_EMPTY;
        if (is_cold(word, min_age)) {
            add_page(demoter, (uint16_t)(*slot % ZR_LEAF_SLOTS), word);
        }
        ++*slot;
        // Where neighbours are there, they stay together.
        if (*slot % ZR_GROUP_PAGES == 0 && gathering->nr >= ZR_GROUP_PAGES / 2) {
            break;
        }
    }
    *slot = gathering->leaf ? *slot : end;
    make_groups(demoter, ZR_DEMOTER_MIN_GAIN_SHARE);
    count(&demoter->nr_demoted_pages, gathering->nr_replaced);
    end_gathering(demoter);
    has_room = !demoter->has_no_room;
    pthread_mutex_unlock(&demoter->lock);
    return has_room;
}

// ---- Cleaning

static uint64_t nr_opened_spans(struct zr_demoter *demoter)
{
    uint64_t nr;

    pthread_mutex_lock(&demoter->pool->span_lock);
    nr = demoter->pool->nr_opened_spans;
    pthread_mutex_unlock(&demoter->pool->span_lock);
    return nr;
}

static void flush(struct zr_demoter *demoter)
{
    if (demoter->gathering.device) {
        make_groups(demoter, 0);
        end_gathering(demoter);
    }
}

// Gathers what is left of a group at an offset, in a device.
static void gather_members(struct zr_demoter *demoter, struct zr_device *device,
                           const struct zr_group *group, uint64_t offset)
{
    struct zr_gathering *gathering = &demoter->gathering;
    unsigned i;

    for (i = 0; i < group->nr_members; i++) {
        uint16_t slot = group->slots[i] % ZR_LEAF_SLOTS;
        uint64_t word;

        if (gathering->device != device || gathering->leaf_nr != group->leaf ||
            gathering->nr == ZR_GROUP_PAGES) {
            flush(demoter);
            begin_gathering(demoter, device, group->leaf);
        }
        word = zr_leaf_word(gathering->leaf, slot);
        if (zr_slot_word_kind(word) == ZR_SLOT_GROUP &&
            zr_handle_offset_bytes(zr_handle_of_word(word)) == offset) {
            add_page(demoter, slot, word);
        }
    }
}

// The same in whichever device it was made of: two may have one seed.  None, if it was dropped.
static void gather_group(struct zr_demoter *demoter, const struct zr_group *group, uint64_t offset)
{
    size_t i;

    for (i = 0; i < demoter->nr_devices; i++) {
        struct zr_device *device = &demoter->devices[i];

        if (device->checksum_seed == group->device_seed &&
            (uint64_t)group->leaf * ZR_LEAF_SLOTS < device->table.nr_slots) {
            gather_members(demoter, device, group, offset);
        }
    }
}

// Makes all that is left in a span anew elsewhere.
static void clean_span(struct zr_demoter *demoter, struct zr_span *span)
{
    const uint64_t span_offset = zr_pool_span_index(demoter->pool, span) << ZR_SPAN_SHIFT;
    const struct zr_group *group;
    uint32_t start;

    if (!zr_pool_try_isolate(demoter->pool, span, zr_size_class_log(&demoter->pool->classes))) {
        return;
    }
    demoter->has_no_room = false;
    for (start = 0; start < zr_span_fill_bytes(span); start += zr_log_object_bytes(group->bytes)) {
        zr_handle handle = zr_handle_make(span_offset + start, 1);

        group = zr_pool_view(demoter->pool, handle);
        if (!zr_group_is_sound(group, zr_log_readable_bytes(demoter->pool, handle))) {
            break; // damaged, or the end of what an earlier server made
        }
        gather_group(demoter, group, span_offset + start);
    }
    flush(demoter);
    demoter->cleaned[demoter->nr_cleaned++] = span;
}

// Frees the spans that were cleaned.  In one that is not empty, something found no room, and is
// tried again, or could not be read, and stays for good.  Returns how many are free.
static unsigned free_cleaned(struct zr_demoter *demoter)
{
    unsigned nr_freed = 0, nr_drains;
    bool has_drained;

    while (demoter->nr_cleaned > 0) {
        struct zr_span *span = demoter->cleaned[--demoter->nr_cleaned];

        // What was moved may be in the hands of another who drains.
        has_drained = true;
        for (nr_drains = 0; nr_drains < MAX_DRAINS && has_drained && !zr_span_is_empty(span);
             nr_drains++) {
            has_drained = zr_deferred_free_drain(demoter->deferred);
        }
        if (zr_span_is_empty(span)) {
            nr_freed++;
        } else if (!demoter->has_no_room && !has_drained) {
            atomic_store_explicit(&span->is_kept, true, memory_order_relaxed);
        }
        zr_pool_put_back(demoter->pool, span);
    }
    count(&demoter->nr_cleaned_spans, nr_freed);
    if (nr_freed > 0) {
        zr_log_keep_spare(&demoter->log);
    }
    return nr_freed;
}

// Whether so much of all logs is lost that cleaning pays.
static bool is_worth_it(struct zr_demoter *demoter)
{
    uint64_t nr_spans = nr_opened_spans(demoter), waste_bytes = 0, live_bytes = 0, i;

    for (i = 0; i < nr_spans; i++) {
        const struct zr_span *span = zr_pool_span_at(demoter->pool, i);

        if (zr_span_class(span) == zr_size_class_log(&demoter->pool->classes)) {
            waste_bytes += zr_log_waste_bytes(demoter->pool, span);
            live_bytes += zr_span_live_bytes(span);
        }
    }
    return waste_bytes > MIN_WASTE_BYTES && waste_bytes > live_bytes / CLEAN_SHARE;
}

bool zr_demoter_clean(struct zr_demoter *demoter)
{
    uint64_t nr_spans = nr_opened_spans(demoter);
    bool has_cleaned = false, has_more;

    pthread_mutex_lock(&demoter->lock);
    if (!demoter->is_cleaning) {
        demoter->is_cleaning = is_worth_it(demoter);
        demoter->next_span = 0;
    }
    for (; demoter->is_cleaning && !has_cleaned; demoter->next_span++) {
        struct zr_span *span = zr_pool_span_at(demoter->pool, demoter->next_span);

        if (demoter->next_span == nr_spans) {
            demoter->is_cleaning = false;
        } else if (zr_log_waste_bytes(demoter->pool, span) > ZR_SPAN_BYTES / CLEAN_SHARE) {
            clean_span(demoter, span);
            has_cleaned = true;
            demoter->is_cleaning = !demoter->has_no_room;
        }
    }
    if (!demoter->is_cleaning || demoter->nr_cleaned == ZR_DEMOTER_SPANS) {
        free_cleaned(demoter);
    }
    has_more = has_cleaned && demoter->is_cleaning; // without room the next call would fail alike
    pthread_mutex_unlock(&demoter->lock);
    return has_more;
}

bool zr_demoter_reclaim(struct zr_demoter *demoter)
{
    uint64_t nr_spans = nr_opened_spans(demoter), i;
    uint32_t most_bytes = ZR_SPAN_BYTES / URGENT_SHARE;
    struct zr_span *sparsest = NULL;
    unsigned nr_freed;

    pthread_mutex_lock(&demoter->lock);
    nr_freed = free_cleaned(demoter);
    for (i = 0; i < nr_spans && nr_freed == 0; i++) {
        struct zr_span *span = zr_pool_span_at(demoter->pool, i);
        uint32_t bytes = zr_log_waste_bytes(demoter->pool, span);

        if (bytes > most_bytes) {
            most_bytes = bytes;
            sparsest = span;
        }
    }
    if (sparsest) {
        demoter->is_urgent = true;
        clean_span(demoter, sparsest);
        demoter->is_urgent = false;
        nr_freed = free_cleaned(demoter);
    }
    pthread_mutex_unlock(&demoter->lock);
    return nr_freed > 0;
}
