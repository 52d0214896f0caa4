/* SPDX-License-Identifier: BSD-3-Clause */
/* Asking xos-amsd: one datagram each way, in bounded time. */
#ifndef XOS_AMSD_H
#define XOS_AMSD_H

#include "message.h"

#define XOS_AMSD_SOCKET "/run/xos/amsd.sock"
#define XOS_AMSD_PATIENCE_MS 10000

/* Sends *request* to the daemon at *path* and waits for its answer, a valid message, at most *patience_ms*.
 * Returns the answer, to be given to xos_answer_free, and its *size; NULL with errno: ETIMEDOUT, EPROTO (garbage), or
 * why it could not be asked. */
char *xos_amsd_ask(const char *path, const struct xos_message *request, int patience_ms, size_t *size);
/* Sends *request* and waits for no answer: it is with the daemon, or with systemd, which keeps the socket for the next one.
 * False with errno: it could not be sent within *patience_ms*. */
bool xos_amsd_tell(const char *path, const struct xos_message *request, int patience_ms);
void xos_answer_free(char *answer, size_t size);

#endif
