// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Small sizes instead of the engine's own, so that full spans, empty ones, full batches and the
// limit come after few requests.
#ifndef ZS_SMALL_H
#define ZS_SMALL_H

#define ZR_SPAN_SHIFT 14
#define ZR_OBJECT_MAX_BYTES 5456u // a third of a span: there is a class for whole pages
#define ZR_EVACUATION_MAX_SPANS 64
#define MIN_CLASS_BYTES 2048u
#define NR_SPARE 2
#define BATCH_WORDS 4u
#define ZR_POOL_OPEN_SPANS 8
#define FREE_BATCH 64
#define FREE_PER_LOCK 2
#define BATCH_SPANS 2
#define RELEASED_PER_CLASS 2
#define PIECE_PAGES 2
#define MAX_SPANS_TRIED 2
#define SLICE_CHUNKS 2
#define ZR_GROUP_PAGES 4u
#define MIN_WASTE_BYTES 512u

#endif
