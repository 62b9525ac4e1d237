// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The file of a store: made whole or not at all, taken over by one server at a time, and whatever
// does not fit is refused in one line that names it, and left as it was.
#include "stored-server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_BYTES (ZR_DATA_OFFSET + 64 * MiB)

static struct zr_store_file store;
static char before[ZR_KINDS_OFFSET], after[ZR_KINDS_OFFSET];

static int open_store(void)
{
    return zr_store_file_open(&store, store_path, why);
}

// A file with two exports, in the way that a server makes it.
static void make_store(void)
{
    store_fresh();
    ck_assert_int_eq(open_store(), 0);
    ck_assert_int_eq(zr_store_file_add(&store, "a", DEVICE_BYTES, 1, 7, why), 0);
    ck_assert_int_eq(zr_store_file_add(&store, "b", 2 * TiB, 2048, 9, why), 0);
    ck_assert_int_eq(ftruncate(store.fd, FILE_BYTES), 0);
    store.header.arena_bytes = FILE_BYTES - ZR_DATA_OFFSET;
    ck_assert_int_eq(access(store_path, F_OK), -1);
    ck_assert_int_eq(zr_store_file_commit(&store, why), 0);
    zr_store_file_close(&store);
}

static void read_file(char *to)
{
    int fd = open(store_path, O_RDONLY);

    ck_assert_int_ge(fd, 0);
    memset(to, 0, ZR_KINDS_OFFSET);
    ck_assert_int_ge(pread(fd, to, ZR_KINDS_OFFSET, 0), 0);
    close(fd);
}

static void write_file(const void *bytes, size_t nr_bytes, uint64_t offset)
{
    int fd = open(store_path, O_WRONLY);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, bytes, nr_bytes, (off_t)offset), (ssize_t)nr_bytes);
    close(fd);
}

static struct zr_superblock *copy_at(char *file, unsigned i)
{
    return (void *)(file + i * ZR_SUPERBLOCK_COPY_BYTES);
}

static void expect_refusal(const char *word)
{
    struct stat was, is;

    read_file(before);
    ck_assert_int_eq(stat(store_path, &was), 0);
    if (open_store() == 0) {
        ck_abort_msg("%s: not refused", word);
    }
    ck_assert_ptr_nonnull(strstr(why, store_path));
    if (!strstr(why, word) || strchr(why, '\n')) {
        ck_abort_msg("expected '%s' in one line: %s", word, why);
    }
    read_file(after);
    ck_assert_int_eq(stat(store_path, &is), 0);
    ck_assert_int_eq(was.st_size, is.st_size);
    ck_assert_int_eq(was.st_blocks, is.st_blocks);
    ck_assert_int_eq(memcmp(before, after, ZR_KINDS_OFFSET), 0);
}

START_TEST(a_new_store_is_whole_when_it_has_a_name)
{
    struct stat stat_of;
    unsigned i;

    make_store();
    ck_assert_int_eq(stat(store_path, &stat_of), 0);
    ck_assert_uint_eq(stat_of.st_mode & 07777, 0600);
    read_file(before);
    for (i = 0; i < ZR_SUPERBLOCK_NR_COPIES; i++) {
        ck_assert_int_eq(zr_superblock_check(copy_at(before, i)), ZR_SUPERBLOCK_SOUND);
        ck_assert_uint_eq(copy_at(before, i)->generation, 1);
    }
    ck_assert_int_eq(memcmp(before, before + ZR_SUPERBLOCK_COPY_BYTES, ZR_SUPERBLOCK_COPY_BYTES),
                     0);

    ck_assert_int_eq(open_store(), 0);
    ck_assert(!store.is_changed);
    ck_assert_uint_eq(store.header.nr_exports, 2);
    ck_assert_uint_eq(zr_store_file_find(&store, "b")->size_bytes, 2 * TiB);
    ck_assert_uint_eq(zr_store_file_find(&store, "b")->checksum_seed, 9);
    ck_assert_ptr_null(zr_store_file_find(&store, "c"));
    ck_assert_int_ne(memcmp(store.records[0].uuid, store.records[1].uuid, 16), 0);
    zr_store_file_close(&store);
}
END_TEST

