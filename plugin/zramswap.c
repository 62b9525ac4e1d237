// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// The nbdkit plugin: parameters, and callbacks that pass a request on to the device.
#include "config.h"
#include "server.h"
#include "stats-document.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

// One request at a time per connection, connections in parallel.  With more threads on a connection
// nbdkit 1.32.4 to 1.33.9 (Debian 12's is 1.32.5) aborts, or answers on a socket that by then is
// another client's, when a client goes away while several of its requests are answered (fixed by
// upstream's 9d82aa4f).  Nor does a guest gain by them: see docs/hostile-clients.md.
#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS

#define NBDKIT_MAX_PAYLOAD_BYTES (64 << 20) // it refuses longer reads and writes

#define LOG_NS 1000000000 // a guest at its limit has thousands of writes refused a second

// What one connection talks to: a device, or, if document is not NULL, a text of statistics.
struct connection {
    struct zr_device *device;
    struct zr_request_stats *requests; // to the device
    struct zr_clients *clients;        // of it
    struct zr_client client;
    struct zr_lines *lines; // to it
    struct zr_line line;
    bool has_hung_up;
    const struct zr_stats_document *document;
    char *text;
    size_t text_bytes;
    uint64_t logged_ns;     // when a refused write was last logged
    uint64_t nr_not_logged; // since then
};

static struct zr_config config;
static struct zr_server server;
static char *store_path, *state_path; // absolute
static bool is_serving;               // in the process that the clients are connected to

// Where a path is kept; NULL if the parameter is none.
static char **path_of(const char *key)
{
    if (strcmp(key, "store") == 0) {
        return &store_path;
    }
    return strcmp(key, "state") == 0 ? &state_path : NULL;
}

static int zramswap_config(const char *key, const char *value)
{
    char **path = path_of(key);
    char why[ZR_CONFIG_WHY_BYTES];

    if (path && value[0] != '\0') {
        free(*path);
        *path = nbdkit_absolute_path(value);
        if (!*path) {
            return -1;
        }
        value = *path;
    }
    if (zr_config_set(&config, key, value, why) < 0) {
        nbdkit_error("%s", why);
        return -1;
    }
    return 0;
}

static int zramswap_config_complete(void)
{
    char why[ZR_CONFIG_WHY_BYTES];

    if (zr_config_complete(&config, why) < 0) {
        nbdkit_error("%s", why);
        return -1;
    }
    return 0;
}

#define zramswap_config_help                                                                       \
    "size=SIZE           (required) Size of the swap device, 1 byte to 1P.\n"                      \
    "export=NAME:SIZE[:LIMIT[:CONNECTIONS]]\n"                                                     \
    "                    One more device, under this export name; LIMIT bounds the\n"              \
    "                    compressed memory that it may hold (may be empty), CONNECTIONS the\n"     \
    "                    connections at a time.  May be repeated, and size= may then be\n"         \
    "                    left out.\n"                                                              \
    "compression=CODEC   lz4 or zstd; default lz4.\n"                                              \
    "level=N             Compression level, for zstd; default 1.\n"                                \
    "checksum=on|off     Notice damage to what is stored; default on.  This and other switches\n"  \
    "                    take true|false, yes|no and 1|0 as well.\n"                               \
    "cold=auto|off|SECONDS\n"                                                                      \
    "                    Pages not written for so long take a denser form; auto (the default):\n"  \
    "                    so late that they are hardly ever read.\n"                                \
    "cold-cpu=PERCENT    Most CPU time for that, of one CPU; default 5.\n"                         \
    "limit=SIZE          Most memory for what is stored; default all of the machine.\n"            \
    "mlock=on|off        Lock all memory of the server; default off.\n"                            \
    "local-swap=on|off   The kernel of this machine swaps on the device; default off.\n"           \
    "store=FILE          Keep what is stored in this file, which must lie on a tmpfs: it "         \
    "outlives\n"                                                                                   \
    "                    the server, however that ends.\n"                                         \
    "state=FILE          Note in this file, on a real disk, which exports are in use: one whose\n" \
    "                    content is gone answers errors, not zeros.\n"                             \
    "drop=NAME           Remove an export from the store.  May be repeated.\n"                     \
    "stats-export=NAME   Serve statistics on the read-only exports NAME, as JSON, and\n"           \
    "                    NAME.prom, as Prometheus text."

