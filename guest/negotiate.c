// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "negotiate.h"
#include "transfer.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define GREETING_MAGIC 0x4e42444d41474943U // "NBDMAGIC"
#define OPTION_MAGIC 0x49484156454f5054U   // "IHAVEOPT"
#define REPLY_MAGIC 0x3e889045565a9U

enum { FIXED_NEWSTYLE = 1, NO_ZEROES = 2 };
enum { OPTION_GO = 7 };
enum { INFO_EXPORT = 0, INFO_DESCRIPTION = 2 };
enum { REPLY_ACK = 1, REPLY_INFO = 3 };

#define REPLY_IS_ERROR 0x80000000U
enum { ERROR_UNSUPPORTED = 1, ERROR_POLICY = 2, ERROR_TLS_REQUIRED = 5, ERROR_UNKNOWN = 6 };

struct greeting {
    uint64_t magic;
    uint64_t option_magic;
    uint16_t flags;
} __attribute__((packed));

struct option {
    uint64_t magic;
    uint32_t option;
    uint32_t length;
} __attribute__((packed));

struct reply {
    uint64_t magic;
    uint32_t option;
    uint32_t type;
    uint32_t length;
} __attribute__((packed));

struct export_info {
    uint16_t type;
    uint64_t size_bytes;
    uint16_t flags;
} __attribute__((packed));

// An info's type and the longest string that the protocol knows.
enum { LONGEST_REPLY = 2 + 4096 };

static int greet(int socket, int64_t deadline_ms)
{
    struct greeting greeting;
    uint32_t flags;
    int error = zr_receive(socket, &greeting, sizeof greeting, deadline_ms);

    if (error) {
        return error;
    }
    if (be64toh(greeting.magic) != GREETING_MAGIC ||
        be64toh(greeting.option_magic) != OPTION_MAGIC ||
        !(be16toh(greeting.flags) & FIXED_NEWSTYLE)) {
        return -EPROTO;
    }
    flags = htobe32(be16toh(greeting.flags) & (FIXED_NEWSTYLE | NO_ZEROES));
    return zr_send(socket, &flags, sizeof flags, deadline_ms);
}

static char *append(char *to, const void *bytes, size_t length)
{
    memcpy(to, bytes, length);
    return to + length;
}

static int send_go(int socket, const char *name, int64_t deadline_ms)
{
    size_t name_length = strlen(name);
    uint32_t name_length_be = htobe32((uint32_t)name_length);
    uint16_t infos[] = {htobe16(1), htobe16(INFO_DESCRIPTION)}; // how many, and which
    size_t length = sizeof name_length_be + name_length + sizeof infos;
    struct option option = {htobe64(OPTION_MAGIC), htobe32(OPTION_GO), htobe32((uint32_t)length)};
    char message[sizeof option + sizeof name_length_be + ZR_EXPORT_NAME_LENGTH + sizeof infos];
    char *end = message;

    if (name_length > ZR_EXPORT_NAME_LENGTH) {
        return -ENAMETOOLONG;
    }
    end = append(end, &option, sizeof option);
    end = append(end, &name_length_be, sizeof name_length_be);
    end = append(end, name, name_length);
    end = append(end, infos, sizeof infos);
    return zr_send(socket, message, (size_t)(end - message), deadline_ms);
}

static int error_of_reply(uint32_t type)
{
    switch (type & ~REPLY_IS_ERROR) {
    case ERROR_UNKNOWN:
        return -ENOENT;
    case ERROR_POLICY:
        return -EACCES;
    case ERROR_TLS_REQUIRED:
        return -ENOKEY;
    case ERROR_UNSUPPORTED:
        return -EOPNOTSUPP;
    default:
        return -EPROTO;
    }
}

static void take_info(const char *data, size_t length, struct zr_export *export)
{
    struct export_info info;
    uint16_t type;

    memcpy(&type, data, sizeof type);
    if (be16toh(type) == INFO_EXPORT && length == sizeof info) {
        memcpy(&info, data, sizeof info);
        export->size_bytes = be64toh(info.size_bytes) / ZR_BLOCK_BYTES * ZR_BLOCK_BYTES;
        export->flags = be16toh(info.flags);
    } else if (be16toh(type) == INFO_DESCRIPTION) {
        zr_export_identify(export, data + sizeof type, length - sizeof type);
    }
}

int zr_negotiate(int socket, const char *name, int64_t deadline_ms, struct zr_export *export)
{
    char data[LONGEST_REPLY];
    struct reply reply;
    int error;

    memset(export, 0, sizeof *export);
    error = greet(socket, deadline_ms);
    if (error == 0) {
        error = send_go(socket, name, deadline_ms);
    }
    while (error == 0) {
        uint32_t type, length;

        error = zr_receive(socket, &reply, sizeof reply, deadline_ms);
        if (error) {
            break;
        }
        type = be32toh(reply.type);
        length = be32toh(reply.length);
        if (be64toh(reply.magic) != REPLY_MAGIC || be32toh(reply.option) != OPTION_GO ||
            length > sizeof data) {
            return -EPROTO;
        }
        error = zr_receive(socket, data, length, deadline_ms);
        if (error) {
            break;
        }
        if (type & REPLY_IS_ERROR) {
            return error_of_reply(type);
        }
        if (type == REPLY_ACK) {
            return export->size_bytes > 0 ? 0 : -EPROTO;
        }
        if (type == REPLY_INFO && length >= sizeof(uint16_t)) {
            take_info(data, length, export);
        }
    }
    return error;
}
