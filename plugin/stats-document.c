// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "stats-document.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const struct zr_stats_document documents[] = {
    {"", "zramswap statistics (JSON)", zr_stats_print_json},
    {".prom", "zramswap statistics (Prometheus text)", zr_stats_print_prometheus},
};

const struct zr_stats_document *zr_stats_document_find(const char *stats_export, const char *name)
{
    size_t length, i;

    if (!stats_export || strncmp(name, stats_export, strlen(stats_export)) != 0) {
        return NULL;
    }
    length = strlen(stats_export);
    for (i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        if (strcmp(name + length, documents[i].suffix) == 0) {
            return &documents[i];
        }
    }
    return NULL;
}

struct text {
    char *start;
    size_t bytes;
};

static ssize_t append(void *cookie, const char *data, size_t bytes)
{
    struct text *text = cookie;
    char *grown = realloc(text->start, text->bytes + bytes);

    if (!grown) {
        return 0; // an error of the stream
    }
    memcpy(grown + text->bytes, data, bytes);
    text->start = grown;
    text->bytes += bytes;
    return (ssize_t)bytes;
}

// Not open_memstream: glibc's loses text without memory, and does not tell.
static int print_to(struct text *text, const struct zr_stats_document *document,
                    const struct zr_server_stats *stats)
{
    FILE *out = fopencookie(text, "w", (cookie_io_functions_t){.write = append});
    bool has_failed;

    if (!out) {
        return -ENOMEM;
    }
    document->print(stats, out);
    has_failed = ferror(out) != 0;
    has_failed |= fclose(out) != 0;
    return has_failed ? -ENOMEM : 0;
}

int zr_stats_document_make(const struct zr_stats_document *document, struct zr_server *server,
                           char **text, size_t *text_bytes)
{
    struct zr_server_stats stats;
    struct text printed = {0};
    int rc = zr_server_get_all_stats(server, &stats);

    if (rc < 0) {
        return rc;
    }
    rc = print_to(&printed, document, &stats);
    free(stats.devices);
    if (rc < 0) {
        free(printed.start);
        return rc;
    }
    *text = printed.start;
    *text_bytes = printed.bytes;
    return 0;
}
