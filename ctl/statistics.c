// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "statistics.h"
#include "message.h"

#include "../store/same-filled.h"

#include <json-c/json.h>
#include <libnbd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DOCUMENT_BYTES (16 << 20) // a document has some kB; a larger export is a disk
#define REQUEST_BYTES (1 << 20)

static struct nbd_handle *nbd; // one at a time

static bool is_uri(const char *where)
{
    return strstr(where, "://") != NULL;
}

struct zr_address zr_address_choose(const char *operand, const char *export_name)
{
    const char *environment = getenv("ZRAMSWAP_URI");
    struct zr_address address = {.where = operand, .export_name = export_name};

    if (!address.where) {
        address.where = environment && *environment ? environment : ZR_DEFAULT_SOCKET;
    }
    if (!*address.where) {
        zr_die_of_misuse("the address '' is neither a URI nor the path of a socket");
    }
    if (is_uri(address.where) && export_name) {
        zr_die_of_misuse("--export %s: goes with a socket; the URI %s names its export itself",
                         export_name, address.where);
    }
    if (!is_uri(address.where) && !export_name) {
        address.export_name = ZR_DEFAULT_EXPORT;
    }
    return address;
}

static void connect_to(const struct zr_address *address)
{
    nbd = nbd_create();
    if (!nbd) {
        zr_die("%s", nbd_get_error());
    }
    if (address->export_name && nbd_set_export_name(nbd, address->export_name) < 0) {
        zr_die("--export %s: %s", address->export_name, nbd_get_error());
    }
    if ((is_uri(address->where) ? nbd_connect_uri(nbd, address->where)
                                : nbd_connect_unix(nbd, address->where)) < 0) {
        zr_die("cannot connect to %s%s%s%s: %s", address->where,
               address->export_name ? " (export '" : "",
               address->export_name ? address->export_name : "", address->export_name ? "')" : "",
               nbd_get_error());
    }
}

// All that the export holds, to be freed.
static char *read_document(const struct zr_address *address, size_t *bytes)
{
    size_t at, part;
    int64_t size;
    char *text;

    connect_to(address);
    size = nbd_get_size(nbd);
    if (size < 0 || size > MAX_DOCUMENT_BYTES) {
        zr_die("%s: these are no statistics of zramswap, but %lld bytes", address->where,
               (long long)size);
    }
    *bytes = (size_t)size;
    text = zr_must_have(malloc(*bytes + 1));
    for (at = 0; at < *bytes; at += part) {
        part = *bytes - at < REQUEST_BYTES ? *bytes - at : REQUEST_BYTES;
        if (nbd_pread(nbd, text + at, part, at, 0) < 0) {
            zr_die("cannot read from %s: %s", address->where, nbd_get_error());
        }
    }
    nbd_shutdown(nbd, 0);
    nbd_close(nbd);
    return text;
}

static bool has_exports(const struct json_object *document)
{
    struct json_object *exports;
    size_t i;

    if (!json_object_is_type(document, json_type_object) ||
        !json_object_object_get_ex(document, "exports", &exports) ||
        !json_object_is_type(exports, json_type_array)) {
        return false;
    }
    for (i = 0; i < json_object_array_length(exports); i++) {
        if (!json_object_is_type(json_object_array_get_idx(exports, i), json_type_object)) {
            return false;
        }
    }
    return true;
}

struct json_object *zr_statistics_fetch(const struct zr_address *address)
{
    struct json_tokener *parser = zr_must_have(json_tokener_new());
    struct json_object *document;
    size_t bytes;
    char *text = read_document(address, &bytes);

    json_tokener_set_flags(parser, JSON_TOKENER_VALIDATE_UTF8);
    document = json_tokener_parse_ex(parser, text, (int)bytes);
    if (!document) {
        zr_die("%s: these are no statistics of zramswap: not JSON (%s)", address->where,
               json_tokener_error_desc(json_tokener_get_error(parser)));
    }
    if (!has_exports(document)) {
        zr_die("%s: these are no statistics of zramswap: no exports in them", address->where);
    }
    json_tokener_free(parser);
    free(text);
    return document;
}

static struct json_object *exports_of(const struct json_object *document)
{
    struct json_object *exports = NULL;

    json_object_object_get_ex(document, "exports", &exports);
    return exports;
}

size_t zr_statistics_nr_exports(const struct json_object *document)
{
    return json_object_array_length(exports_of(document));
}

struct json_object *zr_statistics_export(const struct json_object *document, size_t index)
{
    return json_object_array_get_idx(exports_of(document), index);
}

static struct json_object *find(const struct json_object *object, const char *path)
{
    struct json_object *found = NULL;

    // The cast is safe: json_pointer_get changes nothing.
    if (json_pointer_get((struct json_object *)(uintptr_t)object, path, &found) < 0) {
        return NULL;
    }
    return found;
}

struct json_object *zr_statistics_requests(const struct json_object *object)
{
    struct json_object *requests = find(object, "/requests");

    return json_object_is_type(requests, json_type_object) ? requests : NULL;
}

uint64_t zr_statistics_number(const struct json_object *object, const char *path)
{
    struct json_object *found = find(object, path);

    if (!json_object_is_type(found, json_type_int) || (json_object_get_int64(found) < 0)) {
        return ZR_ABSENT;
    }
    return json_object_get_uint64(found);
}

uint64_t zr_statistics_cold_bytes(const struct json_object *object)
{
    uint64_t nr_pages = zr_statistics_number(object, "/cold_pages");

    return nr_pages == ZR_ABSENT ? ZR_ABSENT : nr_pages * ZR_PAGE_BYTES;
}

const char *zr_statistics_text(const struct json_object *object, const char *path)
{
    struct json_object *found = find(object, path);

    return json_object_is_type(found, json_type_string) ? json_object_get_string(found) : "";
}
