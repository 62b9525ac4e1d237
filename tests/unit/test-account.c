// SPDX-License-Identifier: BSD-3-Clause
// Copyright the zramswap authors
#include "unit.h"

#include "allocator/account.h"

#include <pthread.h>

START_TEST(bytes_are_charged_up_to_the_limit_and_not_beyond)
{
    struct zr_account account = {.limit_bytes = 10};

    ck_assert(zr_account_try_charge(&account, 9));
    ck_assert(!zr_account_try_charge(&account, 2));
    ck_assert_uint_eq(account.stored_bytes, 9);
    ck_assert(zr_account_try_charge(&account, 1));
    ck_assert(!zr_account_try_charge(&account, 1));
    ck_assert_uint_eq(account.stored_bytes, 10);
    zr_account_uncharge(&account, 4);
    ck_assert(!zr_account_try_charge(&account, 5));
    ck_assert(zr_account_try_charge(&account, 4));
    ck_assert_uint_eq(account.stored_bytes, 10);
}
END_TEST

// Whoever got past the limit in a race with others may still store what takes no room.
START_TEST(nothing_can_be_charged_even_beyond_the_limit)
{
    struct zr_account account = {.stored_bytes = 11, .limit_bytes = 10};

    ck_assert(zr_account_try_charge(&account, 0));
    ck_assert(!zr_account_try_charge(&account, 1));
    ck_assert_uint_eq(account.stored_bytes, 11);
}
END_TEST

START_TEST(without_a_limit_everything_can_be_charged)
{
    struct zr_account account = {.limit_bytes = UINT64_MAX};

    ck_assert(zr_account_try_charge(&account, UINT64_C(1) << 62));
    ck_assert(zr_account_try_charge(&account, UINT64_C(1) << 62));
    ck_assert_uint_eq(account.stored_bytes, UINT64_C(1) << 63);
}
END_TEST

static void *charge_and_uncharge(void *account)
{
    for (int round = 0; round < 20000; round++) {
        if (zr_account_try_charge(account, 3)) {
            zr_account_uncharge(account, 3);
        }
    }
    return NULL;
}

START_TEST(threads_leave_the_sum_as_it_was)
{
    struct zr_account account = {.stored_bytes = 1, .limit_bytes = 5};
    pthread_t threads[3];

    for (size_t i = 0; i < NR_OF(threads); i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, charge_and_uncharge, &account), 0);
    }
    for (size_t i = 0; i < NR_OF(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    ck_assert_uint_eq(account.stored_bytes, 1);
}
END_TEST

UNIT_MAIN("account", bytes_are_charged_up_to_the_limit_and_not_beyond,
          nothing_can_be_charged_even_beyond_the_limit, without_a_limit_everything_can_be_charged,
          threads_leave_the_sum_as_it_was)
