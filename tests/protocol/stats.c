// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// No JSON library: a name, a colon and a number are found without one, and each dependency
// is one more package that a newcomer must install.

#include <ctype.h>
#include <inttypes.h>
#include <unistd.h>

#include "expect.h"
#include "server.h"
#include "stats.h"

#define AWAIT_SECONDS (server_is_instrumented() ? 60 : 5)
#define AWAIT_STEP_MS 10

char *stats_read(void)
{
    struct nbd_handle *nbd = server_connect(STATS_EXPORT);
    int64_t size = NBD_OK(nbd_get_size(nbd));
    char *document = calloc(1, size + 1);

    EXPECT(document);
    NBD_OK(nbd_pread(nbd, document, size, 0, 0));
    server_disconnect(nbd);
    return document;
}

uint64_t stats_number(const char *document, const char *name)
{
    char key[64];
    const char *value;

    snprintf(key, sizeof key, "\"%s\":", name);
    value = strstr(document, key);
    if (!value)
        FAIL("no %s in the statistics:\n%s", key, document);
    value += strlen(key);
    value += strspn(value, " ");
    if (!isdigit((unsigned char)*value))
        FAIL("%s is followed by no number in the statistics:\n%s", key, document);
    return strtoull(value, NULL, 10);
}

uint64_t stats_now(const char *name)
{
    char *document = stats_read();
    uint64_t number = stats_number(document, name);

    free(document);
    return number;
}

void stats_await_at_most(const char *name, uint64_t most)
{
    int steps_left = AWAIT_SECONDS * 1000 / AWAIT_STEP_MS;
    uint64_t number;

    while ((number = stats_now(name)) > most) {
        if (steps_left-- == 0)
            FAIL("%s stays %" PRIu64 ", above %" PRIu64, name, number, most);
        usleep(AWAIT_STEP_MS * 1000);
    }
}
