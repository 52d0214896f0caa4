/* SPDX-License-Identifier: BSD-3-Clause */
/* Running a program from inside a login, in bounded time. */
#ifndef XOS_HELPER_H
#define XOS_HELPER_H

/* The exit status of *argv*, run as root with a bare environment and /dev/null; -1 with errno: it could not be run,
 * died of a signal, or took more than *patience_ms* and was killed (ETIMEDOUT). */
int xos_helper_run(char *const argv[], int patience_ms);

#endif
