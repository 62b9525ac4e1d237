// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"
#include "fault.h"

#include "allocator/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR_PAGES 64
#define RESERVED_BYTES (NR_PAGES * PAGE_BYTES)

static const enum zr_arena_kind kinds[] = {ZR_ARENA_SHARED, ZR_ARENA_PRIVATE};

// Whether a byte can be read, asked of the kernel instead of by a crash.
static bool is_accessible(const struct zr_arena *arena, size_t offset)
{
    int fds[2];
    ssize_t written;

    ck_assert_int_eq(pipe(fds), 0);
    written = write(fds[1], arena->base + offset, 1);
    ck_assert(written == 1 || errno == EFAULT);
    close(fds[0]);
    close(fds[1]);
    return written == 1;
}

static bool is_filled(const char *bytes, int value, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        if (bytes[i] != (char)value) {
            return false;
        }
    }
    return true;
}

START_TEST(a_new_arena_is_reserved_and_closed)
{
    for (size_t i = 0; i < NR_OF(kinds); i++) {
        struct zr_arena arena;

        ck_assert_int_eq(zr_arena_init(&arena, kinds[i], RESERVED_BYTES), 0);
        ck_assert_uint_eq(arena.reserved_bytes, RESERVED_BYTES);
        ck_assert_uint_eq(arena.open_bytes, 0);
        ck_assert(!is_accessible(&arena, 0));
        ck_assert(!is_accessible(&arena, RESERVED_BYTES - 1));
        zr_arena_fini(&arena);
    }
}
END_TEST

START_TEST(what_is_opened_is_zeros_and_what_lies_behind_stays_closed)
{
    static const size_t opened_pages[] = {1, 2, 3, NR_PAGES - 1, NR_PAGES};

    for (size_t i = 0; i < NR_OF(kinds); i++) {
        struct zr_arena arena;
        size_t done = 0;

        ck_assert_int_eq(zr_arena_init(&arena, kinds[i], RESERVED_BYTES), 0);
        for (size_t step = 0; step < NR_OF(opened_pages); step++) {
            size_t end = opened_pages[step] * PAGE_BYTES;

            ck_assert_int_eq(zr_arena_open(&arena, end), 0);
            ck_assert_uint_eq(arena.open_bytes, end);
            ck_assert_msg(is_filled(arena.base, 'x', done), "opening more keeps what was stored");
            ck_assert(is_filled(arena.base + done, 0, end - done));
            if (end < RESERVED_BYTES) {
                ck_assert(!is_accessible(&arena, end));
            }
            memset(arena.base, 'x', end);
            done = end;
        }
        zr_arena_fini(&arena);
    }
}
END_TEST

START_TEST(opening_what_is_open_changes_nothing)
{
    struct zr_arena arena;

    ck_assert_int_eq(zr_arena_init(&arena, ZR_ARENA_SHARED, RESERVED_BYTES), 0);
    ck_assert_int_eq(zr_arena_open(&arena, 0), 0);
    ck_assert_uint_eq(arena.open_bytes, 0);
    ck_assert_int_eq(zr_arena_open(&arena, 2 * PAGE_BYTES), 0);

    for (size_t pages = 0; pages <= 2; pages++) {
        int rc;

        fault_arm(0);
        rc = zr_arena_open(&arena, pages * PAGE_BYTES);
        fault_disarm();
        ck_assert_int_eq(rc, 0);
        ck_assert_uint_eq(fault_nr_calls(), 0); // no system call
        ck_assert_uint_eq(arena.open_bytes, 2 * PAGE_BYTES);
    }
    ck_assert(is_accessible(&arena, 2 * PAGE_BYTES - 1));
    zr_arena_fini(&arena);
}
END_TEST

START_TEST(opening_beyond_the_reservation_is_enospc_and_changes_nothing)
{
    for (size_t i = 0; i < NR_OF(kinds); i++) {
        struct zr_arena arena;

        ck_assert_int_eq(zr_arena_init(&arena, kinds[i], RESERVED_BYTES), 0);
        ck_assert_int_eq(zr_arena_open(&arena, PAGE_BYTES), 0);
        arena.base[0] = 'x';
        ck_assert_int_eq(zr_arena_open(&arena, RESERVED_BYTES + 1), -ENOSPC);
        ck_assert_int_eq(zr_arena_open(&arena, RESERVED_BYTES + PAGE_BYTES), -ENOSPC);
        ck_assert_int_eq(zr_arena_open(&arena, SIZE_MAX), -ENOSPC);
        ck_assert_uint_eq(arena.open_bytes, PAGE_BYTES);
        ck_assert_int_eq(arena.base[0], 'x');
        ck_assert(!is_accessible(&arena, PAGE_BYTES));
        ck_assert_int_eq(zr_arena_open(&arena, RESERVED_BYTES), 0);
        zr_arena_fini(&arena);
    }
}
END_TEST

