/* SPDX-License-Identifier: BSD-3-Clause */
/* A home directory: found, mounted by a helper, or made from the skeleton. */
#ifndef XOS_HOME_H
#define XOS_HOME_H

#include <stdbool.h>
#include <sys/types.h>

enum xos_home {
    XOS_HOME_READY,
    XOS_HOME_FOREIGN,  /* something is there that is not the user's own directory */
    XOS_HOME_UNSAFE,   /* somebody but root may write where the home would be made */
    XOS_HOME_FAILED,   /* errno says why */
};

/* See to it that *home* is a directory of *uid*. A new one appears whole or not at all: made under another name beside
 * it, with what is in *skeleton* (NULL: nothing) and mode 0700, then renamed. To be called as root. */
enum xos_home xos_home_make(const char *home, const char *skeleton, uid_t uid, gid_t gid);

#endif
