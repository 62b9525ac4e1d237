// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// A start with store= and state= in which a call of the plugin's fails (injection.h): one on a
// store that holds two exports, which changes what a start can (one grows so far that its root
// moves, one is new, one is dropped); and one that makes the store.
//
// Either the server refuses, in one line that names the file if the call was about one; or it
// serves all that is stored. Whatever it did, the next start finds every byte of it and of what was
// acknowledged since, and nothing lost.

#include <sys/wait.h>
#include <unistd.h>

#include "injection.h"
#include "tests/protocol/expect.h"
#include "tests/protocol/server.h"
#include "tests/protocol/shadow.h"
#include "tests/protocol/tmpfs.h"

#define DISK_BYTES (1 * MiB)
#define NR_EACH 60 // more calls of a function are zstd's, for each CPU's contexts

static char store[64], state[64], saved_store[64], saved_state[64]; // paths
static char store_parameter[80], state_parameter[80];
static char mlock_parameter[] = "mlock=off", swap_parameter[] = "local-swap=off";
static bool is_new; // the store is made
static struct shadow a, kept, gone;
static uint8_t page[PAGE_BYTES], fresh[PAGE_BYTES]; // of the export new: a write; what is there

static const char *const before[] = {
    store_parameter,  state_parameter, "export=a:1M", "export=gone:1M",
    "export=kept:1M", "limit=32M",     NULL,
};
// 600 GiB have more entries than a page of the roots' area holds.
static const char *const after[] = {
    store_parameter,
    state_parameter,
    "export=a:600G",
    "export=kept:1M",
    "export=new:1M",
    "drop=gone",
    "compression=zstd",
    mlock_parameter,
    "limit=64M",
    swap_parameter,
    NULL,
};

struct call {
    const char *name;
    bool is_of_file;  // so a refusal names it
    bool must_refuse; // there is no serving without
};

static const struct call calls[] = {
    {"malloc", false, false},
    {"calloc", false, false},
    {"realloc", false, true},
    {"aligned_alloc", false, false},
    {"open", true, false},
    {"openat", true, true},
    {"fstat", true, true},
    {"fstatfs", true, true},
    {"fcntl", true, true},
    {"pread", true, true},
    {"pwrite", true, false},
    {"read", false, false},
    {"write", false, false},
    {"lseek", true, true},
    {"ftruncate", true, true},
    {"fsync", true, true},
    {"fdatasync", true, false},
    {"linkat", true, true},
    {"mmap", true, true},
    {"mprotect", true, false},
    {"madvise", true, false},
    {"fallocate", true, false},
    {"getrandom", true, true},
    {"getrlimit", true, false},
    {"sysinfo", false, false},
    {"sysconf", false, false},
    {"mlockall", false, true},
    {"prctl", false, true},
    {"pthread_create", false, true},
    {"__register_atfork", false, true},
};
#define NR_CALLS (sizeof calls / sizeof *calls)

static const struct call *find_call(const char *function)
{
    for (size_t i = 0; i < NR_CALLS; i++)
        if (strcmp(calls[i].name, function) == 0)
            return &calls[i];
    FAIL("%s: not in the list", function);
}

static bool must_refuse(const char *function)
{
    return find_call(function)->must_refuse;
}

// As the one that made it left it.
static void prepare(void)
{
    memset(fresh, 0, sizeof fresh);
    unlink(store);
    unlink(state);
    if (!is_new) {
        tmpfs_copy_file(saved_store, store);
        tmpfs_copy_file(saved_state, state);
    }
}

static bool is_gone(struct nbd_handle *nbd)
{
    return nbd_aio_is_dead(nbd) || nbd_aio_is_closed(nbd);
}

// False if it was not served: the server is gone, or has refused the connection.
static bool compare(const struct shadow *disk, const char *export)
{
    static uint8_t actual[DISK_BYTES];
    struct nbd_handle *nbd = server_try_connect(export);
    bool is_read;

    if (!nbd)
        return false;
    is_read = nbd_pread(nbd, actual, DISK_BYTES, 0, 0) == 0;
    if (!is_read && !is_gone(nbd))
        FAIL("reading \"%s\": %s", export, nbd_get_error());
    if (is_read && memcmp(actual, disk->bytes, DISK_BYTES) != 0)
        FAIL("\"%s\" is not what was stored", export);
    nbd_close(nbd);
    return true;
}

static bool write_new(unsigned *nr_failed_requests)
{
    struct nbd_handle *nbd = server_try_connect("new");

    if (!nbd)
        return false;
    if (nbd_pwrite(nbd, page, PAGE_BYTES, PAGE_BYTES, 0) == 0)
        memcpy(fresh, page, PAGE_BYTES);
    else
        (*nr_failed_requests)++;
    nbd_close(nbd);
    return true;
}

