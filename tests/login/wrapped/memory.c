/* SPDX-License-Identifier: BSD-3-Clause */
/* pam_xos where memory runs out: each function, and in it each single call for memory, fails once. The code is PAM_BUF_ERR,
 * or what it would have been where the function can do without; nobody gets in who would not have, nobody becomes another. */
#define _GNU_SOURCE
#include "faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <linux/keyctl.h>
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IGNORED PAM_CRED_UNAVAIL /* of the module behind pam_xos: test_wrapped.py */
#define ALICE "alice.demo"
#define MOST 200 /* calls for memory in one function; more is a loop */

static const char *failed; /* the call that failed */
static unsigned calls, failing;

bool xos_fault(const char *what)
{
    if (failing == 0 || strcmp(what, "getrandom") == 0 || strcmp(what, "connect") == 0 || ++calls != failing)
        return false;
    failed = what;
    return true;
}

/* What a login does without: a line on the screen, a variable. */
static bool dispensable(const char *call)
{
    return strcmp(call, "a line for the user") == 0 || strcmp(call, "pam_putenv") == 0;
}

/* A proof of alice's key, as xos-prove makes it. */
static char *prove(const char *challenge)
{
    char command[1024], proof[512] = "";
    FILE *made;

    assert_true(snprintf(command, sizeof command,
                         "printf %%s '%s' | env -u LD_PRELOAD openssl dgst -sha256 -sign '%s' | env -u LD_PRELOAD base64 -w0",
                         challenge, getenv("XOS_KEY")) < (int)sizeof command);
    made = popen(command, "re");
    assert_non_null(made);
    assert_non_null(fgets(proof, sizeof proof, made));
    pclose(made);
    return strdup(proof);
}

/* Answers the challenge; shows no certificate, which is in a file. */
static int talk(int count, const struct pam_message **messages, struct pam_response **answers, void *data)
{
    char *challenge = data;

    *answers = calloc((size_t)count, sizeof **answers);
    if (*answers == NULL)
        return PAM_BUF_ERR;
    for (int i = 0; i < count; i++) {
        const char *word = strstr(messages[i]->msg, "xos-login:");

        if (word != NULL)
            snprintf(challenge, 400, "%s", word);
        if (messages[i]->msg_style == PAM_PROMPT_ECHO_ON && strncmp(messages[i]->msg, "Proof", 5) == 0)
            (*answers)[i].resp = prove(challenge);
    }
    return PAM_SUCCESS;
}

struct login {
    const char *service, *certificate, *caller; /* the last two NULL: none */
};

static pam_handle_t *begin(struct login login)
{
    static char challenge[400];
    static const struct pam_conv conversation = {talk, challenge};
    char info[8192];
    pam_handle_t *pam = NULL;

    assert_int_equal(pam_start(login.service, ALICE, &conversation, &pam), PAM_SUCCESS);
    if (login.certificate != NULL) {
        snprintf(info, sizeof info, "SSH_AUTH_INFO_0=publickey ecdsa-sha2-nistp256-cert-v01@openssh.com %s\n",
                 login.certificate);
        assert_int_equal(pam_putenv(pam, info), PAM_SUCCESS);
    }
    if (login.caller != NULL)
        assert_int_equal(pam_set_item(pam, PAM_RUSER, login.caller), PAM_SUCCESS);
    return pam;
}

typedef int function(pam_handle_t *pam, int flags);

/* Calls *tried*, each time another call for memory fails, until none is left; at least *least* were. *before*: what has to
 * succeed first, or NULL. *usual*: the code when nothing fails. */
static void try_all(struct login login, function *before, function *tried, int usual, unsigned least)
{
    for (unsigned n = 1;; n++) {
        pam_handle_t *pam = begin(login);
        int code;

        assert_true(n <= MOST);
        if (before != NULL)
            assert_int_equal(before(pam, 0), PAM_SUCCESS);
        failed = NULL;
        calls = 0;
        failing = n;
        code = tried(pam, 0);
        failing = 0;
        if (failed != NULL && code != PAM_BUF_ERR && !(dispensable(failed) && code == usual))
            fail_msg("%s: call %u, %s, failed, and the code was %d", login.service, n, failed, code);
        if (failed == NULL)
            assert_int_equal(code, usual);
        if (tried == pam_close_session)
            assert_int_equal(pam_close_session(pam, 0), PAM_SUCCESS);
        pam_end(pam, code);
        if (failed == NULL) {
            print_message("%s: each of %u calls for memory failed once\n", login.service, n - 1);
            assert_true(n > least);
            return;
        }
    }
}

