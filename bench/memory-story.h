// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The story that bench-memory tells of a store:
//
//     fill · rewrite 5 × at random · trim a random half, slot by slot · trim on to a random 90 % ·
//     trim all
//
// After each chapter it is looked at at once and 1, 2 and 5 s later, and nobody tells it anything
// meanwhile, unless it is a store that is told to compact at the end of each chapter.
#ifndef ZR_BENCH_MEMORY_STORY_H
#define ZR_BENCH_MEMORY_STORY_H

#include "memory-store.h"

enum { MEMORY_FILL, MEMORY_REWRITE, MEMORY_HALF, MEMORY_MOST, MEMORY_EMPTY, MEMORY_NR_CHAPTERS };

// What the rows are called: work "CHAPTER, SIZE", units by when and of what.
const char *memory_chapter_work(int chapter, uint32_t nr_slots);
#define MEMORY_UNIT_RATIO "× compressed bytes, %u s later"
#define MEMORY_UNIT_MIB "MiB beyond empty, %u s later"

// Names the chapters for the picture; once.
void memory_story_name_chapters(void);

// Adds rows for the store and, if chart is not NULL, curves over the chapters.
void memory_story_tell(struct memory_store *store, const char *chart);

// p99 of reads one at a time, of a full store at rest and right after a random half was trimmed,
// while it compacts.
void memory_story_read_latency(struct memory_store *store, unsigned nr_rounds);

#endif