static bool live(const char *function, int *status, unsigned *nr_failed_requests)
{
    bool is_served = false;

    (void)function;
    prepare();
    if (!server_try_start_list(status, after))
        return true;
    if (!is_new) {
        is_served |= compare(&a, "a");
        is_served |= compare(&kept, "kept");
    }
    is_served |= write_new(nr_failed_requests);
    *status = server_end();
    // nbdkit tells that it is there before all of the plugin's start is done.
    return !is_served && WIFEXITED(*status) && WEXITSTATUS(*status) == EXIT_FAILURE;
}

// A start that was refused and had not dropped the export yet leaves all of it.
static void expect_undropped(void)
{
    char *messages;

    server_start(store_parameter, state_parameter, "export=gone:1M");
    messages = server_take_messages();
    if (strstr(messages, " of 3 exports") && // or else it is a new one
        !compare(&gone, "gone"))
        FAIL("what was to be dropped is not served any more");
    free(messages);
    server_kill();
}

static void check(const char *function, const char *refusal)
{
    struct nbd_handle *nbd;
    uint8_t bytes[PAGE_BYTES];
    char *messages;

    if (refusal && find_call(function)->is_of_file && !strstr(refusal, store) &&
        !strstr(refusal, state) && !strstr(refusal, "local-swap=on"))
        FAIL("the refusal names no file:\n%s", refusal);
    if (refusal && !is_new)
        expect_undropped();
    server_start_list(after);
    if (!is_new && (!compare(&a, "a") || !compare(&kept, "kept")))
        FAIL("what was stored is not served any more");
    nbd = server_connect("new");
    NBD_OK(nbd_pread(nbd, bytes, PAGE_BYTES, PAGE_BYTES, 0));
    if (memcmp(bytes, fresh, PAGE_BYTES) != 0)
        FAIL("what was acknowledged is not there");
    nbd_close(nbd);
    server_kill();
    messages = server_take_messages();
    if (strstr(messages, "LOST") || !strstr(messages, " 0 lost"))
        FAIL("the next start has lost something:\n%s", messages);
    free(messages);
}

static void fill(struct shadow *disk, const char *export, enum content content)
{
    shadow_init(disk, server_connect(export));
    shadow_write(disk, 0, disk->size, content, 0);
    server_disconnect(disk->nbd);
}

static void make_store(void)
{
    const char *folder = tmpfs_folder(64 * MiB);

    snprintf(store, sizeof store, "%s/store", folder);
    snprintf(state, sizeof state, "%s/state", folder);
    snprintf(saved_store, sizeof saved_store, "%s/saved-store", folder);
    snprintf(saved_state, sizeof saved_state, "%s/saved-state", folder);
    snprintf(store_parameter, sizeof store_parameter, "store=%s", store);
    snprintf(state_parameter, sizeof state_parameter, "state=%s", state);
    server_start_list(before);
    fill(&a, "a", CONTENT_MIXED);
    fill(&kept, "kept", CONTENT_HALF_TEXT);
    fill(&gone, "gone", CONTENT_RANDOM);
    server_kill();
    free(server_take_messages());
    tmpfs_copy_file(store, saved_store);
    tmpfs_copy_file(state, saved_state);
    content_fill(page, PAGE_BYTES, CONTENT_RANDOM);
}

// With the parameters that may be used here, and on a store that is or is not there.
static bool is_called(const char *function)
{
    if (strcmp(function, "mlockall") == 0)
        return strcmp(mlock_parameter, "mlock=on") == 0;
    return is_new || (strcmp(function, "linkat") != 0 && strcmp(function, "fsync") != 0);
}

static void test_start(const char *kind)
{
    const char *functions[NR_CALLS + 1];
    const struct injection injection = {
        .functions = functions,
        .nr_each = server_is_instrumented() ? 0 : NR_EACH, // a start takes a sanitizer seconds
        .live = live,
        .must_refuse = must_refuse,
        .check = check,
    };
    size_t nr = 0;

    for (size_t i = 0; i < NR_CALLS; i++)
        if (is_called(calls[i].name))
            functions[nr++] = calls[i].name;
    functions[nr] = NULL;
    printf("%s:\n", kind);
    injection_test(&injection);
}

int main(void)
{
    server_skip_under_tsan();
    random_start();
    make_store();
    if (injection_may_use("mlock=on"))
        strcpy(mlock_parameter, "mlock=on");
    if (injection_may_use("local-swap=on"))
        strcpy(swap_parameter, "local-swap=on");
    injection_init();
    test_start("a start on a store");
    is_new = true;
    test_start("a start that makes one");
    shadow_fini(&a);
    shadow_fini(&kept);
    shadow_fini(&gone);
    return 0;
}
