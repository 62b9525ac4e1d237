// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Stands in for libFuzzer: runs a target once on each file that is named, or, when none is, on each
// of the corpus that is kept for it.  The file that a crash came from is the last one printed.
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>

#define MAX_INPUT_BYTES (1 << 20)

static void run_file(const char *path)
{
    static uint8_t buffer[MAX_INPUT_BYTES];
    FILE *file = fopen(path, "rb");
    size_t nr_bytes;
    uint8_t *bytes;

    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(EXIT_FAILURE);
    }
    nr_bytes = fread(buffer, 1, sizeof buffer, file);
    fclose(file);
    printf("%s (%zu bytes)\n", path, nr_bytes);
    fflush(stdout);

    // A copy of just that length, so that a sanitizer sees a read behind its end.
    bytes = malloc(nr_bytes);
    memcpy(bytes, buffer, nr_bytes);
    LLVMFuzzerTestOneInput(bytes, nr_bytes);
    free(bytes);
}

// fuzz-pool has its inputs in corpus/pool.
static int run_corpus(void)
{
    const char *source = getenv("srcdir");
    char directory[4096], path[8192];
    const struct dirent *entry;
    int nr_files = 0;
    DIR *dir;

    snprintf(directory, sizeof directory, "%s/tests/fuzz/corpus/%s", source ? source : ".",
             program_invocation_short_name + strlen("fuzz-"));
    dir = opendir(directory);
    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
            run_file(path);
            nr_files++;
        }
    }
    if (dir) {
        closedir(dir);
    }
    if (nr_files == 0) {
        fprintf(stderr, "%s: no inputs in %s\n", program_invocation_short_name, directory);
    }
    return nr_files > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        return run_corpus();
    }
    for (int i = 1; i < argc; i++) {
        run_file(argv[i]);
    }
    return EXIT_SUCCESS;
}
