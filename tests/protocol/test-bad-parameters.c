// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// With a bad parameter the server does not start, and says why in one line that names the
// parameter and the value that it was given.

#include <ctype.h>

#include "expect.h"
#include "server.h"

#define MAX_PARAMETERS 3
#define THIRTY_ZEROS "000000000000000000000000000000" // where 31 characters would be enough
#define ARRAY_SIZE(array) (sizeof(array) / sizeof *(array))

static const struct bad {
    const char *parameters[MAX_PARAMETERS];
    const char *name, *value; // The line has these two words.
} bads[] = {
    {{NULL}, "size", "size"},
    {{"compression=lz4"}, "size", "size"},
    {{"size="}, "size", "size"},
    {{"size=0"}, "size", "0"},
    {{"size=-5"}, "size", "-5"},
    {{"size=abc"}, "size", "abc"},
    {{"size=4X"}, "size", "4X"},
    {{"size=4M4"}, "size", "4M4"},
    {{"size=8E"}, "size", "8E"},
    {{"size=7E"}, "size", "7E"},
    {{"size=99999999999999999999"}, "size", "99999999999999999999"},
    {{"size=1M", "size=2M"}, "size", "2M"},
    {{"size=1M", "foo=bar"}, "foo", "bar"},
    {{"size=1M", "foo="}, "foo", "foo"},
    {{"size=1M", "compression="}, "compression", "compression"},
    {{"size=1M", "compression=gzip"}, "compression", "gzip"},
    {{"size=1M", "compression=lz"}, "compression", "lz"},
    {{"size=1M", "level="}, "level", "level"},
    {{"size=1M", "level=abc"}, "level", "abc"},
    {{"size=1M", "compression=zstd", "level=abc"}, "level", "abc"},
    {{"size=1M", "compression=zstd", "level=3x"}, "level", "3x"},
    {{"size=1M", "compression=zstd", "level=999"}, "level", "999"},
    {{"size=1M", "level=999", "compression=zstd"}, "level", "999"},
    {{"size=1M", "compression=zstd", "level=-999999999"}, "level", "-999999999"},
    {{"size=1M", "compression=zstd", "level=99999999999"}, "level", "99999999999"},
    {{"size=1M", "compression=lz4", "level=1"}, "level", "1"},
    {{"size=1M", "level=1", "compression=lz4"}, "level", "1"},
    {{"size=1M", "limit="}, "limit", "limit"},
    {{"size=1M", "limit=0"}, "limit", "0"},
    {{"size=1M", "limit=1"}, "limit", "1"},
    {{"size=1M", "limit=7E"}, "limit", "7E"},
    {{"size=1M", "limit=-1M"}, "limit", "-1M"},
    {{"size=1M", "limit=abc"}, "limit", "abc"},
    {{"size=1M", "stats-export="}, "stats-export", "stats-export"},
    {{"size=1M", "stats-export=a", "export=a:1M"}, "stats-export", "a"},
    {{"size=1M", "stats-export=a", "export=a.prom:1M"}, "stats-export", "a.prom"},
    {{"export=a"}, "export", "a"},
    {{"export=:1M"}, "export", ":1M"},
    {{"export=a b:1M"}, "export", "b:1M"},
    {{"export=a:0"}, "export", "0"},
    {{"export=a:1M:x"}, "export", "x"},
    {{"export=a:1M:"}, "export", "1M"},
    {{"export=a:1M:0"}, "export", "0"},
    {{"export=a:1M:2M:3M"}, "export", "3M"},
    {{"export=a:1M::"}, "export", "1M"},
    {{"export=a:1M::0"}, "export", "0"},
    {{"export=a:1M::-1"}, "export", "-1"},
    {{"export=a:1M::2x"}, "export", "2x"},
    {{"export=a:1M::99999999999"}, "export", "99999999999"},
    {{"export=a:1M:2M:1:5"}, "export", "5"},
    {{"export=a::1M"}, "export", "1M"},
    {{"export=a:7E"}, "export", "7E"},
    {{"export=a:1M:" THIRTY_ZEROS "1X"}, "export", THIRTY_ZEROS "1X"},
    {{"export=a:" THIRTY_ZEROS "1" THIRTY_ZEROS}, "export", THIRTY_ZEROS "1" THIRTY_ZEROS},
    {{"export=a/b:1M"}, "export", "b:1M"},
    {{"size=1M", "export="}, "export", "export"},
    {{"export=a:1M", "export=a:2M"}, "export", "2M"},
    {{"size=1M", "checksum=crc"}, "checksum", "crc"},
    {{"size=1M", "checksum=2"}, "checksum", "2"},
    {{"size=1M", "checksum=onn"}, "checksum", "onn"},
    {{"size=1M", "cold="}, "cold", "cold"},
    {{"size=1M", "cold=on"}, "cold", "on"},
    {{"size=1M", "cold=-1"}, "cold", "-1"},
    {{"size=1M", "cold=5m"}, "cold", "5m"},
    {{"size=1M", "cold=1.5"}, "cold", "5"},
    {{"size=1M", "cold=autos"}, "cold", "autos"},
    {{"size=1M", "cold=31536001"}, "cold", "31536001"},
    {{"size=1M", "cold=99999999999"}, "cold", "99999999999"},
    {{"size=1M", "cold-cpu="}, "cold-cpu", "cold-cpu"},
    {{"size=1M", "cold-cpu=0"}, "cold-cpu", "0"},
    {{"size=1M", "cold-cpu=-5"}, "cold-cpu", "-5"},
    {{"size=1M", "cold-cpu=101"}, "cold-cpu", "101"},
    {{"size=1M", "cold-cpu=5%"}, "cold-cpu", "5"},
    {{"size=1M", "cold-cpu=x"}, "cold-cpu", "x"},
    {{"size=1M", "mlock=ye"}, "mlock", "ye"},
    {{"size=1M", "local-swap="}, "local-swap", "local-swap"},
    {{"size=1M", "store="}, "store", "store"},
    {{"size=1M", "store=/no/such/folder/store"}, "store", "folder"},
    {{"size=1M", "store=/proc/self/store"}, "store", "tmpfs"},
    {{"size=1M", "drop=vm1"}, "drop", "vm1"},
    {{"export=vm1:1M", "store=/dev/shm/none", "drop=vm1"}, "drop", "vm1"},
};

static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '-';
}

static bool has_word(const char *line, const char *word)
{
    const char *at = line;

    while ((at = strstr(at, word))) {
        if ((at == line || !is_word_byte(at[-1])) && !is_word_byte(at[strlen(word)]))
            return true;
        at++;
    }
    return false;
}

static void expect_refusal(const struct bad *bad)
{
    const char *const *parameters = bad->parameters;
    int status;
    // Should the server start after all, it has a command to run, and ends with it.
    char *output = nbdkit_run(&status, "--unix", "-", "--run", "true", plugin_path(), parameters[0],
                              parameters[1], parameters[2]);
    const char *newline = strchr(output, '\n');

    if (status != EXIT_FAILURE)
        FAIL("%s given as \"%s\": exit status %d, output:\n%s", bad->name, bad->value, status,
             output);
    if (!newline || newline[1] != '\0' || strncmp(output, "nbdkit: error: ", 15) != 0)
        FAIL("%s given as \"%s\": not one line of error, but:\n%s", bad->name, bad->value, output);
    if (!has_word(output, bad->name) || !has_word(output, bad->value))
        FAIL("\"%s\" and \"%s\" are not both named in: %s", bad->name, bad->value, output);
    free(output);
}

int main(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(bads); i++)
        expect_refusal(&bads[i]);
}
