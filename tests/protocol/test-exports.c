// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// export=NAME:SIZE[:LIMIT]: disks of their own over one store. Clients see which there are and
// get no other; what one does, fills or frees, no other notices.

#include "expect.h"
#include "server.h"
#include "shadow.h"
#include "stats.h"

#define MAX_EXPORTS 4
#define LIMIT_BYTES (1 * MiB)

static struct nbd_handle *new_handle(void)
{
    struct nbd_handle *nbd = nbd_create();

    if (!nbd)
        FAIL("nbd_create: %s", nbd_get_error());
    return nbd;
}

struct list {
    size_t nr;
    char names[MAX_EXPORTS][16];
};

static int add_to_list(void *user_data, const char *name, const char *description)
{
    struct list *list = user_data;

    EXPECT(list->nr < MAX_EXPORTS && strlen(name) < sizeof list->names[0]);
    EXPECT(strcmp(description, "compressed swap") == 0);
    strcpy(list->names[list->nr++], name);
    return 0;
}

// The exports that a client is told of, in the order of the parameters.
static void expect_list(const char *const *names)
{
    struct nbd_handle *nbd = new_handle();
    struct list list = {0};
    nbd_list_callback callback = {add_to_list, &list, NULL};
    size_t i;

    NBD_OK(nbd_set_opt_mode(nbd, true));
    NBD_OK(nbd_connect_unix(nbd, server_socket()));
    NBD_OK(nbd_opt_list(nbd, callback));
    for (i = 0; names[i]; i++)
        if (i >= list.nr || strcmp(list.names[i], names[i]) != 0)
            FAIL("no export \"%s\" in place %zu of the list", names[i], i);
    EXPECT(list.nr == i);
    NBD_OK(nbd_opt_abort(nbd));
    nbd_close(nbd);
}

static void expect_refusal(const char *name)
{
    struct nbd_handle *nbd = new_handle();
    char reason[64], *messages;

    NBD_OK(nbd_set_export_name(nbd, name));
    if (nbd_connect_unix(nbd, server_socket()) != -1)
        FAIL("there is an export \"%s\"", name);
    nbd_close(nbd);

    messages = server_take_messages();
    snprintf(reason, sizeof reason, "there is no export '%s'\n", name);
    if (!strstr(messages, reason) || strchr(messages, '\n')[1] != '\0')
        FAIL("not one line with \"%s\" but:\n%s", reason, messages);
    free(messages);
}

static void expect_size(const char *name, int64_t size)
{
    struct nbd_handle *nbd = server_connect(name);

    EXPECT(nbd_get_size(nbd) == size);
    server_disconnect(nbd);
}

static void expect_names(void)
{
    server_start("export=a:1M", "export=b:3M:1M");
    expect_list((const char *const[]){"a", "b", NULL});
    expect_size("a", 1 * MiB);
    expect_size("b", 3 * MiB);
    expect_refusal("");
    expect_refusal("c");
    expect_refusal("A");
    server_stop();

    // A name that is not there is no other name for the disk, nor for statistics that are off.
    server_start("size=2M");
    expect_size("", 2 * MiB);
    expect_refusal("swap");
    expect_refusal("stats");
    expect_refusal("stats.prom");
    server_stop();

    server_start("size=2M", "stats-export=stats");
    expect_refusal("stats2");
    expect_refusal("stats.json");
    server_stop();

    // However many digits a number has.
    server_start("export=a:0000000000000000000000000000000000000000000000000000000001M:2M");
    expect_size("a", 1 * MiB);
    server_stop();

    server_start("export=a:1M", "size=2M");
    expect_list((const char *const[]){"a", "", NULL});
    expect_size("", 2 * MiB);
    expect_refusal("c");
    server_stop();
}

// What the statistics say of one export.
static uint64_t export_number(const char *export, const char *name)
{
    char *document = stats_read(), key[32];
    const char *entry;
    uint64_t number;

    snprintf(key, sizeof key, "\"name\": \"%s\"", export);
    entry = strstr(document, key);
    EXPECT(entry);
    number = stats_number(entry, name);
    free(document);
    return number;
}

static void expect_numbers(const char *export, uint64_t orig, uint64_t compressed)
{
    EXPECT(export_number(export, "orig_data_size") == orig);
    EXPECT(export_number(export, "compr_data_size") == compressed);
}

// Two connections to one export are one disk, two exports are two.
static void expect_shared_and_separate(struct shadow *a, struct shadow *b)
{
    struct nbd_handle *first = a->nbd;

    shadow_write(a, 0, 1 * MiB, CONTENT_MIXED, 0);
    shadow_compare_all(b);
    a->nbd = server_connect("a");
    shadow_compare_all(a);
    shadow_write(a, 512 * KiB, 1 * MiB, CONTENT_MIXED, 0);
    server_disconnect(a->nbd);
    a->nbd = first;
    shadow_compare_all(a);
    shadow_compare_all(b);
    shadow_trim(a, 0, a->size, 0);
}

