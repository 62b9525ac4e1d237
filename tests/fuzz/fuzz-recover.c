// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Bytes → damage to a small valid store, and a start on it.  The damage: bits and numbers in the
// superblock, with a right crc or a wrong one, in kinds, roots, directories, leaves and objects;
// words exchanged for others that are right elsewhere; memory that is gone; a truncated file.
//
// The start refuses with one line and leaves the file as it is, or serves: no read is outside of
// the store's memory, each page reads right or fails with EIO, but one whose word was damaged into
// that of a page without an object, which has no checksum.  Then the server works on: what is
// written is read, all that is trimmed is freed, and the next start loses nothing more.
#include "fuzz.h"

#include "allocator/rcu.h"
#include "plugin/server.h"
#include "plugin/stats.h"
#include "tests/protocol/content.h"
#include "tests/protocol/tmpfs.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <sys/stat.h>
#include <unistd.h>

#define NR_DISKS 3
#define NR_RUNS 3 // of pages, on each disk
#define RUN_PAGES 12
#define MAX_WORDS 4096
#define MAX_EXTENTS 512

// Pages next to each other under a leaf each; the second disk's last leaf is under another
// directory.
static const struct {
    char name[8];
    uint64_t size_bytes;
    uint64_t starts[NR_RUNS]; // pages
} disks[NR_DISKS] = {
    {"", 8 * MiB, {0, 512 - RUN_PAGES / 2, 2048 - RUN_PAGES}},
    {"b", 2 * GiB, {3, 1000, 262144}},
    {"kept", 1 * MiB, {0, 100, 256 - RUN_PAGES}},
};

static char path[64];
static uint8_t shadow[NR_DISKS][NR_RUNS][RUN_PAGES][ZR_PAGE_BYTES];

// The valid store: its memory, and where what is worth damage lies in the file.
static struct extent {
    off_t start;
    size_t bytes;
    uint8_t *data;
} extents[MAX_EXTENTS];
static size_t nr_extents;
static off_t file_bytes;
static uint64_t words[MAX_WORDS], objects[MAX_WORDS]; // entries and slot words that are not empty
static size_t nr_words, nr_objects;

static struct zr_server server;

// ---- The valid store

static int start_server(char *why, const struct zr_codec_ops *codec, size_t nr_exports)
{
    static struct zr_export_config exports[NR_DISKS];
    struct zr_server_config config = {
        .exports = exports,
        .nr_exports = nr_exports,
        .limit_bytes = 8 * MiB,
        .codec = codec,
        .level = codec->default_level,
        .store = path,
    };

    for (size_t i = 0; i < NR_DISKS; i++) {
        exports[i] = (struct zr_export_config){(char *)(uintptr_t)disks[i].name,
                                               disks[i].size_bytes, UINT64_MAX, 0};
    }
    return zr_server_init_why(&server, &config, why);
}

// Where a word of memory of the running server is in the file.
static uint64_t place_of(const volatile void *word)
{
    const char *at = (const char *)(uintptr_t)word;

    if (at >= server.pool.arena.base &&
        at < server.pool.arena.base + server.pool.arena.reserved_bytes) {
        return ZR_DATA_OFFSET + (uint64_t)(at - server.pool.arena.base);
    }
    return (uint64_t)(at - server.store.metadata.base);
}

static void note_word(const _Atomic uint64_t *word)
{
    if (*word != 0 && nr_words < MAX_WORDS) {
        words[nr_words++] = place_of(word);
    }
}

static void note_chunk(const _Atomic uint64_t *entry, bool is_leaf)
{
    const _Atomic uint64_t *chunk;

    note_word(entry);
    chunk = *entry ? zr_pool_view_chunk(&server.pool, (zr_handle){*entry}) : NULL;
    for (size_t i = 0; chunk && i < ZR_CHUNK_WORDS; i++) {
        if (!is_leaf) {
            note_chunk(&chunk[i], true);
            continue;
        }
        note_word(&chunk[i]);
        if (zr_handle_has_object(zr_handle_of_word(chunk[i])) && nr_objects < MAX_WORDS) {
            objects[nr_objects++] =
                place_of(zr_pool_view(&server.pool, zr_handle_of_word(chunk[i])));
        }
    }
}

