// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What span size and class spacing cost on the sizes that real pages compress to, and the table of
// classes that is used.  Prints Markdown; docs/size-classes.md is such a run.
//
// Fill waste is what the rounding up to a class and the end of each span cost in a store that is
// full.  Beside it each class that is in use has one span that is not full; what the keeper cannot
// give back of that is half an OS page on average, so many classes are dear in a small store.
#include "bench.h"

#include "store/checksum.h"
#include "store/codec.h"

#include "allocator/size-class.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PAGES 131072u // 512 MiB
#define NR_CODECS 2
#define LAST_PAGE_BYTES 2048.0 // of the span of a class that is not full, lost on average

struct sizes {
    const char *name;
    double nr_pages, sum;
    uint32_t nr[ZR_OBJECT_MAX_BYTES + 1]; // pages by stored bytes, checksum included
};

static struct sizes codecs[NR_CODECS];

static void measure(struct sizes *sizes, const struct zr_codec_ops *ops,
                    const struct bench_pages *pages)
{
    size_t nr = pages->nr_pages < MAX_PAGES ? pages->nr_pages : MAX_PAGES;
    void *context = ops->create(ops->default_level);
    unsigned char object[ZR_CODEC_BOUND_MAX_BYTES];
    size_t i;

    if (!context) {
        bench_die("no memory for a codec context");
    }
    sizes->name = ops->name;
    for (i = 0; i < nr; i++) {
        size_t bytes = ops->compress(context, bench_page(pages, i), object);

        bytes = bytes < ZR_PAGE_BYTES ? bytes : ZR_PAGE_BYTES;
        sizes->nr[bytes + ZR_CHECKSUM_BYTES]++;
        sizes->sum += (double)(bytes + ZR_CHECKSUM_BYTES);
        sizes->nr_pages++;
    }
    ops->destroy(context);
}

// What the pages take in classes of a span size and at least so far apart, over their bytes.
struct cost {
    unsigned nr_classes;
    double waste[NR_CODECS];
};

// The largest class that fits count times and the last one that is far enough below it, as in
// allocator/size-class.c, which has a distance of one unit.
static struct cost cost_of(uint32_t span_bytes, uint32_t distance_bytes)
{
    struct cost cost = {0};
    double taken[NR_CODECS] = {0};
    uint32_t class_bytes = 0, bytes = 1, count;
    unsigned codec;

    for (count = span_bytes / ZR_OBJECT_MIN_BYTES; count >= span_bytes / ZR_OBJECT_MAX_BYTES;
         count--) {
        uint32_t fitting = span_bytes / count & ~15u;

        if (fitting < class_bytes + distance_bytes && fitting < ZR_OBJECT_MAX_BYTES) {
            continue;
        }
        class_bytes = fitting;
        cost.nr_classes++;
        for (; bytes <= class_bytes && bytes <= ZR_OBJECT_MAX_BYTES; bytes++) {
            for (codec = 0; codec < NR_CODECS; codec++) {
                taken[codec] += (double)codecs[codec].nr[bytes] * span_bytes / count;
            }
        }
    }
    for (codec = 0; codec < NR_CODECS; codec++) {
        cost.waste[codec] = taken[codec] / codecs[codec].sum - 1;
    }
    return cost;
}

// The last pages of all classes, over the bytes of a store of so many pages.
static double last_pages(const struct cost *cost, unsigned codec, double nr_pages)
{
    return cost->nr_classes * LAST_PAGE_BYTES /
           (codecs[codec].sum / codecs[codec].nr_pages * nr_pages);
}

