// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"

#include "plugin/parse.h"

#include <errno.h>
#include <limits.h>

struct size_case {
    const char *text;
    int rc;
    uint64_t bytes;
};

static void check_sizes(const struct size_case *cases, size_t nr_cases)
{
    for (size_t i = 0; i < nr_cases; i++) {
        uint64_t bytes = 0;
        int rc = zr_parse_size(cases[i].text, &bytes);

        ck_assert_msg(rc == cases[i].rc && bytes == cases[i].bytes, "\"%s\": rc %d, %llu bytes",
                      cases[i].text, rc, (unsigned long long)bytes);
    }
}

START_TEST(a_number_alone_is_a_size_in_bytes)
{
    static const struct size_case cases[] = {
        {"0", 0, 0},
        {"1", 0, 1},
        {"007", 0, 7},
        {"4095", 0, 4095},
        {"4096", 0, 4096},
        {"9223372036854775807", 0, INT64_MAX},
        {"9223372036854775808", 0, UINT64_C(1) << 63},
        {"18446744073709551615", 0, UINT64_MAX},
    };

    check_sizes(cases, NR_OF(cases));
}
END_TEST

START_TEST(a_suffix_in_either_case_multiplies_it)
{
    static const struct size_case cases[] = {
        {"0k", 0, 0},
        {"3b", 0, 3},
        {"3B", 0, 3},
        {"3k", 0, 3 * KiB},
        {"3K", 0, 3 * KiB},
        {"3m", 0, 3 * MiB},
        {"3M", 0, 3 * MiB},
        {"3g", 0, 3 * GiB},
        {"3G", 0, 3 * GiB},
        {"3t", 0, 3 * TiB},
        {"3T", 0, 3 * TiB},
        {"3p", 0, 3 * 1024 * TiB},
        {"3P", 0, 3 * 1024 * TiB},
        {"3e", 0, 3 * 1024 * 1024 * TiB},
        {"3E", 0, 3 * 1024 * 1024 * TiB},
        {"3s", 0, UINT64_C(3) * 512},
        {"3S", 0, UINT64_C(3) * 512},
    };

    check_sizes(cases, NR_OF(cases));
}
END_TEST

START_TEST(the_largest_size_of_each_suffix_fits_and_one_more_is_out_of_range)
{
    static const struct size_case cases[] = {
        {"18446744073709551615b", 0, UINT64_MAX},
        {"18446744073709551616", -ERANGE, 0},
        {"18446744073709551616b", -ERANGE, 0},
        {"18014398509481983k", 0, (UINT64_MAX >> 10) << 10},
        {"18014398509481984k", -ERANGE, 0},
        {"17592186044415m", 0, (UINT64_MAX >> 20) << 20},
        {"17592186044416m", -ERANGE, 0},
        {"17179869183g", 0, (UINT64_MAX >> 30) << 30},
        {"17179869184g", -ERANGE, 0},
        {"16777215t", 0, (UINT64_MAX >> 40) << 40},
        {"16777216t", -ERANGE, 0},
        {"16383p", 0, (UINT64_MAX >> 50) << 50},
        {"16384p", -ERANGE, 0},
        {"15e", 0, UINT64_C(15) << 60},
        {"16e", -ERANGE, 0},
        {"36028797018963967s", 0, (UINT64_MAX >> 9) << 9},
        {"36028797018963968s", -ERANGE, 0},
        {"99999999999999999999999999999999", -ERANGE, 0},
    };

    check_sizes(cases, NR_OF(cases));
}
END_TEST

START_TEST(a_negative_size_is_out_of_range)
{
    static const struct size_case cases[] = {
        {"-1", -ERANGE, 0},
        {"-0", -ERANGE, 0},
        {"-4G", -ERANGE, 0},
    };

    check_sizes(cases, NR_OF(cases));
}
END_TEST

