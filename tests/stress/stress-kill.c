// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// kill -9 at any instant: a server with a store on a tmpfs is killed under load, in the pause after
// it, or while it starts, and started again with other parameters, hundreds of times.  After each
// kill every page of every export is read and must be what was acknowledged, or, while a request
// was under way, that or what the request makes of it; what the statistics say is stored must be
// just that; and nothing may leak.
//
// Before half of the starts, all pages have become as old as if their servers had run for longer:
// so these servers begin to demote pages at once, and go on beside a load with pauses.
//
// Exports:
//     ""       pages of every sort, and parts of them; grows
//     raw      pages whose length is known, so that its account is; reaches its limit
//     wide     few pages around each GiB, under several directories; grows over a GiB
//     overlap  requests that overlap: every sector must be explained by an order of them
//     (history.h)
//
// The seed replays the requests of each thread and what each round is; not when a kill comes.
#include "durable-disk.h"
#include "history.h"
#include "plugin/server.h"
#include "tests/protocol/content.h"
#include "tests/protocol/expect.h"
#include "tests/protocol/server.h"
#include "tests/protocol/stats.h"
#include "tests/protocol/tmpfs.h"

#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#define NR_DISKS 3
#define NR_OVERLAPPING 3 // connections
#define NR_WORKERS (NR_DISKS * DURABLE_SLOTS + NR_OVERLAPPING)

#define LEAF_BYTES (2 * MiB)
#define MAX_REQUEST_BYTES LEAF_BYTES
#define PLAIN_BYTES (3 * MiB + 5000)
#define PLAIN_MAX_BYTES (5 * MiB)
#define RAW_DISK_BYTES (3 * MiB)
#define RAW_LIMIT_BYTES (1 * MiB)
#define WIDE_BYTES (2 * GiB + 256 * KiB)
#define WIDE_MAX_BYTES (3 * GiB + 256 * KiB)
#define OVERLAP_BYTES (4 * MiB + 20992) // three leaves, five pages and a sector
#define ROOM_BYTES (256 * MiB)          // of the tmpfs
// What the file has beside the memory that the statistics know: superblocks, kinds, roots.
#define METADATA_BYTES (256 * KiB)
#define START_ROOM_BYTES (64 * KiB) // what a start may need: an export grows
#define EMPTY_BYTES (1 * MiB)       // what is set aside when nothing is stored

#define WALKS_TO_COLD 4 // of the ager, until a page is what cold=1 calls cold
#define CALM_PAUSE_US (25000 * NR_WORKERS / 12) // a server is busy at a thousand requests a second

#define GRACE_NS UINT64_C(60000000000) // until that was tried, on a slow machine

#define ROUNDS_PER_STORE 40
#define ROUNDS_PER_SWEEP 10 // trims all and looks whether anything is left

enum { PLAIN, RAW, WIDE };

struct worker {
    struct durable_disk *disk; // NULL: the one with requests that overlap
    unsigned slot;             // of the disk
    pthread_t thread;
    struct nbd_handle *nbd;
    struct history_log log;
    uint64_t seed;
    uint8_t data[MAX_REQUEST_BYTES];
};

static struct durable_disk disks[NR_DISKS];
static struct history_disk overlap;
static struct worker workers[NR_WORKERS];
static char store[64];

// What a round is like.
static unsigned nr_requests;     // of each worker, then it pauses
static unsigned pause_us;        // of each worker, between its requests
static unsigned percent[4];      // of reads, writes, zeros, trims
static bool is_served[NR_DISKS]; // on the command line

static atomic_bool is_killing;
static _Atomic uint64_t nr_acknowledged, nr_refused, nr_limited;
static uint64_t nr_kills, nr_kills_in_start, nr_rounds, nr_compacted, nr_sweeps;
static uint64_t nr_compared, nr_old, nr_new; // pages of the stores that are gone
static uint64_t nr_found_cold;               // pages in groups that a start found, summed up
static uint64_t nr_demoting;                 // kills of servers that had demoted
static uint64_t nr_demoted, nr_cleaned, nr_promoted; // seen before such a kill

// ---- Requests
// ------------------------------------------------------------------------------------

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

