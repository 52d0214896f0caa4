/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "options.h"

#include "amsd.h"

#include <string.h>

static const char *after(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);

    return strncmp(text, prefix, length) == 0 && text[length] != '\0' ? text + length : NULL;
}

static bool path(const char *text, const char *prefix, const char **into)
{
    const char *value = after(text, prefix);

    if (value == NULL || value[0] != '/')
        return false;
    *into = value;
    return true;
}

static bool one(const char *text, struct xos_options *options)
{
    unsigned long long seconds;
    const char *value;

    if (strcmp(text, "debug") == 0)
        options->debug = true;
    else if (strcmp(text, "home=no") == 0)
        options->home = false;
    else if (strcmp(text, "keyring=no") == 0)
        options->keyring = false;
    else if ((value = after(text, "timeout=")) != NULL && xos_number(value, 60, &seconds) && seconds > 0)
        options->patience_ms = (int)seconds * 1000;
    else if ((value = after(text, "file=")) != NULL && (value[0] == '/' || strncmp(value, "%h/", 3) == 0))
        options->file = value;
    else
        return path(text, "socket=", &options->socket) || path(text, "skel=", &options->skeleton) ||
               path(text, "volume=", &options->volume) || path(text, "systemctl=", &options->systemctl);
    return true;
}

struct xos_options xos_options_read(int argc, const char **argv, const char **wrong)
{
    struct xos_options options = {
        .socket = XOS_AMSD_SOCKET,
        .patience_ms = XOS_AMSD_PATIENCE_MS,
        .file = "%h/.xos/user.pem",
        .skeleton = "/etc/skel",
        .volume = "/usr/libexec/xos/home-volume",
        .systemctl = "/usr/bin/systemctl",
        .home = true,
        .keyring = true,
    };

    *wrong = NULL;
    for (int i = 0; i < argc; i++)
        if (!one(argv[i], &options) && *wrong == NULL)
            *wrong = argv[i];
    return options;
}
