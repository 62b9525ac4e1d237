// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Store file: opens the file of a store (superblock.h), for this server alone, or makes a new one;
// keeps its records of exports.
//
// A file that does not fit in any way is refused and left as it is.  A new store is an unnamed file
// until its first commit: so a file with a name is always whole, and a start that fails leaves
// nothing behind.
//
// On failure a function returns -errno and writes one line without its end, which names the file
// and what is wrong, into why, ZR_STORE_WHY_BYTES long.
//
// Threads: one, before any request; set_holder too.
#ifndef ZR_STORE_FILE_H
#define ZR_STORE_FILE_H

#include "arena.h"
#include "superblock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZR_STORE_WHY_BYTES 512

struct zr_store_file {
    char *path;
    int fd;
    bool is_new;                      // has no name yet
    struct zr_arena metadata;         // what is before the arena
    struct zr_superblock header;      // what commit writes
    struct zr_export_record *records; // header.nr_exports of them
    // As the file had them when it was opened.  Until a commit they count, so their roots stay.
    struct zr_export_record *opened;
    uint32_t nr_opened;
    bool is_changed; // since the last commit, or the copies differ
};

// Opens it or makes it.  Blocks for a second if another server has it: one that was killed may not
// be gone yet.  Allocates.
int zr_store_file_open(struct zr_store_file *store, const char *path, char *why);

// Closes it; nothing is written.
void zr_store_file_close(struct zr_store_file *store);

// NULL if there is none of that name.  Valid until the next call of add or drop.
struct zr_export_record *zr_store_file_find(struct zr_store_file *store, const char *name);

// A new export with an empty root.  -ENOSPC: the tmpfs is full; -E2BIG: the store is.
int zr_store_file_add(struct zr_store_file *store, const char *name, uint64_t size_bytes,
                      uint64_t nr_root_entries, uint32_t checksum_seed, char *why);

// Makes its root larger: it is moved, unless there is room.
int zr_store_file_grow(struct zr_store_file *store, struct zr_export_record *record,
                       uint64_t size_bytes, uint64_t nr_root_entries, char *why);

// Its memory is free when the store is recovered.
void zr_store_file_drop(struct zr_store_file *store, const char *name);

// The root region of an export, mapped: its word of state.
_Atomic uint64_t *zr_store_file_root(const struct zr_store_file *store,
                                     const struct zr_export_record *record);

_Atomic uint16_t *zr_store_file_kinds(const struct zr_store_file *store);

// Writes what was changed, and gives a new store its name.
int zr_store_file_commit(struct zr_store_file *store, char *why);

// This process, for the message of a second server: after a fork once more.
void zr_store_file_set_holder(struct zr_store_file *store);

#endif