static void zramswap_dump_plugin(void)
{
    const struct zr_codec_ops *const *codec;

    printf("zramswap_version=%s\n", PACKAGE_VERSION);
    printf("zramswap_compression_default=%s\n", zr_codecs[0]->name);
    for (codec = zr_codecs; *codec; codec++) {
        printf("zramswap_%s_version=%s\n", (*codec)->name, (*codec)->version());
        if ((*codec)->has_level) {
            printf("zramswap_%s_levels=%d..%d\n", (*codec)->name, (*codec)->min_level(),
                   (*codec)->max_level());
        }
    }
    printf("zramswap_features=trim fast-zero extents fua multi-conn exports limit checksum cold "
           "mlock local-swap stats-export store state\n");
}

// MCL_ONFAULT: lock pages as they are touched; do not populate the reserved address range.
static int lock_memory(void)
{
    if (config.has_mlock && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0) {
        nbdkit_error("mlock=on: the system does not let memory be locked (%s): raise "
                     "RLIMIT_MEMLOCK (ulimit -l unlimited, in a unit LimitMEMLOCK=infinity)",
                     strerrordesc_np(errno));
        return -1;
    }
    return 0;
}

// A file of /proc/self that is changed for the server, and holds for what it starts as well.
struct proc_setting {
    const char *path;
    const char *value;
    const char *prefix; // of what is read, for the kernel to read it back as the same
    char before[20];
    int fd; // open until the fork is over: later the file may belong to root
};

static struct proc_setting oom_score = {"/proc/self/oom_score_adj", "-1000", "", .fd = -1};
static struct proc_setting core_filter = {"/proc/self/coredump_filter", "0", "0x", .fd = -1};

static int set(struct proc_setting *setting)
{
    size_t bytes = strlen(setting->prefix);

    memcpy(setting->before, setting->prefix, bytes);
    setting->fd = open(setting->path, O_RDWR | O_CLOEXEC);
    if (setting->fd < 0 ||
        read(setting->fd, setting->before + bytes, sizeof setting->before - bytes - 1) < 0 ||
        write(setting->fd, setting->value, strlen(setting->value)) < 0) {
        return -errno;
    }
    return 0;
}

static void close_setting(struct proc_setting *setting)
{
    if (setting->fd >= 0) {
        close(setting->fd);
        setting->fd = -1;
    }
}

static void reset(struct proc_setting *setting)
{
    ssize_t ignored;

    if (setting->fd >= 0) {
        ignored = write(setting->fd, setting->before, strlen(setting->before));
        (void)ignored; // it is what the kernel said
    }
    close_setting(setting);
}

// The process that forked: nbdkit's parent, which with --run goes on and starts the user's command.
// What is only for the server ends there.
static void forked_parent(void)
{
    if (is_serving) {
        return; // a later fork: of this server, which goes on
    }
    reset(&oom_score);
    reset(&core_filter);
    if (config.has_local_swap) {
        prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
    }
    zr_server_abandon(&server);
}

// The store is left out of core dumps by itself; pages also pass through buffers of nbdkit and of
// the codecs.  Not dumpable: no core, and nobody but root looks into this process, not even its own
// user.
static int hide_memory(void)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        nbdkit_error("cannot keep the memory out of core dumps: %s", strerrordesc_np(errno));
        return -1;
    }
    return 0;
}

// With local-swap the kernel waits for us to free its memory: our allocations must not wait for its
// swap-out, and the OOM killer must not choose us.
static int prepare_for_local_swap(void)
{
    int rc;

    if (!config.has_local_swap) {
        return 0;
    }
    if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0) {
        nbdkit_error("local-swap=on: cannot become an I/O flusher (%s): needs CAP_SYS_RESOURCE",
                     strerrordesc_np(errno));
        return -1;
    }
    rc = set(&oom_score);
    if (rc < 0) {
        nbdkit_error("local-swap=on: cannot set the OOM score (%s): needs CAP_SYS_RESOURCE",
                     strerrordesc_np(-rc));
    }
    return rc;
}

