// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "workload.h"
#include "fake-codec.h"
#include "small-store.h"

#include <stdio.h>
#include <string.h>

const char *const zs_kind_names[ZS_NR_KINDS] = {
    "write",     "write-part", "zero",    "read", "extents", "count",  "keeper",
    "compactor", "pass",       "reclaim", "ager", "drain",   "demote", "clean",
};

// What is drawn from: the workload's own taste.
struct taste {
    uint64_t rng;
    unsigned weight[ZS_NR_KINDS];
    unsigned favourite_sort;
    unsigned whole_trims; // of 8 trims, those of a leaf or more
};

static unsigned below(struct taste *taste, unsigned end)
{
    return zs_below(&taste->rng, end);
}

static void choose_taste(struct taste *taste)
{
    static const unsigned usual[ZS_NR_KINDS] = {8, 2, 4, 5, 1, 1, 8, 4, 4, 2, 2, 4, 8, 4};
    static const unsigned factor[8] = {0, 1, 1, 1, 1, 2, 4, 8};
    unsigned i;

    for (i = 0; i < ZS_NR_KINDS; i++) {
        taste->weight[i] = usual[i] * factor[below(taste, 8)];
    }
    taste->weight[ZS_WRITE] += 2; // never none
    taste->weight[ZS_DRAIN] += 1;
    taste->favourite_sort = below(taste, ZS_NR_SORTS);
    taste->whole_trims = below(taste, 9);
}

// A kind of [first, end), by weight.
static enum zs_kind draw(struct taste *taste, enum zs_kind first, enum zs_kind end)
{
    unsigned sum = 0, i, roll;

    for (i = first; i < end; i++) {
        sum += taste->weight[i];
    }
    roll = below(taste, sum);
    for (i = first; roll >= taste->weight[i]; i++) {
        roll -= taste->weight[i];
    }
    return (enum zs_kind)i;
}

static unsigned random_sort(struct taste *taste)
{
    unsigned roll = below(taste, 10);

    return roll < 5 ? taste->favourite_sort : roll == 5 ? ZS_SORT_SAME : below(taste, ZS_NR_SORTS);
}

static struct zs_op random_zero(struct taste *taste, const struct zs_page *page)
{
    uint64_t leaf = page->slot / ZR_LEAF_SLOTS * ZR_LEAF_SLOTS, nr_slots;
    uint64_t first = page->slot, end = first + 1, head = 0, tail = 0;

    if (below(taste, 8) < taste->whole_trims) {
        switch (below(taste, 4)) {
        case 0: // a directory, or a device
            first = leaf / ZS_GIB_SLOTS * ZS_GIB_SLOTS;
            end = first + ZS_GIB_SLOTS;
            break;
        case 1: // what is left of the leaf, and the next
            end = leaf + 2 * ZR_LEAF_SLOTS;
            break;
        default: // a leaf
            first = leaf;
            end = leaf + ZR_LEAF_SLOTS;
        }
    } else if (below(taste, 4) == 0) { // parts of pages at both ends
        end += below(taste, 3);
        head = below(taste, ZS_BLOCKS);
        tail = below(taste, ZS_BLOCKS - (unsigned)(end == first + 1 ? head : 0));
    } else {
        end += below(taste, 4) / 2;
    }
    nr_slots = zs_device_bytes[page->device] / ZR_PAGE_BYTES;
    end = end < nr_slots ? end : nr_slots;
    return (struct zs_op){ZS_ZERO, page->device, first * ZR_PAGE_BYTES + head * ZS_BLOCK_BYTES,
                          (end - first) * ZR_PAGE_BYTES - (head + tail) * ZS_BLOCK_BYTES, 0};
}

static struct zs_op random_request(struct taste *taste, const struct zs_workload *work)
{
    unsigned nr = below(taste, work->nr_pages), most = 1 + below(taste, 4), start;
    const struct zs_page *page = &work->pages[nr], *last = page;
    struct zs_op op = {draw(taste, ZS_WRITE, ZS_COUNT), page->device, page->slot * ZR_PAGE_BYTES,
                       ZR_PAGE_BYTES, 0};

