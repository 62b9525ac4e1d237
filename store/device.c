// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "device.h"
#include "../allocator/log.h"
#include "../allocator/rcu.h"
#include "checksum.h"
#include "demoter.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <string.h>

#define MAX_TRIES 8 // of a write that finds no memory
#define CACHE_LINE_BYTES 64
#define MAX_STATUS_WORDS (64 * ZR_LEAF_SLOTS) // read for one block status request: 128 MiB of disk

static uint64_t nr_slots_of(uint64_t size_bytes)
{
    return (size_bytes + ZR_PAGE_BYTES - 1) / ZR_PAGE_BYTES;
}

uint64_t zr_device_nr_root_entries(uint64_t size_bytes)
{
    return zr_slot_table_nr_root_entries(nr_slots_of(size_bytes));
}

uint32_t zr_device_checksum_seed(const char *name)
{
    return zr_checksum(name, strlen(name), 0) | 1;
}

int zr_device_init(struct zr_device *device, const char *name, uint64_t size_bytes,
                   uint64_t limit_bytes, struct zr_codec *codec, struct zr_pool *pool,
                   struct zr_deferred_free *deferred, struct zr_compactor *compactor,
                   _Atomic uint64_t *stored, uint64_t stored_bytes)
{
    *device = (struct zr_device){
        .name = name,
        .checksum_seed = zr_device_checksum_seed(name),
        .size_bytes = size_bytes,
        .codec = codec,
        .pool = pool,
        .deferred = deferred,
        .compactor = compactor,
    };
    return zr_slot_table_init(&device->table, pool, deferred, nr_slots_of(size_bytes), limit_bytes,
                              stored, stored_bytes);
}

void zr_device_fini(struct zr_device *device)
{
    zr_slot_table_fini(&device->table);
}

void zr_device_lose(struct zr_device *device)
{
    zr_slot_table_lose(&device->table);
}

// The next part of a range that is done in one step: bytes within one page, or, when nr_slots is
// not 0, whole pages within one leaf.
struct piece {
    uint64_t slot;
    size_t start; // within the page
    size_t bytes;
    size_t nr_slots;
};

static struct piece next_piece(uint64_t offset, uint64_t bytes)
{
    struct piece piece = {.slot = offset / ZR_PAGE_BYTES, .start = offset % ZR_PAGE_BYTES};
    uint64_t in_leaf = ZR_LEAF_SLOTS - piece.slot % ZR_LEAF_SLOTS;

    if (piece.start > 0 || bytes < ZR_PAGE_BYTES) {
        piece.bytes = ZR_PAGE_BYTES - piece.start;
        piece.bytes = bytes < piece.bytes ? bytes : piece.bytes;
    } else {
        piece.nr_slots = bytes / ZR_PAGE_BYTES;
        piece.nr_slots = piece.nr_slots < in_leaf ? piece.nr_slots : in_leaf;
        piece.bytes = piece.nr_slots * ZR_PAGE_BYTES;
    }
    return piece;
}

// Has all cache lines of a word's object on their way before the decoder asks for one after the
// other: what was swapped out lately is in no cache, and a decoder waits for each line.
static void prefetch_object(const struct zr_device *device, uint64_t word)
{
    zr_handle handle = zr_handle_of_word(word);
    const char *object = zr_pool_view(device->pool, handle);
    uint32_t bytes = zr_handle_length_bytes(handle);
    uint32_t i;

    for (i = 0; i < bytes; i += CACHE_LINE_BYTES) {
        __builtin_prefetch(object + i);
    }
}

// The seed differs per slot, so an object reached through the wrong slot fails its check.  It is
// odd, never 0: with seed 0 the CRC of zeros is 0, and lost memory reads as zeros.
static uint32_t seed_of(const struct zr_device *device, uint64_t slot)
{
    return device->checksum_seed + 2 * (uint32_t)slot;
}

// Whether the checksum behind an object is right, or there need not be one.
static bool is_sound(const struct zr_device *device, uint64_t slot, const void *object,
                     size_t bytes)
{
    return device->codec->checksum_bytes == 0 ||
           zr_checksum_holds(object, bytes, seed_of(device, slot)) ||
           (device->codec->may_lack_checksum && zr_checksum_is_none(object, bytes));
}