// Random pages are stored as they are, each with the same few bytes beside it.
static uint64_t raw_page_bytes;

static void learn_raw_page_bytes(struct shadow *disk)
{
    shadow_write(disk, 0, PAGE_BYTES, CONTENT_RANDOM, 0);
    raw_page_bytes = export_number("a", "compr_data_size");
    EXPECT(raw_page_bytes >= PAGE_BYTES && raw_page_bytes < PAGE_BYTES + 64);
    shadow_trim(disk, 0, PAGE_BYTES, 0);
    expect_numbers("a", 0, 0);
}

static void expect_exact_accounts(struct shadow *a, struct shadow *b)
{
    shadow_write(a, 0, 100 * PAGE_BYTES, CONTENT_RANDOM, 0);
    shadow_write(b, 0, 30 * PAGE_BYTES, CONTENT_RANDOM, 0);
    shadow_write(b, 1 * MiB, 5 * PAGE_BYTES, CONTENT_SAME, 0);
    expect_numbers("a", 100 * PAGE_BYTES, 100 * raw_page_bytes);
    expect_numbers("b", 35 * PAGE_BYTES, 30 * raw_page_bytes);

    shadow_write(a, 0, 50 * PAGE_BYTES, CONTENT_RANDOM, 0);
    shadow_trim(b, 0, 10 * PAGE_BYTES, 0);
    shadow_write(b, 10 * PAGE_BYTES, 1, CONTENT_NEARLY_SAME, 0);
    expect_numbers("a", 100 * PAGE_BYTES, 100 * raw_page_bytes);
    expect_numbers("b", 25 * PAGE_BYTES, 20 * raw_page_bytes);

    shadow_trim(b, 0, b->size, 0);
    expect_numbers("a", 100 * PAGE_BYTES, 100 * raw_page_bytes);
    expect_numbers("b", 0, 0);
    shadow_trim(a, 0, a->size, 0);
    expect_numbers("a", 0, 0);
}

static void expect_no_room(struct shadow *disk, uint64_t offset)
{
    uint8_t page[PAGE_BYTES];

    content_fill(page, sizeof page, CONTENT_RANDOM);
    NBD_REFUSED(nbd_pwrite(disk->nbd, page, sizeof page, offset, 0), ENOSPC);
}

// To the byte: the last page that fits is stored, the next one is not.
static void fill_to_limit(struct shadow *disk)
{
    uint64_t nr_pages = LIMIT_BYTES / raw_page_bytes;

    shadow_write(disk, 0, nr_pages * PAGE_BYTES, CONTENT_RANDOM, 0);
    for (int i = 0; i < 100; i++)
        expect_no_room(disk, LIMIT_BYTES + i * PAGE_BYTES);
    expect_numbers("b", nr_pages * PAGE_BYTES, nr_pages * raw_page_bytes);
    shadow_compare_all(disk);
}

static void expect_limit(struct shadow *a, struct shadow *b)
{
    shadow_write(a, 0, 1 * MiB, CONTENT_MIXED, 0);
    fill_to_limit(b);

    // One that is full may still overwrite, and write what takes no room.
    shadow_write(b, 0, LIMIT_BYTES / 2, CONTENT_RANDOM, 0);
    shadow_write(b, 2 * MiB, 512 * KiB, CONTENT_SAME, 0);
    expect_no_room(b, 2 * MiB);
    shadow_compare_all(b);

    // The other one has all the room that it had.
    shadow_write(a, 0, a->size, CONTENT_RANDOM, 0);
    shadow_compare_all(a);

    // Freed room is there at once, in whatever pieces it was freed.
    shadow_trim(b, 0, PAGE_BYTES, 0);
    shadow_write(b, 2 * MiB, PAGE_BYTES, CONTENT_RANDOM, 0);
    expect_no_room(b, 0);
    for (int i = 0; i < 20; i++) {
        shadow_trim(b, 0, b->size, 0);
        fill_to_limit(b);
    }
    free(server_take_messages()); // one for each refused write
}

int main(void)
{
    struct shadow a, b;

    random_start();
    expect_names();

    server_start("export=a:8M", "export=b:4M:1M", STATS_PARAMETER);
    EXPECT(export_number("a", "mem_limit") == 0);
    EXPECT(export_number("b", "mem_limit") == LIMIT_BYTES);
    shadow_init(&a, server_connect("a"));
    shadow_init(&b, server_connect("b"));
    expect_shared_and_separate(&a, &b);
    learn_raw_page_bytes(&a);
    expect_exact_accounts(&a, &b);
    expect_limit(&a, &b);
    server_disconnect(a.nbd);
    server_disconnect(b.nbd);
    shadow_fini(&a);
    shadow_fini(&b);
    server_stop();
}
