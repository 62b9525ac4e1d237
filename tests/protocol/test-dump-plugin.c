// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What the plugin tells about itself to people and to scripts.

#include "expect.h"
#include "server.h"

// True when the text has this line: "KEY=VALUE", or "KEY=" for any value but none.
static bool has_line(const char *text, const char *line)
{
    bool any_value = line[strlen(line) - 1] == '=';
    const char *at = text;

    while ((at = strstr(at, line))) {
        bool ends = strchr("\n", at[strlen(line)]); // at the text's end, too

        if ((at == text || at[-1] == '\n') && ends != any_value)
            return true;
        at++;
    }
    return false;
}

static void expect_lines(const char *option, const char *const *lines)
{
    int status;
    char *output = nbdkit_run(&status, option, plugin_path());

    EXPECT(status == 0);
    for (; *lines; lines++)
        if (!has_line(output, *lines))
            FAIL("no line %s in the output of %s:\n%s", *lines, option, output);
    free(output);
}

static const char *const dump_lines[] = {
    "name=zramswap",
    "version=",
    "api_version=2",
    "magic_config_key=size",
    "max_thread_model=serialize_requests",
    "thread_model=serialize_requests",
    "zramswap_lz4_version=",
    "zramswap_zstd_version=",
    "zramswap_compression_default=",
    NULL,
};

static const char *const help_lines[] = {
    "size=", "compression=", "level=", "limit=", "checksum=", "cold=", "stats-export=", NULL,
};

int main(void)
{
    expect_lines("--dump-plugin", dump_lines);
    expect_lines("--help", help_lines);
}