static void save_file(void)
{
    int fd = open(path, O_RDONLY);
    off_t start = 0, end;
    struct stat stat;

    FUZZ_CHECK(fd >= 0 && fstat(fd, &stat) == 0);
    file_bytes = stat.st_size;
    while ((start = lseek(fd, start, SEEK_DATA)) != -1) {
        struct extent *extent = &extents[nr_extents++];

        FUZZ_CHECK(nr_extents <= MAX_EXTENTS);
        end = lseek(fd, start, SEEK_HOLE);
        *extent = (struct extent){start, (size_t)(end - start), malloc((size_t)(end - start))};
        FUZZ_CHECK(pread(fd, extent->data, extent->bytes, start) == (ssize_t)extent->bytes);
        start = end;
    }
    close(fd);
}

static void demote_all(unsigned disk, struct zr_device *device)
{
    for (unsigned run = 0; run < NR_RUNS; run++) {
        uint64_t slot = disks[disk].starts[run], nr_stored = 0;
        const uint64_t end = slot + RUN_PAGES;

        while (slot < end && zr_demoter_demote(&server.demoter, device, &slot, 0, &nr_stored)) {
        }
    }
}

// Half of the pages are stored with one codec, half with the other; those that are there before the
// last are in groups.
static void make_store(void)
{
    char why[ZR_STORE_WHY_BYTES];
    unsigned content = 0;

    snprintf(path, sizeof path, "%s/store", tmpfs_folder(256 * MiB));
    random_seed(1);
    for (unsigned run = 0; run < NR_RUNS; run++) {
        FUZZ_CHECK(start_server(why, zr_codecs[run % 2], NR_DISKS) == 0);
        for (unsigned disk = 0; disk < NR_DISKS; disk++) {
            for (unsigned i = 0; i < RUN_PAGES; i++) {
                content_fill(shadow[disk][run][i], ZR_PAGE_BYTES,
                             (enum content)(content++ % NR_CONTENTS));
            }
            FUZZ_CHECK(zr_device_write(&server.devices[disk], shadow[disk][run],
                                       sizeof shadow[disk][run],
                                       disks[disk].starts[run] * ZR_PAGE_BYTES) == 0);
            if (run == NR_RUNS - 2) {
                server.demoter.maker.next_id =
                    1000 * (disk + 1); // not at random: the same each time
                demote_all(disk, &server.devices[disk]);
            }
        }
        if (run == NR_RUNS - 1) {
            for (unsigned disk = 0; disk < NR_DISKS; disk++) {
                for (uint64_t i = 0; i < server.devices[disk].table.nr_root_entries; i++) {
                    note_chunk(&server.devices[disk].table.root[i], false);
                }
            }
        }
        zr_server_fini(&server);
    }
    save_file();
}

// ---- Damage

static void put_store(int fd)
{
    FUZZ_CHECK(ftruncate(fd, 0) == 0 && ftruncate(fd, file_bytes) == 0);
    for (size_t i = 0; i < nr_extents; i++) {
        FUZZ_CHECK(pwrite(fd, extents[i].data, extents[i].bytes, extents[i].start) ==
                   (ssize_t)extents[i].bytes);
    }
}

static uint64_t read_word(int fd, uint64_t place)
{
    uint64_t word = 0;

    FUZZ_CHECK(pread(fd, &word, sizeof word, (off_t)place) >= 0);
    return word;
}

static void change_word(int fd, uint64_t place, unsigned how, uint64_t number)
{
    uint64_t word = read_word(fd, place);

    switch (how % 4) {
    case 0:
        word ^= number;
        break;
    case 1:
        word = number;
        break;
    case 2: // that of another page, entry, or of an entry below it
        word = read_word(fd, words[number % nr_words]);
        break;
    default:
        word += number % 33 - 16; // a neighbour
    }
    FUZZ_CHECK(pwrite(fd, &word, sizeof word, (off_t)place) == sizeof word);
}

