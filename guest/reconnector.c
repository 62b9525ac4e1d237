// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "reconnector.h"
#include "report.h"
#include "transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/nbd.h>
#include <string.h>
#include <unistd.h>

enum { RETRY_MS = 100 };
// A server that has lost the pages is asked again for so long, before what waits for them fails:
// the wrong one may have been started by mistake, and this cannot be undone.
enum { REFUSED_RETRY_MS = 1000, GIVE_UP_MS = 30 * 1000 };
// How long requests wait for a server that is away.
enum { PATIENCE_S = 3600 };

static bool has_identity(const struct zr_reconnector *r)
{
    return r->export.identity[0] != '\0';
}

static const char *text_of(int error)
{
    switch (error) {
    case -ENOENT:
        return "the server has no such export";
    case -EACCES:
        return "the server does not let anybody have the export now";
    case -ENOKEY:
        return "the server wants TLS";
    case -EPROTO:
    case -EOPNOTSUPP:
        return "no server of the newstyle protocol with NBD_OPT_GO is there";
    default:
        return strerrordesc_np(-error);
    }
}

// ---- Attaching

static int refuse_to_attach(const struct zr_reconnector *r, const char *why, int error)
{
    zr_log(ZR_LOG_ERROR, "cannot attach export '%s' of %s port %s: %s", r->server.export_name,
           r->server.host, r->server.port, why);
    zr_report_state("failed", 0, why);
    return error;
}

// Connects number i, which has to be like number 0.
static int connect_first(struct zr_reconnector *r, size_t i)
{
    struct zr_export export;

    r->sockets[i] = zr_remote_connect(&r->server, &export);
    if (r->sockets[i] < 0) {
        return refuse_to_attach(r, text_of(r->sockets[i]), r->sockets[i]);
    }
    if (i == 0) {
        r->export = export;
    } else if (export.size_bytes != r->export.size_bytes || export.flags != r->export.flags ||
               strcmp(export.identity, r->export.identity) != 0) {
        return refuse_to_attach(r, "two connections found different exports", -ESTALE);
    }
    return 0;
}

int zr_attach(struct zr_reconnector *r)
{
    int error = connect_first(r, 0);

    if (error) {
        return error;
    }
    if (r->export.flags & NBD_FLAG_READ_ONLY) {
        return refuse_to_attach(r, "it is read-only", -EROFS);
    }
    if (!(r->export.flags & NBD_FLAG_CAN_MULTI_CONN)) {
        r->nr_connections = 1;
    }
    for (size_t i = 1; i < r->nr_connections; i++) {
        error = connect_first(r, i);
        if (error) {
            return error;
        }
    }
    error = zr_kernel_connect(&r->kernel, &r->export, r->sockets, r->nr_connections,
                              has_identity(r) ? r->timeout_s : 0, has_identity(r) ? PATIENCE_S : 0);
    if (error) {
        return refuse_to_attach(r, text_of(error), error);
    }
    zr_log(ZR_LOG_INFO,
           "attached export '%s' of %s port %s: %" PRIu64 " MiB, %zu connections, %s%s",
           r->server.export_name, r->server.host, r->server.port, r->export.size_bytes >> 20,
           r->nr_connections, has_identity(r) ? "uuid " : "no identity: cannot be connected again",
           r->export.identity);
    zr_report_state("connected", zr_now_ms(), "");
    return 0;
}

// ---- Keeping it attached

// The kernel has given it up: shut it down behind all that was still to be sent, which it sends on
// another connection besides.  Reset, this one sends nothing any more, and the server sees at once
// that what it has got of it is not to be executed.
static void reset(int socket)
{
    static const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

    if (connect(socket, &nowhere, sizeof nowhere) == -1) {
        return; // dead already: so much the better
    }
}

// Lets go of the sockets that are dead; returns how many live.
static size_t drop_dead(struct zr_reconnector *r)
{
    struct pollfd descriptors[ZR_MAX_CONNECTIONS];
    size_t nr_live = 0;

    for (size_t i = 0; i < r->nr_connections; i++) {
        descriptors[i] = (struct pollfd){.fd = r->sockets[i], .events = POLLRDHUP};
    }
    poll(descriptors, r->nr_connections, 0);
    for (size_t i = 0; i < r->nr_connections; i++) {
        if (r->sockets[i] >= 0 && descriptors[i].revents) {
            // Not if only the server's end is closed: answers may still be unread.
            if (descriptors[i].revents & POLLHUP) {
                reset(r->sockets[i]);
            }
            close(r->sockets[i]);
            r->sockets[i] = -1;
        }
        nr_live += r->sockets[i] >= 0;
    }
    return nr_live;
}

