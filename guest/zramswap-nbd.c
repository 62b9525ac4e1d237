// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// zramswap-nbd: attaches an export to the kernel's nbd device, and attaches it again whenever the
// server or the network were away.  Stays in the foreground.
#include "reconnector.h"
#include "negotiate.h"
#include "report.h"
#include "unswappable.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_LOST = 1, EXIT_MISUSED = 2 };

enum { DEFAULT_CONNECTIONS = 2, DEFAULT_TIMEOUT_S = 1, MAX_TIMEOUT_S = 60 };

static const char usage[] =
    "usage: zramswap-nbd [--connections N] [--timeout SECONDS] [--state FILE]\n"
    "                    HOST PORT EXPORT /dev/nbdN\n"
    "       zramswap-nbd --disconnect /dev/nbdN\n";

struct arguments {
    const char *host, *port, *export_name, *state;
    uint32_t device;
    bool disconnects;
    size_t nr_connections;
    uint64_t timeout_s;
};

static void die_of_misuse(const char *what, const char *value)
{
    fprintf(stderr, "zramswap-nbd: %s '%s'\n%s", what, value, usage);
    exit(EXIT_MISUSED);
}

static unsigned long parse_number(const char *name, const char *text, unsigned long max)
{
    char *end;
    unsigned long number;

    errno = 0;
    number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || number > max) {
        die_of_misuse(name, text);
    }
    return number;
}

static uint32_t parse_device(const char *path)
{
    static const char prefix[] = "/dev/nbd";

    if (strncmp(path, prefix, strlen(prefix)) != 0) {
        die_of_misuse("no nbd device:", path);
    }
    return (uint32_t)parse_number("no nbd device:", path + strlen(prefix), 255);
}

static struct arguments parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"connections", required_argument, NULL, 'c'},
        {"disconnect", no_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},
        {"state", required_argument, NULL, 's'},
        {"timeout", required_argument, NULL, 't'},
        {"version", no_argument, NULL, 'V'},
        {0},
    };
    struct arguments a = {.nr_connections = DEFAULT_CONNECTIONS, .timeout_s = DEFAULT_TIMEOUT_S};

    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            a.nr_connections = parse_number("connections:", optarg, ZR_MAX_CONNECTIONS);
            break;
        case 'd':
            a.disconnects = true;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        case 's':
            a.state = optarg;
            break;
        case 't':
            a.timeout_s = parse_number("timeout:", optarg, MAX_TIMEOUT_S);
            break;
        case 'V':
            puts("zramswap-nbd " PACKAGE_VERSION);
            exit(EXIT_SUCCESS);
        default:
            fputs(usage, stderr);
            exit(EXIT_MISUSED);
        }
    }
    if (argc - optind != (a.disconnects ? 1 : 4)) {
        fputs(usage, stderr);
        exit(EXIT_MISUSED);
    }
    a.device = parse_device(argv[argc - 1]);
    if (!a.disconnects) {
        a.host = argv[optind];
        a.port = argv[optind + 1];
        a.export_name = argv[optind + 2];
        if (a.nr_connections == 0 || a.timeout_s == 0) {
            die_of_misuse("connections and timeout:", "0");
        }
        if (strlen(a.export_name) > ZR_EXPORT_NAME_LENGTH) {
            die_of_misuse("too long a name:", a.export_name);
        }
    }
    return a;
}

static void do_nothing(int signal)
{
    (void)signal;
}

// From now on they interrupt zr_wait(), and nothing else.
static void await_signals(void)
{
    static const struct sigaction interrupt = {.sa_handler = do_nothing};
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaction(SIGTERM, &interrupt, NULL);
    sigaction(SIGINT, &interrupt, NULL);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
}

static int fail(const char *what, const char *why)
{
    zr_log(ZR_LOG_ERROR, "%s: %s", what, why);
    zr_report_state("failed", 0, why);
    return EXIT_FAILURE;
}

static int disconnect(uint32_t device)
{
    struct zr_kernel kernel;
    int error = zr_kernel_open(&kernel, device);

    if (error == 0) {
        error = zr_kernel_disconnect(&kernel);
        zr_kernel_close(&kernel);
    }
    return error ? fail("cannot disconnect", strerrordesc_np(-error)) : EXIT_SUCCESS;
}

static int attach(const struct arguments *a)
{
    static struct zr_reconnector reconnector;
    const char *what;
    int error;

    if (a->state) {
        error = zr_report_open(a->state);
        if (error) {
            return fail(a->state, strerrordesc_np(-error));
        }
    }
    error = zr_remote_find(&reconnector.server, a->host, a->port, a->export_name);
    if (error) {
        return fail(a->host, gai_strerror(error));
    }
    error = zr_kernel_open(&reconnector.kernel, a->device);
    if (error) {
        return fail("netlink", "this kernel has no nbd: is the module loaded?");
    }
    reconnector.nr_connections = a->nr_connections;
    reconnector.timeout_s = a->timeout_s;
    await_signals();
    error = zr_become_unswappable(&what);
    if (error) {
        return fail(what, strerrordesc_np(-error));
    }
    error = zr_attach(&reconnector);
    if (error) {
        return EXIT_FAILURE;
    }
    error = zr_keep_attached(&reconnector);
    if (error == -ENODATA) {
        return EXIT_LOST;
    }
    if (error == -EINTR) {
        zr_log(ZR_LOG_INFO, "ends; the device stays as it is, and is not connected again");
    }
    zr_report_state("ended", 0, "");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct arguments a = parse(argc, argv);

    return a.disconnects ? disconnect(a.device) : attach(&a);
}
