// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// C11 by vector clocks: what a load may see, and which accesses need an order.  A load may see any
// store but those that are older, in the order of the location, than one that happened before the
// load or that the thread has seen already.  Not modelled: loads that see later stores.
//
// Objects and spans are plain memory to their users.  In weak schedules it is checked that an
// object is made before others read it, that they have read it before it is freed, and that changes
// of a span are ordered: so a missing order is found even where this run does no harm.
#include "thread.h"

#include <string.h>

#define ARENA_PAGES (ZS_MEMORY_BYTES / ZR_OS_PAGE_BYTES)
#define NR_LOCATIONS 4096
#define NR_STORES 4

struct store {
    uint64_t value;
    unsigned thread;
    uint32_t time;
    struct zs_clocks release; // what an acquire load of it learns
    struct zs_clocks seen;    // when each thread first saw it; 0: it did not
};

static struct location {
    const void *address;
    uint64_t run, epoch;
    unsigned nr; // stores ever; the last NR_STORES are kept
    struct store stores[NR_STORES];
} locations[NR_LOCATIONS];

static uint64_t epochs[ARENA_PAGES]; // of arena pages: another one when what was there was freed

static struct object {
    uint64_t run;
    unsigned maker;
    struct zs_clocks reads; // the maker's: when it was made
} objects[ZS_MEMORY_BYTES / ZR_OBJECT_MIN_BYTES];

static struct span_change {
    uint64_t run;
    unsigned thread;
    uint32_t time;
} span_changes[ZS_MEMORY_BYTES / ZR_SPAN_BYTES];

#define NR_RECENT 64
static struct {
    const void *address;
    uint64_t run, section; // in which the thread loaded it
} recent[ZS_MAX_THREADS][NR_RECENT];

static struct zs_clocks clients;
static const void *last_load;
static uint64_t last_load_step;
static bool is_hot[ZR_CHUNK_WORDS];

// ---- Clocks

void zs_learn(struct zs_clocks *clocks, const struct zs_clocks *more)
{
    unsigned i;

    for (i = 0; i < ZS_MAX_THREADS; i++) {
        clocks->of[i] = more->of[i] > clocks->of[i] ? more->of[i] : clocks->of[i];
    }
}

void zs_publish(struct zs_clocks *clocks)
{
    zs_learn(clocks, &zs_current->clocks);
    zs_current->clocks.of[zs_current_nr()]++; // what it does from now on is not in there
}

void zs_memory_order_begin(void)
{
    memset(&clients, 0, sizeof clients);
    last_load = NULL;
}

void zs_client_begins(void)
{
    if (zs_current) {
        zs_learn(&zs_current->clocks, &clients);
    }
}

void zs_client_ends(void)
{
    if (zs_current) {
        zs_publish(&clients);
    }
}

// ---- Spans

// The field of a span changes: with the lock of its class held, or, while it is of none, the span
// lock; but for the pages of a free one that the keeper has taken out of all lists.  In weak
// schedules it must also come after the last change by another thread.
static void note_span_change(const void *address)
{
    size_t index = (size_t)((const char *)address - zs_pool->span_table.base);
    const struct zr_span *span = zr_pool_span_at(zs_pool, index / sizeof(struct zr_span));
    struct span_change *last = &span_changes[index / sizeof(struct zr_span)];
    uint32_t class_nr = zr_span_class(span);
    unsigned i = zs_current_nr();

    // One that is filled, or cleaned, belongs to who isolated it; only owners come and go.
    if (zr_span_is_log(span) && zr_span_is_isolated(span) &&
        (address == (const void *)&span->backed || address == (const void *)&span->is_kept)) {
        return;
    }
    if (!(class_nr == ZR_CLASS_NONE && address == (const void *)&span->backed) &&
        !zs_holds(&zs_pool->span_lock) &&
        !(class_nr < zs_pool->classes.nr_classes && zs_holds(&zs_pool->class[class_nr].lock))) {
        zs_fail("span changed without the lock of its class");
    }
    if (zs_schedule.is_weak && last->run == zs_run_number && last->thread != i &&
        zs_current->clocks.of[last->thread] < last->time) {
        zs_fail("span changed by two threads without a common lock");
    }
    *last = (struct span_change){zs_run_number, i, ++zs_current->clocks.of[i]};
}

// ---- Handles that are compared

