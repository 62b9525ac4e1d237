// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Server: everything that one process serves from, put together: one pool with its keeper,
// compactor, ager and demoter, one codec, the exports with a device each.  The plugin above adds
// nbdkit, tests and benchmarks stand on it without.  What it counts: stats.h.
#ifndef ZR_SERVER_H
#define ZR_SERVER_H

#include "../allocator/keeper.h"
#include "../store/ager.h"
#include "../allocator/store-file.h"
#include "../store/cold.h"
#include "../store/compactor.h"
#include "../store/device.h"
#include "../store/recover.h"
#include "clients.h"
#include "line.h"
#include "request-stats.h"
#include "state.h"

#include <stdint.h>

struct zr_export_config {
    char *name;               // "" is the default export
    uint64_t size_bytes;      // of the disk
    uint64_t limit_bytes;     // of what it may hold, compressed; UINT64_MAX: no limit of its own
    uint64_t max_connections; // at a time; 0: any number
};

struct zr_server_config {
    struct zr_export_config *exports; // names stay borrowed while the server lives
    size_t nr_exports;
    uint64_t limit_bytes; // of all memory for what is stored; 0, or more than the RAM and swap of
                          // the machine: those
    const struct zr_codec_ops *codec;
    int level;             // ignored if the codec has none
    bool without_checksum; // objects are not checked
    const char *store;     // path of the store that outlives the server; NULL: in memory only
    const char **drops;    // exports to be dropped from it, if it has them
    size_t nr_drops;
    struct zr_cold_config cold;
    const char *state; // path of the file that notes which exports are in use; NULL: none
};

// What an export is, as long as it has what it held: another uuid, another content.
struct zr_identity {
    uint8_t uuid[ZR_STATE_UUID_BYTES];
    _Atomic bool is_noted; // as in use, in the state
};

struct zr_server {
    struct zr_pool pool;
    struct zr_deferred_free *deferred;
    struct zr_keeper keeper;
    struct zr_codec codec;
    struct zr_compactor compactor;
    struct zr_ager ager;
    struct zr_group_cache groups;
    struct zr_demoter demoter;
    struct zr_cold cold;
    uint64_t start_ns; // of the monotonic clock
    bool has_store;
    struct zr_store_file store;    // if it has one
    struct zr_codec older;         // of pages in the store that another codec made
    struct zr_recovered recovered; // from the store at the start
    uint64_t recovery_ns;          // how long that took
    size_t nr_devices;
    size_t nr_served;                  // the first of them; the others are kept in the store
    struct zr_device *devices;         // one an export
    struct zr_slot_table **tables;     // theirs, for the compactor and the ager
    struct zr_request_stats *requests; // theirs; whoever calls a device counts
    struct zr_clients *clients;        // theirs
    struct zr_lines *lines;            // theirs
    struct zr_identity *identities;    // theirs
    struct zr_state state;
};

// 0 or -errno; in why, ZR_STORE_WHY_BYTES, one line for the user if the store or the state is the
// reason, else nothing.  Allocates.  Threads start with zr_server_start, after a fork if there is
// one.
int zr_server_init_why(struct zr_server *server, const struct zr_server_config *config, char *why);
int zr_server_init(struct zr_server *server, const struct zr_server_config *config);
int zr_server_start(struct zr_server *server);

// Ends the threads and frees everything, but what lies in a store.  No request may be under way.
void zr_server_fini(struct zr_server *server);

// In a process that goes on after it forked the one that serves: lets go of the store, which would
// else stay open when the server is killed.  The server must not be used here any more.
void zr_server_abandon(struct zr_server *server);

// The device of an export that is served, NULL if there is none of that name.
struct zr_device *zr_server_find(struct zr_server *server, const char *name);

// Where the requests to a device of this server are to be counted.
struct zr_request_stats *zr_server_requests(struct zr_server *server,
                                            const struct zr_device *device);

// What a client may know a device's content by.
const struct zr_identity *zr_server_identity(const struct zr_server *server,
                                             const struct zr_device *device);

// Before the first write to a device is acknowledged, the state notes that it is in use.  0, or
// -errno: that is not on the disk.  Blocks for the disk once.  Any thread.
int zr_server_note_use(struct zr_server *server, const struct zr_device *device);

// Who has a device of this server open.
struct zr_clients *zr_server_clients(struct zr_server *server, const struct zr_device *device);
struct zr_lines *zr_server_lines(struct zr_server *server, const struct zr_device *device);

#endif