START_TEST(an_open_that_fails_changes_nothing_and_may_be_repeated)
{
    struct zr_arena arena;
    int rc;

    ck_assert_int_eq(zr_arena_init(&arena, ZR_ARENA_SHARED, RESERVED_BYTES), 0);
    fault_arm(1);
    rc = zr_arena_open(&arena, PAGE_BYTES);
    fault_disarm();
    ck_assert_int_eq(rc, -ENOMEM);
    ck_assert_uint_eq(arena.open_bytes, 0);
    ck_assert_int_eq(zr_arena_open(&arena, PAGE_BYTES), 0);
    ck_assert(is_accessible(&arena, 0));
    zr_arena_fini(&arena);
}
END_TEST

static long stored_bytes(const struct zr_arena *arena)
{
    struct stat status;

    ck_assert_int_eq(fstat(arena->fd, &status), 0);
    return status.st_blocks * 512;
}

START_TEST(releasing_gives_memory_back_and_keeps_the_neighbours)
{
    struct zr_arena arena;

    ck_assert_int_eq(zr_arena_init(&arena, ZR_ARENA_SHARED, RESERVED_BYTES), 0);
    ck_assert_int_eq(zr_arena_open(&arena, 4 * PAGE_BYTES), 0);
    memset(arena.base, 'x', 4 * PAGE_BYTES);
    ck_assert_int_eq(stored_bytes(&arena), 4 * PAGE_BYTES);

    ck_assert_int_eq(zr_arena_release(&arena, PAGE_BYTES, 2 * PAGE_BYTES), 0);
    ck_assert_int_eq(stored_bytes(&arena), 2 * PAGE_BYTES);
    ck_assert(is_filled(arena.base, 'x', PAGE_BYTES));
    ck_assert(is_filled(arena.base + PAGE_BYTES, 0, 2 * PAGE_BYTES));
    ck_assert(is_filled(arena.base + 3 * PAGE_BYTES, 'x', PAGE_BYTES));

    memset(arena.base + PAGE_BYTES, 'y', PAGE_BYTES); // still open
    ck_assert_uint_eq(arena.open_bytes, 4 * PAGE_BYTES);
    zr_arena_fini(&arena);
}
END_TEST

START_TEST(backing_makes_memory_resident_and_changes_none)
{
    struct zr_arena arena;
    int rc;

    ck_assert_int_eq(zr_arena_init(&arena, ZR_ARENA_SHARED, RESERVED_BYTES), 0);
    ck_assert_int_eq(zr_arena_open(&arena, 4 * PAGE_BYTES), 0);
    memset(arena.base + PAGE_BYTES, 'x', PAGE_BYTES);
    rc = zr_arena_back(&arena, PAGE_BYTES, 2 * PAGE_BYTES);
    ck_assert_int_eq(rc, 0);
    ck_assert_int_eq(stored_bytes(&arena), 2 * PAGE_BYTES);
    ck_assert(is_filled(arena.base + PAGE_BYTES, 'x', PAGE_BYTES));
    ck_assert(is_filled(arena.base + 2 * PAGE_BYTES, 0, PAGE_BYTES));
    zr_arena_fini(&arena);
}
END_TEST

// As a server locked in memory does it.  A single page, which any user may lock.
START_TEST(locked_memory_can_be_released)
{
    struct zr_arena arena;

    ck_assert_int_eq(zr_arena_init(&arena, ZR_ARENA_SHARED, RESERVED_BYTES), 0);
    ck_assert_int_eq(zr_arena_open(&arena, PAGE_BYTES), 0);
    ck_assert_int_eq(mlock(arena.base, PAGE_BYTES), 0);
    memset(arena.base, 'x', PAGE_BYTES);
    ck_assert_int_eq(zr_arena_release(&arena, 0, PAGE_BYTES), 0);
    ck_assert(is_filled(arena.base, 0, PAGE_BYTES));
    zr_arena_fini(&arena);
}
END_TEST

START_TEST(only_a_shared_arena_is_shared_with_another_process)
{
    for (size_t i = 0; i < NR_OF(kinds); i++) {
        struct zr_arena arena;
        pid_t child;

        ck_assert_int_eq(zr_arena_init(&arena, kinds[i], RESERVED_BYTES), 0);
        ck_assert_int_eq(zr_arena_open(&arena, PAGE_BYTES), 0);
        child = fork();
        if (child == 0) {
            arena.base[0] = 'x';
            _exit(0);
        }
        ck_assert_int_eq(waitpid(child, NULL, 0), child);
        ck_assert_int_eq(arena.base[0], kinds[i] == ZR_ARENA_SHARED ? 'x' : 0);
        ck_assert((arena.fd >= 0) == (kinds[i] == ZR_ARENA_SHARED));
        zr_arena_fini(&arena);
    }
}
END_TEST

