// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "store-file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES 100 // for a server that was killed to be gone
#define LOCK_PAUSE_NS 10000000

__attribute__((format(printf, 4, 5))) static int refuse(const char *path, int rc, char *why,
                                                        const char *format, ...)
{
    int length = snprintf(why, ZR_STORE_WHY_BYTES, "store=%.200s: ", path);
    va_list arguments;

    va_start(arguments, format);
    // clang-tidy 14 does not see va_start.  NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized)
    vsnprintf(why + length, ZR_STORE_WHY_BYTES - (size_t)length, format, arguments);
    va_end(arguments);
    return rc;
}

static int refuse_errno(const char *path, const char *what, char *why)
{
    int rc = -errno;

    return refuse(path, rc, why, "%s: %s", what, strerrordesc_np(-rc));
}

static int check_tmpfs(const char *path, int fd, char *why)
{
    struct statfs stat;

    if (fstatfs(fd, &stat) < 0) {
        return refuse_errno(path, "file system", why);
    }
    return stat.f_type == TMPFS_MAGIC
               ? 0
               : refuse(path, -EINVAL, why, "file system: not a tmpfs, which a store must lie on");
}

// Whoever may rename what is in the folder could put another file in the place of the store.
static int check_folder(const char *path, int folder, char *why)
{
    struct stat stat;
    int rc;

    if (fstat(folder, &stat) < 0) {
        return refuse_errno(path, "folder", why);
    }
    rc = check_tmpfs(path, folder, why);
    if (rc < 0) {
        return rc;
    }
    if (stat.st_uid != geteuid() && stat.st_uid != 0) {
        return refuse(path, -EPERM, why, "folder: owned by user %u, not %u", stat.st_uid,
                      geteuid());
    }
    if (stat.st_mode & (S_IWGRP | S_IWOTH) && !(stat.st_mode & S_ISVTX)) {
        return refuse(path, -EPERM, why,
                      "folder: others may write to it (mode %03o): chmod go-w, or make it sticky",
                      stat.st_mode & 0777);
    }
    return 0;
}

// The folder of the file, open; else -errno.
static int open_folder(const char *path, char *why)
{
    char *copy = strdup(path);
    int folder = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int rc = folder < 0 ? refuse_errno(path, "folder", why) : folder;

    free(copy);
    return rc;
}

static int check_file(const char *path, int fd, char *why)
{
    struct stat stat;
    int rc;

    if (fstat(fd, &stat) < 0) {
        return refuse_errno(path, "file", why);
    }
    if (!S_ISREG(stat.st_mode)) {
        return refuse(path, -EINVAL, why, "type: not a regular file");
    }
    rc = check_tmpfs(path, fd, why);
    if (rc < 0) {
        return rc;
    }
    if (stat.st_uid != geteuid()) {
        return refuse(path, -EPERM, why, "owner: user %u, not %u", stat.st_uid, geteuid());
    }
    if (stat.st_mode & (S_IRWXG | S_IRWXO)) {
        return refuse(path, -EPERM, why, "mode: others have rights to it (%03o): chmod 600",
                      stat.st_mode & 0777);
    }
    return 0;
}

static uint32_t read_holder(int fd)
{
    struct zr_superblock header;
    int i;

    for (i = 0; i < ZR_SUPERBLOCK_NR_COPIES; i++) {
        off_t offset = (off_t)((uint64_t)i * ZR_SUPERBLOCK_COPY_BYTES);

        if (pread(fd, &header, sizeof header, offset) == sizeof header && header.holder != 0) {
            return header.holder;
        }
    }
    return 0;
}

// An OFD lock: it goes with the last process that has the file open or mapped.
static int lock_file(const char *path, int fd, char *why)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
    uint32_t holder;
    int i;

    for (i = 0; i < LOCK_TRIES; i++) {
        if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
            return 0;
        }
        if (errno != EAGAIN && errno != EACCES) {
            return refuse_errno(path, "lock", why);
        }
        nanosleep(&pause, NULL);
    }
    holder = read_holder(fd);
    return holder ? refuse(path, -EBUSY, why, "lock: process %u has this store open", holder)
                  : refuse(path, -EBUSY, why, "lock: another process has this store open");
}

