// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Superblock: the format of a store that outlives its server (store=FILE), all that is not derived.
//
//     offset 0   copy A: a header, then a record for each export
//     1 MiB      copy B, the same once more
//     2 MiB      kinds: what objects each span holds, 2 bytes a span, for 16 TiB of spans
//     258 MiB    roots of the exports, each region of whole OS pages
//     1 GiB      the arena; a handle (handle.h) is an offset from here
//
// The file lies on a tmpfs and is sparse: what is not used takes no memory.  It belongs to one
// machine: numbers are in its byte order.
//
// What a root refers to is told by store/slot-table.h and store/slot-word.h: root entry → directory
// → leaf → slot word → object, all by handle.  Bitmaps, lists, counts, accounts: nothing of them is
// kept.  What no root leads to is free, so a server may be killed at any instant, and that is how
// it stops.  A change of any of these, of the classes of sizes or of what is below is another
// format.
//
// Both copies say the same but while they are written: each has no magic then, B is written first,
// and a start repeats what a kill interrupted.  Only a start changes them.
//
// A span's kind is stored before its first object is published and is never cleared: it counts only
// if a handle leads there.
#ifndef ZR_SUPERBLOCK_H
#define ZR_SUPERBLOCK_H

#include "arena.h"
#include "size-class.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define ZR_SUPERBLOCK_MAGIC UINT64_C(0x706177736d61727a) // "zramswap", read as bytes
#define ZR_SUPERBLOCK_FORMAT 1u

#define ZR_SUPERBLOCK_NR_COPIES 2
#define ZR_SUPERBLOCK_COPY_BYTES (UINT64_C(1) << 20)
#define ZR_KINDS_OFFSET (ZR_SUPERBLOCK_NR_COPIES * ZR_SUPERBLOCK_COPY_BYTES)
#define ZR_ARENA_MAX_BYTES (UINT64_C(1) << 44)
#define ZR_KINDS_BYTES ((ZR_ARENA_MAX_BYTES / (UINT64_C(1) << 17)) * sizeof(uint16_t))
#define ZR_ROOTS_OFFSET (ZR_KINDS_OFFSET + ZR_KINDS_BYTES)
#define ZR_DATA_OFFSET (UINT64_C(1) << 30)

// Features: a server refuses a store with one that it does not know.
#define ZR_FEATURE_UNCHECKED 1u // objects whose checksum is 0 were stored without one
#define ZR_FEATURE_GROUPS 2u    // pages may lie in groups (store/group.h), groups in logs (log.h)
#define ZR_FEATURES_KNOWN (ZR_FEATURE_UNCHECKED | ZR_FEATURE_GROUPS)

struct zr_superblock {
    _Atomic uint64_t magic; // 0 while the copy is written
    uint32_t format;
    uint32_t features;
    uint32_t os_page_bytes;
    uint32_t span_bytes;
    uint32_t record_bytes; // of an export
    uint32_t nr_exports;
    uint64_t generation; // one more with each change
    uint64_t data_offset;
    uint64_t arena_bytes; // the file was made so long, behind data_offset
    uint32_t classes_crc; // of the sizes of all classes
    unsigned char uuid[16];
    uint32_t crc; // CRC-32C of all before it, then of the records
    // The process that has the store open: for a message, so not in the crc.
    _Atomic uint32_t holder;
    unsigned char unused[428];
};

#define ZR_ROOT_ENTRY_BYTES (UINT64_C(1) << 30) // of an export, for each entry of its root
#define ZR_EXPORT_MAX_BYTES (UINT64_C(1) << 50)

// An export.  Its root region is a word of state (ZR_EXPORT_LOST or 0), then the root's entries.
struct zr_export_record {
    char name[256]; // "" is the default export; ends in a 0
    unsigned char uuid[16];
    uint64_t size_bytes;
    uint64_t limit_bytes; // as it was at the last start that served it; UINT64_MAX: none
    uint64_t root_offset; // of its region in the file
    uint64_t nr_root_entries;
    uint32_t checksum_seed;
    unsigned char unused[204];
};

// All of the export was lost, and its guest has not begun anew.
#define ZR_EXPORT_LOST 1u

// A span's kind: the bytes of its objects / 16, and whether they are chunks; or that it is of a
// log, where objects have no size in common.  0: never used.
#define ZR_KIND_UNIT_BYTES 16u
#define ZR_KIND_OF_CHUNKS 0x8000u
#define ZR_KIND_OF_LOG 0x4000u

#define ZR_SUPERBLOCK_MAX_EXPORTS                                                                  \
    ((ZR_SUPERBLOCK_COPY_BYTES - sizeof(struct zr_superblock)) / sizeof(struct zr_export_record))

_Static_assert(sizeof(struct zr_superblock) == 512, "on disk");
_Static_assert(offsetof(struct zr_superblock, crc) == 76, "on disk");
_Static_assert(offsetof(struct zr_superblock, holder) == 80, "on disk");
_Static_assert(sizeof(struct zr_export_record) == 512, "on disk");
_Static_assert(offsetof(struct zr_export_record, size_bytes) == 272, "on disk");
_Static_assert(ZR_ROOTS_OFFSET == UINT64_C(258) << 20, "on disk");
_Static_assert(ZR_ROOTS_OFFSET < ZR_DATA_OFFSET, "room for 98 PiB of exports");

// What one copy in memory is to a server of this format, the first that fits.
enum zr_superblock_state {
    ZR_SUPERBLOCK_SOUND,
    ZR_SUPERBLOCK_OTHER_FORMAT,
    ZR_SUPERBLOCK_DAMAGED, // the crc, or more exports than fit
    ZR_SUPERBLOCK_NO_MAGIC,
};

// copy has a header and its records, as far as there may be so many.  Any thread; none of these
// allocates or blocks.
enum zr_superblock_state zr_superblock_check(const void *copy);

// The records of a copy.
const struct zr_export_record *zr_superblock_records(const void *copy);

// Writes a copy, whose memory is taken: header and as many records as it says.  The header's magic
// and crc are filled in here; its holder too, from the copy as it was.
void zr_superblock_write(void *copy, const struct zr_superblock *header,
                         const struct zr_export_record *records);

// What this build stands for.  The rest is zeroed: uuid, generation, features, arena_bytes,
// exports.
void zr_superblock_init(struct zr_superblock *header);

#endif
