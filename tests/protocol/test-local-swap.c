// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// local-swap=on: every thread of the server, nbdkit's own too, is an I/O flusher, which the
// kernel does not make wait for the writeback that it itself has to serve; and the server is the
// last that the kernel would kill.  Nothing of this is for the command of --run.
//
// The kernel shows this only as bits among the flags in /proc/PID/stat. Which ones they are, a
// test finds out by becoming an I/O flusher itself for a moment.

#include <dirent.h>
#include <linux/capability.h>
#include <sys/prctl.h>

#include "expect.h"
#include "server.h"
#include "shadow.h"

#define MIN_THREADS 4 // nbdkit's main one and one of its workers, keeper, compactor

static unsigned long read_flags(const char *path)
{
    unsigned long flags;
    char line[1024];
    FILE *file = fopen(path, "r");

    EXPECT(file && fgets(line, sizeof line, file));
    fclose(file);
    // The name before may hold anything.
    EXPECT(sscanf(strrchr(line, ')'), ") %*c %*d %*d %*d %*d %*d %lu", &flags) == 1);
    return flags;
}

// 0 when this process may not become one.
static unsigned long flusher_flags(void)
{
    unsigned long flags;

    if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == -1)
        return 0;
    flags = read_flags("/proc/thread-self/stat");
    SYSTEM_OK(prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0));
    flags &= ~read_flags("/proc/thread-self/stat");
    EXPECT(flags != 0);
    return flags;
}

static void expect_flags_of_threads(unsigned long mask, unsigned long expected)
{
    char directory[32], path[320];
    struct dirent *entry;
    int nr_threads = 0;
    DIR *tasks;

    sprintf(directory, "/proc/%d/task", server_process());
    tasks = opendir(directory);
    EXPECT(tasks);
    while ((entry = readdir(tasks))) {
        if (entry->d_name[0] == '.')
            continue;
        sprintf(path, "%s/%s/stat", directory, entry->d_name);
        if ((read_flags(path) & mask) != expected)
            FAIL("%s: flags %lx of %lx, expected %lx", path, read_flags(path), mask, expected);
        nr_threads++;
    }
    closedir(tasks);
    printf("%d threads with flags %lx of %lx\n", nr_threads, expected, mask);
    EXPECT(nr_threads >= MIN_THREADS);
}

static long oom_score_adj(void)
{
    char path[48];
    long score;
    FILE *file;

    sprintf(path, "/proc/%d/oom_score_adj", server_process());
    file = fopen(path, "r");
    EXPECT(file && fscanf(file, "%ld", &score) == 1);
    fclose(file);
    return score;
}

// With a connection that is in use, so that all threads there are have begun.
static void try_server(const char *parameter, unsigned long mask, unsigned long expected,
                       bool is_spared)
{
    struct shadow disk;

    server_start_in_background("size=4M", parameter);
    shadow_init(&disk, server_connect(""));
    shadow_write(&disk, 0, disk.size, CONTENT_MIXED, 0);
    shadow_compare_all(&disk);
    // A sanitizer's runtime has threads of its own.
    if (!server_is_instrumented())
        expect_flags_of_threads(mask, expected);
    EXPECT((oom_score_adj() == -1000) == is_spared);
    server_disconnect(disk.nbd);
    shadow_fini(&disk);
    server_stop();
}

static void expect_one_line(int status, char *output)
{
    if (status != EXIT_FAILURE || strchr(output, '\n')[1] != '\0' ||
        !strstr(output, "local-swap=on") || !strstr(output, "I/O flusher") ||
        !strstr(output, "CAP_SYS_RESOURCE"))
        FAIL("exit status %d, not one line that names the capability:\n%s", status, output);
    free(output);
}

// What the command of --run is given.
static void expect_plain_command(unsigned long mask)
{
    unsigned long flags;
    char *output, *end;
    int status;

    output =
        nbdkit_run(&status, "--unix", "-", "--run", "cat /proc/self/stat /proc/self/oom_score_adj",
                   plugin_path(), "size=1M", "local-swap=on");
    EXPECT(status == 0);
    end = strrchr(output, ')');
    EXPECT(end && sscanf(end, ") %*c %*d %*d %*d %*d %*d %lu", &flags) == 1);
    end = strchr(end, '\n');
    EXPECT(end);
    if ((flags & mask) != 0 || strcmp(end, "\n0\n") != 0)
        FAIL("flags %lx of %lx and an OOM score for the command:\n%s", flags & mask, mask, output);
    free(output);
}

// Without the capability the server does not start, and says so before it goes into the background.
static void expect_refusal(void)
{
    char *output;
    int status;

    // Who may not drop it does not have it.
    prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0);
    output = nbdkit_run(&status, "--unix", "-", "--run", "true", plugin_path(), "size=1M",
                        "local-swap=on");
    expect_one_line(status, output);
    output =
        nbdkit_run(&status, "--unix", server_socket(), plugin_path(), "size=1M", "local-swap=on");
    expect_one_line(status, output);
}

int main(void)
{
    unsigned long flags = flusher_flags();

    random_start();
    if (flags != 0) {
        try_server("local-swap=on", flags, flags, true);
        try_server("local-swap=off", flags, 0, false);
        expect_plain_command(flags);
    }
    expect_refusal();
    if (flags == 0)
        SKIP("CAP_SYS_RESOURCE is missing: run as root of a whole machine");
}