START_TEST(a_start_that_fails_leaves_no_file)
{
    store_fresh();
    ck_assert_int_eq(open_store(), 0);
    ck_assert_int_eq(zr_store_file_add(&store, "a", DEVICE_BYTES, 1, 7, why), 0);
    zr_store_file_close(&store);
    ck_assert_int_eq(access(store_path, F_OK), -1);
}
END_TEST

// Killed while it writes a copy: after some bytes of it.
START_TEST(a_copy_that_is_half_written_does_not_count)
{
    char *next = malloc(ZR_SUPERBLOCK_COPY_BYTES);
    const uint64_t no_magic = 0;
    size_t bytes;
    unsigned i;

    make_store();
    read_file(before);
    memcpy(next, before, ZR_SUPERBLOCK_COPY_BYTES);
    ((struct zr_superblock *)(void *)next)->generation = 2;
    memset(next + sizeof(struct zr_superblock), 'x', 100);
    for (i = 0; i < ZR_SUPERBLOCK_NR_COPIES; i++) {
        for (bytes = 8; bytes < 2000; bytes += 100) {
            write_file(before, ZR_KINDS_OFFSET, 0);
            write_file(next, bytes, i * ZR_SUPERBLOCK_COPY_BYTES);
            write_file(&no_magic, sizeof no_magic, i * ZR_SUPERBLOCK_COPY_BYTES);
            ck_assert_int_eq(open_store(), 0);
            ck_assert_uint_eq(store.header.generation, 1);
            ck_assert_str_eq(store.records[0].name, "a");
            ck_assert(store.is_changed);
            ck_assert_int_eq(zr_store_file_commit(&store, why), 0);
            zr_store_file_close(&store);
            read_file(after);
            ck_assert_int_eq(zr_superblock_check(copy_at(after, 0)), ZR_SUPERBLOCK_SOUND);
            ck_assert_int_eq(zr_superblock_check(copy_at(after, 1)), ZR_SUPERBLOCK_SOUND);
            ck_assert_uint_eq(copy_at(after, i)->generation, 2);
        }
    }
    free(next);
}
END_TEST

