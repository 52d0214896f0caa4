/* SPDX-License-Identifier: BSD-3-Clause */
/* One login, as the functions of pam_xos see it, and what they have in common. */
#ifndef XOS_LOGIN_H
#define XOS_LOGIN_H

#include "message.h"
#include "options.h"

#include <pwd.h>
#include <security/pam_modules.h>
#include <stdbool.h>
#include <stddef.h>

/* What the functions leave for one another in the PAM handle. */
#define XOS_DATA_CERTIFICATE "xos_certificate"
#define XOS_DATA_SESSION "xos_session"

struct xos_login {
    pam_handle_t *pam;
    struct xos_options options;
    const char *user, *service, *tty, *rhost, *ruser; /* never NULL; empty where PAM does not say */
    const struct passwd *account;
    bool silent;
};

/* Whose login it is. PAM_SUCCESS: a VO account. PAM_IGNORE: none of ours, known without asking the daemon.
 * PAM_USER_UNKNOWN, PAM_AUTHINFO_UNAVAIL: it could be one of ours, but nobody knows it. PAM_BUF_ERR: no memory to find out. */
int xos_login_begin(struct xos_login *login, pam_handle_t *pam, int flags, int argc, const char **argv);

/* A request that says who logs in where. */
struct xos_message xos_login_request(const struct xos_login *login, const char *operation);
/* Asks the daemon; sends and frees *request*. NULL: it refused (*error is 0), or was not asked or did not answer (*error as
 * errno); the user has been told in a line, and the journal the rest. */
char *xos_login_ask(const struct xos_login *login, struct xos_message *request, size_t *size, int *error);
/* The code that PAM is given for such an error: *refused*, PAM_BUF_ERR, or *away*. */
int xos_login_code(int error, int refused, int away);
/* A line for the user, unless PAM was told to be silent. */
void xos_login_say(const struct xos_login *login, const char *text);

/* The certificate that was shown, as base64 (an XOS-Certificate's DER, or an OpenSSH certificate), to be freed; NULL:
 * none, or with errno ENOMEM: no memory to find out, so that nobody counts as one who has none. What was shown by
 * authentication comes first, then what sshd tells, then the keyring of the user's own session. */
char *xos_login_certificate(const struct xos_login *login);
/* The same, from the keyring of the session that this program was called in, when it was called by the user themself. */
char *xos_login_from_keyring(const struct xos_login *login);
/* The first certificate in the user's file, read as the user, not verified. */
char *xos_login_from_file(const struct xos_login *login);

/* For pam_set_data(3): frees it. */
void xos_login_forget(pam_handle_t *pam, void *data, int status);

int xos_session_open(struct xos_login *login);
int xos_session_close(struct xos_login *login);
int xos_authenticate(struct xos_login *login);

#endif
