// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "export.h"

#include <linux/nbd.h>
#include <string.h>

static const char mark[] = "uuid=";
enum { MARK_LENGTH = sizeof mark - 1 };

void zr_export_identify(struct zr_export *export, const char *description, size_t length)
{
    const char *uuid;
    const char *start;

    export->identity[0] = '\0';
    if (length < MARK_LENGTH + ZR_IDENTITY_LENGTH) {
        return;
    }
    uuid = description + length - ZR_IDENTITY_LENGTH;
    start = uuid - MARK_LENGTH;
    if (memcmp(start, mark, MARK_LENGTH) != 0 || (start != description && start[-1] != ' ')) {
        return;
    }
    memcpy(export->identity, uuid, ZR_IDENTITY_LENGTH);
    export->identity[ZR_IDENTITY_LENGTH] = '\0';
    // It goes into one line of the log, and the kernel shows it.
    if (strspn(export->identity, "0123456789abcdefABCDEF-") != ZR_IDENTITY_LENGTH) {
        export->identity[0] = '\0';
    }
}

const char *zr_export_why_not(const struct zr_export *known, const struct zr_export *found)
{
    if (found->identity[0] == '\0' || known->identity[0] == '\0') {
        return "the server there does not say whose pages it has";
    }
    if (strcmp(known->identity, found->identity) != 0) {
        return "the server there has lost the pages, or is another one";
    }
    if (found->size_bytes < known->size_bytes) {
        return "the export has become smaller";
    }
    if (found->flags & NBD_FLAG_READ_ONLY) {
        return "the export has become read-only";
    }
    // The kernel goes on to use what it was told at first.
    if (known->flags & ~found->flags) {
        return "the server there can do less than before";
    }
    return NULL;
}