// Few are long.
static uint64_t random_nr_pages(void)
{
    uint64_t most = random_below(4) ? 8 : random_below(8) ? 64 : MAX_REQUEST_BYTES / PAGE_BYTES;

    return 1 + random_below(most);
}

// Whole pages or any bytes, in a window.
static void place(const struct durable_disk *disk, bool is_whole, struct durable_request *request)
{
    const struct durable_window *window = &disk->windows[random_below(disk->nr_windows)];
    uint64_t bytes = window->end - window->start;

    if (is_whole) {
        request->offset = window->start + random_below(bytes / PAGE_BYTES) * PAGE_BYTES;
        request->bytes = random_nr_pages() * PAGE_BYTES;
    } else {
        request->offset = window->start + random_below(bytes);
        request->bytes = 1 + random_below(3 * PAGE_BYTES);
    }
    request->bytes = smaller(request->bytes, window->end - request->offset);
}

// What it lies in: a leaf, a directory, all.
static void widen(struct durable_request *request)
{
    uint64_t unit = random_below(8) ? LEAF_BYTES : random_below(2) ? GiB : TiB;

    request->offset = request->offset / unit * unit;
    request->bytes = unit;
}

static enum durable_kind random_kind(void)
{
    uint64_t dice = random_below(100);
    unsigned kind = 0;

    while (dice >= percent[kind]) {
        dice -= percent[kind++];
    }
    return (enum durable_kind)kind;
}

static struct durable_request make_request(const struct durable_disk *disk, uint8_t *data)
{
    struct durable_request request = {.kind = random_kind(), .data = data};
    // Parts of a raw page may make it one that compresses.
    bool is_whole = disk == &disks[RAW] || random_below(4) > 0;

    do { // the last page may lie behind the disk's end by now
        place(disk, is_whole, &request);
    } while (request.offset >= disk->size);
    if (request.kind >= DURABLE_ZERO && random_below(12) == 0) {
        widen(&request);
    }
    request.bytes = smaller(request.bytes, disk->size - request.offset);
    if (request.kind == DURABLE_WRITE && disk == &disks[RAW]) {
        for (uint64_t at = 0; at < request.bytes; at += PAGE_BYTES) {
            content_fill(data + at, PAGE_BYTES,
                         random_below(8)   ? CONTENT_RANDOM
                         : random_below(2) ? CONTENT_SAME
                                           : CONTENT_ZERO);
        }
    } else if (request.kind == DURABLE_WRITE) {
        content_fill(data, request.bytes, CONTENT_MIXED);
    }
    return request;
}

static int send_request(struct nbd_handle *nbd, const struct durable_request *request)
{
    switch (request->kind) {
    case DURABLE_READ:
        return nbd_pread(nbd, request->data, request->bytes, request->offset, 0);
    case DURABLE_WRITE:
        return nbd_pwrite(nbd, request->data, request->bytes, request->offset, 0);
    case DURABLE_ZERO:
        return nbd_zero(nbd, request->bytes, request->offset, 0);
    default:
        return nbd_trim(nbd, request->bytes, request->offset, 0);
    }
}

// Without memory, a write may be refused, and a zero or trim of part of a page.
static bool may_be_refused(const struct durable_disk *disk, const struct durable_request *request)
{
    uint64_t end = request->offset + request->bytes;

    if (request->kind == DURABLE_READ) {
        return false;
    }
    return request->kind == DURABLE_WRITE || request->offset % PAGE_BYTES > 0 ||
           (end % PAGE_BYTES > 0 && end < disk->size);
}

static void expect_killed(const struct nbd_handle *nbd, const char *what)
{
    if (!is_killing || nbd_aio_is_ready((struct nbd_handle *)nbd)) {
        FAIL("%s: %s; the server says:\n%s", what, nbd_get_error(), server_take_messages());
    }
}