// What every store of this format has alike.
static int check_sizes(const char *path, const struct zr_superblock *header,
                       const struct zr_superblock *ours, char *why)
{
    const struct {
        const char *name;
        uint64_t is, must_be;
    } fields[] = {
        {"page size", header->os_page_bytes, ours->os_page_bytes},
        {"span size", header->span_bytes, ours->span_bytes},
        {"record size", header->record_bytes, ours->record_bytes},
        {"data offset", header->data_offset, ours->data_offset},
        {"size classes", header->classes_crc, ours->classes_crc},
    };
    size_t i;

    for (i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].is != fields[i].must_be) {
            return refuse(path, -EINVAL, why, "%s: %llu, this server has %llu", fields[i].name,
                          (unsigned long long)fields[i].is, (unsigned long long)fields[i].must_be);
        }
    }
    return 0;
}

static int check_header(const char *path, const struct zr_superblock *header, char *why)
{
    struct zr_superblock ours;

    if (header->features & ~ZR_FEATURES_KNOWN) {
        return refuse(path, -EINVAL, why, "features: %#x, of which this server knows %#x",
                      header->features, ZR_FEATURES_KNOWN);
    }
    if (header->arena_bytes > ZR_ARENA_MAX_BYTES) {
        return refuse(path, -EINVAL, why, "arena size: %llu, more than a handle can say",
                      (unsigned long long)header->arena_bytes);
    }
    zr_superblock_init(&ours);
    return check_sizes(path, header, &ours, why);
}

static uint64_t region_bytes(uint64_t nr_root_entries)
{
    uint64_t bytes = (nr_root_entries + 1) * sizeof(uint64_t); // the state first

    return (bytes + ZR_OS_PAGE_BYTES - 1) / ZR_OS_PAGE_BYTES * ZR_OS_PAGE_BYTES;
}

// The first of these whose region overlaps [offset, offset + bytes); NULL if none does.
static const struct zr_export_record *overlapping(const struct zr_export_record *records,
                                                  uint32_t nr, uint64_t offset, uint64_t bytes)
{
    uint32_t i;

    for (i = 0; i < nr; i++) {
        if (records[i].root_offset < offset + bytes &&
            offset < records[i].root_offset + region_bytes(records[i].nr_root_entries)) {
            return &records[i];
        }
    }
    return NULL;
}

static bool is_sound_record(const struct zr_export_record *record)
{
    return memchr(record->name, '\0', sizeof record->name) && record->size_bytes > 0 &&
           record->size_bytes <= ZR_EXPORT_MAX_BYTES &&
           record->nr_root_entries ==
               (record->size_bytes + ZR_ROOT_ENTRY_BYTES - 1) / ZR_ROOT_ENTRY_BYTES &&
           record->root_offset % ZR_OS_PAGE_BYTES == 0 && record->root_offset >= ZR_ROOTS_OFFSET &&
           record->root_offset <= ZR_DATA_OFFSET - region_bytes(record->nr_root_entries);
}

// The first of these that has the name; nr if none has.
static uint32_t find(const struct zr_export_record *records, uint32_t nr, const char *name)
{
    uint32_t i;

    for (i = 0; i < nr && strcmp(records[i].name, name) != 0; i++) {
    }
    return i;
}

// What no server would have written, though its crc is right.
static int check_records(const char *path, const struct zr_superblock *header,
                         const struct zr_export_record *records, char *why)
{
    uint32_t i;

    for (i = 0; i < header->nr_exports; i++) {
        if (!is_sound_record(&records[i]) || find(records, i, records[i].name) < i ||
            overlapping(records, i, records[i].root_offset,
                        region_bytes(records[i].nr_root_entries))) {
            return refuse(path, -EINVAL, why, "export %u: its record is damaged", i);
        }
    }
    return 0;
}

