// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Objects of the log: no more owners are freed than there are, and the last one not while a thread
// is in the read-side section in which it came to the object.  An object without owners stays as it
// is, since the cleaner steps over it; when no object of a span has any, all of it is poisoned.
#include "thread.h"

#include "allocator/log.h"

#include <string.h>

#define POISON 0xdb
#define MAX_OBJECTS 256 // of a run

static struct log_object {
    size_t start, end;
    uint32_t nr_owners, owned_bytes;
    struct {
        uint64_t run, section;
    } views[ZS_MAX_THREADS]; // the last
} objects[MAX_OBJECTS];
static unsigned nr_objects;

void zs_forget_log_objects(void)
{
    nr_objects = 0;
}

// The last that was made there: a span may be used again.
static struct log_object *find(size_t start)
{
    unsigned i = nr_objects;

    while (i-- > 0) {
        if (objects[i].start == start) {
            return &objects[i];
        }
    }
    return NULL;
}

bool zs_log_is_used(size_t start, size_t end)
{
    unsigned i;

    for (i = 0; i < nr_objects; i++) {
        if (objects[i].nr_owners > 0 && objects[i].start < end && objects[i].end > start) {
            return true;
        }
    }
    return false;
}

void zs_log_viewed(uint64_t bits)
{
    zr_handle handle = {bits};
    struct log_object *object;
    unsigned i;

    if (!zs_current || !zr_span_is_log(zr_pool_span_of(zs_pool, handle))) {
        return;
    }
    object = find(zr_handle_offset_bytes(handle));
    // The cleaner, which knows no share, looks at what has no owners too.
    if (object && zs_current->nesting > 0 && zr_handle_length_bytes(handle) > 1) {
        i = zs_current_nr();
        object->views[i].run = zs_run_number;
        object->views[i].section = zs_current->nr_sections;
    }
}

static void check_views(const struct log_object *object)
{
    unsigned i;

    for (i = 0; zs_current && i < zs_nr_threads; i++) {
        if (object->views[i].run == zs_run_number && zs_threads[i].nesting > 0 &&
            zs_threads[i].nr_sections == object->views[i].section) {
            zs_fail("the last owner freed while %s may still read the object", zs_threads[i].name);
        }
    }
}

void zs_log_frees_owner(zr_handle handle)
{
    struct log_object *object = find(zr_handle_offset_bytes(handle));
    struct zr_span *span = zr_pool_span_of(zs_pool, handle);
    size_t base = zr_pool_span_index(zs_pool, span) << ZR_SPAN_SHIFT;

    if (!object || object->nr_owners == 0 || object->owned_bytes < zr_handle_length_bytes(handle)) {
        zs_fail("owner freed that there is not: %lx", (unsigned long)handle.bits);
    }
    object->nr_owners--;
    object->owned_bytes -= zr_handle_length_bytes(handle);
    if (object->nr_owners == 0) {
        check_views(object);
    }
    if (object->nr_owners == 0 && object->owned_bytes > 0) {
        zs_fail("the last owner of an object had less than was left");
    }
    if (!zr_span_is_isolated(span) && !zs_log_is_used(base, base + ZR_SPAN_BYTES)) {
        memset(zs_pool->arena.base + base, POISON, ZR_SPAN_BYTES);
    }
}

// ---- Linked in place of the log's call (--wrap)

int __real_zr_log_append(struct zr_log *, uint32_t, uint32_t, uint32_t, bool, uint64_t *);
int __wrap_zr_log_append(struct zr_log *, uint32_t, uint32_t, uint32_t, bool, uint64_t *);

int __wrap_zr_log_append(struct zr_log *log, uint32_t bytes, uint32_t nr_owners,
                         uint32_t owned_bytes, bool may_use_spare, uint64_t *offset)
{
    int rc = __real_zr_log_append(log, bytes, nr_owners, owned_bytes, may_use_spare, offset);

    if (rc < 0) {
        return rc;
    }
    if (nr_objects == MAX_OBJECTS) {
        zs_fail("too many objects in logs");
    }
    if (zs_log_is_used(*offset, *offset + bytes)) {
        zs_fail("an object of a log over another one");
    }
    objects[nr_objects++] = (struct log_object){
        .start = *offset,
        .end = *offset + bytes,
        .nr_owners = nr_owners,
        .owned_bytes = owned_bytes,
    };
    zs_check_backed(zr_handle_make(*offset, bytes < ZR_CHUNK_BYTES ? bytes : ZR_CHUNK_BYTES));
    if (zs_current && zs_schedule.is_weak) {
        zs_note_made(zr_handle_make(*offset, 1).bits);
    }
    return 0;
}