    while (last + 1 < work->pages + work->nr_pages && last < page + most - 1 &&
           last[1].device == page->device && last[1].slot == last->slot + 1) {
        last++;
    }
    switch (op.kind) {
    case ZS_WRITE:
        op.bytes = (last->slot + 1 - page->slot) * ZR_PAGE_BYTES;
        op.arg = random_sort(taste);
        break;
    case ZS_WRITE_PART:
        start = below(taste, ZS_BLOCKS - 1);
        op.offset += start * ZS_BLOCK_BYTES;
        op.bytes = (1 + below(taste, ZS_BLOCKS - 1 - start)) * ZS_BLOCK_BYTES;
        op.arg = random_sort(taste);
        break;
    case ZS_ZERO:
        return random_zero(taste, page);
    case ZS_READ:
        start = below(taste, 4) ? 0 : below(taste, ZS_BLOCKS) * ZS_BLOCK_BYTES;
        op.offset += start;
        op.bytes = (last->slot + 1 - page->slot) * ZR_PAGE_BYTES - start;
        break;
    default:
        op.bytes = 16 * ZR_PAGE_BYTES;
        op.offset = page->slot / ZR_LEAF_SLOTS * ZR_LEAF_SLOTS * ZR_PAGE_BYTES;
    }
    return op;
}

// Who does background work, and which.
static const struct {
    const char *name;
    enum zs_kind first, end;
} others[] = {{"keeper", ZS_KEEPER, ZS_COMPACTOR}, {"compactor", ZS_COMPACTOR, ZS_RECLAIM},
              {"ager", ZS_AGER, ZS_DRAIN},         {"drainer", ZS_DRAIN, ZS_DEMOTE},
              {"reclaimer", ZS_RECLAIM, ZS_AGER},  {"statistics", ZS_COUNT, ZS_KEEPER},
              {"demoter", ZS_DEMOTE, ZS_NR_KINDS}};
#define NR_OTHERS (sizeof others / sizeof *others)

static struct zs_op random_background(struct taste *taste, enum zs_kind first, enum zs_kind end)
{
    struct zs_op op = {.kind = draw(taste, first, end)};

    switch (op.kind) {
    case ZS_KEEPER: // at the end of a window, or not
        op.arg = below(taste, 3) ? 260 : 0;
        break;
    case ZS_COMPACTOR:
        op.arg = below(taste, 2) * 30;
        break;
    case ZS_PASS:
        op.arg = below(taste, 3);
        break;
    case ZS_RECLAIM:
        op.arg = 1 + below(taste, 2);
        break;
    case ZS_DEMOTE: // what was not written since the ager came by, or all; then to the span's end
        op.arg = (below(taste, 4) == 0) + 2 * below(taste, 2);
        break;
    case ZS_CLEAN: // as a writer who waits, or not
        op.arg = below(taste, 2);
        break;
    default:
        break;
    }
    return op;
}

static void choose_pages(struct taste *taste, struct zs_workload *work)
{
    static const struct zs_page leaves[] = {{0, 0}, {0, 512}, {0, 1024}, {0, ZS_GIB_SLOTS},
                                            {1, 0}, {1, 512}};
    unsigned nr_leaves = 1 + below(taste, below(taste, 2) ? 2 : 6);
    unsigned nr_slots =
        1 + below(taste, ZS_MAX_PAGES / nr_leaves < 6 ? ZS_MAX_PAGES / nr_leaves : 6);
    unsigned first = below(taste, 6), from_leaf_before = below(taste, 4) == 0, i, j;

    for (i = 0; i < nr_leaves; i++) {
        const struct zs_page *leaf = &leaves[(first + i) % 6];

        for (j = 0; j < nr_slots; j++) {
            work->pages[work->nr_pages++] = (struct zs_page){
                leaf->device, leaf->slot + j - (from_leaf_before && leaf->slot > 0)};
        }
    }
}