// The same by the function that writes it, which dies at the second page.
START_TEST(a_copy_being_written_has_no_magic)
{
    struct zr_export_record *records = calloc(20, sizeof *records);
    struct zr_superblock header;
    char *copy =
        mmap(NULL, 3 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child;
    int status;

    ck_assert_ptr_ne(copy, MAP_FAILED);
    zr_superblock_init(&header);
    header.nr_exports = 16;
    zr_superblock_write(copy, &header, records);
    ck_assert_int_eq(zr_superblock_check(copy), ZR_SUPERBLOCK_SOUND);
    child = fork();
    if (child == 0) {
        mprotect(copy + PAGE_BYTES, PAGE_BYTES, PROT_READ);
        signal(SIGSEGV, SIG_DFL);
        records[3].size_bytes = 1;
        zr_superblock_write(copy, &header, records);
        _exit(EXIT_SUCCESS);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS);
    ck_assert_int_eq(zr_superblock_check(copy), ZR_SUPERBLOCK_NO_MAGIC);
    zr_superblock_write(copy, &header, records);
    ck_assert_int_eq(zr_superblock_check(copy), ZR_SUPERBLOCK_SOUND);
    munmap(copy, 3 * PAGE_BYTES);
    free(records);
}
END_TEST

START_TEST(the_higher_generation_counts)
{
    unsigned i;

    for (i = 0; i < ZR_SUPERBLOCK_NR_COPIES; i++) {
        struct zr_superblock header;

        make_store();
        read_file(before);
        header = *copy_at(before, i);
        header.generation = 5;
        header.nr_exports = 1;
        zr_superblock_write(copy_at(before, i), &header, zr_superblock_records(copy_at(before, i)));
        write_file(before, ZR_KINDS_OFFSET, 0);
        ck_assert_int_eq(open_store(), 0);
        ck_assert_uint_eq(store.header.generation, 5);
        ck_assert_uint_eq(store.header.nr_exports, 1);
        ck_assert(store.is_changed);
        zr_store_file_close(&store);
    }
}
END_TEST

START_TEST(damage_to_one_copy_is_survived)
{
    unsigned i, bit;

    make_store();
    read_file(before);
    for (i = 0; i < ZR_SUPERBLOCK_NR_COPIES; i++) {
        for (bit = 0; bit < 8 * 76; bit++) {
            memcpy(after, before, ZR_KINDS_OFFSET);
            ((char *)copy_at(after, i))[bit / 8] ^= (char)(1 << bit % 8);
            if (zr_superblock_check(copy_at(after, i)) == ZR_SUPERBLOCK_SOUND) {
                ck_abort_msg("bit %u is not noticed", bit);
            }
        }
        memset((char *)copy_at(after, i) + sizeof(struct zr_superblock) + 300, 1, 10);
        copy_at(after, i)->format = ZR_SUPERBLOCK_FORMAT;
        write_file(after, ZR_KINDS_OFFSET, 0);
        ck_assert_int_eq(open_store(), 0);
        ck_assert_uint_eq(store.header.nr_exports, 2);
        zr_store_file_close(&store);
        write_file(before, ZR_KINDS_OFFSET, 0);
    }
}
END_TEST

// Both copies with a header that is changed, and a crc that is right.
#define WITH(field, value)                                                                         \
    do {                                                                                           \
        unsigned copy_;                                                                            \
                                                                                                   \
        make_store();                                                                              \
        read_file(before);                                                                         \
        for (copy_ = 0; copy_ < ZR_SUPERBLOCK_NR_COPIES; copy_++) {                                \
            struct zr_superblock header_ = *copy_at(before, copy_);                                \
                                                                                                   \
            header_.field = (value);                                                               \
            zr_superblock_write(copy_at(before, copy_), &header_,                                  \
                                zr_superblock_records(copy_at(before, copy_)));                    \
        }                                                                                          \
        write_file(before, ZR_KINDS_OFFSET, 0);                                                    \
    } while (0)

START_TEST(other_formats_are_refused)
{
    WITH(format, 2);
    expect_refusal("format: 2");
    WITH(format, 0);
    expect_refusal("format: 0");
    WITH(features, 6);
    expect_refusal("features");
    WITH(os_page_bytes, 65536);
    expect_refusal("page size: 65536");
    WITH(span_bytes, 1 << 20);
    expect_refusal("span size");
    WITH(record_bytes, 1024);
    expect_refusal("record size");
    WITH(data_offset, 1 << 20);
    expect_refusal("data offset");
    WITH(classes_crc, 1);
    expect_refusal("size classes");
    WITH(arena_bytes, 65 * MiB);
    expect_refusal("truncated");
}
END_TEST

START_TEST(files_that_are_no_stores_are_refused)
{
    char *other = calloc(1, ZR_KINDS_OFFSET);
    int fd;

    make_store();
    memset(other, 'x', ZR_KINDS_OFFSET);
    write_file(other, ZR_KINDS_OFFSET, 0);
    expect_refusal("magic");
    ck_assert_int_eq(truncate(store_path, 100), 0);
    expect_refusal("magic");
    ck_assert_int_eq(truncate(store_path, 0), 0);
    expect_refusal("magic");
    free(other);

    make_store();
    read_file(before);
    before[sizeof(struct zr_superblock) + 300] ^= 1;
    before[ZR_SUPERBLOCK_COPY_BYTES + 40] ^= 1;
    write_file(before, ZR_KINDS_OFFSET, 0);
    expect_refusal("crc");

    make_store();
    ck_assert_int_eq(truncate(store_path, FILE_BYTES - 1), 0);
    expect_refusal("truncated");
    ck_assert_int_eq(truncate(store_path, (off_t)(2 * MiB)), 0);
    expect_refusal("truncated");

    make_store();
    fd = open(store_path, O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(unlink(store_path), 0);
    ck_assert_int_eq(mkfifo(store_path, 0600), 0);
    ck_assert_int_lt(open_store(), 0);
    ck_assert_ptr_nonnull(strstr(why, "type: not a regular file"));
    ck_assert_int_eq(unlink(store_path), 0);
    ck_assert_int_eq(symlink("elsewhere", store_path), 0);
    ck_assert_int_lt(open_store(), 0);
    ck_assert_ptr_nonnull(strstr(why, "symbolic link"));
    close(fd);
}
END_TEST

START_TEST(what_others_may_change_is_refused)
{
    char *folder = strdup(store_path);

    *strrchr(folder, '/') = '\0';
    make_store();
    ck_assert_int_eq(chmod(store_path, 0640), 0);
    expect_refusal("mode");
    ck_assert_int_eq(chmod(store_path, 0602), 0);
    expect_refusal("mode");
    ck_assert_int_eq(chmod(store_path, 0600), 0);

    ck_assert_int_eq(chmod(folder, 0770), 0);
    expect_refusal("folder");
    ck_assert_int_eq(chmod(folder, 0702), 0);
    expect_refusal("folder");
    ck_assert_int_eq(chmod(folder, 01777), 0);
    ck_assert_int_eq(open_store(), 0);
    zr_store_file_close(&store);
    ck_assert_int_eq(chmod(folder, 0700), 0);

    if (geteuid() == 0) {
        ck_assert_int_eq(chown(store_path, 12345, 12345), 0);
        expect_refusal("owner: user 12345");
        ck_assert_int_eq(chown(store_path, 0, 0), 0);
        ck_assert_int_eq(chown(folder, 12345, 12345), 0);
        expect_refusal("folder");
        ck_assert_int_eq(chown(folder, 0, 0), 0);
    }
    free(folder);
}
END_TEST

START_TEST(a_store_lies_on_a_tmpfs)
{
    ck_assert_int_lt(zr_store_file_open(&store, "/proc/store", why), 0);
    ck_assert_ptr_nonnull(strstr(why, "/proc/store: file system: not a tmpfs"));
    ck_assert_int_eq(zr_store_file_open(&store, "/no/such/folder", why), -ENOENT);
    ck_assert_ptr_nonnull(strstr(why, "folder"));
}
END_TEST

START_TEST(a_store_has_one_server)
{
    struct zr_store_file second;
    char holder[40];

    make_store();
    ck_assert_int_eq(open_store(), 0);
    zr_store_file_set_holder(&store);
    ck_assert_int_eq(zr_store_file_open(&second, store_path, why), -EBUSY);
    snprintf(holder, sizeof holder, "process %d ", getpid());
    ck_assert_ptr_nonnull(strstr(why, holder));
    zr_store_file_close(&store);
    ck_assert_int_eq(zr_store_file_open(&second, store_path, why), 0);
    zr_store_file_close(&second);
}
END_TEST

static void *delayed_close(void *unused)
{
    unit_sleep_ms(100);
    zr_store_file_close(&store);
    return unused;
}

// A process that was killed is not gone at once.
START_TEST(a_server_waits_for_the_one_that_is_just_ending)
{
    struct zr_store_file second;
    pthread_t thread;

    make_store();
    ck_assert_int_eq(open_store(), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, delayed_close, NULL), 0);
    ck_assert_int_eq(zr_store_file_open(&second, store_path, why), 0);
    pthread_join(thread, NULL);
    zr_store_file_close(&second);
}
END_TEST

// Two servers that start at once and find no file.
START_TEST(one_of_two_new_stores_gets_the_name)
{
    struct zr_store_file second;

    store_fresh();
    ck_assert_int_eq(open_store(), 0);
    ck_assert_int_eq(zr_store_file_open(&second, store_path, why), 0);
    ck_assert_int_eq(zr_store_file_commit(&store, why), 0);
    ck_assert_int_eq(zr_store_file_commit(&second, why), -EEXIST);
    zr_store_file_close(&store);
    zr_store_file_close(&second);
}
END_TEST

static uint64_t end_of(const struct zr_export_record *record)
{
    return record->root_offset + (record->nr_root_entries + 1) * sizeof(uint64_t);
}

static void check_regions(void)
{
    uint32_t i, k;

    for (i = 0; i < store.header.nr_exports; i++) {
        const struct zr_export_record *a = &store.records[i];

        ck_assert_uint_ge(a->root_offset, ZR_ROOTS_OFFSET);
        ck_assert_uint_le(end_of(a), ZR_DATA_OFFSET);
        for (k = 0; k < i; k++) {
            const struct zr_export_record *b = &store.records[k];

            ck_assert(end_of(a) <= b->root_offset || end_of(b) <= a->root_offset);
        }
    }
}

START_TEST(roots_do_not_overlap_and_begin_empty)
{
    char name[20];
    int i;

    store_fresh();
    ck_assert_int_eq(open_store(), 0);
    for (i = 0; i < 300; i++) {
        struct zr_export_record *record;
        uint64_t nr_entries = 1 + random_below(3000), k;
        _Atomic uint64_t *root;

        snprintf(name, sizeof name, "%d", i);
        ck_assert_int_eq(zr_store_file_add(&store, name, 1, nr_entries, 0, why), 0);
        record = zr_store_file_find(&store, name);
        root = zr_store_file_root(&store, record);
        for (k = 0; k <= nr_entries; k++) {
            if (root[k] != 0) {
                ck_abort_msg("a new root is not empty");
            }
            root[k] = (uint64_t)i + 1;
        }
        snprintf(name, sizeof name, "%d", (int)random_below((uint64_t)i + 1));
        if (random_below(3) == 0) {
            zr_store_file_drop(&store, name);
        } else if ((record = zr_store_file_find(&store, name)) != NULL) {
            uint64_t old = record->nr_root_entries;

            ck_assert_int_eq(zr_store_file_grow(&store, record, 2, old + random_below(600), why),
                             0);
            root = zr_store_file_root(&store, record);
            ck_assert_uint_eq(root[old], (uint64_t)atoi(name) + 1);
            for (k = old + 1; k <= record->nr_root_entries; k++) {
                ck_assert_uint_eq(root[k], 0);
                root[k] = (uint64_t)atoi(name) + 1;
            }
        }
    }
    check_regions();
    zr_store_file_close(&store);
}
END_TEST

START_TEST(a_store_has_room_for_so_many_exports)
{
    char name[20];
    unsigned i;

    store_fresh();
    ck_assert_int_eq(open_store(), 0);
    for (i = 0; i < ZR_SUPERBLOCK_MAX_EXPORTS; i++) {
        snprintf(name, sizeof name, "%u", i);
        if (zr_store_file_add(&store, name, 1, 1, 0, why) < 0) {
            ck_abort_msg("%s", why);
        }
    }
    ck_assert_int_eq(zr_store_file_add(&store, "more", 1, 1, 0, why), -E2BIG);
    ck_assert_int_eq(zr_store_file_commit(&store, why), 0);
    zr_store_file_close(&store);
    ck_assert_int_eq(open_store(), 0);
    ck_assert_uint_eq(store.header.nr_exports, ZR_SUPERBLOCK_MAX_EXPORTS);
    ck_assert_ptr_nonnull(zr_store_file_find(&store, name));
    zr_store_file_close(&store);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_new_store_is_whole_when_it_has_a_name,
        a_start_that_fails_leaves_no_file,
        a_copy_that_is_half_written_does_not_count,
        a_copy_being_written_has_no_magic,
        the_higher_generation_counts,
        damage_to_one_copy_is_survived,
        other_formats_are_refused,
        files_that_are_no_stores_are_refused,
        what_others_may_change_is_refused,
        a_store_lies_on_a_tmpfs,
        a_store_has_one_server,
        a_server_waits_for_the_one_that_is_just_ending,
        one_of_two_new_stores_gets_the_name,
        roots_do_not_overlap_and_begin_empty,
        a_store_has_room_for_so_many_exports,
        NULL,
    };

#ifdef __SANITIZE_THREAD__
    puts("SKIPPED: it has one thread, and to start on a store takes ThreadSanitizer seconds each "
         "time");
    return 77;
#endif
    store_begin();
    return unit_run("superblock", tests);
}
