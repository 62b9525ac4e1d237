// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "zram-device.h"
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONTROL "/sys/class/zram-control"

static bool try_write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0) {
        close(fd);
    }
    return done;
}

static bool try_write_attribute(int number, const char *name, const char *text)
{
    char path[80];

    snprintf(path, sizeof path, "/sys/block/zram%d/%s", number, name);
    return try_write_text(path, text);
}

static bool try_remove(int number)
{
    char text[20];
    unsigned tries;

    snprintf(text, sizeof text, "%d", number);
    // Busy for a moment after the last close.
    for (tries = 0; tries < 100; tries++) {
        if (try_write_text(CONTROL "/hot_remove", text)) {
            return true;
        }
        usleep(50000);
    }
    return false;
}

// Waits in a process of its own until the other end of the pipe is closed by exit, crash or kill,
// then removes the device.
static void start_remover(int number)
{
    sigset_t all;
    int ends[2];
    char byte;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        bench_die("pipe: %s", strerror(errno));
    }
    switch (fork()) {
    case -1:
        bench_die("fork: %s", strerror(errno));
    case 0:
        break;
    default:
        close(ends[0]);
        return; // the writing end stays open for as long as this process lives
    }
    // Neither Ctrl-C nor a closed terminal may end it first, and it must not hold our pipes open.
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    setsid();
    close(ends[1]);
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    while (read(ends[0], &byte, 1) < 0 && errno == EINTR) {
    }
    if (!try_remove(number)) {
        fprintf(stderr, "could not remove zram%d: write %d to " CONTROL "/hot_remove\n", number,
                number);
        _exit(1);
    }
    _exit(0);
}

bool zram_device_open(struct zram_device *zram, uint64_t bytes)
{
    FILE *hot_add = fopen(CONTROL "/hot_add", "re");
    char text[30];
    unsigned tries;

    if (!hot_add || fscanf(hot_add, "%d", &zram->number) != 1) {
        bench_progress("SKIPPED zram: cannot make a device (%s); its rows are left out",
                       strerror(errno));
        if (hot_add) {
            fclose(hot_add);
        }
        return false;
    }
    fclose(hot_add);
    start_remover(zram->number);

    snprintf(text, sizeof text, "%" PRIu64, bytes);
    if (!try_write_attribute(zram->number, "comp_algorithm", "lz4") ||
        !try_write_attribute(zram->number, "disksize", text)) {
        bench_progress("SKIPPED zram: cannot set it up with lz4 (%s); its rows are left out",
                       strerror(errno));
        return false;
    }
    snprintf(text, sizeof text, "/dev/zram%d", zram->number);
    // The node may be made by udev, a little later.
    for (tries = 0; tries < 100; tries++) {
        zram->fd = open(text, O_RDWR | O_DIRECT | O_CLOEXEC);
        if (zram->fd >= 0) {
            return true;
        }
        usleep(20000);
    }
    bench_progress("SKIPPED zram: %s: %s; its rows are left out", text, strerror(errno));
    return false;
}

void zram_device_close(struct zram_device *zram)
{
    close(zram->fd);
    zram->fd = -1;
}

void zram_device_read(const struct zram_device *zram, void *buffer, uint64_t bytes, uint64_t offset)
{
    if (pread(zram->fd, buffer, bytes, (off_t)offset) != (ssize_t)bytes) {
        bench_die("zram read at %" PRIu64 ": %s", offset, strerror(errno));
    }
}

void zram_device_write(const struct zram_device *zram, const void *buffer, uint64_t bytes,
                       uint64_t offset)
{
    if (pwrite(zram->fd, buffer, bytes, (off_t)offset) != (ssize_t)bytes) {
        bench_die("zram write at %" PRIu64 ": %s", offset, strerror(errno));
    }
}

void zram_device_discard(const struct zram_device *zram, uint64_t bytes, uint64_t offset)
{
    uint64_t range[2] = {offset, bytes};

    if (ioctl(zram->fd, BLKDISCARD, range) < 0) {
        bench_die("zram discard at %" PRIu64 ": %s", offset, strerror(errno));
    }
}

void zram_device_get_stats(const struct zram_device *zram, struct zram_stats *stats)
{
    char path[80];
    FILE *file;

    snprintf(path, sizeof path, "/sys/block/zram%d/mm_stat", zram->number);
    file = fopen(path, "re");
    if (!file || fscanf(file, "%" SCNu64 " %" SCNu64 " %" SCNu64, &stats->orig_data_size,
                        &stats->compr_data_size, &stats->mem_used_total) != 3) {
        bench_die("%s: %s", path, strerror(errno));
    }
    fclose(file);
}

void zram_device_compact(const struct zram_device *zram)
{
    if (!try_write_attribute(zram->number, "compact", "1")) {
        bench_die("zram compact: %s", strerror(errno));
    }
}
