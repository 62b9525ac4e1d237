// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "clients.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define WAIT_NS 200000000L
#define NS_PER_S 1000000000L

void zr_clients_init(struct zr_clients *clients, uint64_t max_connections)
{
    pthread_condattr_t attributes;

    *clients = (struct zr_clients){.max_connections = max_connections};
    CDS_INIT_LIST_HEAD(&clients->writers);
    pthread_mutex_init(&clients->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&clients->left, &attributes);
    pthread_condattr_destroy(&attributes);
}

void zr_clients_fini(struct zr_clients *clients)
{
    pthread_cond_destroy(&clients->left);
    pthread_mutex_destroy(&clients->lock);
}

static struct timespec deadline(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_nsec += WAIT_NS;
    time.tv_sec += time.tv_nsec / NS_PER_S;
    time.tv_nsec %= NS_PER_S;
    return time;
}

static bool is_full(const struct zr_clients *clients)
{
    return clients->max_connections > 0 && clients->nr_connections >= clients->max_connections;
}

int zr_clients_enter(struct zr_clients *clients)
{
    const struct timespec until = deadline();
    int rc = 0;

    pthread_mutex_lock(&clients->lock);
    while (rc == 0 && is_full(clients)) {
        rc = pthread_cond_timedwait(&clients->left, &clients->lock, &until);
    }
    rc = is_full(clients) ? -EBUSY : 0;
    clients->nr_connections += rc == 0;
    pthread_mutex_unlock(&clients->lock);
    return rc;
}

void zr_clients_leave(struct zr_clients *clients, struct zr_client *client)
{
    pthread_mutex_lock(&clients->lock);
    clients->nr_connections--;
    if (client->is_writer) {
        cds_list_del(&client->node);
    }
    pthread_cond_broadcast(&clients->left);
    pthread_mutex_unlock(&clients->lock);
}

// A writer of another name, NULL if there is none, or one of this name is known already.
static const struct zr_client *find_other(const struct zr_clients *clients, const char *name)
{
    const struct zr_client *writer, *other = NULL;

    cds_list_for_each_entry(writer, &clients->writers, node)
    {
        if (strcmp(writer->name, name) == 0) {
            return NULL;
        }
        other = writer;
    }
    return other;
}

bool zr_clients_write(struct zr_clients *clients, struct zr_client *client,
                      char other[ZR_CLIENT_NAME_BYTES])
{
    const struct timespec until = deadline();
    const struct zr_client *found;
    int rc = 0;

    pthread_mutex_lock(&clients->lock);
    while ((found = find_other(clients, client->name)) && rc == 0) {
        rc = pthread_cond_timedwait(&clients->left, &clients->lock, &until);
    }
    if (found) {
        memcpy(other, found->name, ZR_CLIENT_NAME_BYTES);
    }
    client->is_writer = true;
    cds_list_add(&client->node, &clients->writers);
    pthread_mutex_unlock(&clients->lock);
    return found != NULL;
}

uint64_t zr_clients_nr_connections(struct zr_clients *clients)
{
    uint64_t nr;

    pthread_mutex_lock(&clients->lock);
    nr = clients->nr_connections;
    pthread_mutex_unlock(&clients->lock);
    return nr;
}