static void who_shows_a_file_and_a_proof(void **state)
{
    (void)state;
    try_all((struct login){"filed", NULL, NULL}, NULL, pam_authenticate, PAM_SUCCESS, 12);
}

static void who_has_no_certificate_is_asked_for_one(void **state)
{
    (void)state;
    try_all((struct login){"login", NULL, NULL}, NULL, pam_authenticate, PAM_AUTH_ERR, 6);
}

/* Homes are whole or not there at all, and nothing lies beside them. */
static int take_away(const char *path, const struct stat *found, int kind, struct FTW *where)
{
    (void)found;
    (void)kind;
    if (where->level == 1)
        assert_string_equal(path + where->base, ALICE);
    return where->level == 0 ? 0 : remove(path);
}

static int open_and_look(pam_handle_t *pam, int flags)
{
    const char *homes = getenv("XOS_HOMES");
    unsigned before = failing;
    int code = pam_open_session(pam, flags), there, whole;
    char path[512];

    failing = 0;
    snprintf(path, sizeof path, "%s/" ALICE, homes);
    there = access(path, F_OK) == 0;
    snprintf(path, sizeof path, "%s/" ALICE "/below/file", homes);
    whole = access(path, F_OK) == 0;
    assert_int_equal(there, whole);
    assert_true(whole || code != PAM_SUCCESS);
    if (code == PAM_SUCCESS)
        assert_int_equal(pam_close_session(pam, 0), PAM_SUCCESS);
    assert_int_equal(nftw(homes, take_away, 8, FTW_DEPTH | FTW_PHYS), 0);
    failing = before;
    return code;
}

static void who_comes_by_ssh(void **state)
{
    struct login ssh = {"sshd", getenv("XOS_GOOD"), NULL}, sliced = {"sshd", getenv("XOS_SLICED"), NULL};

    (void)state;
    try_all(ssh, NULL, pam_acct_mgmt, PAM_SUCCESS, 6);
    try_all(ssh, NULL, open_and_look, PAM_SUCCESS, 16);
    try_all(ssh, pam_open_session, pam_close_session, PAM_SUCCESS, 5);
    try_all(ssh, NULL, pam_setcred, PAM_SUCCESS, 4);
    if (sliced.certificate != NULL) /* systemd is asked too, by a program of its own */
        try_all(sliced, NULL, open_and_look, PAM_SUCCESS, 17);
}

/* The credential of their session, and of another that goes on, is in the kernel. */
static void who_calls_a_program_in_a_session_of_theirs(void **state)
{
    struct login own = {"login", NULL, ALICE};
    pam_handle_t *pam = begin((struct login){"sshd", getenv("XOS_GOOD"), NULL});

    (void)state;
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0)
        skip();
    assert_int_equal(pam_open_session(pam, 0), PAM_SUCCESS);
    try_all(own, NULL, pam_authenticate, PAM_SUCCESS, 8);
    try_all(own, NULL, pam_acct_mgmt, PAM_SUCCESS, 8);
    try_all(own, pam_authenticate, pam_acct_mgmt, PAM_SUCCESS, 6);
    try_all((struct login){"sshd", getenv("XOS_GOOD"), NULL}, NULL, open_and_look, PAM_SUCCESS, 17);
    assert_int_equal(pam_close_session(pam, 0), PAM_SUCCESS);
    pam_end(pam, PAM_SUCCESS);
}

static void a_password_is_never_changed(void **state)
{
    (void)state;
    try_all((struct login){"login", NULL, NULL}, NULL, pam_chauthtok, PAM_AUTHTOK_ERR, 5);
}

static void another_source_of_users_is_left_alone(void **state)
{
    pam_handle_t *pam = NULL;
    static const struct pam_conv conversation = {talk, NULL};

    (void)state;
    assert_int_equal(pam_start("away", "local.demo", &conversation, &pam), PAM_SUCCESS);
    assert_int_equal(pam_acct_mgmt(pam, 0), IGNORED);
    pam_end(pam, PAM_SUCCESS);
    for (failing = 1; failing < 4; failing++) { /* root needs no memory of ours */
        assert_int_equal(pam_start("away", "root", &conversation, &pam), PAM_SUCCESS);
        calls = 0;
        assert_int_equal(pam_acct_mgmt(pam, 0), failing == 1 ? PAM_BUF_ERR : IGNORED);
        pam_end(pam, PAM_SUCCESS);
    }
    failing = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_shows_a_file_and_a_proof),
        cmocka_unit_test(who_has_no_certificate_is_asked_for_one),
        cmocka_unit_test(who_comes_by_ssh),
        cmocka_unit_test(who_calls_a_program_in_a_session_of_theirs),
        cmocka_unit_test(a_password_is_never_changed),
        cmocka_unit_test(another_source_of_users_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