// Until a connection dies, or the deadline.  -EINTR after a signal.
static int wait_for_death(struct zr_reconnector *r, int64_t deadline_ms)
{
    struct pollfd descriptors[ZR_MAX_CONNECTIONS];
    int error;

    for (size_t i = 0; i < r->nr_connections; i++) {
        descriptors[i] = (struct pollfd){.fd = r->sockets[i], .events = POLLRDHUP};
    }
    error = zr_wait(descriptors, r->nr_connections, deadline_ms);
    return error == -ETIMEDOUT ? 0 : error;
}

// One more connection: 0 or -errno, -ESTALE if the server is not the one, which *why_not tells.
static int replace_one(struct zr_reconnector *r, const char **why_not)
{
    struct zr_export found;
    int socket = zr_remote_connect(&r->server, &found);
    int error;

    if (socket < 0) {
        return socket;
    }
    *why_not = zr_export_why_not(&r->export, &found);
    error = *why_not ? -ESTALE : zr_kernel_replace(&r->kernel, &r->export, socket);
    if (error) {
        close(socket);
        return error;
    }
    for (size_t i = 0; i < r->nr_connections; i++) {
        if (r->sockets[i] < 0) {
            r->sockets[i] = socket;
            break;
        }
    }
    return 0;
}

static void note_missing(struct zr_reconnector *r, size_t nr_live)
{
    if (r->is_missing) {
        return;
    }
    r->is_missing = true;
    r->since_ms = zr_now_ms();
    r->refused_ms = 0;
    r->failure = NULL;
    r->refusal = NULL;
    zr_log(ZR_LOG_WARNING, "lost the connection, %zu of %zu are left", nr_live, r->nr_connections);
    zr_report_state("reconnecting", r->since_ms, "");
}

static void note_complete(struct zr_reconnector *r)
{
    int64_t ms = zr_now_ms() - r->since_ms;

    if (!r->is_missing) {
        return;
    }
    r->is_missing = false;
    zr_log(ZR_LOG_INFO, "connected again after %" PRId64 ".%" PRId64 " s", ms / 1000,
           ms % 1000 / 100);
    zr_report_state("connected", zr_now_ms(), "");
}

// The first reason of an outage is logged, and each refusal once; the state has the last one.
static void note_failure(struct zr_reconnector *r, const char *failure, bool is_refused)
{
    if (!r->failure && !is_refused) {
        zr_log(ZR_LOG_WARNING, "%s; goes on trying", failure);
    }
    if (!r->failure || strcmp(r->failure, failure) != 0) {
        zr_report_state("reconnecting", r->since_ms, failure);
    }
    r->failure = failure;
    if (!is_refused) {
        r->refused_ms = 0;
        return;
    }
    if (r->refused_ms == 0) {
        r->refused_ms = zr_now_ms();
    }
    if (!r->refusal || strcmp(r->refusal, failure) != 0) {
        r->refusal = failure;
        zr_log(ZR_LOG_ERROR, "not connected again: %s", failure);
    }
}

static int give_up(struct zr_reconnector *r, const char *why)
{
    int error = zr_kernel_disconnect(&r->kernel);

    zr_log(ZR_LOG_ERROR, "the pages on this device are lost: %s%s%s", why,
           error ? "; cannot disconnect it: " : "", error ? text_of(error) : "");
    zr_report_state("lost", zr_now_ms(), why);
    return -ENODATA;
}

// Makes one try to replace a dead connection.  Returns how long to wait before the next one, or
// -errno if there is none.
static int64_t try_once(struct zr_reconnector *r, size_t nr_live)
{
    const char *why_not = NULL;
    int error = replace_one(r, &why_not);

    if (error == 0 || error == -EINTR) {
        return error;
    }
    if (error == -EINVAL) {
        zr_log(ZR_LOG_INFO, "ends: somebody else has disconnected the device");
        return -ENODEV;
    }
    note_failure(r, why_not ? why_not : text_of(error), why_not != NULL);
    if (!why_not) {
        return RETRY_MS;
    }
    return nr_live == 0 && zr_now_ms() - r->refused_ms >= GIVE_UP_MS ? give_up(r, why_not)
                                                                     : REFUSED_RETRY_MS;
}

int zr_keep_attached(struct zr_reconnector *r)
{
    for (;;) {
        size_t nr_live = drop_dead(r);
        int64_t deadline_ms = ZR_NO_DEADLINE;
        int error;

        if (nr_live == r->nr_connections) {
            note_complete(r);
        } else {
            note_missing(r, nr_live);
            if (has_identity(r)) {
                int64_t pause_ms = try_once(r, nr_live);

                if (pause_ms < 0) {
                    return (int)pause_ms;
                }
                deadline_ms = zr_now_ms() + pause_ms;
            } else if (nr_live == 0) {
                return give_up(r, "the server did not say whose pages it has");
            }
        }
        error = wait_for_death(r, deadline_ms);
        if (error) {
            return error;
        }
    }
}
