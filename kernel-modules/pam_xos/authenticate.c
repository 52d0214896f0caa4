/* SPDX-License-Identifier: BSD-3-Clause */
/* Who somebody is, where sshd has not found it out already: on a console, for sudo, in any PAM program.
 *
 * Either the keyring of the session that they call from holds the credential that we put there at its login; or they
 * show a certificate (a file, or typed in) and prove by a signature over a fresh challenge that they have its key.
 */
#define _GNU_SOURCE
#include "amsd.h"
#include "login.h"

#include <errno.h>
#include <security/pam_ext.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <syslog.h>
#include <unistd.h>

#define CHALLENGE 320
#define LINES 64 /* of a certificate that is typed in; PAM programs take 512 bytes at a time */

/* The daemon's word on the certificate, with a proof where one is needed. */
static int judge(const struct xos_login *login, const char *certificate, const char *challenge, const char *proof)
{
    struct xos_message request = xos_login_request(login, "account");
    size_t size = 0;
    char *answer, *kept;
    int error;

    xos_message_add(&request, "certificate", certificate);
    if (challenge != NULL) {
        xos_message_add(&request, "challenge", challenge);
        xos_message_add(&request, "proof", proof);
    }
    if ((answer = xos_login_ask(login, &request, &size, &error)) == NULL)
        return xos_login_code(error, PAM_AUTH_ERR, PAM_AUTHINFO_UNAVAIL);
    xos_answer_free(answer, size);
    kept = strdup(certificate);
    if (kept == NULL || pam_set_data(login->pam, XOS_DATA_CERTIFICATE, kept, xos_login_forget) != PAM_SUCCESS) {
        free(kept);
        return PAM_BUF_ERR;
    }
    return PAM_SUCCESS;
}

static bool make_challenge(const struct xos_login *login, char *challenge, size_t size)
{
    unsigned char random[24];
    char host[65] = "", hex[2 * sizeof random + 1];
    int length;

    if (getrandom(random, sizeof random, 0) != sizeof random || gethostname(host, sizeof host - 1) != 0)
        return false;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(hex + 2 * i, 3, "%02x", random[i]);
    length = snprintf(challenge, size, "xos-login:%s:%s:%s", host, login->user, hex);
    return length > 0 && (size_t)length < size;
}

/* What was typed, to be freed; NULL: nothing, with errno ENOMEM if there was no memory for it. */
static char *ask(const struct xos_login *login, const char *prompt)
{
    char *line = NULL;
    int code = pam_prompt(login->pam, PAM_PROMPT_ECHO_ON, &line, "%s", prompt);

    errno = code == PAM_BUF_ERR ? ENOMEM : 0;
    return code == PAM_SUCCESS ? line : NULL;
}

/* A certificate in base64, typed (by a program, mostly) in lines; an empty one is the last. NULL: none, with errno as ask. */
static char *ask_certificate(const struct xos_login *login)
{
    char *text = calloc(1, XOS_MESSAGE_MAX);
    size_t used = 0;

    for (int i = 0; text != NULL && i < LINES; i++) {
        char *line = ask(login, i == 0 ? "XOS-Certificate (base64, an empty line ends it): " : "> ");
        size_t length = line == NULL ? 0 : strlen(line);

        if (length > 0 && used + length < XOS_MESSAGE_MAX) {
            memcpy(text + used, line, length);
            used += length;
        }
        free(line);
        if (length == 0)
            break;
    }
    if (used > 0 && errno != ENOMEM)
        return text;
    free(text);
    return NULL;
}

static int by_challenge(const struct xos_login *login)
{
    char *certificate = xos_login_from_file(login), *proof = NULL, challenge[CHALLENGE];
    int code = PAM_AUTH_ERR;

    if (certificate == NULL && errno != ENOMEM)
        certificate = ask_certificate(login);
    if (certificate == NULL && errno == ENOMEM)
        return PAM_BUF_ERR;
    if (certificate == NULL) {
        xos_login_say(login, "VO users log in by certificate, not by password: use ssh-xos.");
        return PAM_AUTH_ERR;
    }
    if (!make_challenge(login, challenge, sizeof challenge)) {
        code = PAM_SYSTEM_ERR;
        goto out;
    }
    if (!login->silent &&
        pam_info(login->pam, "Prove that the key is yours:  xos-prove %s", challenge) == PAM_BUF_ERR) {
        code = PAM_BUF_ERR;
        goto out;
    }
    if ((proof = ask(login, "Proof: ")) != NULL && *proof != '\0')
        code = judge(login, certificate, challenge, proof);
    else if (errno == ENOMEM)
        code = PAM_BUF_ERR;

out:
    if (proof != NULL)
        explicit_bzero(proof, strlen(proof));
    free(proof);
    free(certificate);
    return code;
}

int xos_authenticate(struct xos_login *login)
{
    char *certificate = xos_login_from_keyring(login);
    int code;

    if (certificate == NULL)
        return errno == ENOMEM ? PAM_BUF_ERR : by_challenge(login);
    code = judge(login, certificate, NULL, NULL);
    free(certificate);
    return code;
}
