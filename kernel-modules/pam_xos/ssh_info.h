/* SPDX-License-Identifier: BSD-3-Clause */
/* What sshd tells PAM of how somebody logged in (SSH_AUTH_INFO_0, sshd(8) ExposeAuthInfo): a line for each method. */
#ifndef XOS_SSH_INFO_H
#define XOS_SSH_INFO_H

#include <stddef.h>

/* The base64 of the first OpenSSH certificate in *info*, and its *length; NULL: nobody logged in by a certificate. */
const char *xos_ssh_certificate(const char *info, size_t *length);

#endif
