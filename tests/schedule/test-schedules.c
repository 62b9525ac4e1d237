// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The real engine under controlled schedules (scheduler.h), as many as the time allows.  What fails
// is shrunk, and printed with the seed that replays it:
//
//     tests/schedule/test-schedules             for ZRAMSWAP_STRESS_SECONDS of CPU, from
//                                               ZRAMSWAP_SEED on
//     tests/schedule/test-schedules -r SEED     that seed again
//     tests/schedule/test-schedules -a          small workloads, all schedules with few switches
#include "run.h"
#include "search.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_SECONDS "8"

static int usage(void)
{
    fprintf(stderr, "usage: test-schedules [-a] [-r SEED] [-s FIRST_SEED] [-t SECONDS_OF_CPU]\n");
    return 2;
}

int main(int argc, char **argv)
{
    const char *seed_text = getenv("ZRAMSWAP_SEED"), *seconds = getenv("ZRAMSWAP_STRESS_SECONDS");
    const char *replay = NULL;
    enum zs_depth depth = ZS_SOME;
    struct zs_totals totals;
    uint64_t seed, end = UINT64_MAX, failed;
    bool has_failed;
    int option;

    while ((option = getopt(argc, argv, "ar:s:t:")) != -1) {
        switch (option) {
        case 'a':
            depth = ZS_ALL;
            break;
        case 'r':
            replay = optarg;
            break;
        case 's':
            seed_text = optarg;
            break;
        case 't':
            seconds = optarg;
            break;
        default:
            return usage();
        }
    }
    seed = seed_text ? strtoull(seed_text, NULL, 0) : (uint64_t)time(NULL) * 1000000;
    if (replay) {
        seed = strtoull(replay, NULL, 0);
        end = seed + 1;
        seconds = "1e9";
    }
    printf("seeds from %" PRIu64 " on\n", seed);
    has_failed =
        zs_search(seed, end, depth, strtod(seconds ? seconds : DEFAULT_SECONDS, NULL), &failed);
    totals = zs_search_totals();
    if (depth == ZS_ALL) {
        printf("%" PRIu64 " small workloads in all their schedules\n", totals.nr_complete);
    }
    printf("%" PRIu64 " schedules, %.0f a second of CPU, %.0f steps each", totals.nr_runs,
           (double)totals.nr_runs / totals.cpu_s,
           (double)totals.nr_steps / (double)(totals.nr_runs ? totals.nr_runs : 1));
    printf("; %" PRIu64 " pages had too many orders to try\n", totals.nr_gave_up);
    printf("%" PRIu64 " pages demoted, %" PRIu64 " promoted, %" PRIu64 " spans of groups cleaned\n",
           totals.nr_demoted, totals.nr_promoted, totals.nr_cleaned);
    if (has_failed) {
        printf("seed %" PRIu64 " fails after %.1f s of CPU: %s\nagain: %s%s -r %" PRIu64 "\n",
               failed, totals.cpu_s, zs_search_message(), argv[0], depth == ZS_ALL ? " -a" : "",
               failed);
        zs_search_shrink();
    }
    return has_failed;
}
