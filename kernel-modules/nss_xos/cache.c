/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "cache.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef XOS_TABLE_PATH
#define XOS_TABLE_PATH "/var/lib/xos-accounts/table"
#endif
#define SLOTS 4
#define NONE (-1)

/* A slot's table is only written while no look-up counts itself in and `current` is another slot. */
static struct slot {
    struct xos_table table;
    atomic_int users;
} slots[SLOTS];
static atomic_int current = NONE;
static atomic_int changing;  /* pid of who fills a slot; 0: nobody */
static atomic_llong checked; /* second of the last look at the file's name */

static const char *table_path(void)
{
#ifdef XOS_TESTING
    const char *path = secure_getenv("XOS_NSS_TABLE");
    if (path != NULL)
        return path;
#endif
    return XOS_TABLE_PATH;
}

/* Count in to the current slot; NONE when there is none. */
static int enter(void)
{
    for (;;) {
        int slot = atomic_load(&current);
        if (slot == NONE)
            return NONE;
        atomic_fetch_add(&slots[slot].users, 1);
        if (atomic_load(&current) == slot)
            return slot;
        atomic_fetch_sub(&slots[slot].users, 1);
    }
}

/* One process may fill slots at a time: a child of fork inherits a hold that nobody will ever give back. */
static bool begin_change(void)
{
    int me = getpid(), holder = 0;
    if (atomic_compare_exchange_strong(&changing, &holder, me))
        return true;
    return holder != me && atomic_compare_exchange_strong(&changing, &holder, me);
}

/* Once a second it is looked whether the name leads elsewhere, whatever the file says of itself. */
static bool moved(const struct xos_table *table)
{
    struct timespec now;
    struct stat found;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (atomic_exchange(&checked, now.tv_sec) == now.tv_sec)
        return false;
    return stat(table_path(), &found) == 0 && (found.st_dev != table->device || found.st_ino != table->inode);
}

/* Map the file anew into a free slot and make that current. False: the file is no good, or another thread does it. */
static bool refresh(void)
{
    if (!begin_change())
        return false;
    bool done = false;
    int now = atomic_load(&current);
    for (int slot = 0; slot < SLOTS; slot++) {
        if (slot == now || atomic_load(&slots[slot].users) != 0)
            continue;
        xos_table_unmap(&slots[slot].table);
        if (xos_table_map(&slots[slot].table, table_path())) {
            atomic_store(&current, slot);
            done = true;
        }
        break;
    }
    atomic_store(&changing, 0);
    return done;
}

bool xos_cache_take(struct xos_hold *hold)
{
    int slot = enter();
    if (slot == NONE || xos_table_replaced(&slots[slot].table) || moved(&slots[slot].table)) {
        if (refresh()) {
            if (slot != NONE)
                atomic_fetch_sub(&slots[slot].users, 1);
            slot = enter();
        }
    }
    if (slot != NONE) {
        /* Also when the newer file is no good: the last known answers are better than none. */
        *hold = (struct xos_hold){slots[slot].table, slot};
        return true;
    }
    hold->slot = NONE;
    return xos_table_map(&hold->table, table_path());
}

void xos_cache_release(struct xos_hold *hold)
{
    if (hold->slot == NONE)
        xos_table_unmap(&hold->table);
    else
        atomic_fetch_sub(&slots[hold->slot].users, 1);
}
