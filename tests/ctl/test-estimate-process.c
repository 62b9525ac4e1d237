// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// zramswapctl estimate PID: what counts is what the kernel would swap out, each page once:
// anonymous and shared memory, but no pages of files.

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/statfs.h>
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
#define NR_SYSV 100
#define NR_MEMFD 400      // mapped in two parts
#define NR_MEMFD_TWICE 50 // of them in both
#define NR_SHMEM (NR_SHARED + NR_SYSV + NR_MEMFD)
#define NR_SHMEM_MAPPED (NR_SHARED + 2 * NR_SYSV + NR_MEMFD + NR_MEMFD_TWICE)

struct row {
    unsigned long pages, zero, same, huge, left_out, files, swapped, hugetlb;
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

// A file on a disk, of which each page is text.
static int make_file(void)
{
    static uint8_t text[NR_FILE * PAGE_BYTES];
    struct statfs where;
    int fd = SYSTEM_OK(open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));

    SYSTEM_OK(fstatfs(fd, &where));
    if (where.f_type == TMPFS_MAGIC) {
        close(fd);
        fd = SYSTEM_OK(open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    }
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

static uint8_t *attach(int id)
{
    uint8_t *pages = shmat(id, NULL, 0);

    EXPECT(pages != (void *)-1);
    return pages;
}

static void fill_shared_memory(void)
{
    const int id = SYSTEM_OK(shmget(IPC_PRIVATE, NR_SYSV * PAGE_BYTES, IPC_CREAT | 0600));
    const int fd = SYSTEM_OK(memfd_create("guest", MFD_CLOEXEC));
    const size_t nr_first = 300, nr_second = NR_MEMFD - nr_first + NR_MEMFD_TWICE;
    uint8_t *part;

    content_fill(map(NR_SHARED, MAP_SHARED | MAP_ANONYMOUS, -1), NR_SHARED * PAGE_BYTES,
                 CONTENT_RANDOM);
    content_fill(attach(id), NR_SYSV * PAGE_BYTES, CONTENT_RANDOM);
    touch(attach(id), NR_SYSV);
    SYSTEM_OK(shmctl(id, IPC_RMID, NULL));

    SYSTEM_OK(ftruncate(fd, NR_MEMFD * PAGE_BYTES));
    content_fill(map(nr_first, MAP_SHARED, fd), nr_first * PAGE_BYTES, CONTENT_RANDOM);
    part = mmap(NULL, nr_second * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                (NR_MEMFD - nr_second) * PAGE_BYTES);
    EXPECT(part != MAP_FAILED);
    touch(part, NR_MEMFD_TWICE);
    content_fill(part + NR_MEMFD_TWICE * PAGE_BYTES, (nr_second - NR_MEMFD_TWICE) * PAGE_BYTES,
                 CONTENT_RANDOM);
}

// Pages of every sort.
static void fill_memory(void)
{
    const int private = MAP_PRIVATE | MAP_ANONYMOUS;
    uint8_t *file;

    content_fill(map(NR_RANDOM + NR_UNTOUCHED, private, -1), NR_RANDOM * PAGE_BYTES,
                 CONTENT_RANDOM);
    content_fill(map(NR_SAME, private, -1), NR_SAME * PAGE_BYTES, CONTENT_SAME);
    fill_shared_memory();
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
static unsigned long rollup_pages(pid_t pid, const char *name)
{
    char path[64], line[256];
    unsigned long kib = 0;
    FILE *rollup;

    sprintf(path, "/proc/%d/smaps_rollup", pid);
    rollup = fopen(path, "r");
    EXPECT(rollup);
    while (fgets(line, sizeof line, rollup))
        if (strncmp(line, name, strlen(name)) == 0)
            break;
    EXPECT(sscanf(line + strlen(name), ": %lu kB", &kib) == 1);
    fclose(rollup);
    return kib / 4;
}

static FILE *start_estimate(const char *options, pid_t pid)
{
    char command[4096];
    FILE *output;

    snprintf(command, sizeof command, "'%s' estimate -c lz4 %s %d", program_path(), options, pid);
    output = popen(command, "r");
    EXPECT(output);
    return output;
}

static struct row estimate(pid_t pid)
{
    FILE *output =
        start_estimate("-bnr -o PAGES,ZERO,SAME,HUGE,LEFT-OUT,FILES,SWAPPED,HUGETLB", pid);
    struct row row;

    EXPECT(fscanf(output, "%lu %lu %lu %lu %lu %lu %lu %lu\n", &row.pages, &row.zero, &row.same,
                  &row.huge, &row.left_out, &row.files, &row.swapped, &row.hugetlb) == 8);
    EXPECT(fgetc(output) == EOF);
    EXPECT(pclose(output) == 0);
    return row;
}

// People get a line that says what was left out.
static void expect_note(pid_t pid)
{
    FILE *output = start_estimate("", pid);
    char line[1024] = "", expected[64];

    while (fgets(line, sizeof line, output))
        ;
    EXPECT(pclose(output) == 0);
    sprintf(expected, "%d: left out: ", pid);
    if (strncmp(line, expected, strlen(expected)) != 0 ||
        !strstr(line, " of files, which are not swapped"))
        FAIL("the last line is not what was left out: %s", line);
}

int main(void)
{
    struct row own, row;
    unsigned long pages;
    pid_t pid;

    if (access(program_path(), X_OK) == -1)
        SKIP("zramswapctl was not built: install the Debian packages libnbd-dev libjson-c-dev "
             "libncurses-dev libsmartcols-dev, and configure again");
#ifdef __SANITIZE_THREAD__
    SKIP("ThreadSanitizer maps terabytes into this process, to walk them takes minutes; "
         "make check and check-asan run this test");
#endif
    random_start();
    own = estimate(getpid()); // what a process has anyway
    pid = start_process();
    pages = rollup_pages(pid, "Anonymous") + NR_SHMEM;
    row = estimate(pid);
    printf("%lu pages by smaps, %lu by estimate, before %lu\n", pages, row.pages, own.pages);
    // The kernel does not count where the one page of zeros that all share is mapped.
    EXPECT(row.pages >= pages && row.pages - row.zero <= pages);
    EXPECT(row.zero < own.zero + NR_UNTOUCHED);
    EXPECT(row.pages >= NR_RANDOM + NR_SAME + NR_FILE_WRITTEN + NR_SHMEM);
    EXPECT(row.huge >= NR_RANDOM + NR_FILE_WRITTEN + NR_SHMEM);
    EXPECT(row.huge <= NR_RANDOM + NR_FILE_WRITTEN + NR_SHMEM + own.pages);
    EXPECT(row.same >= NR_SAME && row.same <= NR_SAME + own.pages);
    EXPECT(row.files ==
           (rollup_pages(pid, "Rss") - rollup_pages(pid, "Anonymous") - NR_SHMEM_MAPPED) *
               PAGE_BYTES);
    EXPECT(row.files >= (NR_FILE - NR_FILE_WRITTEN) * PAGE_BYTES);
    EXPECT(row.left_out == row.files + row.swapped + row.hugetlb);
    expect_note(pid);
    SYSTEM_OK(kill(pid, SIGKILL));
    SYSTEM_OK(waitpid(pid, NULL, 0));
}