// Takes over header and records of a sound copy.
static int take_copy(struct zr_store_file *store, const char *copy, char *why)
{
    const struct zr_export_record *records = zr_superblock_records(copy);
    struct stat stat;
    int rc;

    memcpy(&store->header, copy, sizeof store->header);
    rc = check_header(store->path, &store->header, why);
    if (rc == 0) {
        rc = check_records(store->path, &store->header, records, why);
    }
    if (rc < 0) {
        return rc;
    }
    // The analyzer does not see that refuse() never returns 0, and so that there is a descriptor.
    // NOLINTNEXTLINE(clang-analyzer-unix.StdCLibraryFunctions)
    if (fstat(store->fd, &stat) < 0) {
        return refuse_errno(store->path, "file", why);
    }
    if ((uint64_t)stat.st_size < ZR_DATA_OFFSET + store->header.arena_bytes) {
        return refuse(store->path, -EINVAL, why, "size: truncated to %llu bytes of %llu",
                      (unsigned long long)stat.st_size,
                      (unsigned long long)(ZR_DATA_OFFSET + store->header.arena_bytes));
    }
    store->records = calloc(store->header.nr_exports + 1, sizeof *store->records);
    store->opened = calloc(store->header.nr_exports + 1, sizeof *store->opened);
    if (!store->records || !store->opened) {
        return refuse(store->path, -ENOMEM, why, "out of memory");
    }
    store->nr_opened = store->header.nr_exports;
    memcpy(store->records, records, store->header.nr_exports * sizeof *records);
    memcpy(store->opened, records, store->header.nr_exports * sizeof *records);
    return 0;
}

static int refuse_copies(const struct zr_store_file *store, enum zr_superblock_state state,
                         uint32_t format, char *why)
{
    switch (state) {
    case ZR_SUPERBLOCK_OTHER_FORMAT:
        return refuse(store->path, -EINVAL, why, "format: %u, this server has %u", format,
                      ZR_SUPERBLOCK_FORMAT);
    case ZR_SUPERBLOCK_DAMAGED:
        return refuse(store->path, -EINVAL, why, "crc: both copies of the superblock are damaged");
    default:
        return refuse(store->path, -EINVAL, why, "magic: this is no store of zramswap");
    }
}

// Reads one copy, but for what it does not use, to where zeros are.  Read, not mapped: the touch of
// a hole would take memory.
static int read_copy(const struct zr_store_file *store, char *copy, off_t offset, char *why)
{
    const struct zr_superblock *header = (const void *)copy;

    if (pread(store->fd, copy, sizeof *header, offset) < 0) {
        return refuse_errno(store->path, "file", why);
    }
    if (header->nr_exports <= ZR_SUPERBLOCK_MAX_EXPORTS &&
        pread(store->fd, copy + sizeof *header,
              header->nr_exports * sizeof(struct zr_export_record),
              offset + (off_t)sizeof *header) < 0) {
        return refuse_errno(store->path, "file", why);
    }
    return 0;
}

// copies is zeroed.
static int read_copies(struct zr_store_file *store, char *copies, char *why)
{
    enum zr_superblock_state best = ZR_SUPERBLOCK_NO_MAGIC;
    const struct zr_superblock *chosen = NULL;
    uint64_t generation[ZR_SUPERBLOCK_NR_COPIES] = {0};
    uint32_t format = 0;
    int i, rc;

    for (i = 0; i < ZR_SUPERBLOCK_NR_COPIES; i++) {
        char *copy = copies + (size_t)i * ZR_SUPERBLOCK_COPY_BYTES;
        const struct zr_superblock *header = (const void *)copy;
        enum zr_superblock_state state;

        rc = read_copy(store, copy, (off_t)((uint64_t)i * ZR_SUPERBLOCK_COPY_BYTES), why);
        if (rc < 0) {
            return rc;
        }
        state = zr_superblock_check(header);
        if (state == ZR_SUPERBLOCK_SOUND) {
            generation[i] = header->generation;
            chosen = chosen && chosen->generation >= header->generation ? chosen : header;
        }
        if (state == ZR_SUPERBLOCK_OTHER_FORMAT) {
            format = header->format;
        }
        best = state < best ? state : best;
    }
    if (!chosen || format != 0) {
        return refuse_copies(store, format != 0 ? ZR_SUPERBLOCK_OTHER_FORMAT : best, format, why);
    }
    store->is_changed = generation[0] != generation[1];
    return take_copy(store, (const char *)chosen, why);
}

static int read_store(struct zr_store_file *store, char *why)
{
    char *copies = calloc(1, ZR_KINDS_OFFSET);
    int rc = copies ? read_copies(store, copies, why)
                    : refuse(store->path, -ENOMEM, why, "out of memory");

    free(copies);
    return rc;
}

static int make_uuid(struct zr_store_file *store, unsigned char uuid[16], char *why)
{
    return getrandom(uuid, 16, 0) == 16 ? 0 : refuse_errno(store->path, "uuid", why);
}