static int load_from_group(const struct zr_device *device, uint64_t slot, zr_handle handle,
                           void *page)
{
    if (!device->groups || !zr_pool_holds(device->pool, handle)) {
        return -EIO;
    }
    return zr_group_cache_read(device->groups, zr_pool_view(device->pool, handle),
                               zr_log_readable_bytes(device->pool, handle), device->checksum_seed,
                               slot, page);
}

static int load_object(const struct zr_device *device, uint64_t slot, uint64_t word, void *page)
{
    zr_handle handle = zr_handle_of_word(word);
    const void *object = zr_pool_view(device->pool, handle);
    size_t checksum_bytes = device->codec->checksum_bytes;
    size_t bytes = zr_handle_length_bytes(handle) - checksum_bytes;
    struct zr_codec *codec;

    if (zr_slot_word_kind(word) == ZR_SLOT_GROUP) {
        return load_from_group(device, slot, handle, page);
    }
    if (!zr_pool_holds(device->pool, handle) || zr_handle_length_bytes(handle) <= checksum_bytes ||
        !is_sound(device, slot, object, bytes)) {
        return -EIO;
    }
    codec = zr_codec_of_kind(device->codec, zr_slot_word_kind(word));
    if (codec) {
        return zr_codec_decompress(codec, object, bytes, page);
    }
    if (zr_slot_word_kind(word) != ZR_SLOT_HUGE || bytes != ZR_PAGE_BYTES) {
        return -EIO;
    }
    memcpy(page, object, bytes);
    return 0;
}

int zr_device_load_page(struct zr_device *device, uint64_t slot, uint64_t word, void *page)
{
    int rc;

    if (zr_slot_word_kind(word) == ZR_SLOT_SAME) {
        zr_fill_page(page, zr_slot_word_value(word));
        return 0;
    }
    if (word == ZR_SLOT_LOST_WORD) {
        return -EIO; // counted when it was lost
    }
    rc = load_object(device, slot, word, page);
    if (rc < 0) {
        atomic_fetch_add_explicit(&device->nr_corrupt, 1, memory_order_relaxed);
    }
    return rc;
}

// Stores a page in the pool and makes the word for it, which nobody can see yet.  0, -ENOSPC, or
// -EDQUOT: its object is longer than *room_bytes, else less of them are left.
static int make_word(const struct zr_device *device, uint64_t slot, const void *page,
                     uint64_t *room_bytes, uint64_t *word)
{
    const size_t checksum_bytes = device->codec->checksum_bytes;
    enum zr_slot_kind kind = device->codec->ops->kind;
    unsigned char compressed[ZR_CODEC_BOUND_MAX_BYTES];
    const void *object = compressed;
    unsigned char *stored;
    zr_handle handle;
    uint32_t value;
    size_t bytes;
    int rc;

    if (zr_is_same_filled(page, &value)) {
        *word = zr_slot_word_same(value);
        return 0;
    }
    if (*room_bytes == 0) {
        return -EDQUOT;
    }
    bytes = zr_codec_compress(device->codec, page, compressed);
    if (!zr_size_class_saves(&device->pool->classes, bytes + checksum_bytes,
                             (uint32_t)(ZR_PAGE_BYTES + checksum_bytes))) {
        kind = ZR_SLOT_HUGE;
        object = page;
        bytes = ZR_PAGE_BYTES;
    }
    if (bytes + checksum_bytes > *room_bytes) {
        return -EDQUOT;
    }
    rc = zr_pool_alloc(device->pool, (uint32_t)(bytes + checksum_bytes), &handle);
    if (rc == 0) {
        stored = zr_pool_view(device->pool, handle);
        memcpy(stored, object, bytes);
        if (device->codec->without_checksum) {
            zr_checksum_append_none(stored, bytes);
        } else if (checksum_bytes > 0) {
            zr_checksum_append(stored, bytes, seed_of(device, slot));
        }
        *word = zr_slot_word_make(kind, handle);
        *room_bytes -= bytes + checksum_bytes;
    }
    return rc;
}