// Bytes of the arena's mappings, and of those that the kernel leaves out of core dumps ("dd").
static void count_dumped(const struct zr_arena *arena, size_t *mapped, size_t *not_dumped)
{
    const uintptr_t base = (uintptr_t)arena->base;
    FILE *maps = fopen("/proc/self/smaps", "r");
    uintptr_t start, end, from = 0, to = 0;
    char line[512];

    ck_assert_ptr_nonnull(maps);
    *mapped = *not_dumped = 0;
    while (fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2) {
            from = start > base ? start : base;
            to = end < base + arena->reserved_bytes ? end : base + arena->reserved_bytes;
            *mapped += from < to ? to - from : 0;
        } else if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " dd")) {
            *not_dumped += from < to ? to - from : 0;
        }
    }
    fclose(maps);
}

START_TEST(neither_kind_is_written_to_a_core_dump)
{
    for (size_t i = 0; i < NR_OF(kinds); i++) {
        struct zr_arena arena;
        size_t mapped, not_dumped;

        ck_assert_int_eq(zr_arena_init(&arena, kinds[i], RESERVED_BYTES), 0);
        ck_assert_int_eq(zr_arena_open(&arena, RESERVED_BYTES / 2), 0);
        count_dumped(&arena, &mapped, &not_dumped);
        ck_assert_uint_eq(mapped, RESERVED_BYTES);
        ck_assert_uint_eq(not_dumped, RESERVED_BYTES);
        zr_arena_fini(&arena);
    }
}
END_TEST

START_TEST(a_program_that_is_executed_does_not_inherit_it)
{
    struct zr_arena arena;

    ck_assert_int_eq(zr_arena_init(&arena, ZR_ARENA_SHARED, RESERVED_BYTES), 0);
    ck_assert_int_eq(fcntl(arena.fd, F_GETFD), FD_CLOEXEC);
    zr_arena_fini(&arena);
}
END_TEST

START_TEST(more_than_the_address_space_is_enomem)
{
    for (size_t i = 0; i < NR_OF(kinds); i++) {
        struct zr_arena arena;

        ck_assert_int_eq(zr_arena_init(&arena, kinds[i], (size_t)1 << 60), -ENOMEM);
    }
}
END_TEST

START_TEST(no_file_descriptor_left_is_emfile)
{
    struct rlimit limit = {0};
    struct rlimit before;
    struct zr_arena arena;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit.rlim_max = before.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(zr_arena_init(&arena, ZR_ARENA_SHARED, RESERVED_BYTES), -EMFILE);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}
END_TEST

START_TEST(an_init_that_fails_at_any_step_leaves_nothing_behind)
{
    for (size_t i = 0; i < NR_OF(kinds); i++) {
        struct zr_arena arena;
        unsigned nth;
        int rc;

        for (nth = 1;; nth++) {
            fault_arm(nth);
            rc = zr_arena_init(&arena, kinds[i], RESERVED_BYTES);
            if (!fault_disarm()) {
                break;
            }
            ck_assert_int_eq(rc, -ENOMEM);
            ck_assert_int_eq(fault_nr_live(), 0);
        }
        ck_assert_int_eq(rc, 0);
        ck_assert_uint_gt(nth, 1);
        fault_arm(0);
        zr_arena_fini(&arena);
        fault_disarm();
        ck_assert_int_eq(fault_nr_live(), 0);
    }
}
END_TEST

UNIT_MAIN("arena", a_new_arena_is_reserved_and_closed,
          what_is_opened_is_zeros_and_what_lies_behind_stays_closed,
          opening_what_is_open_changes_nothing,
          opening_beyond_the_reservation_is_enospc_and_changes_nothing,
          an_open_that_fails_changes_nothing_and_may_be_repeated,
          releasing_gives_memory_back_and_keeps_the_neighbours,
          backing_makes_memory_resident_and_changes_none, locked_memory_can_be_released,
          only_a_shared_arena_is_shared_with_another_process,
          neither_kind_is_written_to_a_core_dump, a_program_that_is_executed_does_not_inherit_it,
          more_than_the_address_space_is_enomem, no_file_descriptor_left_is_emfile,
          an_init_that_fails_at_any_step_leaves_nothing_behind)
