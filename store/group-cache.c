// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "group-cache.h"
#include "../allocator/worker.h"
#include "slot-table.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define ZSTD_STATIC_LINKING_ONLY // for ZSTD_d_stableOutBuffer: a zstd without it refuses it, and
                                 // copies
#include <zstd.h>

#define ENTRIES_PER_CPU 2

// That keep their memory: who reads after a while takes the first of those that are empty, and 16
// page faults would take longer than zstd.
#define NR_KEPT 1

#define HEADER_BYTES 6 // of a zstd frame that does not tell its length

// Pages of a guest are in no core dump, as in the arena.
static unsigned char *map_pages(void)
{
    void *pages =
        mmap(NULL, ZR_GROUP_RAW_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED) {
        return NULL;
    }
    if (madvise(pages, ZR_GROUP_RAW_BYTES, MADV_DONTDUMP) < 0) {
        munmap(pages, ZR_GROUP_RAW_BYTES);
        return NULL;
    }
    return pages;
}

// A decompressor, with all that it will ever allocate: for a window as all groups have it.
static ZSTD_DCtx *make_decompressor(void)
{
    static const unsigned char frame_header[HEADER_BYTES] = {0x28, 0xb5, 0x2f, 0xfd, 0, 6 << 3};
    ZSTD_inBuffer in = {frame_header, sizeof frame_header, 0};
    ZSTD_outBuffer out = {NULL, 0, 0};
    ZSTD_DCtx *decompressor = ZSTD_createDCtx();

    if (decompressor) {
        ZSTD_DCtx_setParameter(decompressor, ZSTD_d_stableOutBuffer, 1);
        if (ZSTD_isError(ZSTD_decompressStream(decompressor, &out, &in))) {
            ZSTD_freeDCtx(decompressor);
            return NULL;
        }
    }
    return decompressor;
}

int zr_group_cache_init(struct zr_group_cache *cache)
{
    long nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned nr = ENTRIES_PER_CPU * (nr_cpus > 0 ? (unsigned)nr_cpus : 1);

    *cache = (struct zr_group_cache){
        .entries = aligned_alloc(_Alignof(struct zr_group_entry), nr * sizeof *cache->entries),
    };
    if (!cache->entries) {
        return -ENOMEM;
    }
    for (; cache->nr_entries < nr; cache->nr_entries++) {
        struct zr_group_entry *entry = &cache->entries[cache->nr_entries];

        *entry = (struct zr_group_entry){
            .pages = map_pages(),
            .decompressor = make_decompressor(),
        };
        pthread_mutex_init(&entry->busy, NULL);
        if (!entry->pages || !entry->decompressor) {
            cache->nr_entries++;
            zr_group_cache_fini(cache);
            return -ENOMEM;
        }
        if (cache->nr_entries < NR_KEPT) {
            memset(entry->pages, 0, ZR_GROUP_RAW_BYTES);
        }
    }
    return 0;
}

void zr_group_cache_fini(struct zr_group_cache *cache)
{
    while (cache->nr_entries > 0) {
        struct zr_group_entry *entry = &cache->entries[--cache->nr_entries];

        if (entry->pages) {
            munmap(entry->pages, ZR_GROUP_RAW_BYTES);
        }
        ZSTD_freeDCtx(entry->decompressor);
        pthread_mutex_destroy(&entry->busy);
    }
    free(cache->entries);
    cache->entries = NULL;
}

static uint64_t id_of(const struct zr_group_entry *entry)
{
    return atomic_load_explicit(&entry->id, memory_order_relaxed);
}

// The entry that has the group, held; NULL if none has, or another thread is just using it.  Of a
// group that is damaged the id may be that of another one, or 0, as of an entry that has none.
static struct zr_group_entry *find(struct zr_group_cache *cache, const struct zr_group *group)
{
    const uint64_t id = group->id;
    unsigned i;

    for (i = 0; i < cache->nr_entries; i++) {
        struct zr_group_entry *entry = &cache->entries[i];

        if (id != 0 && id_of(entry) == id && pthread_mutex_trylock(&entry->busy) == 0) {
            if (id_of(entry) == id && entry->checksum == group->checksum) {
                return entry;
            }
            pthread_mutex_unlock(&entry->busy);
        }
    }
    return NULL;
}

// The one that was not used for longest of those that nobody holds, held.
static struct zr_group_entry *take_oldest(struct zr_group_cache *cache)
{
    struct zr_group_entry *oldest = NULL;
    unsigned i;

    assert(cache->nr_entries > 0);
    for (i = 0; i < cache->nr_entries; i++) {
        struct zr_group_entry *entry = &cache->entries[i];
        uint64_t used_ns = atomic_load_explicit(&entry->used_ns, memory_order_relaxed);

        if (oldest && used_ns >= atomic_load_explicit(&oldest->used_ns, memory_order_relaxed)) {
            continue;
        }
        if (pthread_mutex_trylock(&entry->busy) == 0) {
            if (oldest) {
                pthread_mutex_unlock(&oldest->busy);
            }
            oldest = entry;
        }
    }
    if (!oldest) {
        oldest = &cache->entries[(unsigned)sched_getcpu() * ENTRIES_PER_CPU % cache->nr_entries];
        pthread_mutex_lock(&oldest->busy);
    }
    return oldest;
}

