// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"

#include "plugin/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t first_uuid[ZR_STATE_UUID_BYTES] = {1, 2, 0xff};
static const uint8_t other_uuid[ZR_STATE_UUID_BYTES] = {1, 2, 0xfe};

static char folder[] = "/tmp/zramswap-state-XXXXXX";
static char path[sizeof folder + 6];
static struct zr_state state;
static char why[ZR_STATE_WHY_BYTES];

static void make_folder(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/state", folder);
}

static void remove_folder(void)
{
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void start(void)
{
    ck_assert_msg(zr_state_init(&state, path, why) == 0, "%s", why);
}

// A new folder and a new state in it, for a test.
static void begin(void)
{
    make_folder();
    start();
}

static void end(void)
{
    zr_state_fini(&state);
    remove_folder();
}

// As after a kill: nothing is done at the end.
static void restart(void)
{
    zr_state_fini(&state);
    start();
}

static void append_text(const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);

    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

START_TEST(what_was_noted_is_found_by_name_and_uuid)
{
    begin();
    ck_assert_int_eq(zr_state_find(&state, "vm1", first_uuid), ZR_EXPORT_UNUSED);
    ck_assert_int_eq(zr_state_note(&state, "vm1", first_uuid), 0);
    ck_assert_int_eq(zr_state_note(&state, "", other_uuid), 0);
    restart();
    ck_assert_int_eq(zr_state_find(&state, "vm1", first_uuid), ZR_EXPORT_IN_USE);
    ck_assert_int_eq(zr_state_find(&state, "vm1", other_uuid), ZR_EXPORT_IS_LOST);
    ck_assert_int_eq(zr_state_find(&state, "", other_uuid), ZR_EXPORT_IN_USE);
    ck_assert_int_eq(zr_state_find(&state, "vm", first_uuid), ZR_EXPORT_UNUSED);
    ck_assert_int_eq(zr_state_find(&state, "1", first_uuid), ZR_EXPORT_UNUSED);
    end();
}
END_TEST

START_TEST(the_last_line_of_a_name_counts)
{
    begin();
    ck_assert_int_eq(zr_state_note(&state, "vm1", first_uuid), 0);
    ck_assert_int_eq(zr_state_note(&state, "vm1", other_uuid), 0);
    ck_assert_int_eq(zr_state_note(&state, "vm2", first_uuid), 0);
    ck_assert_int_eq(zr_state_drop(&state, "vm2"), 0);
    restart();
    ck_assert_int_eq(zr_state_find(&state, "vm1", first_uuid), ZR_EXPORT_IS_LOST);
    ck_assert_int_eq(zr_state_find(&state, "vm1", other_uuid), ZR_EXPORT_IN_USE);
    ck_assert_int_eq(zr_state_find(&state, "vm2", other_uuid), ZR_EXPORT_UNUSED);
    end();
}
END_TEST

// A kill, or the end of the disk, in the middle of any line.
START_TEST(a_line_without_its_end_counts_for_nothing)
{
    static const char text[] = "zramswap-state 1\n0102ff00000000000000000000000000 vm1\n"
                               "0102fe00000000000000000000000000 vm2\n";
    static const size_t first_end = sizeof "zramswap-state 1\n" - 1;
    size_t bytes;

    for (bytes = 0; bytes < sizeof text; bytes++) {
        bool has_vm1 = bytes >= first_end + 37, has_vm2 = bytes == sizeof text - 1;
        char part[sizeof text] = "";

        memcpy(part, text, bytes);
        strcpy(folder + sizeof folder - 7, "XXXXXX");
        make_folder();
        append_text(part);
        start();
        ck_assert_int_eq(zr_state_find(&state, "vm1", first_uuid),
                         has_vm1 ? ZR_EXPORT_IN_USE : ZR_EXPORT_UNUSED);
        ck_assert_int_eq(zr_state_find(&state, "vm2", other_uuid),
                         has_vm2 ? ZR_EXPORT_IN_USE : ZR_EXPORT_UNUSED);
        ck_assert_int_eq(zr_state_note(&state, "v", first_uuid), 0);
        restart();
        ck_assert_int_eq(zr_state_find(&state, "v", first_uuid), ZR_EXPORT_IN_USE);
        zr_state_fini(&state);
        remove_folder();
    }
}
END_TEST

START_TEST(what_is_no_state_is_refused_and_left_as_it_is)
{
    char text[100] = "";
    int fd;

    make_folder();
    append_text("root:x:0:0:root:/root:/bin/bash\n");
    ck_assert_int_eq(zr_state_init(&state, path, why), -EINVAL);
    ck_assert_msg(strstr(why, path) && strstr(why, "first line"), "%s", why);
    fd = open(path, O_RDONLY);
    ck_assert_int_gt(read(fd, text, sizeof text - 1), 0);
    close(fd);
    ck_assert_str_eq(text, "root:x:0:0:root:/root:/bin/bash\n");
    unlink(path);

    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_lt(zr_state_init(&state, path, why), 0);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(zr_state_init(&state, "/nowhere/state", why), -ENOENT);
    ck_assert_msg(strstr(why, "/nowhere/state"), "%s", why);
    remove_folder();
}
END_TEST

START_TEST(a_second_server_is_refused)
{
    struct zr_state second;

    begin();
    ck_assert_int_eq(zr_state_init(&second, path, why), -EBUSY);
    ck_assert_msg(strstr(why, "another server"), "%s", why);
    end();
}
END_TEST

START_TEST(a_note_that_is_not_on_the_disk_is_an_error)
{
    begin();
    ck_assert_int_eq(zr_state_note(&state, "vm1", first_uuid), 0);
    close(state.fd);
    state.fd = open("/dev/full", O_RDWR);
    ck_assert_int_eq(zr_state_note(&state, "vm2", first_uuid), -ENOSPC);
    zr_state_fini(&state);
    start();
    ck_assert_int_eq(zr_state_find(&state, "vm1", first_uuid), ZR_EXPORT_IN_USE);
    ck_assert_int_eq(zr_state_find(&state, "vm2", first_uuid), ZR_EXPORT_UNUSED);
    end();
}
END_TEST

START_TEST(without_a_file_nothing_is_noted_or_lost)
{
    ck_assert_int_eq(zr_state_init(&state, NULL, why), 0);
    ck_assert_int_eq(zr_state_note(&state, "vm1", first_uuid), 0);
    ck_assert_int_eq(zr_state_find(&state, "vm1", other_uuid), ZR_EXPORT_UNUSED);
    zr_state_fini(&state);
}
END_TEST

UNIT_MAIN("state", what_was_noted_is_found_by_name_and_uuid, the_last_line_of_a_name_counts,
          a_line_without_its_end_counts_for_nothing, what_is_no_state_is_refused_and_left_as_it_is,
          a_second_server_is_refused, a_note_that_is_not_on_the_disk_is_an_error,
          without_a_file_nothing_is_noted_or_lost)
