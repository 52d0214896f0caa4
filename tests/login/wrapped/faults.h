/* SPDX-License-Identifier: BSD-3-Clause */
/* Between faults.c, which is in the module, and the program that tests it. */
#ifndef XOS_FAULTS_H
#define XOS_FAULTS_H

#include <stdbool.h>

/* Of the program: whether this call of *what* is to fail. Where a program has none, nothing does. */
__attribute__((weak)) bool xos_fault(const char *what);

#endif
