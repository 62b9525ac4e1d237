// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"

#include "guest/report.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NR_OPENED 3000
#define LINE_BYTES 512
#define NUMBER_BYTES 8

static char path[] = "/tmp/zramswap-test-XXXXXX";
static atomic_bool is_over;

// As a new reconnector on the file of an old one, again and again.
static void *report(void *argument)
{
    for (int i = 0; i < NR_OPENED; i++) {
        ck_assert_int_eq(zr_report_open(path), 0);
        zr_report_state("connected", 1000, "");
        zr_report_state("reconnecting", 123456789, "Connection refused");
    }
    atomic_store(&is_over, true);
    return argument;
}

START_TEST(a_line_that_ends_as_it_begins_is_whole)
{
    char line[600], word[20];
    unsigned nr_whole = 0, begin, end;
    pthread_t thread;
    int pid;

    close(mkstemp(path));
    pthread_create(&thread, NULL, report, NULL);
    while (!atomic_load(&is_over)) {
        FILE *file = fopen(path, "r");
        size_t bytes = fread(line, 1, sizeof line - 1, file);

        fclose(file);
        line[bytes] = '\0';
        if (bytes != LINE_BYTES || sscanf(line, "%u ", &begin) != 1 ||
            sscanf(line + LINE_BYTES - NUMBER_BYTES, "%u", &end) != 1 || begin != end) {
            continue;
        }
        ck_assert_msg(sscanf(line, "%*u %d %19s", &pid, word) == 2 && pid == getpid(), "'%s'",
                      line);
        ck_assert_msg(strcmp(word, "starting") == 0 || strcmp(word, "connected") == 0 ||
                          strcmp(word, "reconnecting") == 0,
                      "'%s'", line);
        nr_whole++;
    }
    pthread_join(thread, NULL);
    unlink(path);
    ck_assert_uint_gt(nr_whole, 0);
}
END_TEST

UNIT_MAIN("guest-report", a_line_that_ends_as_it_begins_is_whole)
