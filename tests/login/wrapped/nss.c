/* SPDX-License-Identifier: BSD-3-Clause */
/* libnss_xos behind glibc's own functions, by cmocka; nss_wrapper leads them to it (test_wrapped.py). */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#define ALICE "alice.demo"
#define UNKNOWN_UID 1900000098u

static void a_user_is_found_by_name_and_by_number_alike(void **state)
{
    struct passwd *found = getpwnam(ALICE);
    uid_t uid;

    (void)state;
    assert_non_null(found);
    assert_string_equal(found->pw_name, ALICE);
    assert_string_equal(found->pw_gecos, "alice@demo");
    assert_string_equal(found->pw_passwd, "*");
    uid = found->pw_uid;
    assert_int_equal(found->pw_gid, uid);
    found = getpwuid(uid);
    assert_non_null(found);
    assert_string_equal(found->pw_name, ALICE);
}

static void groups_have_names_and_numbers(void **state)
{
    struct group *group = getgrnam("users.demo");
    gid_t users, own;
    const struct passwd *alice;

    (void)state;
    assert_non_null(group);
    users = group->gr_gid;
    group = getgrgid(users);
    assert_non_null(group);
    assert_string_equal(group->gr_name, "users.demo");
    alice = getpwnam(ALICE);
    assert_non_null(alice);
    own = alice->pw_gid;
    group = getgrgid(own);
    assert_non_null(group);
    assert_string_equal(group->gr_name, "alice@demo");
    assert_int_not_equal(own, users);
}

static void nobody_is_found_who_is_not_there(void **state)
{
    static const char *const names[] = {"nobody.demo", "alice", ".demo", "alice.demo.", "", "alice.demo\n", "alice@demo"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_null(getpwnam(names[i]));
    assert_null(getpwuid(UNKNOWN_UID));
    assert_null(getgrgid(UNKNOWN_UID));
    assert_null(getgrnam("nobody@demo"));
}

static void users_of_the_machine_come_first(void **state)
{
    const struct passwd *found = getpwnam("local.demo");

    (void)state;
    assert_non_null(found);
    assert_int_equal(found->pw_uid, 1601);
}

static void listing_begins_anew_each_time(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) {
        const struct passwd *user;
        int ours = 0;

        setpwent();
        while ((user = getpwent()) != NULL)
            ours += strcmp(user->pw_name, ALICE) == 0;
        endpwent();
        assert_int_equal(ours, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_is_found_by_name_and_by_number_alike),
        cmocka_unit_test(groups_have_names_and_numbers),
        cmocka_unit_test(nobody_is_found_who_is_not_there),
        cmocka_unit_test(users_of_the_machine_come_first),
        cmocka_unit_test(listing_begins_anew_each_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
