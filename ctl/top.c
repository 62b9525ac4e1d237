// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// zramswapctl top: what a server does, live on a terminal, or a line of text each interval.
#include "activity.h"
#include "commands.h"
#include "message.h"
#include "panel.h"
#include "screen.h"
#include "statistics.h"

#include "../plugin/parse.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MIN_INTERVAL_S 0.1
#define MAX_INTERVAL_S 3600

enum { ONCE = ZR_OPTION_WITHOUT_LETTER };

static const struct zr_option options[] = {
    {"export", 'e', "NAME", "the export that holds the statistics; default " ZR_DEFAULT_EXPORT},
    {"interval", 'i', "SECONDS", "from one sample to the next, 0.1 to 3600; default 1"},
    {"count", 'n', "COUNT", "end after so many samples"},
    {"once", ONCE, NULL, "print one line and end"},
    {0},
};

struct top {
    struct zr_address address;
    struct zr_activity activity;
    double interval_s;
    int nr_left; // samples; -1: no end
    bool is_once;
};

static void print_more_help(void)
{
    printf("\nq ends it.  Without a terminal, or on one that cannot place text (TERM=dumb), it "
           "prints\n"
           "a line each time.  NO_COLOR in the environment: without colours.\n");
}

static double parse_interval(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    // strtod takes spaces, signs, exponents and hexadecimal numbers, too.
    if (end == text || text[strspn(text, "0123456789.")] || *end ||
        !(seconds >= MIN_INTERVAL_S && seconds <= MAX_INTERVAL_S)) {
        zr_die_of_misuse("--interval %s: not a number of seconds from 0.1 to 3600", text);
    }
    return seconds;
}

static int parse_count(const char *text)
{
    int count;

    if (zr_parse_int(text, &count) < 0 || count < 1) {
        zr_die_of_misuse("--count %s: not a whole number from 1 on", text);
    }
    return count;
}

// Gets the numbers of this moment; false when they are the last ones.
static bool sample(struct top *top)
{
    zr_activity_add(&top->activity, zr_statistics_fetch(&top->address));
    if (top->nr_left > 0) {
        top->nr_left--;
    }
    return top->nr_left != 0;
}

static void add_seconds(struct timespec *when, double seconds)
{
    long ns = when->tv_nsec + (long)((seconds - (double)(time_t)seconds) * 1e9);

    when->tv_sec += (time_t)seconds + ns / 1000000000;
    when->tv_nsec = ns % 1000000000;
}

static double seconds_until(const struct timespec *when)
{
    struct timespec now;
    double seconds;

    clock_gettime(CLOCK_MONOTONIC, &now);
    seconds = (double)(when->tv_sec - now.tv_sec) + (double)(when->tv_nsec - now.tv_nsec) / 1e9;
    return seconds > 0 ? seconds : 0;
}

static void print_lines(struct top *top)
{
    struct timespec when;
    bool goes_on;

    clock_gettime(CLOCK_MONOTONIC, &when);
    do {
        goes_on = sample(top);
        if (!top->activity.before) {
            zr_panel_print_heading();
        }
        zr_panel_print_line(&top->activity);
        if (fflush(stdout) != 0) {
            zr_die("cannot write: %m");
        }
        add_seconds(&when, top->interval_s);
        while (goes_on && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR) {
        }
    } while (goes_on);
}

// Until it is time for the next sample; false when the user wants to end.
static bool show(struct top *top, struct zr_screen *screen, const struct timespec *until)
{
    int key;

    do {
        zr_screen_begin(screen);
        zr_panel_draw(screen, &top->activity, top->address.where, top->interval_s);
        key = zr_screen_wait(seconds_until(until));
    } while (key != ZR_KEY_NONE && key != 'q' && key != 'Q');
    return key == ZR_KEY_NONE;
}

static void run_screen(struct top *top)
{
    struct zr_screen screen;
    struct timespec when;
    bool goes_on = sample(top); // before the screen is cleared: it may fail

    zr_screen_enter(&screen);
    clock_gettime(CLOCK_MONOTONIC, &when);
    add_seconds(&when, top->interval_s);
    while (show(top, &screen, &when) && goes_on) {
        goes_on = sample(top);
        clock_gettime(CLOCK_MONOTONIC, &when);
        add_seconds(&when, top->interval_s);
    }
    zr_screen_leave();
}

static int run(const struct zr_command *command, int argc, char **argv)
{
    struct top top = {.interval_s = 1, .nr_left = -1};
    const char *export_name = NULL;
    int letter;

    while ((letter = zr_options_next(command, argc, argv)) != -1) {
        switch (letter) {
        case 'e':
            export_name = optarg;
            break;
        case 'i':
            top.interval_s = parse_interval(optarg);
            break;
        case 'n':
            top.nr_left = parse_count(optarg);
            break;
        case ONCE:
            top.is_once = true;
            break;
        }
    }
    top.address = zr_address_choose(zr_single_operand(argc, argv), export_name);
    if (top.is_once) {
        top.nr_left = 1;
    }
    if (!top.is_once && zr_screen_is_possible()) {
        run_screen(&top);
    } else {
        print_lines(&top);
    }
    zr_activity_fini(&top.activity);
    return 0;
}

const struct zr_command zr_command_top = {
    .name = "top",
    .usage = " " ZR_PROGRAM " top [OPTIONS] [URI|SOCKET]\n",
    .about = "Shows what a zramswap server stores and does, and goes on showing it.",
    .options = options,
    .print_more_help = print_more_help,
    .run = run,
};