static int make_store(struct zr_store_file *store, char *why)
{
    zr_superblock_init(&store->header);
    store->is_new = store->is_changed = true;
    store->records = calloc(1, sizeof *store->records);
    if (!store->records) {
        return refuse(store->path, -ENOMEM, why, "out of memory");
    }
    return make_uuid(store, store->header.uuid, why);
}

// Opens the file that has the name, or else one without a name.
static int open_file(struct zr_store_file *store, int folder, char *why)
{
    const char *slash = strrchr(store->path, '/');
    const char *name = slash ? slash + 1 : store->path;
    int rc = check_folder(store->path, folder, why);

    if (rc < 0) {
        return rc;
    }
    // A fifo would block.
    store->fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (store->fd < 0 && errno == ENOENT) {
        store->fd = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        store->is_new = true;
    }
    if (store->fd < 0 && errno == ELOOP) {
        return refuse(store->path, -ELOOP, why, "type: a symbolic link");
    }
    if (store->fd < 0) {
        return refuse_errno(store->path, "file", why);
    }
    rc = check_file(store->path, store->fd, why);
    return rc < 0 ? rc : lock_file(store->path, store->fd, why);
}

int zr_store_file_open(struct zr_store_file *store, const char *path, char *why)
{
    int folder, rc;

    *store = (struct zr_store_file){.fd = -1, .metadata.base = (void *)-1, .metadata.fd = -1};
    store->path = strdup(path);
    if (!store->path) {
        return refuse(path, -ENOMEM, why, "out of memory");
    }
    rc = folder = open_folder(path, why);
    if (folder >= 0) {
        rc = open_file(store, folder, why);
        close(folder);
    }
    if (rc == 0) {
        rc = store->is_new ? make_store(store, why) : read_store(store, why);
    }
    if (rc == 0) {
        rc = zr_arena_init_file(&store->metadata, store->fd, 0, ZR_DATA_OFFSET);
        if (rc == 0) {
            rc = zr_arena_open(&store->metadata, ZR_DATA_OFFSET);
        }
        if (rc < 0) {
            refuse(path, rc, why, "cannot map it: %s", strerrordesc_np(-rc));
        }
    }
    if (rc < 0) {
        zr_store_file_close(store);
    }
    return rc;
}

void zr_store_file_close(struct zr_store_file *store)
{
    zr_arena_fini(&store->metadata);
    if (store->fd >= 0) {
        close(store->fd);
        store->fd = -1;
    }
    free(store->records);
    free(store->opened);
    free(store->path);
    store->records = store->opened = NULL;
    store->path = NULL;
}

struct zr_export_record *zr_store_file_find(struct zr_store_file *store, const char *name)
{
    uint32_t i = find(store->records, store->header.nr_exports, name);

    return i < store->header.nr_exports ? &store->records[i] : NULL;
}

// A region of zeros that has memory, for a root.
static int make_region(struct zr_store_file *store, uint64_t nr_root_entries, uint64_t *offset,
                       char *why)
{
    uint64_t bytes = region_bytes(nr_root_entries);
    const struct zr_export_record *taken;
    int rc;

    *offset = ZR_ROOTS_OFFSET;
    while ((taken = overlapping(store->records, store->header.nr_exports, *offset, bytes)) !=
               NULL ||
           (taken = overlapping(store->opened, store->nr_opened, *offset, bytes)) != NULL) {
        *offset = taken->root_offset + region_bytes(taken->nr_root_entries);
    }
    if (*offset + bytes > ZR_DATA_OFFSET) {
        return refuse(store->path, -E2BIG, why, "there is no room for one more export");
    }
    // An export that was dropped may have left something there.
    rc = zr_arena_release(&store->metadata, *offset, bytes);
    if (rc == 0) {
        rc = zr_arena_back(&store->metadata, *offset, bytes);
    }
    return rc < 0 ? refuse(store->path, rc, why, "no memory for the table of an export: %s",
                           strerrordesc_np(-rc))
                  : 0;
}