// A number of header or records is changed in both copies, or one, and the crc is made right.
static void change_superblock(int fd, unsigned how, unsigned at, uint64_t number)
{
    static uint8_t copy[ZR_KINDS_OFFSET / ZR_SUPERBLOCK_NR_COPIES];
    struct zr_superblock *header = (void *)copy;
    size_t bytes = sizeof *header + NR_DISKS * sizeof(struct zr_export_record);
    size_t width = (size_t)1 << how % 4, place = at % (bytes - sizeof number);

    for (uint64_t i = 0; i < ZR_SUPERBLOCK_NR_COPIES; i++) {
        off_t start = (off_t)(i * ZR_SUPERBLOCK_COPY_BYTES);
        struct zr_superblock changed;

        if (how >> 4 & 1 && i == (how >> 5 & 1)) {
            continue; // this copy stays
        }
        FUZZ_CHECK(pread(fd, copy, sizeof copy, start) == sizeof copy);
        memcpy(copy + place / width * width, &number, width);
        if (how >> 6 & 1 && header->nr_exports <= ZR_SUPERBLOCK_MAX_EXPORTS) {
            memcpy(&changed, header, sizeof changed);
            zr_superblock_write(copy, &changed, zr_superblock_records(copy));
        }
        FUZZ_CHECK(pwrite(fd, copy, bytes, start) == (ssize_t)bytes);
    }
}

static void do_damage(int fd, struct fuzz_input *input)
{
    unsigned what = (unsigned)fuzz_number(input, 1), how = (unsigned)fuzz_number(input, 1);
    unsigned at = (unsigned)fuzz_number(input, 2);
    uint64_t number = fuzz_number(input, how >> 7 ? 8 : 2);

    switch (what % 8) {
    case 0:
        change_superblock(fd, how, at, number);
        break;
    case 1: // kinds of the first spans
        change_word(fd, ZR_KINDS_OFFSET + at % 64 * sizeof(uint64_t), how, number);
        break;
    case 2: // the roots' states, and entries that may be empty
        change_word(fd, ZR_ROOTS_OFFSET + at % (NR_DISKS * 512) * sizeof(uint64_t), how, number);
        break;
    case 3: // near an object's start
        change_word(fd, objects[at % nr_objects] + number % 64 * sizeof number, how, number >> 8);
        break;
    case 4: // memory is gone
        FUZZ_CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                             (off_t)(objects[at % nr_objects] & ~UINT64_C(4095)), 4096) == 0);
        break;
    case 5:
        if (how % 16 == 0) { // seldom: there is little to see then
            FUZZ_CHECK(ftruncate(fd, (off_t)(file_bytes - (off_t)(number % 4096 * 4096))) == 0);
        }
        break;
    case 6: // two words exchanged
        number = words[number % nr_words];
        {
            uint64_t one = read_word(fd, words[at % nr_words]), other = read_word(fd, number);

            change_word(fd, words[at % nr_words], 1, other);
            change_word(fd, number, 1, one);
        }
        break;
    default:
        change_word(fd, words[at % nr_words], how, number);
    }
}

// ---- What must hold

static bool is_one_line(const char *why)
{
    return why[0] != '\0' && !strchr(why, '\n') && strstr(why, path);
}

static uint32_t sum_of_file(void)
{
    static uint8_t buffer[1 << 16];
    int fd = open(path, O_RDONLY);
    uint32_t sum = 0;
    off_t start = 0, end;
    ssize_t got;

    FUZZ_CHECK(fd >= 0);
    while ((start = lseek(fd, start, SEEK_DATA)) != -1) {
        end = lseek(fd, start, SEEK_HOLE);
        for (; start < end; start += got) {
            got = pread(fd, buffer, sizeof buffer, start);
            FUZZ_CHECK(got > 0);
            sum = crc32_iscsi(buffer, (int)got, sum);
        }
    }
    close(fd);
    return sum;
}

static struct zr_device *device_of(unsigned disk)
{
    for (size_t i = 0; i < server.nr_devices; i++) {
        if (strcmp(server.devices[i].name, disks[disk].name) == 0) {
            return &server.devices[i];
        }
    }
    return NULL; // its name was damaged
}

static uint64_t word_of(const struct zr_device *device, uint64_t slot)
{
    uint64_t word;

    zr_rcu_read_lock();
    word = zr_leaf_word(zr_slot_table_leaf(&device->table, slot), slot);
    zr_rcu_read_unlock();
    return word;
}

// Right, EIO, or of a word that no checksum is for.
static void check_page(struct zr_device *device, uint64_t slot, const uint8_t *expected)
{
    uint8_t page[ZR_PAGE_BYTES];
    int rc = zr_device_read(device, page, sizeof page, slot * ZR_PAGE_BYTES);

    FUZZ_CHECK(rc == 0 || rc == -EIO);
    if (rc == 0 && memcmp(page, expected, sizeof page) != 0) {
        FUZZ_CHECK(zr_slot_word_kind(word_of(device, slot)) == ZR_SLOT_SAME ||
                   (server.store.header.features & ZR_FEATURE_UNCHECKED) ||
                   device->checksum_seed != zr_device_checksum_seed(device->name));
    }
}

