// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Where a server's store is in tests: a folder on a tmpfs that only this user may enter.  As root a
// tmpfs of the test's own, mounted where no other process but its servers sees it, so that it is
// gone with them; else a folder in /dev/shm, with all in it removed at exit.
//
// Nothing here returns an error: what goes wrong ends the program.
#ifndef ZR_TESTS_TMPFS_H
#define ZR_TESTS_TMPFS_H

#include <stdbool.h>
#include <stdint.h>

// The folder, made at the first call, with room for so many bytes.  Before the first server starts.
const char *tmpfs_folder(uint64_t room_bytes);

// From now on there is room for so many bytes beside those that are used; false, and nothing has
// changed, if the tmpfs is not the test's own.
bool tmpfs_try_set_room(uint64_t room_bytes);

// Copies a file, its holes as holes, over what there is of that name.
void tmpfs_copy_file(const char *from_path, const char *to_path);

#endif