static void log_recovery(void)
{
    const struct zr_recovered *found = &server.recovered;

    if (server.has_store) {
        fprintf(stderr,
                "zramswap: store %s: %llu pages of %zu exports recovered in %llu.%03llu ms, %llu "
                "lost; %zu exports kept but not served\n",
                server.store.path, (unsigned long long)found->nr_pages, server.nr_devices,
                (unsigned long long)server.recovery_ns / 1000000,
                (unsigned long long)server.recovery_ns / 1000 % 1000,
                (unsigned long long)found->nr_new_lost, server.nr_devices - server.nr_served);
    }
}

static void log_lost(void)
{
    size_t i;

    for (i = 0; i < server.nr_served; i++) {
        if (zr_slot_table_is_lost(&server.devices[i].table)) {
            fprintf(stderr,
                    "zramswap: export '%s' is LOST: it was in use, and what it held is gone; reads "
                    "fail until its guest begins anew (mkswap)\n",
                    server.devices[i].name);
        }
    }
}

// Before the fork, so that the user sees what fails; the threads come after it.
static int zramswap_get_ready(void)
{
    char why[ZR_STORE_WHY_BYTES];
    int rc = zr_server_init_why(&server, &config.server, why);

    if (rc < 0 && why[0] != '\0') {
        nbdkit_error("%s", why);
        return -1;
    }
    if (rc < 0) {
        nbdkit_error("cannot set memory aside for the store: %s", strerrordesc_np(-rc));
        return -1;
    }
    log_recovery();
    log_lost();
    rc = pthread_atfork(NULL, forked_parent, NULL);
    if (rc != 0) {
        nbdkit_error("cannot prepare the fork: %s", strerrordesc_np(rc));
        return -1;
    }
    // Root can still run gcore: make its dump empty.  Best effort (no /proc, no gcore); must be
    // done before nbdkit drops privileges.
    set(&core_filter);
    // The memory is hidden last: then /proc/self belongs to root.  It is hidden here already for
    // the parent, which keeps the store open.
    return lock_memory() < 0 || prepare_for_local_swap() < 0 || hide_memory() < 0 ? -1 : 0;
}

// A fork drops memory locks, and a change of the user what hides the memory.  Threads that start
// from here on, nbdkit's too, inherit the rest.
static int zramswap_after_fork(void)
{
    int rc = lock_memory() < 0 || hide_memory() < 0 ? -1 : 0;

    is_serving = true;
    close_setting(&oom_score);
    close_setting(&core_filter);
    if (rc == 0) {
        rc = zr_server_start(&server);
        if (rc < 0) {
            nbdkit_error("cannot start the background threads: %s", strerrordesc_np(-rc));
        }
    }
    return rc < 0 ? -1 : 0;
}

// A connection that is just being opened does not keep nbdkit from ending.
static void zramswap_cleanup(void)
{
    zr_stats_documents_end();
    zr_server_fini(&server);
}

static void zramswap_unload(void)
{
    zr_config_fini(&config);
    free(store_path);
    free(state_path);
}

static int zramswap_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
    size_t i;

    (void)readonly;
    (void)is_tls;
    for (i = 0; i < config.server.nr_exports; i++) {
        if (nbdkit_add_export(exports, config.server.exports[i].name, "compressed swap") < 0) {
            return -1;
        }
    }
    return 0;
}

// One document per connection, so that what a client reads is of one moment.
static int make_text(struct connection *connection)
{
    int rc = zr_stats_document_get(connection->document, &server, &connection->text,
                                   &connection->text_bytes);

    if (rc < 0) {
        nbdkit_error("cannot make the statistics: %s", strerrordesc_np(-rc));
    }
    return rc;
}

union address {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
    struct sockaddr_vm vsock;
    struct sockaddr_storage storage;
};

