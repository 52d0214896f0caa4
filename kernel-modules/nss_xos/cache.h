/* SPDX-License-Identifier: BSD-3-Clause */
/* The table, mapped once in a process and again when it was replaced. Safe in threads, in signal handlers' aftermath and
 * in the child of a fork of either: no lock is ever waited for, nothing is allocated. */
#ifndef XOS_CACHE_H
#define XOS_CACHE_H

#include "table.h"

/* A look-up's hold on a table. */
struct xos_hold {
    struct xos_table table;
    int slot; /* -1: mapped for this look-up alone */
};

/* Hold the current table. False when there is none; then nothing is held. */
bool xos_cache_take(struct xos_hold *hold);
void xos_cache_release(struct xos_hold *hold);

#endif
