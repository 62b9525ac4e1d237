// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "stats-document.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAUSE_FACTOR 9 // after a document, of the CPU time that it took: a tenth of a CPU at most
#define MAX_PAUSE_NS UINT64_C(1000000000)

struct text {
    char *start;
    size_t bytes;
};

// A document that those who asked for it before it was begun share.
struct zr_stats_edition {
    pthread_mutex_t lock;
    pthread_cond_t is_done;
    bool is_being_made, is_over;
    uint64_t nr_begun, nr_done;
    uint64_t next_ns; // when the next may begin
    int rc;           // of the last one
    struct text text;
};

#define EDITION {.lock = PTHREAD_MUTEX_INITIALIZER, .is_done = PTHREAD_COND_INITIALIZER}

static struct zr_stats_edition json = EDITION, prometheus = EDITION;

static const struct zr_stats_document documents[] = {
    {"", "zramswap statistics (JSON)", zr_stats_print_json, &json},
    {".prom", "zramswap statistics (Prometheus text)", zr_stats_print_prometheus, &prometheus},
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

// Not open_memstream: out of memory, glibc's loses text and reports no error.
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

static uint64_t cpu_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
    const struct timespec time = {(time_t)(ns / UINT64_C(1000000000)),
                                  (long)(ns % UINT64_C(1000000000))};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

// Called and returns with the lock, which others get meanwhile: they wait for this one's end.
static void make_edition(const struct zr_stats_document *document, struct zr_server *server)
{
    struct zr_stats_edition *edition = document->edition;
    struct text text = {0};
    uint64_t pause_ns;
    bool is_over;
    int rc;

    edition->is_being_made = true;
    pthread_mutex_unlock(&edition->lock);
    sleep_until(edition->next_ns); // only who makes one uses this
    pthread_mutex_lock(&edition->lock);
    edition->nr_begun++;
    is_over = edition->is_over;
    pthread_mutex_unlock(&edition->lock);

    pause_ns = cpu_ns();
    rc = is_over ? -ESHUTDOWN : zr_stats_document_make(document, server, &text.start, &text.bytes);
    pause_ns = PAUSE_FACTOR * (cpu_ns() - pause_ns);

    pthread_mutex_lock(&edition->lock);
    free(edition->text.start);
    edition->text = text;
    edition->rc = rc;
    edition->next_ns = zr_worker_now_ns() + (pause_ns < MAX_PAUSE_NS ? pause_ns : MAX_PAUSE_NS);
    edition->nr_done = edition->nr_begun;
    edition->is_being_made = false;
    pthread_cond_broadcast(&edition->is_done);
}

void zr_stats_documents_end(void)
{
    size_t i;

    for (i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        struct zr_stats_edition *edition = documents[i].edition;

        pthread_mutex_lock(&edition->lock);
        edition->is_over = true;
        while (edition->is_being_made) {
            pthread_cond_wait(&edition->is_done, &edition->lock);
        }
        pthread_mutex_unlock(&edition->lock);
    }
}

int zr_stats_document_get(const struct zr_stats_document *document, struct zr_server *server,
                          char **text, size_t *text_bytes)
{
    struct zr_stats_edition *edition = document->edition;
    uint64_t wanted;
    int rc;

    pthread_mutex_lock(&edition->lock);
    wanted = edition->nr_begun + 1; // not one that is being made: it may have passed something by
    while (edition->nr_done < wanted) {
        if (edition->is_being_made) {
            pthread_cond_wait(&edition->is_done, &edition->lock);
        } else {
            make_edition(document, server);
        }
    }
    rc = edition->rc;
    if (rc == 0) {
        *text_bytes = edition->text.bytes;
        *text = malloc(*text_bytes);
        rc = *text ? 0 : -ENOMEM;
    }
    if (rc == 0) {
        memcpy(*text, edition->text.start, *text_bytes);
    }
    pthread_mutex_unlock(&edition->lock);
    return rc;
}