static void *work(void *arg)
{
    static const char *const names[] = {"read", "write", "zero", "trim"};
    struct worker *worker = arg;
    struct durable_request request;
    char what[128];

    random_seed(worker->seed);
    for (unsigned i = 0; i < nr_requests; i++) {
        usleep(pause_us);
        request = make_request(worker->disk, worker->data);
        if (!durable_begin(worker->disk, worker->slot, &request)) {
            break;
        }
        if (send_request(worker->nbd, &request) == 0) {
            durable_end(worker->disk, worker->slot);
            nr_acknowledged++;
        } else if (nbd_get_errno() == ENOSPC && nbd_aio_is_ready(worker->nbd) &&
                   may_be_refused(worker->disk, &request)) {
            nr_refused++;
            nr_limited += worker->disk == &disks[RAW];
            if (!durable_refused(worker->disk, worker->slot, worker->nbd)) {
                break;
            }
        } else {
            snprintf(what, sizeof what, "export \"%s\", %s of %" PRIu64 " bytes at %" PRIu64,
                     worker->disk->name, names[request.kind], request.bytes, request.offset);
            expect_killed(worker->nbd, what);
            break; // it stays under way
        }
    }
    return NULL;
}

static int send_op(struct worker *worker, const struct op *op)
{
    static const enum durable_kind kinds[] = {
        [OP_READ] = DURABLE_READ,
        [OP_WRITE] = DURABLE_WRITE,
        [OP_ZERO] = DURABLE_ZERO,
        [OP_TRIM] = DURABLE_TRIM,
    };

    return send_request(worker->nbd,
                        &(struct durable_request){kinds[op->kind], op->first_sector * SECTOR_BYTES,
                                                  op->nr_sectors * SECTOR_BYTES, worker->data});
}

static void *work_overlapping(void *arg)
{
    struct worker *worker = arg;
    struct op op;

    for (unsigned i = 0; i < nr_requests; i++) {
        usleep(pause_us);
        op = history_begin(&worker->log, overlap.nr_sectors, worker->data);
        if (send_op(worker, &op) == 0) {
            history_end(&worker->log, &op, worker->data);
            nr_acknowledged++;
            continue;
        }
        if (op.kind != OP_READ) {
            history_refused(&worker->log, &op); // or under way: done, done in part or not
        }
        if (nbd_get_errno() == ENOSPC && nbd_aio_is_ready(worker->nbd) && op.kind != OP_READ) {
            nr_refused++;
        } else {
            expect_killed(worker->nbd, "a request that overlaps");
            break;
        }
    }
    return NULL;
}

// ---- Stores, parameters and starts
// -----------------------------------------------------------------

