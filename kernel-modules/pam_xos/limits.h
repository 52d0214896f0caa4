/* SPDX-License-Identifier: BSD-3-Clause */
/* Resource limits, as the node's policy gives them with a session. */
#ifndef XOS_LIMITS_H
#define XOS_LIMITS_H

#include <stdbool.h>
#include <sys/resource.h>

/* The number of resource *name* (`nofile`, `nproc`, … as in limits.conf(5)); -1: no such. */
int xos_resource(const char *name);
/* *text* is `SOFT:HARD` or one number for both; `unlimited` is a number too. */
bool xos_limit(const char *text, struct rlimit *limit);

#endif