static void add(struct zs_list *list, struct zs_op op)
{
    list->ops[list->nr_ops++] = op;
}

static void choose_before(struct taste *taste, struct zs_workload *work)
{
    unsigned i;

    work->before.name = "before";
    for (i = below(taste, ZS_MAX_OPS - 5); i > 0; i--) {
        add(&work->before, below(taste, 4) ? random_request(taste, work)
                                           : random_background(taste, ZS_KEEPER, ZS_NR_KINDS));
    }
    if (below(taste, 2)) { // what is cold, in a span of which something is lost
        add(&work->before, (struct zs_op){.kind = ZS_DEMOTE, .arg = 2});
        for (i = below(taste, 3); i > 0; i--) {
            add(&work->before, random_request(taste, work));
        }
    }
    for (i = below(taste, 4); i < 2; i++) { // what is quiet
        add(&work->before, (struct zs_op){.kind = ZS_KEEPER, .arg = 260});
    }
}

void zs_workload_make(struct zs_workload *work, uint64_t seed, bool is_small)
{
    static const char *const guests[] = {"guest1", "guest2", "guest3", "guest4"};
    struct taste taste = {.rng = seed * 2 + 1};
    bool is_there[NR_OTHERS] = {false}; // each is one thread at most
    unsigned nr_guests, nr_others, i, j;

    memset(work, 0, sizeof *work);
    choose_taste(&taste);
    work->limit_spans = 4 + below(&taste, 10);
    work->account_limit = below(&taste, 3) ? UINT64_MAX : 3000 + below(&taste, 12000);
    work->nr_cpus = 1 + below(&taste, 2);
    choose_pages(&taste, work);
    choose_before(&taste, work);
    nr_guests = 1 + below(&taste, is_small ? 2 : 4);
    for (i = 0; i < nr_guests; i++) {
        struct zs_list *list = &work->threads[work->nr_threads++];

        list->name = guests[i];
        for (j = 1 + below(&taste, is_small ? 2 : 5); j > 0; j--) {
            add(list, random_request(&taste, work));
        }
    }
    nr_others =
        is_small ? (nr_guests == 1) + below(&taste, 2) : below(&taste, 4) + below(&taste, 2);
    for (i = 0; i < nr_others; i++) {
        struct zs_list *list = &work->threads[work->nr_threads];
        enum zs_kind kind = draw(&taste, ZS_COUNT, ZS_NR_KINDS);
        unsigned who = 0;

        while (kind < others[who].first || kind >= others[who].end) {
            who++;
        }
        if (is_there[who]) {
            continue;
        }
        is_there[who] = true;
        work->nr_threads++;
        list->name = others[who].name;
        for (j = 1 + below(&taste, is_small ? 1 : 3); j > 0; j--) {
            add(list, random_background(&taste, others[who].first, others[who].end));
        }
    }
}

static void print_list(const struct zs_list *list)
{
    unsigned i;

    for (i = 0; i < list->nr_ops; i++) {
        const struct zs_op *op = &list->ops[i];

        printf("  %-9s %s", i ? "" : list->name, zs_kind_names[op->kind]);
        if (op->kind < ZS_COUNT) {
            printf(" device %u, slot %lu+%lu, %lu bytes", op->device,
                   (unsigned long)(op->offset / ZR_PAGE_BYTES),
                   (unsigned long)(op->offset % ZR_PAGE_BYTES), (unsigned long)op->bytes);
        }
        printf(op->kind == ZS_WRITE || op->kind == ZS_WRITE_PART ? ", sort %u\n" : " (%u)\n",
               op->arg);
    }
}

void zs_workload_print(const struct zs_workload *work)
{
    unsigned i;

    printf("  limit %u spans, device 1 may hold %ld bytes, %u CPUs\n", work->limit_spans,
           (long)work->account_limit, work->nr_cpus);
    print_list(&work->before);
    for (i = 0; i < work->nr_threads; i++) {
        print_list(&work->threads[i]);
    }
}
