// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
//
// What the reconnector makes of a server's words.  These do not depend on its own, so all of them
// are written before it begins.
#include "unit.h"

#include "guest/negotiate.h"
#include "guest/transfer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define UUID "01234567-89ab-cdef-0123-456789abcdef"

struct words {
    const char *bytes;
    size_t length;
};

#define WORDS(text) (struct words){text, sizeof(text) - 1}
#define GREETING "NBDMAGICIHAVEOPT\0\3"
#define REPLY "\0\3\xe8\x89\x04\x55\x65\xa9\0\0\0\7" // and its type, and its length
#define DESCRIPTION REPLY "\0\0\0\3\0\0\0\x2f\0\2abc uuid=" UUID
#define EXPORT REPLY "\0\0\0\3\0\0\0\x0c\0\0\0\0\0\0\0\x10\0\x7b\1\x2d" // 1 MiB and 123 bytes
#define ACK REPLY "\0\0\0\1\0\0\0\0"

static int ends[2]; // the client's, the server's

// Opens both ends, with the server's words written.
static void let_server_say(struct words words)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    ck_assert_int_eq(write(ends[1], words.bytes, words.length), words.length);
}

// And nothing more.
static int answer_to(struct words words, struct zr_export *export)
{
    int result;

    let_server_say(words);
    shutdown(ends[1], SHUT_WR);
    result = zr_negotiate(ends[0], "vm1", zr_now_ms() + 10000, export);
    close(ends[0]);
    close(ends[1]);
    return result;
}

START_TEST(it_finds_size_flags_and_identity_in_any_order)
{
    static const struct words orders[] = {WORDS(GREETING EXPORT DESCRIPTION ACK),
                                          WORDS(GREETING DESCRIPTION EXPORT ACK)};

    for (size_t i = 0; i < NR_OF(orders); i++) {
        struct zr_export export;

        ck_assert_int_eq(answer_to(orders[i], &export), 0);
        ck_assert_uint_eq(export.size_bytes, 1 << 20);
        ck_assert_uint_eq(export.flags, 0x12d);
        ck_assert_str_eq(export.identity, UUID);
    }
}
END_TEST

START_TEST(it_asks_for_the_export_and_its_description)
{
    static const char expected[] = "\0\0\0\3IHAVEOPT\0\0\0\7\0\0\0\x0b\0\0\0\3vm1\0\1\0\2";
    struct zr_export export;
    char said[64];

    let_server_say(WORDS(GREETING EXPORT ACK));
    ck_assert_int_eq(zr_negotiate(ends[0], "vm1", zr_now_ms() + 10000, &export), 0);
    ck_assert_int_eq(read(ends[1], said, sizeof said), sizeof expected - 1);
    ck_assert_mem_eq(said, expected, sizeof expected - 1);
    ck_assert_str_eq(export.identity, "");
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(what_a_server_refuses_has_an_error_of_its_own)
{
    static const struct {
        struct words words;
        int error;
    } cases[] = {
        {WORDS(GREETING REPLY "\x80\0\0\1\0\0\0\0"), -EOPNOTSUPP},
        {WORDS(GREETING REPLY "\x80\0\0\2\0\0\0\0"), -EACCES},
        {WORDS(GREETING REPLY "\x80\0\0\3\0\0\0\0"), -EPROTO},
        {WORDS(GREETING REPLY "\x80\0\0\5\0\0\0\3TLS"), -ENOKEY},
        {WORDS(GREETING REPLY "\x80\0\0\6\0\0\0\7no such"), -ENOENT},
    };

    for (size_t i = 0; i < NR_OF(cases); i++) {
        struct zr_export export;

        ck_assert_msg(answer_to(cases[i].words, &export) == cases[i].error, "case %zu", i);
    }
}
END_TEST

START_TEST(what_is_no_such_server_is_refused)
{
    static const struct words cases[] = {
        WORDS("HTTP/1.1 400 Bad Request\r\n"),
        WORDS("NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53\0\0"), // oldstyle
        WORDS("NBDMAGICIHAVEOPT\0\2"),                     // not fixed
        WORDS(GREETING ACK),                               // and no size
        WORDS(GREETING EXPORT "\0\3\xe8\x89\x04\x55\x65\xaa\0\0\0\7\0\0\0\1\0\0\0\0"),
        WORDS(GREETING EXPORT "\0\3\xe8\x89\x04\x55\x65\xa9\0\0\0\1\0\0\0\1\0\0\0\0"),
        WORDS(GREETING REPLY "\0\0\0\3\xff\xff\xff\xff"),
        WORDS(GREETING REPLY "\0\0\0\3\0\0\0\x0b\0\0\0\0\0\0\0\x10\0\0\1" ACK), // too short an info
    };

    for (size_t i = 0; i < NR_OF(cases); i++) {
        struct zr_export export;

        ck_assert_msg(answer_to(cases[i], &export) == -EPROTO, "case %zu", i);
    }
}
END_TEST

START_TEST(infos_of_no_interest_are_passed_over)
{
    struct zr_export export;

    ck_assert_int_eq(
        answer_to(WORDS(GREETING REPLY "\0\0\0\3\0\0\0\1x" REPLY "\0\0\0\3\0\0\0\2\0\2" REPLY
                                       "\0\0\0\2\0\0\0\3abc" EXPORT ACK),
                  &export),
        0);
    ck_assert_uint_eq(export.size_bytes, 1 << 20);
}
END_TEST

START_TEST(a_server_that_goes_half_way_is_noticed_anywhere)
{
    struct words words = WORDS(GREETING EXPORT DESCRIPTION ACK);

    while (words.length-- > 0) {
        struct zr_export export;

        ck_assert_msg(answer_to(words, &export) == -ECONNRESET, "%zu bytes", words.length);
    }
}
END_TEST

START_TEST(a_server_that_says_no_more_is_given_up)
{
    struct zr_export export;

    let_server_say(WORDS(GREETING EXPORT));
    ck_assert_int_eq(zr_negotiate(ends[0], "vm1", zr_now_ms() + 20, &export), -ETIMEDOUT);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

UNIT_MAIN("guest/negotiate", it_finds_size_flags_and_identity_in_any_order,
          it_asks_for_the_export_and_its_description, what_a_server_refuses_has_an_error_of_its_own,
          what_is_no_such_server_is_refused, infos_of_no_interest_are_passed_over,
          a_server_that_goes_half_way_is_noticed_anywhere, a_server_that_says_no_more_is_given_up)
