// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Documents of statistics: what stats-export=NAME serves on the exports NAME (JSON) and NAME.prom
// (Prometheus text).
#ifndef ZR_STATS_DOCUMENT_H
#define ZR_STATS_DOCUMENT_H

#include "stats-text.h"

#include <stddef.h>

struct zr_stats_document {
    const char *suffix; // of the export's name
    const char *description;
    void (*print)(const struct zr_server_stats *stats, FILE *out);
    struct zr_stats_edition *edition; // the last one made for several clients
};

// The document on the export name; NULL if there is none, or stats_export is NULL.
const struct zr_stats_document *zr_stats_document_find(const char *stats_export, const char *name);

// The document as of now, for the caller to free; no 0 at its end.  0 or -ENOMEM, and nothing to
// free then.
int zr_stats_document_make(const struct zr_stats_document *document, struct zr_server *server,
                           char **text, size_t *text_bytes);

// The same for clients, who may ask in a loop, and each document is a walk of all words: takes a
// tenth of a CPU at most, whoever asks, by a pause after each document.  It is begun after the
// call, and shared with others who wait for it.  Blocks, for up to two documents and pauses.
int zr_stats_document_get(const struct zr_stats_document *document, struct zr_server *server,
                          char **text, size_t *text_bytes);

// Before the server goes: waits for documents that are being made, a second at most, and from then
// on get fails with -ESHUTDOWN.
void zr_stats_documents_end(void);

#endif
