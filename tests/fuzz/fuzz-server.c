// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A real server under clients that break the protocol: handshakes and requests with damaged
// headers, lengths and offsets without sense, payloads cut short, replies that nobody reads,
// connections that are dropped at any point. After each burst a healthy client finds its own
// data on another export as it left it, and the attacked export still serves.
//
//     FUZZ_SECONDS   how long, 2 when unset
//     ZRAMSWAP_SEED  replays what was sent; the server's threads still run as they like

#include <endian.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tests/protocol/content.h"
#include "tests/protocol/expect.h"
#include "tests/protocol/server.h"
#include "tests/protocol/shadow.h"

#define DISK_BYTES (8 * MiB)
#define MAX_PAYLOAD_BYTES (64 * KiB)
#define MAX_REQUESTS 40 // of a burst
#define QUIET_US 300000 // after this nothing more is said about those that were dropped
#define MIN_BURSTS 100
#define NR_IDLE 8 // connections left open, wherever they got stuck

// The protocol's numbers, doc/proto.md of the NBD project.
#define NBD_MAGIC UINT64_C(0x4e42444d41474943)
#define OPTION_MAGIC UINT64_C(0x49484156454f5054)
#define REQUEST_MAGIC 0x25609513
#define CLIENT_FLAGS 3 // fixed newstyle, no zeroes
#define OPT_GO 7
#define OPT_STRUCTURED_REPLY 8
#define REPLY_ACK 1
#define CMD_WRITE 1
#define NR_COMMANDS 8 // read, write, disconnect, flush, trim, cache, zero, block status

struct option {
    uint64_t magic;
    uint32_t option, length;
} __attribute__((packed));

struct option_reply {
    uint64_t magic;
    uint32_t option, type, length;
} __attribute__((packed));

struct request {
    uint32_t magic;
    uint16_t flags, type;
    uint64_t handle, offset;
    uint32_t length;
} __attribute__((packed));

static uint64_t nr_requests, nr_handshakes;
static int idle[NR_IDLE];
static bool has_passed;

static bool one_in(unsigned n)
{
    return random_below(n) == 0;
}

static void damage(void *bytes, size_t nr_bytes)
{
    for (uint64_t nr = 1 + random_below(3); nr > 0; nr--)
        ((uint8_t *)bytes)[random_below(nr_bytes)] ^= 1 << random_below(8);
}

// Takes what the server has sent, so that it never waits for us. False at the connection's end.
static bool discard_replies(int fd)
{
    static char replies[256 * KiB];
    ssize_t nr_bytes;

    do
        nr_bytes = recv(fd, replies, sizeof replies, MSG_DONTWAIT);
    while (nr_bytes > 0);
    return nr_bytes == -1 && errno == EAGAIN;
}

// False when the server has closed, or takes nothing for a while: it may wait for us to read.
static bool send_all(int fd, const void *bytes, size_t nr_bytes)
{
    while (nr_bytes > 0) {
        ssize_t nr_sent = send(fd, bytes, nr_bytes, MSG_NOSIGNAL);

        if (nr_sent == -1)
            return false;
        bytes = (const char *)bytes + nr_sent;
        nr_bytes -= nr_sent;
    }
    return true;
}

static bool receive_all(int fd, void *bytes, size_t nr_bytes)
{
    // Asked for nothing, recv would still wait for something.
    return nr_bytes == 0 || recv(fd, bytes, nr_bytes, MSG_WAITALL) == (ssize_t)nr_bytes;
}

static bool send_option(int fd, uint32_t number, const void *data, uint32_t length, bool is_damaged)
{
    struct option option = {htobe64(OPTION_MAGIC), htobe32(number), htobe32(length)};
    char copy[128];

    memcpy(copy, data, length);
    if (is_damaged && one_in(2))
        damage(&option, sizeof option);
    else if (is_damaged && length > 0)
        damage(copy, length);
    return send_all(fd, &option, sizeof option) && send_all(fd, copy, length);
}

// Until the server says something final about the option. True if that was yes.
static bool await_option(int fd)
{
    struct option_reply reply;
    char data[1024];

    do {
        if (!receive_all(fd, &reply, sizeof reply) || be32toh(reply.length) > sizeof data ||
            !receive_all(fd, data, be32toh(reply.length)))
            return false;
    } while (be32toh(reply.type) != REPLY_ACK && !(be32toh(reply.type) >> 31));
    return be32toh(reply.type) == REPLY_ACK;
}

// True if the connection is ready for requests.
static bool shake_hands(int fd, bool is_damaged)
{
    static const char go[] = "\0\0\0\6victim\0\0";
    unsigned damaged_step = is_damaged ? random_below(3) : 3;
    uint32_t flags = htobe32(CLIENT_FLAGS);
    char greeting[18];

    nr_handshakes++;
    if (!receive_all(fd, greeting, sizeof greeting) || be64toh(*(uint64_t *)greeting) != NBD_MAGIC)
        return false;
    if (damaged_step == 0)
        damage(&flags, sizeof flags);
    if (!send_all(fd, &flags, sizeof flags))
        return false;
    if (one_in(2) &&
        (!send_option(fd, OPT_STRUCTURED_REPLY, "", 0, damaged_step == 1) || !await_option(fd)))
        return false;
    return send_option(fd, OPT_GO, go, sizeof go - 1, damaged_step == 2) && await_option(fd);
}

static uint64_t some_offset(void)
{
    switch (random_below(6)) {
    case 0:
        return random_u64();
    case 1:
        return DISK_BYTES - random_below(8 * KiB);
    case 2:
        return DISK_BYTES + random_below(8 * KiB);
    case 3:
        return UINT64_MAX - random_below(8 * KiB);
    default:
        return random_below(DISK_BYTES);
    }
}