// By what the server can know a client: its process on this host, else its address.
static void name_client(char name[ZR_CLIENT_NAME_BYTES])
{
    union address address;
    socklen_t bytes = sizeof address;
    char text[INET6_ADDRSTRLEN];

    snprintf(name, ZR_CLIENT_NAME_BYTES, "a client");
    if (nbdkit_peer_name(&address.any, &bytes) < 0) {
        return;
    }
    switch (address.any.sa_family) {
    case AF_UNIX: // process -1: of another container
        snprintf(name, ZR_CLIENT_NAME_BYTES, "process %lld of user %lld",
                 (long long)nbdkit_peer_pid(), (long long)nbdkit_peer_uid());
        break;
    case AF_INET:
        snprintf(name, ZR_CLIENT_NAME_BYTES, "%s",
                 inet_ntop(AF_INET, &address.ip4.sin_addr, text, sizeof text));
        break;
    case AF_INET6:
        snprintf(name, ZR_CLIENT_NAME_BYTES, "%s",
                 inet_ntop(AF_INET6, &address.ip6.sin6_addr, text, sizeof text));
        break;
    case AF_VSOCK:
        snprintf(name, ZR_CLIENT_NAME_BYTES, "vsock CID %u", address.vsock.svm_cid);
        break;
    default:
        break;
    }
}

// Of a Unix socket both ends are in this kernel, which knows at once of what became of the other.
static bool is_remote(void)
{
    union address address;
    socklen_t bytes = sizeof address;

    return nbdkit_peer_name(&address.any, &bytes) < 0 || address.any.sa_family != AF_UNIX;
}

static int open_line(struct connection *connection, const char *name)
{
    if (zr_lines_open(connection->lines, &connection->line, is_remote()) < 0) {
        zr_clients_leave(connection->clients, &connection->client);
        nbdkit_error("export '%s': an older connection has requests that may be stale: try again",
                     name);
        return -1;
    }
    return 0;
}

static int find_device(struct connection *connection, const char *name)
{
    struct zr_device *device = zr_server_find(&server, name);

    if (!device) {
        nbdkit_error("there is no export '%s'", name);
        return -1;
    }
    connection->device = device;
    connection->requests = zr_server_requests(&server, device);
    connection->clients = zr_server_clients(&server, device);
    connection->lines = zr_server_lines(&server, device);
    if (zr_clients_enter(connection->clients) < 0) {
        name_client(connection->client.name);
        nbdkit_error("export '%s' has all the connections that it may have (%llu): refused %s",
                     name, (unsigned long long)connection->clients->max_connections,
                     connection->client.name);
        return -1;
    }
    return open_line(connection, name);
}

static void *zramswap_open(int readonly)
{
    struct connection *connection = calloc(1, sizeof *connection);
    const char *name = nbdkit_export_name();
    int rc;

    (void)readonly;
    if (!connection || !name) {
        nbdkit_error("cannot open: %s", strerrordesc_np(errno));
        free(connection);
        return NULL;
    }
    connection->document = zr_stats_document_find(config.stats_export, name);
    rc = connection->document ? make_text(connection) : find_device(connection, name);
    if (rc < 0) {
        free(connection);
        return NULL;
    }
    return connection;
}

static void zramswap_close(void *handle)
{
    struct connection *connection = handle;

    if (connection->clients) {
        zr_lines_close(connection->lines, &connection->line);
        zr_clients_leave(connection->clients, &connection->client);
    }
    free(connection->text);
    free(connection);
}

// With the uuid, by which a client that comes back knows whether its content is still there.
static const char *describe_device(const struct zr_device *device)
{
    char uuid[ZR_STATE_UUID_TEXT_BYTES];

    zr_state_print_uuid(zr_server_identity(&server, device)->uuid, uuid);
    return nbdkit_printf_intern("compressed swap (%s) uuid=%.8s-%.4s-%.4s-%.4s-%s",
                                device->codec->ops->name, uuid, uuid + 8, uuid + 12, uuid + 16,
                                uuid + 20);
}

static const char *zramswap_export_description(void *handle)
{
    const struct connection *connection = handle;

    if (connection->document) {
        return connection->document->description;
    }
    return describe_device(connection->device);
}

static int64_t zramswap_get_size(void *handle)
{
    const struct connection *connection = handle;

    return (int64_t)(connection->document ? connection->text_bytes
                                          : connection->device->size_bytes);
}

