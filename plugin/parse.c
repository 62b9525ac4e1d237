// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "parse.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

int zr_parse_size(const char *text, uint64_t *bytes)
{
    static const char suffixes[] = "bkmgtpe";
    uint64_t unit = 1;
    const char *suffix;
    char *end;
    unsigned long long number;

    if (text[0] == '-' && isdigit((unsigned char)text[1])) {
        return -ERANGE;
    }
    if (!isdigit((unsigned char)text[0])) {
        return -EINVAL; // strtoull would take spaces and signs
    }
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno == ERANGE) {
        return -ERANGE;
    }
    if (*end != '\0') {
        suffix = strchr(suffixes, tolower((unsigned char)*end));
        if (end[1] != '\0' || (!suffix && tolower((unsigned char)*end) != 's')) {
            return -EINVAL;
        }
        unit = suffix ? UINT64_C(1) << 10 * (suffix - suffixes) : 512;
    }
    if (number > UINT64_MAX / unit) {
        return -ERANGE;
    }
    *bytes = number * unit;
    return 0;
}

int zr_parse_bool(const char *text, bool *value)
{
    static const char *const words[][2] = {{"off", "on"}, {"false", "true"}, {"no", "yes"},
                                           {"0", "1"},    {"f", "t"},        {"n", "y"}};
    size_t i;

    for (i = 0; i < sizeof words / sizeof words[0]; i++) {
        *value = strcasecmp(text, words[i][1]) == 0;
        if (*value || strcasecmp(text, words[i][0]) == 0) {
            return 0;
        }
    }
    return -EINVAL;
}

int zr_parse_int(const char *text, int *value)
{
    char *end;
    long number;

    if (!isdigit((unsigned char)text[text[0] == '-'])) {
        return -EINVAL;
    }
    errno = 0;
    number = strtol(text, &end, 10);
    if (*end != '\0') {
        return -EINVAL;
    }
    if (errno == ERANGE || number < INT_MIN || number > INT_MAX) {
        return -ERANGE;
    }
    *value = (int)number;
    return 0;
}