// Gives a page that was read the form of a new one, if nothing stands against it.  True if word was
// replaced, and its object is to be freed.  Inside the read-side section in which it was loaded.
static bool try_promote(struct zr_device *device, uint64_t slot, uint64_t word, const void *page)
{
    uint64_t room_bytes = zr_slot_table_room_bytes(&device->table, slot, 1);
    uint64_t promoted;

    if (make_word(device, slot, page, &room_bytes, &promoted) < 0) {
        return false;
    }
    if (zr_slot_table_replace(&device->table, slot, word, promoted) < 0) {
        zr_pool_free(device->pool, &promoted, 1); // never published
        return false;
    }
    atomic_fetch_add_explicit(&device->nr_promoted_pages, 1, memory_order_relaxed);
    return true;
}

// A page in a group was read.  Whoever reads it a second time thrashes on it.
static bool count_cold_read(struct zr_device *device, uint64_t slot, uint64_t word,
                            const void *page, bool may_promote)
{
    atomic_fetch_add_explicit(&device->nr_cold_reads, 1, memory_order_relaxed);
    return zr_group_note_read(zr_pool_view(device->pool, zr_handle_of_word(word)), slot) &&
           may_promote && try_promote(device, slot, word, page);
}

static int read_pages(struct zr_device *device, char *buffer, uint64_t slot, size_t nr_slots)
{
    uint64_t replaced[ZR_GROUP_PAGES]; // of one request; the others stay in their groups
    size_t nr_replaced = 0;
    const _Atomic uint64_t *leaf;
    uint64_t word, next;
    size_t i;
    int rc = 0;

    zr_rcu_read_lock();
    leaf = zr_slot_table_leaf(&device->table, slot);
    next = zr_leaf_word(leaf, slot);
    prefetch_object(device, next);
    for (i = 0; i < nr_slots && rc == 0; i++) {
        word = next;
        if (i + 1 < nr_slots) {
            next = zr_leaf_word(leaf, slot + i + 1);
            prefetch_object(device, next);
        }
        rc = zr_device_load_page(device, slot + i, word, buffer + i * ZR_PAGE_BYTES);
        if (rc == 0 && zr_slot_word_kind(word) == ZR_SLOT_GROUP &&
            count_cold_read(device, slot + i, word, buffer + i * ZR_PAGE_BYTES,
                            nr_replaced < ZR_GROUP_PAGES)) {
            replaced[nr_replaced++] = word;
        }
    }
    zr_rcu_read_unlock();
    if (nr_replaced > 0) {
        zr_deferred_free_words(device->deferred, replaced, nr_replaced);
    }
    return rc;
}

static int read_partial_page(struct zr_device *device, void *buffer, const struct piece *piece)
{
    char page[ZR_PAGE_BYTES];
    int rc = read_pages(device, page, piece->slot, 1);

    if (rc == 0) {
        memcpy(buffer, page + piece->start, piece->bytes);
    }
    return rc;
}

// All of the pages or none: the words are made before the first is exchanged.
static int try_write_pages(struct zr_device *device, const char *buffer, uint64_t slot,
                           size_t nr_slots)
{
    uint64_t room_bytes = zr_slot_table_room_bytes(&device->table, slot, nr_slots);
    uint64_t words[ZR_LEAF_SLOTS];
    size_t nr_words;
    int rc = 0;

    for (nr_words = 0; nr_words < nr_slots; nr_words++) {
        // A large write compresses for 0.2 to 0.5 ms.  A read that wants this CPU meanwhile, for a
        // guest that waits, comes first; so does the thread that takes this client's next request.
        if (nr_words > 0 && nr_words % device->codec->ops->yield_pages == 0) {
            sched_yield();
        }
        rc = make_word(device, slot + nr_words, buffer + nr_words * ZR_PAGE_BYTES, &room_bytes,
                       &words[nr_words]);
        if (rc < 0) {
            break;
        }
    }
    if (rc == 0) {
        rc = zr_slot_table_store(&device->table, slot, words, nr_slots);
    }
    if (rc < 0) {
        zr_pool_free(device->pool, words, nr_words); // never published
    }
    return rc;
}