static void print_choices(void)
{
    static const uint32_t spans[] = {32u << 10, 64u << 10, 128u << 10, 256u << 10};
    static const uint32_t distances[] = {16, 32, 64, 128};
    unsigned span, distance;

    printf("| span, KiB | classes at least so far apart, bytes | classes | fill waste lz4, %% | "
           "zstd, %% |"
           " with their last pages at 64 MiB stored, lz4 | zstd | at 1 GiB, lz4 | zstd |\n"
           "| --: | --: | --: | --: | --: | --: | --: | --: | --: |\n");
    for (span = 0; span < sizeof spans / sizeof spans[0]; span++) {
        for (distance = 0; distance < sizeof distances / sizeof distances[0]; distance++) {
            struct cost cost = cost_of(spans[span], distances[distance]);
            bool is_used = spans[span] == ZR_SPAN_BYTES && distances[distance] == 16;
            const char *bold = is_used ? "**" : "";
            unsigned codec;

            printf("| %s%u%s | %u | %u", bold, spans[span] >> 10, bold, distances[distance],
                   cost.nr_classes);
            for (codec = 0; codec < NR_CODECS; codec++) {
                printf(" | %.2f", cost.waste[codec] * 100);
            }
            for (codec = 0; codec < NR_CODECS; codec++) {
                printf(" | %.2f", (cost.waste[codec] + last_pages(&cost, codec, 16384)) * 100);
            }
            for (codec = 0; codec < NR_CODECS; codec++) {
                printf(" | %.2f", (cost.waste[codec] + last_pages(&cost, codec, 262144)) * 100);
            }
            printf(" |\n");
        }
    }
}

// What it would cost to store pages raw already when they compress to more than a threshold.
static void print_thresholds(void)
{
    static const uint32_t thresholds[] = {2048, 3072, 3584, 3840, 3968, 4096};
    unsigned i, codec;
    uint32_t bytes;

    printf("\n| raw above, bytes | raw pages lz4, %% | memory lz4, × | raw pages zstd, %% | memory "
           "zstd, × |\n"
           "| --: | --: | --: | --: | --: |\n");
    for (i = 0; i < sizeof thresholds / sizeof thresholds[0]; i++) {
        printf("| %u", thresholds[i]);
        for (codec = 0; codec < NR_CODECS; codec++) {
            double nr_raw = 0, more = 0;

            for (bytes = thresholds[i] + 1; bytes <= ZR_OBJECT_MAX_BYTES; bytes++) {
                nr_raw += codecs[codec].nr[bytes];
                more += (double)codecs[codec].nr[bytes] * (ZR_PAGE_BYTES + ZR_CHECKSUM_BYTES) -
                        (double)codecs[codec].nr[bytes] * bytes;
            }
            printf(" | %.3f | %.4f", nr_raw * 100 / codecs[codec].nr_pages,
                   1 + more / codecs[codec].sum);
        }
        printf(" |\n");
    }
}

static void print_classes(void)
{
    struct zr_size_classes classes;
    uint32_t class_nr, bytes = 1;

    zr_size_classes_init(&classes);
    printf("\n| class | bytes | objects a span | end of a span, bytes | pages lz4, %% | waste of "
           "them, %% |"
           " pages zstd, %% | waste of them, %% |\n"
           "| --: | --: | --: | --: | --: | --: | --: | --: |\n");
    for (class_nr = 0; class_nr < zr_size_class_chunk(&classes); class_nr++) {
        uint32_t class_bytes = classes.object_bytes[class_nr];
        uint32_t count = ZR_SPAN_BYTES / class_bytes;
        double nr[NR_CODECS] = {0}, sum[NR_CODECS] = {0};
        unsigned codec;

        for (; bytes <= class_bytes && bytes <= ZR_OBJECT_MAX_BYTES; bytes++) {
            for (codec = 0; codec < NR_CODECS; codec++) {
                nr[codec] += codecs[codec].nr[bytes];
                sum[codec] += (double)codecs[codec].nr[bytes] * bytes;
            }
        }
        printf("| %u | %u | %u | %u", class_nr, class_bytes, count,
               ZR_SPAN_BYTES - count * class_bytes);
        for (codec = 0; codec < NR_CODECS; codec++) {
            printf(" | %.2f | %.2f", nr[codec] * 100 / codecs[codec].nr_pages,
                   nr[codec] > 0 ? (nr[codec] * ZR_SPAN_BYTES / count / sum[codec] - 1) * 100 : 0);
        }
        printf(" |\n");
    }
}

int main(int argc, char *argv[])
{
    struct bench_pages pages;
    unsigned codec;

    if (argc != 3 || strcmp(argv[1], "--pages") != 0) {
        fprintf(stderr, "usage: bench-classes --pages FILE\n");
        return 2;
    }
    bench_pages_load(&pages, argv[2]);
    for (codec = 0; codec < NR_CODECS; codec++) {
        bench_progress("classes: compressing with %s", zr_codecs[codec]->name);
        measure(&codecs[codec], zr_codecs[codec], &pages);
    }
    print_choices();
    print_thresholds();
    print_classes();
    return 0;
}