static uint32_t some_length(void)
{
    switch (random_below(8)) {
    case 0:
        return random_u64();
    case 1:
        return random_below(2) - 1; // 0 or UINT32_MAX
    case 2:
        return 64 * MiB - 1 + random_below(3); // about nbdkit's limit
    default:
        return random_below(MAX_PAYLOAD_BYTES);
    }
}

// One request, damaged or not, with as much of its payload as there is. False when the
// connection is of no use any more.
static bool send_request(int fd)
{
    static uint8_t payload[MAX_PAYLOAD_BYTES];
    uint16_t type = one_in(20) ? random_u64() : random_below(NR_COMMANDS);
    uint32_t length = some_length();
    uint32_t nr_bytes = type == CMD_WRITE ? length : 0;
    struct request request = {
        .magic = htobe32(REQUEST_MAGIC),
        .flags = htobe16(one_in(4) ? random_u64() : random_below(2)),
        .type = htobe16(type),
        .handle = random_u64(),
        .offset = htobe64(some_offset()),
        .length = htobe32(length),
    };
    size_t header_bytes = one_in(50) ? random_below(sizeof request) : sizeof request;

    if (one_in(10))
        damage(&request, sizeof request);
    if (nr_bytes > MAX_PAYLOAD_BYTES || one_in(20))
        nr_bytes = random_below(MAX_PAYLOAD_BYTES); // the next header then counts as payload
    content_fill(payload, nr_bytes, CONTENT_MIXED);
    nr_requests++;
    return send_all(fd, &request, header_bytes) && send_all(fd, payload, nr_bytes) &&
           (one_in(4) || discard_replies(fd));
}

// A client that goes wrong. Some are left open as they stand; they go when their turn comes.
static void attack(void)
{
    struct timeval patience = {.tv_usec = 200000};
    int fd = server_connect_raw();
    bool is_open;

    SYSTEM_OK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience));
    SYSTEM_OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
    is_open = shake_hands(fd, one_in(5));
    for (uint64_t nr = random_below(MAX_REQUESTS); is_open && nr > 0; nr--)
        is_open = send_request(fd);
    if (one_in(8)) {
        uint64_t place = random_below(NR_IDLE);
        int old = idle[place];

        idle[place] = fd;
        fd = old;
    }
    if (fd > 0)
        close(fd);
}

// nbdkit 1.32 does not end while a client owes it the rest of a request.
static void drop_idle(void)
{
    for (unsigned i = 0; i < NR_IDLE; i++)
        if (idle[i] > 0)
            close(idle[i]);
}

// What the server logs about bad requests is its right; what a sanitizer says is not.
// True if it said anything.
static bool check_messages(void)
{
    char *messages = server_take_messages();
    bool has_messages = *messages;

    if (strstr(messages, "Sanitizer") || strstr(messages, "runtime error") ||
        strstr(messages, "assert"))
        FAIL("the server said:\n%s", messages);
    free(messages);
    return has_messages;
}

// At an end by failure, what the server said last tells why.
static void show_messages(void)
{
    if (!has_passed)
        fputs(server_take_messages(), stderr);
}

static void check_victim_serves(void)
{
    struct nbd_handle *nbd = server_connect("victim");
    uint8_t page[PAGE_BYTES];
    uint64_t offset = random_below(DISK_BYTES - PAGE_BYTES);

    // What it reads is not compared: an attacker's request may still be under way.
    content_fill(page, sizeof page, CONTENT_TEXT);
    NBD_OK(nbd_pwrite(nbd, page, sizeof page, offset, 0));
    NBD_OK(nbd_pread(nbd, page, sizeof page, offset, 0));
    server_disconnect(nbd);
}

static void use_healthy_disk(struct shadow *healthy)
{
    uint64_t length = 1 + random_below(MAX_PAYLOAD_BYTES);
    uint64_t offset = random_below(DISK_BYTES - length);

    shadow_compare(healthy, offset, length);
    if (one_in(4))
        shadow_trim(healthy, offset, length, 0);
    else
        shadow_write(healthy, offset, length, CONTENT_MIXED, 0);
}

int main(void)
{
    const char *seconds = getenv("FUZZ_SECONDS");
    time_t end = time(NULL) + (seconds ? atoi(seconds) : 2);
    unsigned long nr_bursts = 0;
    struct shadow healthy;

    random_start();
    // One request of a connection at a time: with more, nbdkit 1.32 aborts by itself, whatever the
    // plugin, when a client hangs up while two replies are on their way ("sock >= 0").  It does so
    // over block status even then, which is why the attackers do not ask for that context.
    server_start("export=healthy:8M", "export=victim:8M", "limit=64M", "--threads=1");
    atexit(show_messages);
    shadow_init(&healthy, server_connect("healthy"));
    shadow_write(&healthy, 0, DISK_BYTES, CONTENT_MIXED, 0);
    do {
        attack();
        use_healthy_disk(&healthy);
        if (nr_bursts++ % 64 == 0) {
            check_messages();
            check_victim_serves();
            shadow_compare_all(&healthy);
        }
    } while (time(NULL) < end || nr_bursts < MIN_BURSTS);
    shadow_compare_all(&healthy);
    server_disconnect(healthy.nbd);
    shadow_fini(&healthy);
    drop_idle();
    check_victim_serves();
    do
        usleep(QUIET_US);
    while (check_messages());
    has_passed = true;
    server_stop();
    printf("%lu bursts, %llu handshakes, %llu requests\n", nr_bursts,
           (unsigned long long)nr_handshakes, (unsigned long long)nr_requests);
}
