/* SPDX-License-Identifier: BSD-3-Clause */
/* pam_xos inside the real libpam, by cmocka and libpamtest: each function, each code that it may return. pam_wrapper gives
 * libpam services of the test's own (test_wrapped.py writes them), nss_wrapper gives libc our libnss_xos.
 *
 * Behind pam_xos each service has a module that answers IGNORED: what pam_xos ignores comes out as that. */
#define _GNU_SOURCE
#include "faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libpamtest.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IGNORED PAM_CRED_UNAVAIL
#define ALICE "alice.demo"  /* has an account */
#define LOW "low.demo"      /* libnss_xos says that her number is one of the machine's own */
#define GHOST "ghost.demo"  /* nobody knows, and the daemon of look-ups is away */

static const char *failing; /* what fails, every time; NULL: nothing does. One by one: memory.c */

bool xos_fault(const char *what)
{
    return failing != NULL && strcmp(what, failing) == 0;
}

struct expected {
    enum pamtest_ops operation;
    int code;
};

static void all(const char *service, const char *user, pam_handle_t *pam, const struct expected *expected, size_t count)
{
    const char *typed[] = {strcmp(service, "proof-away") == 0 ? "AAAA" : "", "", "", NULL};
    struct pamtest_conv_data conversation = {.in_echo_on = typed, .in_echo_off = typed};

    for (size_t i = 0; i < count; i++) {
        struct pam_testcase one[] = {
            pam_test(expected[i].operation, expected[i].code),
            pam_test(PAMTEST_KEEPHANDLE, PAM_SUCCESS), /* one that is given is ended by whoever gave it */
        };
        enum pamtest_err error = _pamtest(service, user, &conversation, one, pam == NULL ? 1 : 2, pam);

        if (error != PAMTEST_ERR_OK)
            fail_msg("%s, %s, operation %d: %s: %d instead of %d", service, user, expected[i].operation,
                     pamtest_strerror(error), one[0].op_rv, expected[i].code);
    }
}

#define EXPECT(service, user, pam, ...)                                            \
    do {                                                                           \
        const struct expected these[] = {__VA_ARGS__};                             \
        all(service, user, pam, these, sizeof these / sizeof *these);              \
    } while (0)

static int silent(int count, const struct pam_message **messages, struct pam_response **answers, void *data)
{
    (void)messages;
    (void)data;
    *answers = calloc((size_t)count, sizeof **answers);
    return *answers == NULL ? PAM_BUF_ERR : PAM_SUCCESS;
}

/* A login as sshd tells of it. */
static pam_handle_t *by_ssh(const char *certificate)
{
    static const struct pam_conv nobody = {silent, NULL};
    char info[8192];
    pam_handle_t *pam = NULL;

    assert_non_null(certificate);
    assert_true(snprintf(info, sizeof info, "SSH_AUTH_INFO_0=publickey ecdsa-sha2-nistp256-cert-v01@openssh.com %s\n",
                         certificate) < (int)sizeof info);
    assert_int_equal(pam_start("sshd", ALICE, &nobody, &pam), PAM_SUCCESS);
    assert_int_equal(pam_putenv(pam, info), PAM_SUCCESS);
    return pam;
}

static void who_is_not_ours_is_ignored_by_every_function(void **state)
{
    static const char *const users[] = {"root", "local.demo", "nobody.elsewhere", "alice", ".demo", "alice.demo.elsewhere"};

    (void)state;
    for (size_t i = 0; i < sizeof users / sizeof *users; i++)
        EXPECT("away", users[i], NULL, {PAMTEST_AUTHENTICATE, IGNORED}, {PAMTEST_SETCRED, IGNORED},
               {PAMTEST_ACCOUNT, IGNORED}, {PAMTEST_OPEN_SESSION, IGNORED}, {PAMTEST_CLOSE_SESSION, IGNORED},
               {PAMTEST_CHAUTHTOK, IGNORED});
}

static void a_name_that_nobody_can_judge_gets_in_nowhere(void **state)
{
    (void)state;
    EXPECT("login", GHOST, NULL, {PAMTEST_AUTHENTICATE, PAM_AUTHINFO_UNAVAIL}, {PAMTEST_ACCOUNT, PAM_PERM_DENIED},
           {PAMTEST_OPEN_SESSION, PAM_SESSION_ERR}, {PAMTEST_CHAUTHTOK, PAM_AUTHTOK_ERR});
}

static void a_number_of_the_machines_own_is_nobodys(void **state)
{
    (void)state;
    EXPECT("login", LOW, NULL, {PAMTEST_AUTHENTICATE, PAM_USER_UNKNOWN}, {PAMTEST_ACCOUNT, PAM_USER_UNKNOWN},
           {PAMTEST_OPEN_SESSION, PAM_SESSION_ERR}, {PAMTEST_CHAUTHTOK, PAM_AUTHTOK_ERR});
}

static void without_a_certificate_only_root_vouches(void **state)
{
    (void)state;
    EXPECT("login", ALICE, NULL, {PAMTEST_AUTHENTICATE, PAM_AUTH_ERR}, {PAMTEST_SETCRED, PAM_SUCCESS},
           {PAMTEST_ACCOUNT, PAM_SUCCESS}, {PAMTEST_OPEN_SESSION, PAM_SESSION_ERR}, {PAMTEST_CLOSE_SESSION, PAM_SUCCESS},
           {PAMTEST_CHAUTHTOK, PAM_AUTHTOK_ERR});
    EXPECT("su", ALICE, NULL, {PAMTEST_ACCOUNT, PAM_SUCCESS}, {PAMTEST_OPEN_SESSION, PAM_SUCCESS});
}