static void check_pages(void)
{
    for (unsigned disk = 0; disk < NR_DISKS; disk++) {
        struct zr_device *device = device_of(disk);

        for (unsigned i = 0; device && i < NR_RUNS * RUN_PAGES; i++) {
            unsigned run = i / RUN_PAGES;

            check_page(device, disks[disk].starts[run] + i % RUN_PAGES,
                       shadow[disk][run][i % RUN_PAGES]);
        }
    }
}

// What was damaged or not is overwritten and trimmed.
static void work(void)
{
    uint8_t page[ZR_PAGE_BYTES];
    struct zr_pool_stats stats;

    FUZZ_CHECK(zr_pool_is_valid(&server.pool));
    for (unsigned disk = 0; disk < NR_DISKS; disk++) {
        struct zr_device *device = device_of(disk);

        for (unsigned run = 0; device && run < NR_RUNS; run++) {
            uint64_t offset = disks[disk].starts[run] * ZR_PAGE_BYTES;
            int rc = zr_device_write(device, shadow[disk][0][1], 100, offset + 50);

            FUZZ_CHECK(rc == 0 || rc == -EIO || rc == -ENOSPC);
            if (zr_device_write(device, shadow[disk][run], 5 * ZR_PAGE_BYTES, offset) == 0) {
                FUZZ_CHECK(zr_device_read(device, page, sizeof page, offset + ZR_PAGE_BYTES) == 0);
                FUZZ_CHECK(memcmp(page, shadow[disk][run][1], sizeof page) == 0);
            }
            zr_device_zero(device, 3 * ZR_PAGE_BYTES, offset + 7 * ZR_PAGE_BYTES);
        }
        if (device) {
            demote_all(disk, device);
        }
    }
    zr_deferred_free_drain(server.deferred);
    zr_compactor_pass(&server.compactor, ZR_URGENCY_QUIET);
    while (zr_demoter_reclaim(&server.demoter)) {
    }
    FUZZ_CHECK(zr_pool_is_valid(&server.pool));
    zr_pool_get_stats(&server.pool, &stats);
}

static void trim_all(void)
{
    struct zr_pool_stats stats;

    for (size_t i = 0; i < server.nr_devices; i++) {
        struct zr_device *device = &server.devices[i];

        FUZZ_CHECK(zr_device_zero(device, device->size_bytes, 0) == 0);
    }
    zr_deferred_free_drain(server.deferred);
    zr_pool_get_stats(&server.pool, &stats);
    FUZZ_CHECK(stats.nr_objects == 0 && stats.stored_bytes == 0);
    FUZZ_CHECK(zr_pool_is_valid(&server.pool));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nr_bytes)
{
    struct fuzz_input input = {bytes, nr_bytes};
    const struct zr_codec_ops *codec;
    struct zr_server_stats stats;
    char why[ZR_STORE_WHY_BYTES];
    size_t nr_exports;
    uint32_t sum;
    int fd, rc;

    if (!path[0]) {
        make_store();
    }
    fd = open(path, O_RDWR);
    FUZZ_CHECK(fd >= 0);
    put_store(fd);
    nr_exports = 1 + fuzz_number(&input, 1) % NR_DISKS; // the others are kept and not served
    codec = zr_codecs[nr_bytes % 2];
    while (input.nr_bytes > 0) {
        do_damage(fd, &input);
    }
    close(fd);
    sum = sum_of_file();

    rc = start_server(why, codec, nr_exports);
    if (rc < 0) {
        FUZZ_CHECK(is_one_line(why));
        FUZZ_CHECK(sum_of_file() == sum);
        return 0;
    }
    check_pages();
    zr_server_get_stats(&server, &stats);
    FUZZ_CHECK(stats.total.lost_pages >= server.recovered.nr_new_lost);
    check_pages(); // a read changes nothing but where a cold page is
    work();
    zr_server_fini(&server);

    FUZZ_CHECK(start_server(why, codec, nr_exports) == 0);
    FUZZ_CHECK(server.recovered.nr_new_lost == 0);
    trim_all();
    zr_server_fini(&server);
    return 0;
}