static int zramswap_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
                               uint32_t *maximum)
{
    (void)handle;
    *minimum = 1;
    *preferred = ZR_PAGE_BYTES;
    *maximum = NBDKIT_MAX_PAYLOAD_BYTES; // of reads and writes: trims may be longer
    return 0;
}

static int is_device(void *handle)
{
    return ((const struct connection *)handle)->document == NULL;
}

static int can_native_fua(void *handle)
{
    return is_device(handle) ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE;
}

static int can_native_cache(void *handle)
{
    (void)handle;
    return NBDKIT_CACHE_NATIVE;
}

// Before the first write or trim of a connection: readers hurt nobody.
static void begin_to_write(struct connection *connection)
{
    char other[ZR_CLIENT_NAME_BYTES];

    name_client(connection->client.name);
    if (zr_clients_write(connection->clients, &connection->client, other)) {
        nbdkit_error("export '%s': %s writes on it, and so does %s: guests that swap on one export "
                     "destroy each other's memory",
                     connection->device->name, connection->client.name, other);
    }
}

// A request to the device, from its start on.
struct request {
    struct connection *connection;
    enum zr_request_kind kind;
    const char *what;
    uint32_t bytes;
    uint64_t offset;
    uint64_t start_ns;
    int rc; // of a request that is refused; 0: it is to be executed
};

// Nobody waits for the answer any more, and what was sent again elsewhere is not to be changed.  A
// system call: nbdkit does not let us have the socket, but a sleep ends early if that is closed.
static bool has_hung_up(struct connection *connection)
{
    connection->has_hung_up = connection->has_hung_up || nbdkit_nanosleep(0, 0) < 0;
    return connection->has_hung_up;
}

static struct request begin(void *handle, enum zr_request_kind kind, const char *what,
                            uint32_t bytes, uint64_t offset)
{
    struct connection *connection = handle;
    struct request request = {connection, kind, what, bytes, offset, 0, 0};
    bool changes = kind == ZR_REQUEST_WRITE || kind == ZR_REQUEST_TRIM;
    bool may_be_stale =
        zr_line_begin(connection->lines, &connection->line, changes, &request.start_ns);

    if (changes && !connection->client.is_writer) {
        begin_to_write(connection);
    }
    if (may_be_stale || connection->has_hung_up) {
        if (!has_hung_up(connection)) {
            zr_line_trust(&connection->line, request.start_ns);
        } else if (changes) {
            request.rc = -ESHUTDOWN;
        }
    }
    return request;
}

// Logs refused writes only once a second for each connection, whose requests come one at a time.
// (strerror would take the locale's lock.)
static void log_failure(const struct request *request, int rc)
{
    struct connection *connection = request->connection;
    char more[60] = "";

    if (rc == -ENOSPC || rc == -ESHUTDOWN) {
        if (request->start_ns - connection->logged_ns < LOG_NS) {
            connection->nr_not_logged++;
            return;
        }
        if (connection->nr_not_logged > 0) {
            snprintf(more, sizeof more, " (%llu more were not logged)",
                     (unsigned long long)connection->nr_not_logged);
        }
        connection->logged_ns = request->start_ns;
        connection->nr_not_logged = 0;
    }
    nbdkit_error("%s of %u bytes at offset %llu: %s%s", request->what, request->bytes,
                 (unsigned long long)request->offset, strerrordesc_np(-rc), more);
}

// Counts it, and turns 0 or -errno into what nbdkit wants.
static int finish(const struct request *request, int rc)
{
    zr_line_end(&request->connection->line);
    zr_request_stats_count(request->connection->requests, request->kind, request->bytes,
                           zr_worker_now_ns() - request->start_ns, rc);
    if (rc == 0) {
        return 0;
    }
    log_failure(request, rc);
    nbdkit_set_error(-rc);
    return -1;
}

static int zramswap_pread(void *handle, void *buffer, uint32_t count, uint64_t offset,
                          uint32_t flags)
{
    struct connection *connection = handle;
    struct request request;

    (void)flags;
    if (connection->document) {
        memcpy(buffer, connection->text + offset, count);
        return 0;
    }
    request = begin(handle, ZR_REQUEST_READ, "read", count, offset);
    return finish(&request, zr_device_read(connection->device, buffer, count, offset));
}

