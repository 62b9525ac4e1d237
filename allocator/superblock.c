// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "superblock.h"

#include <isa-l/crc.h>
#include <string.h>

static uint32_t crc_of(const void *bytes, size_t nr_bytes, uint32_t seed)
{
    return crc32_iscsi((unsigned char *)(uintptr_t)bytes, (int)nr_bytes, seed);
}

static uint32_t crc_of_copy(const struct zr_superblock *header,
                            const struct zr_export_record *records)
{
    return crc_of(records, header->nr_exports * sizeof *records,
                  crc_of(header, offsetof(struct zr_superblock, crc), 0));
}

const struct zr_export_record *zr_superblock_records(const void *copy)
{
    return (const void *)((const char *)copy + sizeof(struct zr_superblock));
}

enum zr_superblock_state zr_superblock_check(const void *copy)
{
    const struct zr_superblock *header = copy;

    if (header->magic != ZR_SUPERBLOCK_MAGIC) {
        return ZR_SUPERBLOCK_NO_MAGIC;
    }
    if (header->format != ZR_SUPERBLOCK_FORMAT) {
        return ZR_SUPERBLOCK_OTHER_FORMAT;
    }
    if (header->nr_exports > ZR_SUPERBLOCK_MAX_EXPORTS ||
        header->crc != crc_of_copy(header, zr_superblock_records(copy))) {
        return ZR_SUPERBLOCK_DAMAGED;
    }
    return ZR_SUPERBLOCK_SOUND;
}

void zr_superblock_write(void *copy, const struct zr_superblock *header,
                         const struct zr_export_record *records)
{
    struct zr_superblock *to = copy;
    struct zr_superblock from;

    // A kill leaves what was stored so far, so the order of the stores is all that counts: the
    // fences keep the compiler to it.
    atomic_store_explicit(&to->magic, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);

    memcpy(&from, header, sizeof from);
    from.magic = ZR_SUPERBLOCK_MAGIC;
    from.crc = crc_of_copy(&from, records);
    memcpy((char *)copy + sizeof from, records, header->nr_exports * sizeof *records);
    memcpy(&to->format, &from.format,
           offsetof(struct zr_superblock, holder) - offsetof(struct zr_superblock, format));

    atomic_thread_fence(memory_order_seq_cst);
    atomic_store_explicit(&to->magic, ZR_SUPERBLOCK_MAGIC, memory_order_relaxed);
}

void zr_superblock_init(struct zr_superblock *header)
{
    struct zr_size_classes classes;

    memset(header, 0, sizeof *header);
    zr_size_classes_init(&classes);
    header->magic = ZR_SUPERBLOCK_MAGIC;
    header->format = ZR_SUPERBLOCK_FORMAT;
    header->os_page_bytes = ZR_OS_PAGE_BYTES;
    header->span_bytes = ZR_SPAN_BYTES;
    header->record_bytes = sizeof(struct zr_export_record);
    header->data_offset = ZR_DATA_OFFSET;
    header->classes_crc =
        crc_of(classes.object_bytes,
               (zr_size_class_chunk(&classes) + 1) * sizeof classes.object_bytes[0], 0);
}
