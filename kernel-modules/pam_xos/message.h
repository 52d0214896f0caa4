/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages to and from xos-amsd: `name=value` fields, each ended by NUL (packages/node/README.md). Pure. */
#ifndef XOS_MESSAGE_H
#define XOS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#define XOS_MESSAGE_MAX (192u * 1024u)

/* A message being written; `failed` says why a field is not in it: EMSGSIZE, EINVAL, ENOMEM; 0: all are. Zero it first. */
struct xos_message {
    char *data;
    size_t used, size;
    int failed;
};

void xos_message_add(struct xos_message *message, const char *name, const char *value);
/* As above, for a value of *length* bytes that hold no NUL. */
void xos_message_add_bytes(struct xos_message *message, const char *name, const char *value, size_t length);
/* As above, for bytes of any kind: they are written in base64. */
void xos_message_add_base64(struct xos_message *message, const char *name, const void *value, size_t length);
/* Overwrites it: proofs and certificates do not stay in memory. */
void xos_message_free(struct xos_message *message);

/* Whether *data* is a message: every field has a name, `=`, and a NUL at its end. The others need that. */
bool xos_message_valid(const char *data, size_t size);
/* The value of field *name*; NULL: there is none. */
const char *xos_message_get(const char *data, size_t size, const char *name);
/* The field after *field* (NULL: the first), NULL after the last. */
const char *xos_message_next(const char *data, size_t size, const char *field);
/* A decimal number of at most *most*, and nothing else. */
bool xos_number(const char *text, unsigned long long most, unsigned long long *number);
/* The bytes that base64 *text* stands for, and how many; NULL: it is not base64. To be freed. */
unsigned char *xos_base64(const char *text, size_t *length);

#endif