// FUA and flush: nothing is ever kept back, memory is as durable as it gets.
static int zramswap_pwrite(void *handle, const void *buffer, uint32_t count, uint64_t offset,
                           uint32_t flags)
{
    struct connection *connection = handle;
    struct request request = begin(handle, ZR_REQUEST_WRITE, "write", count, offset);
    int rc = request.rc < 0 ? request.rc : zr_server_note_use(&server, connection->device);

    (void)flags;
    return finish(&request,
                  rc < 0 ? rc : zr_device_write(connection->device, buffer, count, offset));
}

static int zramswap_flush(void *handle, uint32_t flags)
{
    (void)handle;
    (void)flags;
    return 0;
}

// A zero is always as fast as a trim, and frees as much: no memory is set aside for a range, so
// nothing would be gained by keeping it "allocated".
static int zramswap_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    struct connection *connection = handle;
    struct request request = begin(handle, ZR_REQUEST_TRIM, "zero", count, offset);
    int rc = request.rc < 0 ? request.rc : zr_server_note_use(&server, connection->device);

    (void)flags;
    return finish(&request, rc < 0 ? rc : zr_device_zero(connection->device, count, offset));
}

static int zramswap_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    struct connection *connection = handle;
    struct request request = begin(handle, ZR_REQUEST_TRIM, "trim", count, offset);

    (void)flags;
    return finish(&request,
                  request.rc < 0 ? request.rc : zr_device_zero(connection->device, count, offset));
}

struct block_status {
    struct nbdkit_extents *extents;
    bool is_one; // only the first extent is asked for
};

static int report_extent(void *opaque, uint64_t offset, uint64_t bytes, bool is_hole)
{
    const struct block_status *status = opaque;
    uint32_t type = is_hole ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0;

    if (nbdkit_add_extent(status->extents, offset, bytes, type) < 0) {
        return -errno;
    }
    return status->is_one;
}

static int zramswap_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                            struct nbdkit_extents *extents)
{
    struct connection *connection = handle;
    struct block_status status = {extents, (flags & NBDKIT_FLAG_REQ_ONE) != 0};
    struct request request = begin(handle, ZR_REQUEST_BLOCK_STATUS, "block status", count, offset);
    int rc = zr_device_extents(connection->device, count, offset, report_extent, &status);

    return finish(&request, rc < 0 ? rc : 0);
}

// Everything is in memory already.
static int zramswap_cache(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle;
    (void)count;
    (void)offset;
    (void)flags;
    return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "zramswap",
    .longname = "compressed swap",
    .version = PACKAGE_VERSION,
    .description = "A swap device for thin VMs, compressed in the memory of this host.",
    .config = zramswap_config,
    .config_complete = zramswap_config_complete,
    .config_help = zramswap_config_help,
    .magic_config_key = "size",
    .dump_plugin = zramswap_dump_plugin,
    .get_ready = zramswap_get_ready,
    .after_fork = zramswap_after_fork,
    .cleanup = zramswap_cleanup,
    .unload = zramswap_unload,
    .list_exports = zramswap_list_exports,
    .open = zramswap_open,
    .close = zramswap_close,
    .export_description = zramswap_export_description,
    .get_size = zramswap_get_size,
    .block_size = zramswap_block_size,
    .can_write = is_device,
    .can_flush = is_device,
    .can_trim = is_device,
    .can_zero = is_device,
    .can_fast_zero = is_device,
    .can_extents = is_device,
    .can_fua = can_native_fua,
    .can_cache = can_native_cache,
    .can_multi_conn = is_device, // a document is that of one connection
    .pread = zramswap_pread,
    .pwrite = zramswap_pwrite,
    .flush = zramswap_flush,
    .trim = zramswap_trim,
    .zero = zramswap_zero,
    .extents = zramswap_extents,
    .cache = zramswap_cache,
};

NBDKIT_REGISTER_PLUGIN(plugin)
