// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// zramswapctl estimate PID: what counts is the anonymous memory of the process, all of it and
// nothing else.

#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../protocol/content.h"
#include "../protocol/expect.h"

#define NR_RANDOM 1500
#define NR_SAME 700
#define NR_UNTOUCHED 4096
#define NR_FILE 200
#define NR_FILE_WRITTEN 3
#define NR_SHARED 300

struct row {
    unsigned long pages, zero, same, huge;
};

static const char *program_path(void)
{
    const char *path = getenv("ZRAMSWAPCTL");

    return path ? path : "./zramswapctl";
}

static void *map(size_t nr_pages, int flags, int fd)
{
    void *pages = mmap(NULL, nr_pages * PAGE_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);

    EXPECT(pages != MAP_FAILED);
    return pages;
}

// A file of which each page is text.
static int make_file(void)
{
    static uint8_t text[NR_FILE * PAGE_BYTES];
    int fd = SYSTEM_OK(memfd_create("pages", MFD_CLOEXEC));

    content_fill(text, sizeof text, CONTENT_TEXT);
    EXPECT(write(fd, text, sizeof text) == sizeof text);
    return fd;
}

static unsigned touch(const volatile uint8_t *pages, size_t nr_pages)
{
    unsigned sum = 0;

    for (size_t i = 0; i < nr_pages; i++)
        sum += pages[i * PAGE_BYTES];
    return sum;
}

// Pages of every sort.
static void fill_memory(void)
{
    const int private = MAP_PRIVATE | MAP_ANONYMOUS;
    uint8_t *file;

    content_fill(map(NR_RANDOM + NR_UNTOUCHED, private, -1), NR_RANDOM * PAGE_BYTES,
                 CONTENT_RANDOM);
    content_fill(map(NR_SAME, private, -1), NR_SAME * PAGE_BYTES, CONTENT_SAME);
    content_fill(map(NR_SHARED, MAP_SHARED | MAP_ANONYMOUS, -1), NR_SHARED * PAGE_BYTES,
                 CONTENT_RANDOM);
    file = map(NR_FILE, MAP_PRIVATE, make_file());
    touch(file, NR_FILE);
    content_fill(file, NR_FILE_WRITTEN * PAGE_BYTES, CONTENT_RANDOM);
}

static pid_t start_process(void)
{
    pid_t pid = SYSTEM_OK(fork());
    int status;

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); // however this test ends
        fill_memory();
        raise(SIGSTOP);
        _exit(0);
    }
    SYSTEM_OK(waitpid(pid, &status, WUNTRACED));
    EXPECT(WIFSTOPPED(status));
    return pid;
}

// As its kernel counts them.
static unsigned long anonymous_pages(pid_t pid)
{
    char path[64], line[256];
    unsigned long kib = 0;
    FILE *rollup;

    sprintf(path, "/proc/%d/smaps_rollup", pid);
    rollup = fopen(path, "r");
    EXPECT(rollup);
    while (fgets(line, sizeof line, rollup))
        if (sscanf(line, "Anonymous: %lu kB", &kib) == 1)
            break;
    fclose(rollup);
    return kib / 4;
}

static struct row estimate(pid_t pid)
{
    char command[4096];
    struct row row;
    FILE *output;

    snprintf(command, sizeof command, "'%s' estimate -c lz4 -bnr -o PAGES,ZERO,SAME,HUGE %d",
             program_path(), pid);
    output = popen(command, "r");
    EXPECT(output);
    EXPECT(fscanf(output, "%lu %lu %lu %lu", &row.pages, &row.zero, &row.same, &row.huge) == 4);
    EXPECT(pclose(output) == 0);
    return row;
}

int main(void)
{
    struct row own, row;
    unsigned long pages;
    pid_t pid;

    if (access(program_path(), X_OK) == -1)
        SKIP("zramswapctl was not built: install the Debian packages libnbd-dev libjson-c-dev "
             "libsmartcols-dev, and configure again");
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer maps terabytes into this process, to walk them takes minutes; "
         "make check and check-asan run this test");
#endif
    random_start();
    own = estimate(getpid()); // what a process has anyway
    pid = start_process();
    pages = anonymous_pages(pid);
    row = estimate(pid);
    printf("%lu pages by smaps, %lu by estimate, before %lu\n", pages, row.pages, own.pages);
    // The kernel does not count where the one page of zeros that all share is mapped.
    EXPECT(row.pages >= pages && row.pages - row.zero <= pages);
    EXPECT(row.zero < own.zero + NR_UNTOUCHED);
    EXPECT(row.pages >= NR_RANDOM + NR_SAME + NR_FILE_WRITTEN);
    EXPECT(row.huge >= NR_RANDOM + NR_FILE_WRITTEN);
    EXPECT(row.huge <= NR_RANDOM + NR_FILE_WRITTEN + own.pages);
    EXPECT(row.same >= NR_SAME && row.same <= NR_SAME + own.pages);
    SYSTEM_OK(kill(pid, SIGKILL));
    SYSTEM_OK(waitpid(pid, NULL, 0));
}