static unsigned recent_nr(const void *address)
{
    return (unsigned)((uintptr_t)address / sizeof(uint64_t) % NR_RECENT);
}

static void note_load(const void *address)
{
    unsigned nr = recent_nr(address);

    recent[zs_current_nr()][nr].address = address;
    recent[zs_current_nr()][nr].run = zs_run_number;
    recent[zs_current_nr()][nr].section = zs_current->nr_sections;
}

// A handle stays that of one object only within the read-side section in which it was loaded.
void zs_expects(const void *address, uint64_t expected)
{
    unsigned i = zs_current ? zs_current_nr() : 0, nr = recent_nr(address);

    if (zs_current && recent[i][nr].address == address && recent[i][nr].run == zs_run_number &&
        zr_handle_has_object(zr_handle_of_word(expected)) &&
        (zs_current->nesting == 0 || recent[i][nr].section != zs_current->nr_sections)) {
        zs_fail("a handle is expected that was loaded in another read-side section");
    }
}

// ---- Which accesses are steps

void zs_set_hot(unsigned index)
{
    is_hot[index] = true;
}

void zs_forget_hot(void)
{
    memset(is_hot, 0, sizeof is_hot);
}

static bool is_step(const void *address)
{
    const struct zr_pool *pool = zs_pool;

    if (zs_is_within(address, pool->arena.base, pool->arena.open_bytes)) {
        return is_hot[(uintptr_t)address % ZR_CHUNK_BYTES / sizeof(uint64_t)];
    }
    if (zs_is_within(address, pool->span_table.base, pool->span_table.open_bytes)) {
        size_t index = (size_t)((const char *)address - pool->span_table.base);

        // Hints; a span that was never used is as it was.
        return zs_schedule.is_fine &&
               zs_was_used(zr_pool_span_at(pool, index / sizeof(struct zr_span)));
    }
    if (zs_is_within(address, pool->class, sizeof pool->class)) {
        return zs_schedule.is_fine && !zs_is_idle_class(address);
    }
    return true;
}

bool zs_access(enum zs_access access, const void *address, const char *where)
{
    bool is_tracked = false;

    if (zs_current && access == ZS_LOAD &&
        zs_is_within(address, zs_pool->arena.base, zs_pool->arena.open_bytes)) {
        note_load(address);
    }
    // Loaded once more with no step in between: between the two is as before the first.
    if (!zs_current ||
        (access == ZS_LOAD && address == last_load && zs_nr_steps() == last_load_step)) {
        return zs_current && zs_schedule.is_weak;
    }
    if (is_step(address)) {
        zs_step(where, ZS_INNER);
        last_load = access == ZS_LOAD ? address : NULL;
        last_load_step = zs_nr_steps();
        is_tracked = zs_schedule.is_weak;
    }
    if (access == ZS_STORE &&
        zs_is_within(address, zs_pool->span_table.base, zs_pool->span_table.open_bytes)) {
        note_span_change(address);
    }
    return is_tracked;
}

bool zs_fails_weakly(void)
{
    return zs_current && zs_below(&zs_rng, 8) == 0;
}

// ---- What a load may see

static uint64_t epoch_of(const void *address)
{
    const struct zr_arena *arena = &zs_pool->arena;

    return zs_is_within(address, arena->base, arena->open_bytes)
               ? epochs[((const char *)address - arena->base) / ZR_OS_PAGE_BYTES]
               : 0;
}

static struct store *store_at(struct location *location, unsigned nr)
{
    return &location->stores[nr % NR_STORES];
}

// NULL: nothing is known of it.  newest: what is there; if the last store was another one it was a
// plain one.
static struct location *find(const void *address, uint64_t newest, bool make)
{
    uint64_t hash = (uintptr_t)address / 4 * UINT64_C(0x9e3779b97f4a7c15) >> 40;
    struct location *location;

    for (;; hash++) {
        location = &locations[hash % NR_LOCATIONS];
        if (location->run != zs_run_number || location->address == address) {
            break;
        }
    }
    if (location->run == zs_run_number && location->epoch == epoch_of(address) &&
        store_at(location, location->nr - 1)->value == newest) {
        return location;
    }
    if (location->run != zs_run_number && !make) {
        return NULL;
    }
    *location = (struct location){.address = address, .run = zs_run_number, .nr = 1};
    location->epoch = epoch_of(address);
    location->stores[0].value = newest;
    return location;
}