static void with_the_daemon_away_nobody_of_ours_gets_in(void **state)
{
    pam_handle_t *pam = by_ssh(getenv("XOS_GOOD"));

    (void)state;
    EXPECT("away", ALICE, NULL, {PAMTEST_OPEN_SESSION, PAM_SESSION_ERR}, {PAMTEST_CLOSE_SESSION, PAM_SUCCESS});
    assert_int_equal(pam_set_item(pam, PAM_RHOST, "10.0.0.1"), PAM_SUCCESS);
    failing = "connect";
    EXPECT("sshd", ALICE, pam, {PAMTEST_ACCOUNT, PAM_PERM_DENIED}, {PAMTEST_OPEN_SESSION, PAM_SESSION_ERR});
    failing = "malloc"; /* no room to ask */
    EXPECT("sshd", ALICE, pam, {PAMTEST_ACCOUNT, PAM_BUF_ERR}, {PAMTEST_OPEN_SESSION, PAM_BUF_ERR});
    failing = NULL;
    EXPECT("sshd", ALICE, pam, {PAMTEST_ACCOUNT, PAM_SUCCESS}, {PAMTEST_OPEN_SESSION, PAM_SUCCESS});
    pam_end(pam, PAM_SUCCESS);
}

static void a_certificate_opens_a_session_with_its_environment(void **state)
{
    pam_handle_t *pam = by_ssh(getenv("XOS_GOOD"));

    (void)state;
    EXPECT("sshd", ALICE, pam, {PAMTEST_ACCOUNT, PAM_SUCCESS}, {PAMTEST_OPEN_SESSION, PAM_SUCCESS});
    assert_string_equal(pam_getenv(pam, "XOS_USER"), "alice");
    assert_string_equal(pam_getenv(pam, "XOS_VO"), "demo");
    EXPECT("sshd", ALICE, pam, {PAMTEST_CLOSE_SESSION, PAM_SUCCESS}, {PAMTEST_CLOSE_SESSION, PAM_SUCCESS});
    pam_end(pam, PAM_SUCCESS);
}

static void a_variable_that_cannot_be_set_keeps_nobody_out(void **state)
{
    pam_handle_t *pam = by_ssh(getenv("XOS_GOOD"));

    (void)state;
    failing = "pam_putenv";
    EXPECT("sshd", ALICE, pam, {PAMTEST_OPEN_SESSION, PAM_SUCCESS});
    failing = NULL;
    assert_null(pam_getenv(pam, "XOS_USER"));
    pam_end(pam, PAM_SUCCESS);
}

static void a_certificate_that_is_not_believed_is_refused(void **state)
{
    static const char *const which[] = {"XOS_EXPIRED", "XOS_FOREIGN", "XOS_OTHER", "XOS_JUNK"};

    (void)state;
    for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
        pam_handle_t *pam = by_ssh(getenv(which[i]));

        EXPECT("sshd", ALICE, pam, {PAMTEST_ACCOUNT, PAM_ACCT_EXPIRED}, {PAMTEST_OPEN_SESSION, PAM_SESSION_ERR});
        pam_end(pam, PAM_SUCCESS);
    }
}

static void a_machine_without_random_numbers_challenges_nobody(void **state)
{
    (void)state;
    EXPECT("filed", ALICE, NULL, {PAMTEST_AUTHENTICATE, PAM_AUTH_ERR});
    failing = "getrandom";
    EXPECT("filed", ALICE, NULL, {PAMTEST_AUTHENTICATE, PAM_SYSTEM_ERR});
    failing = NULL;
}

static void a_program_that_has_no_daemon_to_ask_about_a_proof_is_told_so(void **state)
{
    (void)state;
    EXPECT("proof-away", ALICE, NULL, {PAMTEST_AUTHENTICATE, PAM_AUTHINFO_UNAVAIL});
}

static int later(int count, const struct pam_message **messages, struct pam_response **answers, void *data)
{
    (void)count;
    (void)messages;
    (void)data;
    *answers = NULL;
    return PAM_CONV_AGAIN;
}

static void a_conversation_that_goes_on_later_is_waited_for(void **state)
{
    const struct pam_conv conversation = {later, NULL};
    pam_handle_t *pam = NULL;

    (void)state;
    assert_int_equal(pam_start("login", NULL, &conversation, &pam), PAM_SUCCESS);
    assert_int_equal(pam_authenticate(pam, 0), PAM_INCOMPLETE);
    pam_end(pam, PAM_INCOMPLETE);
}

static void an_option_that_is_not_known_changes_nothing(void **state)
{
    (void)state;
    EXPECT("odd", ALICE, NULL, {PAMTEST_ACCOUNT, PAM_SUCCESS}, {PAMTEST_CHAUTHTOK, PAM_AUTHTOK_ERR});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_not_ours_is_ignored_by_every_function),
        cmocka_unit_test(a_name_that_nobody_can_judge_gets_in_nowhere),
        cmocka_unit_test(a_number_of_the_machines_own_is_nobodys),
        cmocka_unit_test(without_a_certificate_only_root_vouches),
        cmocka_unit_test(with_the_daemon_away_nobody_of_ours_gets_in),
        cmocka_unit_test(a_certificate_opens_a_session_with_its_environment),
        cmocka_unit_test(a_variable_that_cannot_be_set_keeps_nobody_out),
        cmocka_unit_test(a_certificate_that_is_not_believed_is_refused),
        cmocka_unit_test(a_machine_without_random_numbers_challenges_nobody),
        cmocka_unit_test(a_program_that_has_no_daemon_to_ask_about_a_proof_is_told_so),
        cmocka_unit_test(a_conversation_that_goes_on_later_is_waited_for),
        cmocka_unit_test(an_option_that_is_not_known_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
