// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"

#include "guest/export.h"

#include <linux/nbd.h>
#include <string.h>

#define UUID "01234567-89ab-cdef-0123-456789abcdef"

START_TEST(the_identity_is_at_the_end_of_the_description)
{
    static const char *const descriptions[] = {
        "uuid=" UUID,
        "compressed swap (lz4) uuid=" UUID,
        "uuid=fedcba98-89ab-cdef-0123-456789abcdef uuid=" UUID,
    };

    for (size_t i = 0; i < NR_OF(descriptions); i++) {
        struct zr_export export = {0};

        zr_export_identify(&export, descriptions[i], strlen(descriptions[i]));
        ck_assert_str_eq(export.identity, UUID);
    }
}
END_TEST

START_TEST(what_only_looks_like_one_is_none)
{
    static const char *const descriptions[] = {
        "",
        "uuid=",
        UUID,
        "compressed swap (lz4)",
        "uuid=" UUID " ",
        "guid=" UUID,
        "xuuid=" UUID,
        "uuid=01234567-89ab-cdef-0123-456789abcde",
        "uuid=01234567-89ab-cdef-0123-456789abcde\n",
        "uuid=01234567-89ab-cdef-0123-456789abcdeg",
    };

    for (size_t i = 0; i < NR_OF(descriptions); i++) {
        struct zr_export export = {.identity = "old"};
        // Nothing before the description or after it is looked at.
        size_t length = strlen(descriptions[i]);
        unsigned char *bytes = unit_map_guarded(length + 1) + 1;

        memcpy(bytes, descriptions[i], length);
        zr_export_identify(&export, (const char *)bytes, length);
        ck_assert_msg(export.identity[0] == '\0', "'%s' is '%s'", descriptions[i], export.identity);
        unit_unmap_guarded(bytes - 1, length + 1);
    }
}
END_TEST

START_TEST(only_the_same_content_is_attached_again)
{
    enum { FLAGS = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_TRIM };
    static const struct zr_export known = {1 << 20, FLAGS, UUID};
    static const struct {
        struct zr_export found;
        bool is_good;
    } cases[] = {
        {{1 << 20, FLAGS, UUID}, true},
        {{2 << 20, FLAGS, UUID}, true},
        {{1 << 20, FLAGS | NBD_FLAG_CAN_MULTI_CONN, UUID}, true},
        {{(1 << 20) - 4096, FLAGS, UUID}, false},
        {{1 << 20, FLAGS & ~NBD_FLAG_SEND_TRIM, UUID}, false},
        {{1 << 20, FLAGS | NBD_FLAG_READ_ONLY, UUID}, false},
        {{1 << 20, FLAGS, "01234567-89ab-cdef-0123-456789abcdee"}, false},
        {{1 << 20, FLAGS, ""}, false},
    };

    for (size_t i = 0; i < NR_OF(cases); i++) {
        ck_assert_msg((zr_export_why_not(&known, &cases[i].found) == NULL) == cases[i].is_good,
                      "case %zu", i);
    }
}
END_TEST

START_TEST(without_an_identity_nothing_is_the_same)
{
    static const struct zr_export nameless = {1 << 20, NBD_FLAG_HAS_FLAGS, ""};

    ck_assert_ptr_nonnull(zr_export_why_not(&nameless, &nameless));
}
END_TEST

UNIT_MAIN("guest/export", the_identity_is_at_the_end_of_the_description,
          what_only_looks_like_one_is_none, only_the_same_content_is_attached_again,
          without_an_identity_nothing_is_the_same)
