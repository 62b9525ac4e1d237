// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "same-filled.h"

#include <string.h>

bool zr_is_same_filled(const void *page, uint32_t *value)
{
    const char *bytes = page;

    // The last word first, as zram does: most pages differ there already.  A page equals itself
    // shifted by one word exactly if all its words are the same.
    memcpy(value, bytes, sizeof *value);
    return memcmp(bytes + ZR_PAGE_BYTES - sizeof *value, value, sizeof *value) == 0 &&
           memcmp(bytes, bytes + sizeof *value, ZR_PAGE_BYTES - sizeof *value) == 0;
}

void zr_fill_page(void *page, uint32_t value)
{
    char *bytes = page;
    unsigned i;

    if (value == 0) {
        memset(page, 0, ZR_PAGE_BYTES);
        return;
    }
    for (i = 0; i < ZR_PAGE_BYTES; i += sizeof value) {
        memcpy(bytes + i, &value, sizeof value);
    }
}