static bool is_acquire(int order)
{
    return order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static bool is_release(int order)
{
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

static void see(struct location *location, unsigned nr, int order)
{
    uint32_t *seen = &store_at(location, nr)->seen.of[zs_current_nr()];

    *seen = *seen ? *seen : ++zs_current->clocks.of[zs_current_nr()];
    if (is_acquire(order)) {
        zs_learn(&zs_current->clocks, &store_at(location, nr)->release);
    }
}

// Whether it, or that some thread saw it, happened before.
static bool is_behind_us(const struct store *store)
{
    bool is = zs_current->clocks.of[store->thread] >= store->time;
    unsigned i;

    for (i = 0; i < zs_nr_threads; i++) {
        is |= store->seen.of[i] > 0 && zs_current->clocks.of[i] >= store->seen.of[i];
    }
    return is;
}

uint64_t zs_loaded(const void *address, uint64_t newest, int order)
{
    struct location *location = find(address, newest, false);
    unsigned nr, oldest;

    if (!location) {
        return newest;
    }
    oldest = nr = location->nr - 1;
    while (oldest > 0 && oldest + NR_STORES > location->nr &&
           !is_behind_us(store_at(location, oldest))) {
        oldest--;
    }
    if (nr > oldest && zs_below(&zs_rng, 3) == 0) {
        nr = oldest + zs_below(&zs_rng, nr - oldest + 1);
    }
    see(location, nr, order);
    return store_at(location, nr)->value;
}

void zs_saw_newest(const void *address, uint64_t newest, int order)
{
    struct location *location = find(address, newest, false);

    if (location) {
        see(location, location->nr - 1, order);
    }
}

void zs_stored(const void *address, uint64_t old, uint64_t value, int order, bool is_rmw)
{
    struct location *location = find(address, old, true);
    struct store *store;
    struct zs_clocks sequence = {0};

    if (is_rmw) { // it saw the newest, and goes on with that one's release sequence
        see(location, location->nr - 1, order);
        sequence = store_at(location, location->nr - 1)->release;
    }
    store = store_at(location, location->nr++);
    *store = (struct store){.value = value,
                            .thread = zs_current_nr(),
                            .time = ++zs_current->clocks.of[zs_current_nr()],
                            .release = sequence};
    if (is_release(order)) {
        zs_learn(&store->release, &zs_current->clocks);
    }
}

// ---- Objects

static struct object *object_of(uint64_t bits, unsigned maker)
{
    struct object *object =
        &objects[zr_handle_offset_bytes((zr_handle){bits}) / ZR_OBJECT_MIN_BYTES];

    if (object->run != zs_run_number) { // made before the threads began
        *object = (struct object){.run = zs_run_number, .maker = maker};
    }
    return object;
}

void zs_note_made(uint64_t bits)
{
    unsigned i = zs_current_nr();
    struct object *object = object_of(bits, i);

    *object = (struct object){.run = zs_run_number, .maker = i};
    object->reads.of[i] = ++zs_current->clocks.of[i];
}

void zs_viewed(uint64_t bits)
{
    zr_handle handle = zr_handle_of_word(bits);
    struct object *object;

    if (!zr_handle_has_object(handle)) {
        return;
    }
    zs_check_backed(handle);
    zs_log_viewed(handle.bits);
    if (!zs_current || !zs_schedule.is_weak) {
        return;
    }
    object = object_of(handle.bits, ZS_MAX_THREADS);
    if (object->maker == zs_current_nr()) {
        return;
    }
    if (object->maker < ZS_MAX_THREADS &&
        zs_current->clocks.of[object->maker] < object->reads.of[object->maker]) {
        zs_fail("object read by somebody for whom it is not made yet");
    }
    object->reads.of[zs_current_nr()] = ++zs_current->clocks.of[zs_current_nr()];
}

void zs_note_freed(uint64_t bits)
{
    struct object *object = object_of(bits, ZS_MAX_THREADS);
    unsigned i;

    for (i = 0; i < zs_nr_threads; i++) {
        if (object->reads.of[i] > zs_current->clocks.of[i]) {
            zs_fail("object freed while %s may still read it", zs_threads[i].name);
        }
    }
    object->run = 0;
}

void zs_note_chunk_freed(uint64_t bits)
{
    epochs[zr_handle_offset_bytes((zr_handle){bits}) / ZR_OS_PAGE_BYTES]++;
}
