/* SPDX-License-Identifier: BSD-3-Clause */
/* Asking xos-amsd for what the table does not hold: one datagram each way, a quarter of a second at most. */
#ifndef XOS_DAEMON_H
#define XOS_DAEMON_H

#include "table.h"

/* On the stack of whoever looks something up, which may be a small one. */
#define XOS_ANSWER_SIZE 6144u
#define XOS_MAX_GIDS 256u

/* An answer, and the entry that points into it. */
struct xos_answer {
    char text[XOS_ANSWER_SIZE];
    uint8_t gids[4 * XOS_MAX_GIDS];
    struct xos_entry entry;
};

enum xos_reply { XOS_FOUND, XOS_UNKNOWN, XOS_AWAY };

/* Ask what the field (``name``, ``uid``, ``group``, ``gid``) is of *value*. */
enum xos_reply xos_daemon_ask(struct xos_answer *answer, const char *field, const char *value);
/* Read an answer of *size* bytes in answer->text; *size* < XOS_ANSWER_SIZE. */
enum xos_reply xos_daemon_read(struct xos_answer *answer, size_t size);

#endif
