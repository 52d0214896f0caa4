/* SPDX-License-Identifier: BSD-3-Clause */
/* A session's credential in the kernel: a `user` key `xos:NAME` in the session keyring (keyrings(7)).
 *
 * The key is root's; who has the session keyring may look at it and read it, not change it. So a key that root owns was
 * put there by us, at a login.
 */
#ifndef XOS_KEYRING_H
#define XOS_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define XOS_KEYRING_OTHERS 32u

/* Put *payload* into the session keyring, to vanish after *seconds*. A process that has only the keyring that all
 * sessions of its user share gets one of its own first. False with errno. To be called as root. */
bool xos_keyring_put(const char *name, const void *payload, size_t length, unsigned seconds);
/* The payload of *name*'s key in the session keyring, to be freed; NULL with errno: EPERM if somebody but root owns
 * it or may change it. */
unsigned char *xos_keyring_get(const char *name, size_t *length);
/* The numbers of the keys that we have put into whatever session keyrings for *name* and that are not over: at most
 * XOS_KEYRING_OTHERS of them; how many. To be called as root. */
size_t xos_keyring_others(const char *name, int32_t keys[XOS_KEYRING_OTHERS]);
/* The payload of one of those, to be freed; NULL with errno. */
unsigned char *xos_keyring_read(int32_t key, size_t *length);
/* Give one of those another payload, to vanish after *seconds*. False with errno; then it is as before, or gone. */
bool xos_keyring_renew(int32_t key, const void *payload, size_t length, unsigned seconds);
/* Take it out again. False with errno. */
bool xos_keyring_drop(const char *name);

#endif