START_TEST(what_is_no_size_is_refused_and_leaves_the_result_alone)
{
    static const struct size_case cases[] = {
        {"", -EINVAL, 0},     {" ", -EINVAL, 0},    {"k", -EINVAL, 0},     {"-", -EINVAL, 0},
        {"-k", -EINVAL, 0},   {"+1", -EINVAL, 0},   {" 1", -EINVAL, 0},    {"1 ", -EINVAL, 0},
        {"1 k", -EINVAL, 0},  {"\t1", -EINVAL, 0},  {"1\n", -EINVAL, 0},   {"0x10", -EINVAL, 0},
        {"1.5G", -EINVAL, 0}, {"1,5G", -EINVAL, 0}, {"4GB", -EINVAL, 0},   {"4GiB", -EINVAL, 0},
        {"4kk", -EINVAL, 0},  {"4x", -EINVAL, 0},   {"1k1", -EINVAL, 0},   {"1e3", -EINVAL, 0},
        {"--1", -EINVAL, 0},  {"four", -EINVAL, 0}, {"4\xff", -EINVAL, 0}, {"\xb2", -EINVAL, 0},
        {"4z", -EINVAL, 0},   {"4Y", -EINVAL, 0},
    };

    check_sizes(cases, NR_OF(cases));
}
END_TEST

struct int_case {
    const char *text;
    int rc;
    int value;
};

START_TEST(a_decimal_integer_is_parsed_or_refused)
{
    static const struct int_case cases[] = {
        {"0", 0, 0},
        {"-0", 0, 0},
        {"1", 0, 1},
        {"-1", 0, -1},
        {"022", 0, 22}, // no octal
        {"2147483647", 0, INT_MAX},
        {"-2147483648", 0, INT_MIN},
        {"2147483648", -ERANGE, 0},
        {"-2147483649", -ERANGE, 0},
        {"9223372036854775808", -ERANGE, 0},
        {"-9223372036854775809", -ERANGE, 0},
        {"99999999999999999999999", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"-", -EINVAL, 0},
        {"+1", -EINVAL, 0},
        {"--1", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1 ", -EINVAL, 0},
        {"- 1", -EINVAL, 0},
        {"1.0", -EINVAL, 0},
        {"0x1", -EINVAL, 0},
        {"1e3", -EINVAL, 0},
        {"1k", -EINVAL, 0},
        {"one", -EINVAL, 0},
    };

    for (size_t i = 0; i < NR_OF(cases); i++) {
        int value = 0;
        int rc = zr_parse_int(cases[i].text, &value);

        ck_assert_msg(rc == cases[i].rc && value == cases[i].value, "\"%s\": rc %d, value %d",
                      cases[i].text, rc, value);
    }
}
END_TEST

START_TEST(a_switch_takes_the_words_of_nbdkit)
{
    static const char *const on[] = {"on", "true", "yes", "1", "t", "y",
                                     "ON", "True", "yEs", "T", "Y"};
    static const char *const off[] = {"off", "false", "no", "0", "f", "n",
                                      "OFF", "False", "nO", "F", "N"};
    static const char *const neither[] = {"",   " ",  "o",  "of",  "onn",  "on ",  " on",    "2",
                                          "00", "01", "-1", "tru", "yess", "nope", "enabled"};
    bool value;

    for (size_t i = 0; i < NR_OF(on); i++) {
        ck_assert_msg(zr_parse_bool(on[i], &value) == 0 && value, "\"%s\"", on[i]);
    }
    for (size_t i = 0; i < NR_OF(off); i++) {
        ck_assert_msg(zr_parse_bool(off[i], &value) == 0 && !value, "\"%s\"", off[i]);
    }
    for (size_t i = 0; i < NR_OF(neither); i++) {
        ck_assert_msg(zr_parse_bool(neither[i], &value) == -EINVAL, "\"%s\"", neither[i]);
    }
}
END_TEST

UNIT_MAIN("parse", a_number_alone_is_a_size_in_bytes, a_suffix_in_either_case_multiplies_it,
          the_largest_size_of_each_suffix_fits_and_one_more_is_out_of_range,
          a_negative_size_is_out_of_range, what_is_no_size_is_refused_and_leaves_the_result_alone,
          a_decimal_integer_is_parsed_or_refused, a_switch_takes_the_words_of_nbdkit)