// Takes the group on, with nothing decompressed yet.  0 or -EIO.
static int begin(struct zr_group_entry *entry, const struct zr_group *group, size_t max_bytes)
{
    atomic_store_explicit(&entry->id, 0, memory_order_relaxed);
    if (!zr_group_is_sound(group, max_bytes)) {
        return -EIO;
    }
    ZSTD_DCtx_reset(entry->decompressor, ZSTD_reset_session_only);
    entry->pages_bytes = 0;
    entry->frame_bytes = 0;
    entry->next_bytes = HEADER_BYTES;
    entry->checksum = group->checksum;
    entry->device_seed = group->device_seed;
    entry->leaf = group->leaf;
    entry->nr_members = group->nr_members;
    memcpy(entry->slots, group->slots, group->nr_members * sizeof group->slots[0]);
    atomic_store_explicit(&entry->id, group->id, memory_order_relaxed);
    return 0;
}

// Decompresses block by block until there are so many bytes.  0 or -EIO.
static int decompress(struct zr_group_entry *entry, const struct zr_group *group, size_t max_bytes,
                      size_t wanted_bytes)
{
    ZSTD_inBuffer in = {zr_group_frame(group), 0, entry->frame_bytes};
    ZSTD_outBuffer out = {entry->pages, entry->nr_members * (size_t)ZR_PAGE_BYTES,
                          entry->pages_bytes};

    // It was looked at when the entry took it on, but that may be long ago.
    if (!zr_group_is_sound(group, max_bytes)) {
        return -EIO;
    }
    while (out.pos < wanted_bytes && entry->next_bytes > 0 &&
           entry->next_bytes <= zr_group_frame_bytes(group) - in.pos) {
        in.size = in.pos + entry->next_bytes;
        entry->next_bytes = ZSTD_decompressStream(entry->decompressor, &out, &in);
        if (ZSTD_isError(entry->next_bytes)) {
            entry->next_bytes = 0;
        }
    }
    entry->frame_bytes = in.pos;
    entry->pages_bytes = out.pos;
    return out.pos < wanted_bytes ? -EIO : 0;
}

static unsigned index_of(const uint16_t *slots, unsigned nr, uint64_t slot)
{
    unsigned i;

    for (i = 0; i < nr && slots[i] != slot % ZR_LEAF_SLOTS; i++) {
    }
    return i;
}

// Which page that is, the entry says, and not the group, which was sound when the entry took it on.
static int copy_page(struct zr_group_entry *entry, const struct zr_group *group, size_t max_bytes,
                     uint32_t device_seed, uint64_t slot, void *page)
{
    size_t i = index_of(entry->slots, entry->nr_members, slot);
    int rc = 0;

    if (entry->device_seed != device_seed || entry->leaf != slot / ZR_LEAF_SLOTS ||
        i == entry->nr_members) {
        return -EIO;
    }
    if (entry->pages_bytes < (i + 1) * ZR_PAGE_BYTES) {
        rc = decompress(entry, group, max_bytes, (i + 1) * ZR_PAGE_BYTES);
    }
    if (rc == 0) {
        memcpy(page, entry->pages + i * ZR_PAGE_BYTES, ZR_PAGE_BYTES);
    }
    return rc;
}

int zr_group_cache_read(struct zr_group_cache *cache, const struct zr_group *group,
                        size_t max_bytes, uint32_t device_seed, uint64_t slot, void *page)
{
    struct zr_group_entry *entry;
    int rc = 0;

    if (max_bytes < offsetof(struct zr_group, slots)) {
        return -EIO;
    }
    entry = find(cache, group);
    atomic_fetch_add_explicit(entry ? &cache->nr_hits : &cache->nr_misses, 1, memory_order_relaxed);
    if (!entry) {
        entry = take_oldest(cache);
        rc = begin(entry, group, max_bytes);
    }
    if (rc == 0) {
        rc = copy_page(entry, group, max_bytes, device_seed, slot, page);
    }
    atomic_store_explicit(&entry->used_ns, zr_worker_now_ns(), memory_order_relaxed);
    pthread_mutex_unlock(&entry->busy);
    return rc;
}

bool zr_group_note_read(struct zr_group *group, uint64_t slot)
{
    unsigned nr = group->nr_members < ZR_GROUP_PAGES ? group->nr_members : ZR_GROUP_PAGES;
    uint16_t bit = (uint16_t)(1u << index_of(group->slots, nr, slot));

    // A look first: most groups are read once, and then by one thread.
    return (atomic_load_explicit(&group->read, memory_order_relaxed) & bit) != 0 ||
           (atomic_fetch_or_explicit(&group->read, bit, memory_order_relaxed) & bit) != 0;
}

// Whether something is in it, or was decompressed in vain, and nobody wants it any more.
static bool is_due(const struct zr_group_entry *entry, uint64_t before_ns)
{
    uint64_t used_ns = atomic_load_explicit(&entry->used_ns, memory_order_relaxed);

    return used_ns != 0 && used_ns < before_ns;
}

void zr_group_cache_expire(struct zr_group_cache *cache, uint64_t before_ns)
{
    unsigned i;

    for (i = 0; i < cache->nr_entries; i++) {
        struct zr_group_entry *entry = &cache->entries[i];

        if (!is_due(entry, before_ns) || pthread_mutex_trylock(&entry->busy) != 0) {
            continue;
        }
        if (is_due(entry, before_ns)) {
            atomic_store_explicit(&entry->id, 0, memory_order_relaxed);
            atomic_store_explicit(&entry->used_ns, 0, memory_order_relaxed);
            // What is locked (mlock=on) stays, so all is wiped.
            explicit_bzero(entry->pages, ZR_GROUP_RAW_BYTES);
            if (i >= NR_KEPT) {
                madvise(entry->pages, ZR_GROUP_RAW_BYTES, MADV_DONTNEED);
            }
        }
        pthread_mutex_unlock(&entry->busy);
    }
}