static void set_windows(struct durable_disk *disk)
{
    uint64_t end = (disk->size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    uint64_t near = 32 * PAGE_BYTES;

    if (disk != &disks[WIDE]) {
        disk->windows[0] = (struct durable_window){0, end};
        disk->nr_windows = 1;
        return;
    }
    disk->windows[0] = (struct durable_window){0, near};
    for (disk->nr_windows = 1; disk->nr_windows * GiB < end; disk->nr_windows++) {
        uint64_t middle = disk->nr_windows * GiB;

        disk->windows[disk->nr_windows] =
            (struct durable_window){middle - near, smaller(middle + near, end)};
    }
}

static void begin_store(void)
{
    static const struct {
        const char *name;
        uint64_t bytes, max_bytes;
    } exports[NR_DISKS] = {
        [PLAIN] = {"", PLAIN_BYTES, PLAIN_MAX_BYTES},
        [RAW] = {"raw", RAW_DISK_BYTES, RAW_DISK_BYTES},
        [WIDE] = {"wide", WIDE_BYTES, WIDE_MAX_BYTES},
    };

    if (unlink(store) == -1) {
        EXPECT(errno == ENOENT);
    }
    for (int i = 0; i < NR_DISKS; i++) {
        durable_init(&disks[i], exports[i].name, exports[i].bytes, exports[i].max_bytes);
        set_windows(&disks[i]);
    }
    overlap = (struct history_disk){.nr_sectors = OVERLAP_BYTES / SECTOR_BYTES};
    for (int i = 0; i < NR_WORKERS; i++) {
        workers[i].log.nr_events = 0; // of the last round of the store before
    }
}

static void end_store(void)
{
    for (int i = 0; i < NR_DISKS; i++) {
        nr_compared += disks[i].nr_pages_compared;
        nr_old += disks[i].nr_old;
        nr_new += disks[i].nr_new;
        durable_fini(&disks[i]);
    }
}

static void grow(void)
{
    if (random_below(4) == 0) {
        disks[PLAIN].size = smaller(disks[PLAIN].size + random_below(1 * MiB), PLAIN_MAX_BYTES);
        set_windows(&disks[PLAIN]);
    }
    if (random_below(10) == 0) {
        disks[WIDE].size = WIDE_MAX_BYTES;
        set_windows(&disks[WIDE]);
    }
}

struct parameters {
    char text[11][80];
    const char *list[12];
};

static void add(struct parameters *parameters, const char *format, uint64_t value)
{
    size_t nr = 0;

    while (parameters->list[nr]) {
        nr++;
    }
    snprintf(parameters->text[nr], sizeof parameters->text[nr], format, value);
    parameters->list[nr] = parameters->text[nr];
}

// limit_bytes: 0 is none.
static void make_parameters(struct parameters *parameters, uint64_t limit_bytes)
{
    char own[80];

    *parameters = (struct parameters){0};
    snprintf(own, sizeof own, "store=%s", store);
    add(parameters, own, 0);
    add(parameters, STATS_PARAMETER, 0);
    add(parameters, random_below(2) ? "compression=lz4" : "compression=zstd", 0);
    add(parameters, random_below(4) ? "checksum=on" : "checksum=off", 0);
    add(parameters, random_below(8) ? "cold=1" : "cold=off", 0);
    add(parameters, "cold-cpu=100", 0);
    if (limit_bytes > 0) {
        add(parameters, "limit=%" PRIu64, limit_bytes);
    }
    if (is_served[WIDE]) {
        add(parameters, "export=wide:%" PRIu64, disks[WIDE].size);
    }
    if (is_served[PLAIN]) {
        add(parameters, "size=%" PRIu64, disks[PLAIN].size);
    }
    if (is_served[RAW]) {
        snprintf(own, sizeof own, "export=raw:%%" PRIu64 ":%" PRIu64, (uint64_t)RAW_LIMIT_BYTES);
        add(parameters, own, disks[RAW].size);
    }
    add(parameters, "export=overlap:%" PRIu64, OVERLAP_BYTES);
}

// What a server does that runs for some seconds: all pages in the store grow cold.  It lists one of
// the exports; the others are kept, and grow older too.
static void age_store(void)
{
    static struct zr_server server;
    struct zr_export_config export = {
        .name = "overlap", .size_bytes = OVERLAP_BYTES, .limit_bytes = UINT64_MAX};
    const struct zr_server_config config = {.exports = &export,
                                            .nr_exports = 1,
                                            .codec = zr_codecs[0],
                                            .level = zr_codecs[0]->default_level,
                                            .store = store};
    char why[ZR_STORE_WHY_BYTES];

    if (zr_server_init_why(&server, &config, why) < 0) {
        FAIL("the store does not open to grow older: %s", why);
    }
    for (int i = 0; i < WALKS_TO_COLD; i++) {
        zr_ager_walk(&server.ager);
    }
    zr_server_fini(&server);
}

// What is left of a line that the kill came into: nbdkit writes one in pieces.
static bool is_cut(const char *line, const char *whole)
{
    size_t length = strlen(line);

    return strncmp(line, whole, length < strlen(whole) ? length : strlen(whole)) == 0;
}

// What the server said is what it found, of which nothing was lost, or that it had no memory for a
// request.
static void take_messages(void)
{
    char *messages = server_take_messages(), *rest = messages;
    const char *line;

    while ((line = strsep(&rest, "\n"))) {
        bool is_expected = strstr(line, "recovered") ? strstr(line, " 0 lost;") != NULL
                                                     : strstr(line, strerror(ENOSPC)) != NULL;

        if (!rest && (is_cut(line, "nbdkit: zramswap[") || is_cut(line, "zramswap: store "))) {
            continue; // also the nothing behind the last line
        }
        if (*line && !is_expected) {
            FAIL("the server says: %s\n%s", line, rest ? rest : "");
        }
    }
    free(messages);
}

// is_cold: it begins with demotion.
static void start(const struct parameters *parameters, bool is_cold)
{
    int status;

    while (random_below(is_cold ? 2 : 4) == 0) {
        unsigned after_us = (unsigned)random_below(is_cold ? 100000 : 20000);

        if (!server_kill_in_start_list(after_us, &status, parameters->list)) {
            FAIL("the server ended with wait status %#x:\n%s", status, server_take_messages());
        }
        take_messages();
        nr_kills_in_start++;
    }
    server_start_list(parameters->list);
}

// ---- What must hold after a start
// ------------------------------------------------------------------

static bool has_disk(const struct worker *worker)
{
    return !worker->disk || is_served[worker->disk - disks];
}

static void connect_all(void)
{
    for (struct worker *worker = workers; worker < workers + NR_WORKERS; worker++) {
        if (has_disk(worker)) {
            worker->nbd = server_connect(worker->disk ? worker->disk->name : "overlap");
        }
    }
}

static void disconnect_all(void)
{
    for (struct worker *worker = workers; worker < workers + NR_WORKERS; worker++) {
        if (has_disk(worker)) {
            nbd_close(worker->nbd);
        }
    }
}

// The first of those with this disk.
static struct worker *worker_of(const struct durable_disk *disk)
{
    struct worker *worker = workers;

    while (worker->disk != disk) {
        worker++;
    }
    return worker;
}

static void read_sector(void *opaque, uint64_t sector, void *buffer)
{
    NBD_OK(nbd_pread(opaque, buffer, SECTOR_BYTES, sector * SECTOR_BYTES, 0));
}

static void check_overlap(void)
{
    struct history_log logs[NR_OVERLAPPING];
    struct worker *first = worker_of(NULL);

    for (unsigned i = 0; i < NR_OVERLAPPING; i++) {
        logs[i] = first[i].log;
    }
    history_check(&overlap, logs, NR_OVERLAPPING, read_sector, first->nbd);
    for (unsigned i = 0; i < NR_OVERLAPPING; i++) {
        first[i].log = logs[i];
    }
}

static void expect_number(const char *export, const char *entry, const char *name, uint64_t number)
{
    uint64_t actual = stats_number(entry, name);

    if (actual != number) {
        FAIL("export \"%s\": %s is %" PRIu64 ", not %" PRIu64, export, name, actual, number);
    }
}

static const char *entry_of(const char *document, const char *export)
{
    char key[32];
    const char *entry;

    snprintf(key, sizeof key, "\"name\": \"%s\"", export);
    entry = strstr(document, key);
    if (!entry) {
        FAIL("no export \"%s\" in the statistics:\n%s", export, document);
    }
    return entry;
}

static uint64_t sum_of_lengths(const char *entry)
{
    const char *at = strstr(entry, "\"compr_length_pages\": [");
    uint64_t sum = 0;

    EXPECT(at);
    for (at = strchr(at, '['); *at != ']'; at += strcspn(at + 1, ",]") + 1) {
        sum += strtoull(at + 1, NULL, 10);
    }
    return sum;
}

static void check_export_statistics(const char *document, const struct durable_disk *disk)
{
    const char *entry = entry_of(document, disk->name);
    uint64_t nr_stored, nr_same;

    durable_count(disk, &nr_stored, &nr_same);
    expect_number(disk->name, entry, "orig_data_size", nr_stored * PAGE_BYTES);
    expect_number(disk->name, entry, "same_pages", nr_same);
    expect_number(disk->name, entry, "corrupt_pages", 0);
    EXPECT(sum_of_lengths(entry) == nr_stored - nr_same);
    if (disk == &disks[RAW]) {
        expect_number(disk->name, entry, "huge_pages", nr_stored - nr_same);
        expect_number(disk->name, entry, "compr_data_size", (nr_stored - nr_same) * RAW_BYTES);
    }
}

static uint64_t file_bytes(void)
{
    struct stat stat_of_file;

    SYSTEM_OK(stat(store, &stat_of_file));
    return (uint64_t)stat_of_file.st_blocks * 512;
}

// The file has no memory but what the statistics know.  Not at every instant: what is populated
// ahead counts when that is done.
static void await_small_file(void)
{
    int tries_left = 500;

    while (file_bytes() > stats_now("mem_used_total") + METADATA_BYTES) {
        if (tries_left-- == 0) {
            FAIL("the store has %" PRIu64 " bytes, %" PRIu64 " are used", file_bytes(),
                 stats_now("mem_used_total"));
        }
        usleep(10000);
    }
}

// While no request is under way; also of exports that are not served.
static void check_statistics(void)
{
    char *document = stats_read();

    for (int i = 0; i < NR_DISKS; i++) {
        if (durable_is_settled(&disks[i])) {
            check_export_statistics(document, &disks[i]);
        }
    }
    nr_found_cold += stats_number(document, "cold_pages");
    free(document);
    stats_await_at_most("pending_free_bytes", 0);
    stats_await_at_most("pending_free_objects", 0);
    await_small_file();
}

static void check_all(void)
{
    for (int i = 0; i < NR_DISKS; i++) {
        if (is_served[i]) {
            durable_check(&disks[i], worker_of(&disks[i])->nbd);
        }
    }
    check_overlap();
    check_statistics();
}

static void do_now(struct durable_disk *disk, struct durable_request request)
{
    struct worker *worker = worker_of(disk);

    request.data = worker->data;
    EXPECT(durable_begin(disk, 0, &request));
    NBD_OK(send_request(worker->nbd, &request));
    durable_end(disk, 0);
}

// The account of an export, known from its limit: the last page that fits is stored, the next is
// not.
static void fill_to_limit(void)
{
    struct durable_disk *disk = &disks[RAW];
    struct worker *worker = worker_of(disk);
    struct durable_request page = {.kind = DURABLE_WRITE, .bytes = PAGE_BYTES};

    do_now(disk, (struct durable_request){.kind = DURABLE_TRIM, .bytes = disk->size});
    for (; (page.offset / PAGE_BYTES + 1) * RAW_BYTES <= RAW_LIMIT_BYTES;
         page.offset += PAGE_BYTES) {
        content_fill(worker->data, PAGE_BYTES, CONTENT_RANDOM);
        do_now(disk, page);
    }
    content_fill(worker->data, PAGE_BYTES, CONTENT_RANDOM);
    NBD_REFUSED(nbd_pwrite(worker->nbd, worker->data, PAGE_BYTES, page.offset, 0), ENOSPC);
}

// Nothing leaks: when all is trimmed, all memory is given back.  There is no total limit.
static void sweep(void)
{
    struct worker *overlapping = worker_of(NULL);

    fill_to_limit();
    check_statistics();
    for (int i = 0; i < NR_DISKS; i++) {
        do_now(&disks[i], (struct durable_request){.kind = DURABLE_TRIM, .bytes = disks[i].size});
    }
    NBD_OK(nbd_trim(overlapping->nbd, OVERLAP_BYTES, 0, 0));
    overlap = (struct history_disk){.nr_sectors = overlap.nr_sectors};
    stats_await_at_most("compr_data_size", 0);
    stats_await_at_most("pending_free_objects", 0);
    stats_await_at_most("mem_used_total", EMPTY_BYTES);
    check_all();
    if (file_bytes() > EMPTY_BYTES + METADATA_BYTES) {
        FAIL("the store has %" PRIu64 " bytes when nothing is stored", file_bytes());
    }
    nr_sweeps++;
}

// ---- Rounds
// ----------------------------------------------------------------------------------------

static void run_workers(void)
{
    for (struct worker *worker = workers; worker < workers + NR_WORKERS; worker++) {
        worker->seed = random_u64();
        if (has_disk(worker)) {
            EXPECT(pthread_create(&worker->thread, NULL, worker->disk ? work : work_overlapping,
                                  worker) == 0);
        }
    }
}

static void join_workers(void)
{
    for (struct worker *worker = workers; worker < workers + NR_WORKERS; worker++) {
        if (has_disk(worker)) {
            pthread_join(worker->thread, NULL);
        }
    }
}

static void kill_server(void)
{
    is_killing = true;
    for (int i = 0; i < NR_DISKS; i++) {
        durable_expect_kill(&disks[i]);
    }
    server_kill();
    for (int i = 0; i < NR_DISKS; i++) {
        durable_was_killed(&disks[i]);
    }
    join_workers();
    is_killing = false;
    nr_kills++;
}

// Mixed, much written, much trimmed, pieces trimmed so that spans are sparse.
static void choose_load(void)
{
    static const unsigned loads[][4] = {{30, 50, 10, 10}, {5, 90, 3, 2}, {10, 40, 25, 25}};

    memcpy(percent, loads[random_below(sizeof loads / sizeof *loads)], sizeof percent);
    nr_requests = random_below(3) ? UINT32_MAX : 1 + (unsigned)random_below(200);
    pause_us = random_below(4) ? 0 : CALM_PAUSE_US;
}

static void count_cold(void)
{
    char *document = stats_read();
    uint64_t nr = stats_number(document, "cold_demoted_pages");

    nr_demoting += nr > 0;
    nr_demoted += nr;
    nr_cleaned += stats_number(document, "cold_cleaned_spans");
    nr_promoted += stats_number(document, "cold_promoted");
    free(document);
}

static uint64_t choose_limit(void)
{
    static const uint64_t limits[] = {0, 0, 3 * MiB, 6 * MiB, 24 * MiB};

    return limits[random_below(sizeof limits / sizeof *limits)];
}

static void run_round(bool is_sweep)
{
    const bool has_store = nr_rounds % ROUNDS_PER_STORE > 0;
    const bool is_cold = has_store && random_below(2);
    struct parameters parameters;

    for (int i = 0; i < NR_DISKS; i++) {
        // One that is new must be there once, or nobody would know of it.
        is_served[i] = is_sweep || !has_store || random_below(12) > 0;
    }
    make_parameters(&parameters, is_sweep ? 0 : choose_limit());
    if (is_cold) {
        age_store();
    }
    if (!is_sweep && has_store && random_below(6) == 0) {
        tmpfs_try_set_room(START_ROOM_BYTES + random_below(2 * MiB));
    }
    start(&parameters, is_cold);
    connect_all();
    check_all();
    if (is_sweep) {
        sweep();
    }
    choose_load();
    run_workers();
    // After the checks a server counts as busy for half a second.
    usleep((useconds_t)random_below(random_below(4) ? 15000 : pause_us > 0 ? 1500000 : 250000));
    if (random_below(8) == 0) {
        nr_compacted += stats_now("pages_compacted"); // and beside the load, its walk
    }
    count_cold();
    kill_server();
    disconnect_all();
    take_messages();
    tmpfs_try_set_room(ROOM_BYTES);
    grow();
}

static void init_workers(uint64_t seed)
{
    for (unsigned i = 0; i < NR_WORKERS; i++) {
        workers[i].disk = i / DURABLE_SLOTS < NR_DISKS ? &disks[i / DURABLE_SLOTS] : NULL;
        workers[i].slot = i % DURABLE_SLOTS;
        history_log_init(&workers[i].log, i + 1, seed);
    }
}

static bool has_tried_cold(void)
{
    return nr_demoted > 0 && nr_cleaned > 0 && nr_promoted > 0 && nr_found_cold > 0;
}

static void print_figures(void)
{
    printf("%" PRIu64 " kills and %" PRIu64 " in a start, %" PRIu64 " pages compared; of requests "
           "under way %" PRIu64 " pages were old, %" PRIu64 " new; %" PRIu64
           " requests acknowledged, %" PRIu64 " refused, %" PRIu64
           " of them of the export with a limit; %" PRIu64 " compacted; all trimmed %" PRIu64
           " times\n",
           nr_kills, nr_kills_in_start, nr_compared, nr_old, nr_new, nr_acknowledged, nr_refused,
           nr_limited, nr_compacted, nr_sweeps);
    printf("%" PRIu64 " kills of servers that had demoted, %" PRIu64 " pages; cleaned %" PRIu64
           " spans, promoted %" PRIu64 " pages; %" PRIu64 " pages found in groups after kills\n",
           nr_demoting, nr_demoted, nr_cleaned, nr_promoted, nr_found_cold);
}

int main(void)
{
    uint64_t seed = history_seed();
    uint64_t end_ns = history_now_ns() + (uint64_t)(history_seconds(10) * 1e9);

    random_seed(seed);
    init_workers(seed);
    snprintf(store, sizeof store, "%s/store", tmpfs_folder(ROOM_BYTES));
    while (history_now_ns() < end_ns + (has_tried_cold() ? 0 : GRACE_NS)) {
        if (nr_rounds % ROUNDS_PER_STORE == 0) {
            if (nr_rounds > 0) {
                end_store();
            }
            begin_store();
        }
        run_round(nr_rounds % ROUNDS_PER_SWEEP == ROUNDS_PER_SWEEP - 1);
        nr_rounds++;
    }
    end_store();
    print_figures();
    if (!has_tried_cold()) {
        FAIL("no server demoted, cleaned and promoted before its kill");
    }
    return 0;
}
