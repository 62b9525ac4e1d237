// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// Statistics: the document that a server serves under stats-export=, fetched over NBD and parsed.
//
// A number is asked for by its path in the document; servers of other versions may lack it, so
// every number may be absent.
#ifndef ZR_CTL_STATISTICS_H
#define ZR_CTL_STATISTICS_H

#include <json-c/json_types.h>
#include <stddef.h>
#include <stdint.h>

// What the packaged unit listens on and serves.
#define ZR_DEFAULT_SOCKET "/run/zramswap/nbd.sock"
#define ZR_DEFAULT_EXPORT "stats"

struct zr_address {
    const char *where;       // an NBD URI, or the path of a Unix socket
    const char *export_name; // NULL: what the URI says, or ZR_DEFAULT_EXPORT of a socket
};

// From what the command line says, then ZRAMSWAP_URI, then the default.  Each may be NULL.
struct zr_address zr_address_choose(const char *operand, const char *export_name);

// A document of this moment, to be dropped with json_object_put.  Dies if there is none.
struct json_object *zr_statistics_fetch(const struct zr_address *address);

size_t zr_statistics_nr_exports(const struct json_object *document);
struct json_object *zr_statistics_export(const struct json_object *document, size_t index);

// The kinds of requests that are counted in a document, or in an export, an object each; NULL if
// none.
struct json_object *zr_statistics_requests(const struct json_object *object);

#define ZR_ABSENT UINT64_MAX

// object: a document, or an export in it.  path: as "/requests/read/p99_ns".
uint64_t zr_statistics_number(const struct json_object *object, const char *path);

// Uncompressed size of the pages that are cold, which the server counts; or ZR_ABSENT.
uint64_t zr_statistics_cold_bytes(const struct json_object *object);

// "" if absent.  Belongs to the document.
const char *zr_statistics_text(const struct json_object *object, const char *path);

#endif
