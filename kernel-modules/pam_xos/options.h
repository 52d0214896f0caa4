/* SPDX-License-Identifier: BSD-3-Clause */
/* What stands behind `pam_xos.so` in a PAM configuration; pam_xos(8) tells of each. */
#ifndef XOS_OPTIONS_H
#define XOS_OPTIONS_H

#include <stdbool.h>

struct xos_options {
    const char *socket;
    int patience_ms;
    const char *file;     /* where a certificate may lie: %u is the user, %h their home */
    const char *skeleton;
    const char *volume;    /* the program that mounts a home volume */
    const char *systemctl; /* what sets the limits of a slice */
    bool home;
    bool keyring;
    bool debug;
};

/* Reads options; the first that is not known, or has a value it cannot have, is left in *wrong (else NULL). */
struct xos_options xos_options_read(int argc, const char **argv, const char **wrong);

#endif
