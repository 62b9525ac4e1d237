// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A real nbdkit on a private Unix socket in a temporary directory: one with the plugin under test,
// the fixture of a test, or several at a time with any plugin, for benchmarks.
//
// Nothing here returns an error: what goes wrong ends the program. However it ends, the servers
// end with it and the directory goes.
//
//     ZRAMSWAP_PLUGIN  the plugin, ./zramswap.so when unset
//     NBDKIT_PRELOAD   LD_PRELOAD for nbdkit alone: how a plugin built with a sanitizer loads

#ifndef ZR_TESTS_SERVER_H
#define ZR_TESTS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <libnbd.h>

struct server {
    pid_t pid; // 0 unless it runs
    char socket[64], pidfile[64], messages[64];
};

// An nbdkit with these arguments that accepts connections, beside those that run already. What it
// says, it says where this process does. server_close ends it.
#define server_open(...) server_open_list((const char *const[]){__VA_ARGS__, NULL})
struct server *server_open_list(const char *const *arguments);
void server_close(struct server *server);

// Ends it by SIGKILL.
void server_kill_at_once(struct server *server);

// ---- the fixture: one server at a time ---------------------------------------------------------

// Starts the server with these plugin parameters and waits until it accepts connections.
#define server_start(...) server_start_list((const char *const[]){__VA_ARGS__, NULL})
void server_start_list(const char *const *parameters);

// The same, and nbdkit goes to the background, as it does unless told otherwise.
#define server_start_in_background(...)                                                            \
    server_start_in_background_list((const char *const[]){__VA_ARGS__, NULL})
void server_start_in_background_list(const char *const *parameters);

// The same for a server that may refuse: false if it ended instead, with its wait status.
bool server_try_start_list(int *status, const char *const *parameters);

// A library that servers started from now on get preloaded, before NBDKIT_PRELOAD. Borrowed.
void server_preload(const char *library);

// Has the fixture's servers from now on listen on a port of 127.0.0.1 instead, which is returned.
unsigned server_listen_on_tcp(void);

// Connects to an export ("" is the disk), with base:allocation negotiated and the export's
// description asked for. The caller ends the connection with server_disconnect.
struct nbd_handle *server_connect(const char *export_name);
void server_disconnect(struct nbd_handle *nbd);

// The same for a server that may refuse, or not answer within seconds: NULL then.
struct nbd_handle *server_try_connect(const char *export_name);

// A connected socket on which nothing was said yet. The caller closes it.
int server_connect_raw(void);

// Ends the server at once, which must not have ended by itself.
void server_kill(void);

// Starts a server and kills it so long after, wherever in its start it is by then. False if it had
// ended by itself, with its wait status.
bool server_kill_in_start_list(unsigned after_us, int *status, const char *const *parameters);

// The same at an exact place: where its main thread enters or leaves a system call, the one so many
// such stops after it has opened a file of this name. False if it accepted connections before that.
bool server_kill_at_stop_list(unsigned nr_stops, const char *file, const char *const *parameters);

// Ends the server with SIGTERM. It must exit with status 0, soon, and must not have written
// anything to its standard error that was not taken before.
void server_stop(void);

// The same, whatever it said and however it ended: its wait status.
int server_end(void);

// All that the server has written to its standard error since the last call, for free().
char *server_take_messages(void);

// A figure of /proc/PID/status of the server process, such as VmLck; and VmRSS, which is asked
// for most.
uint64_t server_status_bytes(const char *name);
uint64_t server_resident_bytes(void);
uint64_t server_status_bytes_of(const struct server *server, const char *name);

// The server's, while it runs.
pid_t server_process(void);

// True when figures of memory and time mean nothing, because a sanitizer inflates them.
bool server_is_instrumented(void);

// Ends the test as skipped under ThreadSanitizer: it holds signals back, and sees nbdkit's own
// handler race with nbdkit's end, where a test ends many servers with clients still leaving.
void server_skip_under_tsan(void);

// Runs nbdkit with these arguments to its end, which must be an exit. Returns what it wrote
// to standard output and standard error, for free().
#define nbdkit_run(status, ...) nbdkit_run_list(status, (const char *const[]){__VA_ARGS__, NULL})
char *nbdkit_run_list(int *status, const char *const *arguments);

const char *plugin_path(void);

// Where the server listens, or would.
const char *server_socket(void);

#endif