// Replaces bytes of a page by those in buffer, or by zeros if that is NULL.
static int try_write_partial_page(struct zr_device *device, const void *buffer,
                                  const struct piece *piece)
{
    char page[ZR_PAGE_BYTES];
    uint64_t room_bytes, old, word;
    int rc;

    do {
        zr_rcu_read_lock();
        room_bytes = zr_slot_table_room_bytes(&device->table, piece->slot, 1);
        old = zr_leaf_word(zr_slot_table_leaf(&device->table, piece->slot), piece->slot);
        rc = zr_device_load_page(device, piece->slot, old, page);
        if (rc == 0) {
            if (buffer) {
                memcpy(page + piece->start, buffer, piece->bytes);
            } else {
                memset(page + piece->start, 0, piece->bytes);
            }
            rc = make_word(device, piece->slot, page, &room_bytes, &word);
        }
        if (rc == 0 && word != old) {
            rc = zr_slot_table_replace(&device->table, piece->slot, old, word);
            if (rc < 0) {
                zr_pool_free(device->pool, &word, 1); // never published
            }
        } else {
            old = ZR_SLOT_EMPTY; // nothing was replaced
        }
        zr_rcu_read_unlock();
    } while (rc == -EAGAIN);

    if (rc == 0) {
        zr_deferred_free_words(device->deferred, &old, 1);
    }
    return rc;
}

int zr_device_read(struct zr_device *device, void *buffer, uint64_t bytes, uint64_t offset)
{
    char *out = buffer;
    struct piece piece;
    int rc = 0;

    zr_load_count(&device->compactor->load);
    for (; bytes > 0 && rc == 0; offset += piece.bytes, bytes -= piece.bytes, out += piece.bytes) {
        piece = next_piece(offset, bytes);
        if (piece.nr_slots > 0) {
            rc = read_pages(device, out, piece.slot, piece.nr_slots);
        } else {
            rc = read_partial_page(device, out, &piece);
        }
    }
    return rc;
}

static int try_write_piece(struct zr_device *device, const void *buffer, const struct piece *piece)
{
    assert(buffer || piece->nr_slots == 0); // whole pages of zeros are extracted
    if (piece->nr_slots > 0) {
        return try_write_pages(device, buffer, piece->slot, piece->nr_slots);
    }
    return try_write_partial_page(device, buffer, piece);
}

// Writes a piece; buffer NULL stands for zeros, in part of a page.
static int write_piece(struct zr_device *device, const void *buffer, const struct piece *piece)
{
    bool has_gained = true;
    unsigned nr_tries;
    int rc = try_write_piece(device, buffer, piece);

    // Others may take what was made free, so more than one try; and one more after nothing was
    // gained, since the keeper may just have freed what was missing.
    for (nr_tries = 1; nr_tries < MAX_TRIES && rc == -ENOSPC; nr_tries++) {
        has_gained = zr_compactor_reclaim(device->compactor, nr_tries);
        // What a drain gains may be owners in logs, again and again: no memory.
        if (device->demoter && (nr_tries > 1 || !has_gained)) {
            has_gained = zr_demoter_reclaim(device->demoter) || has_gained;
        }
        rc = try_write_piece(device, buffer, piece);
        if (!has_gained) {
            break;
        }
    }
    // Its own limit: only what it trimmed before can help, and no other device is to notice.  What
    // is detached but in nobody's hands yet is of a trim that has not ended: not to be waited for.
    for (has_gained = true; rc == -EDQUOT && has_gained;) {
        has_gained = zr_account_has_detached(&device->table.account) &&
                     zr_deferred_free_drain(device->deferred);
        rc = try_write_piece(device, buffer, piece);
    }
    return rc == -EDQUOT ? -ENOSPC : rc;
}

// Its guest does not expect anything of what was lost any more.
static void begin_anew(struct zr_device *device)
{
    if (zr_slot_table_is_lost(&device->table)) {
        zr_slot_table_heal(&device->table);
    }
}

