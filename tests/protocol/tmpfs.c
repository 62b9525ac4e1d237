// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "tmpfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "content.h"
#include "expect.h"

static char folder[40];
static bool is_own;
static pid_t owner; // of the folder: no child of the test

static void remove_files(void)
{
    char path[sizeof folder + 256];
    const struct dirent *entry;
    DIR *files = opendir(folder);

    while (files && (entry = readdir(files))) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path); // fails for . and ..
    }
    if (files) {
        closedir(files);
    }
}

static void remove_folder(void)
{
    if (getpid() != owner) {
        return;
    }
    if (is_own) {
        umount2(folder, MNT_DETACH); // a server may still be there
    } else {
        remove_files();
    }
    rmdir(folder);
}

// 0 bytes would be no limit.
static void mount_with(unsigned long flags, uint64_t bytes)
{
    char options[64];

    snprintf(options, sizeof options, "mode=0700,size=%" PRIu64, bytes > 0 ? bytes : 1);
    if (mount("tmpfs", folder, "tmpfs", flags | MS_NOSUID | MS_NODEV, options) == -1) {
        FAIL("mount: %s", strerror(errno));
    }
}

const char *tmpfs_folder(uint64_t room_bytes)
{
    if (*folder) {
        return folder;
    }
    is_own = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
             mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    strcpy(folder, is_own ? "/tmp/zramswap-store-XXXXXX" : "/dev/shm/zramswap-store-XXXXXX");
    if (!mkdtemp(folder)) {
        SKIP("no folder for a store: mkdtemp: %s", strerror(errno));
    }
    owner = getpid();
    atexit(remove_folder);
    if (is_own) {
        mount_with(0, room_bytes);
    }
    return folder;
}

bool tmpfs_try_set_room(uint64_t room_bytes)
{
    struct statfs fs;

    if (is_own) {
        SYSTEM_OK(statfs(folder, &fs));
        mount_with(MS_REMOUNT, (fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize + room_bytes);
    }
    return is_own;
}

void tmpfs_copy_file(const char *from_path, const char *to_path)
{
    static uint8_t buffer[1 * MiB];
    int from = SYSTEM_OK(open(from_path, O_RDONLY));
    int to = SYSTEM_OK(open(to_path, O_CREAT | O_TRUNC | O_WRONLY, 0600));
    off_t start = 0, end;
    struct stat stat;
    ssize_t got;

    SYSTEM_OK(fstat(from, &stat));
    SYSTEM_OK(ftruncate(to, stat.st_size));
    while ((start = lseek(from, start, SEEK_DATA)) != -1) {
        end = SYSTEM_OK(lseek(from, start, SEEK_HOLE));
        for (; start < end; start += got) {
            size_t wanted =
                end - start < (off_t)sizeof buffer ? (size_t)(end - start) : sizeof buffer;

            got = SYSTEM_OK(pread(from, buffer, wanted, start));
            EXPECT(pwrite(to, buffer, (size_t)got, start) == got);
        }
    }
    close(from);
    close(to);
}