int zr_store_file_add(struct zr_store_file *store, const char *name, uint64_t size_bytes,
                      uint64_t nr_root_entries, uint32_t checksum_seed, char *why)
{
    struct zr_export_record record = {
        .size_bytes = size_bytes,
        .nr_root_entries = nr_root_entries,
        .limit_bytes = UINT64_MAX,
        .checksum_seed = checksum_seed,
    };
    uint32_t nr = store->header.nr_exports;
    struct zr_export_record *records;
    int rc;

    if (nr >= ZR_SUPERBLOCK_MAX_EXPORTS || strlen(name) >= sizeof record.name) {
        return refuse(store->path, -E2BIG, why, "there is no room for one more export");
    }
    memcpy(record.name, name, strlen(name));
    rc = make_uuid(store, record.uuid, why);
    if (rc == 0) {
        rc = make_region(store, nr_root_entries, &record.root_offset, why);
    }
    if (rc < 0) {
        return rc;
    }
    records = realloc(store->records, (nr + 1) * sizeof *records);
    if (!records) {
        return refuse(store->path, -ENOMEM, why, "out of memory");
    }
    store->records = records;
    records[nr] = record;
    store->header.nr_exports++;
    store->is_changed = true;
    return 0;
}

int zr_store_file_grow(struct zr_store_file *store, struct zr_export_record *record,
                       uint64_t size_bytes, uint64_t nr_root_entries, char *why)
{
    int rc;

    // Behind the last entry of a region are zeros.
    if (region_bytes(nr_root_entries) > region_bytes(record->nr_root_entries)) {
        const void *old = zr_store_file_root(store, record);
        uint64_t offset;

        rc = make_region(store, nr_root_entries, &offset, why);
        if (rc < 0) {
            return rc;
        }
        memcpy(store->metadata.base + offset, old,
               (record->nr_root_entries + 1) * sizeof(uint64_t));
        record->root_offset = offset;
    }
    record->size_bytes = size_bytes;
    record->nr_root_entries = nr_root_entries;
    store->is_changed = true;
    return 0;
}

void zr_store_file_drop(struct zr_store_file *store, const char *name)
{
    struct zr_export_record *record = zr_store_file_find(store, name);

    if (record) {
        *record = store->records[--store->header.nr_exports];
        store->is_changed = true;
    }
}

_Atomic uint64_t *zr_store_file_root(const struct zr_store_file *store,
                                     const struct zr_export_record *record)
{
    return (void *)(store->metadata.base + record->root_offset);
}

_Atomic uint16_t *zr_store_file_kinds(const struct zr_store_file *store)
{
    return (void *)(store->metadata.base + ZR_KINDS_OFFSET);
}

static void *copy_at(const struct zr_store_file *store, int i)
{
    return store->metadata.base + (size_t)i * ZR_SUPERBLOCK_COPY_BYTES;
}

static int give_name(struct zr_store_file *store, char *why)
{
    char link[40];

    snprintf(link, sizeof link, "/proc/self/fd/%d", store->fd);
    if (linkat(AT_FDCWD, link, AT_FDCWD, store->path, AT_SYMLINK_FOLLOW) < 0) {
        return refuse_errno(store->path, "cannot give the new store its name", why);
    }
    store->is_new = false;
    return 0;
}

int zr_store_file_commit(struct zr_store_file *store, char *why)
{
    size_t bytes =
        sizeof store->header + store->header.nr_exports * sizeof(struct zr_export_record);
    int i, rc;

    if (!store->is_changed) {
        return 0;
    }
    bytes = (bytes + ZR_OS_PAGE_BYTES - 1) / ZR_OS_PAGE_BYTES * ZR_OS_PAGE_BYTES;
    for (i = 0; i < ZR_SUPERBLOCK_NR_COPIES; i++) {
        rc = zr_arena_back(&store->metadata, (size_t)i * ZR_SUPERBLOCK_COPY_BYTES, bytes);
        if (rc < 0) {
            return refuse(store->path, rc, why, "no memory for the superblock: %s",
                          strerrordesc_np(-rc));
        }
    }
    store->header.generation++;
    for (i = ZR_SUPERBLOCK_NR_COPIES; i-- > 0;) {
        zr_superblock_write(copy_at(store, i), &store->header, store->records);
    }
    store->is_changed = false;
    return store->is_new ? give_name(store, why) : 0;
}

void zr_store_file_set_holder(struct zr_store_file *store)
{
    int i;

    for (i = 0; i < ZR_SUPERBLOCK_NR_COPIES; i++) {
        struct zr_superblock *header = copy_at(store, i);

        atomic_store_explicit(&header->holder, (uint32_t)getpid(), memory_order_relaxed);
    }
}
