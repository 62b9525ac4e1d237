// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "content.h"
#include "expect.h"
#include "memory.h"
#include "server.h"

#define STORE_NAME "/memfd:zramswap"
#define PIECE_BYTES MiB

static int open_of_server(const char *name, int flags)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)server_process(), name);
    fd = open(path, flags);
    if (fd == -1 && (errno == EACCES || errno == EPERM))
        SKIP("only root may look into the server's memory");
    return SYSTEM_OK(fd);
}

static int open_store(void)
{
    int folder_fd = open_of_server("fd", O_RDONLY | O_DIRECTORY);
    DIR *folder = fdopendir(folder_fd);
    const struct dirent *entry;
    char target[64];

    EXPECT(folder);
    while ((entry = readdir(folder))) {
        ssize_t length = readlinkat(folder_fd, entry->d_name, target, sizeof target);

        if (length >= (ssize_t)strlen(STORE_NAME) &&
            memcmp(target, STORE_NAME, strlen(STORE_NAME)) == 0) {
            int fd = SYSTEM_OK(openat(folder_fd, entry->d_name, O_RDWR));

            closedir(folder);
            return fd;
        }
    }
    FAIL("the server has no " STORE_NAME);
}

// In the file's bytes [start, end); what cannot be read is passed over.
static size_t count_in_range(int fd, uint64_t start, uint64_t end, const void *bytes, size_t length,
                             uint64_t *first)
{
    static unsigned char piece[PIECE_BYTES];
    size_t count = 0;

    while (start + length <= end) {
        size_t wanted = end - start < sizeof piece ? end - start : sizeof piece;
        ssize_t got = pread(fd, piece, wanted, (off_t)start);
        const unsigned char *at = piece;

        if (got < (ssize_t)length) {
            start += PAGE_BYTES;
            continue;
        }
        while ((at = memmem(at, (size_t)(piece + got - at), bytes, length))) {
            if (count++ == 0 && first)
                *first = start + (uint64_t)(at - piece);
            at++;
        }
        // Its last bytes again: what is sought may begin there.
        start += (size_t)got - (length - 1);
    }
    return count;
}

size_t memory_count_in_store(const void *bytes, size_t length, uint64_t *first)
{
    int fd = open_store();
    off_t start = 0, end;
    size_t count = 0;

    while ((start = lseek(fd, start, SEEK_DATA)) != -1) {
        end = SYSTEM_OK(lseek(fd, start, SEEK_HOLE));
        count += count_in_range(fd, (uint64_t)start, (uint64_t)end, bytes, length,
                                count == 0 ? first : NULL);
        start = end;
    }
    EXPECT(errno == ENXIO);
    close(fd);
    return count;
}

size_t memory_count_elsewhere(const void *bytes, size_t length)
{
    FILE *maps = fdopen(open_of_server("maps", O_RDONLY), "r");
    int memory = open_of_server("mem", O_RDONLY);
    size_t count = 0;
    char line[512];

    EXPECT(maps);
    while (fgets(line, sizeof line, maps)) {
        uint64_t start, end;
        char permissions[5];

        EXPECT(sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, permissions) == 3);
        if (permissions[0] == 'r' && !strstr(line, STORE_NAME) && !strstr(line, "[v"))
            count += count_in_range(memory, start, end, bytes, length, NULL);
    }
    fclose(maps);
    close(memory);
    return count;
}

void memory_flip_bit(uint64_t store_offset, unsigned bit)
{
    int fd = open_store();
    unsigned char byte;

    EXPECT(pread(fd, &byte, 1, (off_t)store_offset) == 1);
    byte ^= (unsigned char)(1u << bit);
    EXPECT(pwrite(fd, &byte, 1, (off_t)store_offset) == 1);
    close(fd);
}
