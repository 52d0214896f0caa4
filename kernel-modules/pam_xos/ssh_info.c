/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "ssh_info.h"

#include <stdbool.h>
#include <string.h>

static bool starts(const char *text, size_t length, const char *with)
{
    return length >= strlen(with) && memcmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, size_t length, const char *with)
{
    return length >= strlen(with) && memcmp(text + length - strlen(with), with, strlen(with)) == 0;
}

const char *xos_ssh_certificate(const char *info, size_t *length)
{
    static const char method[] = "publickey ";

    for (const char *line = info; *line != '\0';) {
        size_t left = strcspn(line, "\n");
        const char *next = line + left + (line[left] == '\n');

        if (starts(line, left, method)) {
            const char *type = line + strlen(method);
            size_t type_length = strcspn(type, " \n");

            if (ends(type, type_length, "-cert-v01@openssh.com") && type[type_length] == ' ') {
                const char *body = type + type_length + 1;

                *length = strcspn(body, " \n");
                if (*length > 0)
                    return body;
            }
        }
        line = next;
    }
    return NULL;
}