int zr_device_write(struct zr_device *device, const void *buffer, uint64_t bytes, uint64_t offset)
{
    const char *in = buffer;
    struct piece piece;
    int rc = 0;

    zr_load_count(&device->compactor->load);
    if (offset == 0 && bytes >= ZR_PAGE_BYTES) {
        begin_anew(device);
    }
    for (; bytes > 0 && rc == 0; offset += piece.bytes, bytes -= piece.bytes, in += piece.bytes) {
        piece = next_piece(offset, bytes);
        rc = write_piece(device, in, &piece);
    }
    return rc;
}

static int zero_partial_page(struct zr_device *device, uint64_t offset, uint64_t bytes)
{
    struct piece piece = next_piece(offset, bytes);

    return write_piece(device, NULL, &piece);
}

int zr_device_zero(struct zr_device *device, uint64_t bytes, uint64_t offset)
{
    uint64_t end = offset + bytes;
    uint64_t first_whole = (offset + ZR_PAGE_BYTES - 1) / ZR_PAGE_BYTES;
    uint64_t end_whole;
    int rc = 0;

    if (bytes == device->size_bytes) {
        begin_anew(device);
    }
    // A last page that the device's end cuts off is whole when all of it is zeroed.
    end_whole = end == device->size_bytes ? device->table.nr_slots : end / ZR_PAGE_BYTES;

    if (first_whole < end_whole) {
        zr_slot_table_extract(&device->table, first_whole, end_whole - first_whole);
    }
    if (offset % ZR_PAGE_BYTES != 0) {
        uint64_t head_end = first_whole * ZR_PAGE_BYTES;

        rc = zero_partial_page(device, offset, (end < head_end ? end : head_end) - offset);
    }
    if (rc == 0 && end_whole >= first_whole && end > end_whole * ZR_PAGE_BYTES) {
        rc = zero_partial_page(device, end_whole * ZR_PAGE_BYTES, end - end_whole * ZR_PAGE_BYTES);
    }
    return rc;
}

// Slots from some slot on that are all stored or all holes, within one leaf or one range without
// leaves.
struct run {
    uint64_t end;
    bool is_hole;
    bool is_of_leaf; // its words were read
};

static struct run find_run(const struct zr_device *device, uint64_t slot, uint64_t end)
{
    struct run run = {.end = slot + 1}; // whatever becomes of the leaf meanwhile
    const _Atomic uint64_t *leaf;

    zr_rcu_read_lock();
    leaf = zr_slot_table_leaf(&device->table, slot);
    run.is_of_leaf = leaf != NULL;
    run.is_hole = zr_leaf_word(leaf, slot) == ZR_SLOT_EMPTY;
    if (run.is_of_leaf) {
        while (run.end < end && run.end % ZR_LEAF_SLOTS != 0 &&
               (zr_leaf_word(leaf, run.end) == ZR_SLOT_EMPTY) == run.is_hole) {
            run.end++;
        }
    } else {
        run.end = zr_slot_table_next_used(&device->table, run.end, end);
    }
    zr_rcu_read_unlock();
    return run;
}

int zr_device_extents(struct zr_device *device, uint64_t bytes, uint64_t offset,
                      zr_device_report_extent report, void *opaque)
{
    const uint64_t end = offset + bytes;
    const uint64_t end_slot = (end + ZR_PAGE_BYTES - 1) / ZR_PAGE_BYTES;
    uint64_t slot = offset / ZR_PAGE_BYTES, nr_words = 0, extent_end;
    bool is_hole = false; // of the extent that has begun at offset
    struct run run;
    int rc = 0;

    if (bytes == 0) {
        return 0;
    }
    for (; slot < end_slot && nr_words < MAX_STATUS_WORDS && rc == 0; slot = run.end) {
        run = find_run(device, slot, end_slot);
        nr_words += run.is_of_leaf ? run.end - slot : 0;
        extent_end = slot * ZR_PAGE_BYTES;
        if (run.is_hole != is_hole && extent_end > offset) {
            rc = report(opaque, offset, extent_end - offset, is_hole);
            offset = extent_end;
        }
        is_hole = run.is_hole;
    }
    if (rc == 0) {
        extent_end = slot * ZR_PAGE_BYTES;
        rc = report(opaque, offset, (extent_end < end ? extent_end : end) - offset, is_hole);
    }
    return rc;
}
