// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Clients: how many connections an export has now, of how many it may have, and which clients write
// on it.  A guest that swaps on the export of another one destroys both, and no later check
// could find out: so connections can be bounded, and a second client that writes can be named.
//
// A client is known by a name that the caller makes (a process, an address); it may have several
// connections.  Threads: all calls but init and fini may overlap.
#ifndef ZR_CLIENTS_H
#define ZR_CLIENTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <urcu/list.h>

#define ZR_CLIENT_NAME_BYTES 80

struct zr_clients {
    pthread_mutex_t lock;
    pthread_cond_t left;
    uint64_t max_connections; // 0: no bound
    uint64_t nr_connections;
    struct cds_list_head writers;
};

// A connection, zeroed before the first call.
struct zr_client {
    char name[ZR_CLIENT_NAME_BYTES]; // set before it writes
    bool is_writer;
    struct cds_list_head node; // of writers
};

void zr_clients_init(struct zr_clients *clients, uint64_t max_connections);
void zr_clients_fini(struct zr_clients *clients);

// One connection more.  0, or -EBUSY: there are as many as there may be.  A client that has ended
// its connection sees that before the server does: blocks up to 0.2 s for one to leave.
int zr_clients_enter(struct zr_clients *clients);
void zr_clients_leave(struct zr_clients *clients, struct zr_client *client);

// The connection begins to write.  True if a client of another name writes too, and the first
// connection of client's name is this one: other is one of theirs.  Blocks as above.
bool zr_clients_write(struct zr_clients *clients, struct zr_client *client,
                      char other[ZR_CLIENT_NAME_BYTES]);

uint64_t zr_clients_nr_connections(struct zr_clients *clients);

#endif
