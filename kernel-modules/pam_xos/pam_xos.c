/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pam_xos: VO users log in by their XOS-Certificate. Everything is decided by xos-amsd; here it is asked, and its answer
 * is put into effect. Accounts that are not a VO's are left alone without asking anybody: see pam_xos(8).
 */
#define _GNU_SOURCE
#include "amsd.h"
#include "login.h"

#include <errno.h>
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <stdlib.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int pam_sm_authenticate(pam_handle_t *pam, int flags, int argc, const char **argv)
{
    struct xos_login login;
    int code = xos_login_begin(&login, pam, flags, argc, argv);

    return code == PAM_SUCCESS ? xos_authenticate(&login) : code;
}

/* No memory is told as such; else what is not known here is *otherwise*. */
static int without_login(int code, int otherwise)
{
    return code == PAM_IGNORE || code == PAM_BUF_ERR ? code : otherwise;
}

/* The credential belongs to the session: it is put in place when that opens. */
EXPORTED int pam_sm_setcred(pam_handle_t *pam, int flags, int argc, const char **argv)
{
    struct xos_login login;
    int code = xos_login_begin(&login, pam, flags, argc, argv);

    return code == PAM_SUCCESS ? PAM_SUCCESS : without_login(code, PAM_IGNORE);
}

/* sshd asks before it tells us how somebody logged in; what can be judged then is whether the account may be used. */
EXPORTED int pam_sm_acct_mgmt(pam_handle_t *pam, int flags, int argc, const char **argv)
{
    struct xos_login login;
    struct xos_message request;
    char *certificate, *answer;
    size_t size = 0;
    int error, code = xos_login_begin(&login, pam, flags, argc, argv);

    if (code != PAM_SUCCESS)
        return code == PAM_AUTHINFO_UNAVAIL ? PAM_PERM_DENIED : code;
    if ((certificate = xos_login_certificate(&login)) == NULL)
        return errno == ENOMEM ? PAM_BUF_ERR : PAM_SUCCESS;
    request = xos_login_request(&login, "account");
    xos_message_add(&request, "certificate", certificate);
    free(certificate);
    if ((answer = xos_login_ask(&login, &request, &size, &error)) == NULL)
        return xos_login_code(error, PAM_ACCT_EXPIRED, PAM_PERM_DENIED);
    xos_answer_free(answer, size);
    return PAM_SUCCESS;
}

EXPORTED int pam_sm_open_session(pam_handle_t *pam, int flags, int argc, const char **argv)
{
    struct xos_login login;
    int code = xos_login_begin(&login, pam, flags, argc, argv);

    return code == PAM_SUCCESS ? xos_session_open(&login) : without_login(code, PAM_SESSION_ERR);
}

EXPORTED int pam_sm_close_session(pam_handle_t *pam, int flags, int argc, const char **argv)
{
    struct xos_login login;
    int code = xos_login_begin(&login, pam, flags, argc, argv);

    return code == PAM_SUCCESS ? xos_session_close(&login) : without_login(code, PAM_IGNORE);
}

/* VO users have no password on this machine. */
EXPORTED int pam_sm_chauthtok(pam_handle_t *pam, int flags, int argc, const char **argv)
{
    struct xos_login login;
    int code = xos_login_begin(&login, pam, flags, argc, argv);

    if (code != PAM_SUCCESS)
        return without_login(code, PAM_AUTHTOK_ERR);
    if ((flags & PAM_PRELIM_CHECK) != 0)
        xos_login_say(&login, "Your password is kept by your VO, not by this machine: xos-vo set-password changes it.");
    return PAM_AUTHTOK_ERR;
}
