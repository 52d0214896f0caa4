/* SPDX-License-Identifier: BSD-3-Clause
 *
 * xos-principals USER UID CERTIFICATE [CONNECTION]: sshd's AuthorizedPrincipalsCommand. Asks xos-amsd whether the OpenSSH
 * certificate (base64, sshd's %k) may log in as USER, whose number sshd holds to be UID, and prints the principal that
 * it may do so by. USER is a VO account, or one of this machine's own that node.toml gives to somebody; never root.
 * Whoever else, and whatever goes wrong, gets no line and so no login; sshd's journal gets the reason, from our standard
 * error.
 */
#define _GNU_SOURCE
#include "amsd.h"

#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 5000 /* sshd may ask twice for a login */
#ifndef XOS_SOCKET_PATH
#define XOS_SOCKET_PATH XOS_AMSD_SOCKET
#endif

enum { USER = 1, UID, CERTIFICATE, CONNECTION, ARGUMENTS };

static int told(const char *answer, size_t size, const char *user)
{
    const char *error = xos_message_get(answer, size, "error");
    const char *principals = xos_message_get(answer, size, "principals");
    const char *message = xos_message_get(answer, size, "message");

    if (error != NULL || xos_message_get(answer, size, "ok") == NULL || principals == NULL) {
        fprintf(stderr, "xos-principals: %.160s: %s: %.500s\n", user, error != NULL ? error : "no ok",
                message != NULL ? message : "?");
        return 1;
    }
    return puts(principals) < 0 || fflush(stdout) != 0;
}

int main(int argc, char **argv)
{
    struct xos_message request = {0};
    char *answer;
    size_t size = 0;
    int status;

    if (argc != ARGUMENTS && argc != ARGUMENTS - 1) {
        fprintf(stderr, "usage: xos-principals USER UID CERTIFICATE [CONNECTION] (for AuthorizedPrincipalsCommand)\n");
        return 2;
    }
    if (strcmp(argv[UID], "0") == 0) /* whatever the daemon would say */
        return 0;
    xos_message_add(&request, "op", "authorize");
    xos_message_add(&request, "user", argv[USER]);
    xos_message_add(&request, "uid", argv[UID]);
    xos_message_add(&request, "certificate", argv[CERTIFICATE]);
    if (argc == ARGUMENTS)
        xos_message_add(&request, "connection", argv[CONNECTION]);
    answer = xos_amsd_ask(XOS_SOCKET_PATH, &request, PATIENCE_MS, &size);
    xos_message_free(&request);
    if (answer == NULL) {
        fprintf(stderr, "xos-principals: %.160s: xos-amsd at %s: %m\n", argv[USER], XOS_SOCKET_PATH);
        return 1;
    }
    status = told(answer, size, argv[USER]);
    xos_answer_free(answer, size);
    return status;
}
