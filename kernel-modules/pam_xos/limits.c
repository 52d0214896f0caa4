/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "limits.h"

#include "message.h"

#include <string.h>

int xos_resource(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } known[] = {
        {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},     {"cpu", RLIMIT_CPU},
        {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},   {"locks", RLIMIT_LOCKS},
        {"memlock", RLIMIT_MEMLOCK}, {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC},
        {"rtprio", RLIMIT_RTPRIO},   {"stack", RLIMIT_STACK},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].number;
    return -1;
}

static bool value(const char *text, size_t length, rlim_t *limit)
{
    char word[24];
    unsigned long long number;

    if (length == 0 || length >= sizeof word)
        return false;
    memcpy(word, text, length);
    word[length] = '\0';
    if (strcmp(word, "unlimited") == 0) {
        *limit = RLIM_INFINITY;
        return true;
    }
    if (!xos_number(word, RLIM_INFINITY - 1, &number))
        return false;
    *limit = number;
    return true;
}

bool xos_limit(const char *text, struct rlimit *limit)
{
    const char *colon = strchr(text, ':');
    size_t first = colon == NULL ? strlen(text) : (size_t)(colon - text);
    const char *second = colon == NULL ? text : colon + 1;

    return value(text, first, &limit->rlim_cur) && value(second, strlen(second), &limit->rlim_max) &&
           limit->rlim_cur <= limit->rlim_max;
}
