/* SPDX-License-Identifier: BSD-3-Clause */
/* libFuzzer: whatever answers in place of xos-amsd, reading it stays inside of the answer. */
#include "../../../kernel-modules/nss_xos/daemon.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct xos_answer answer;
    if (size == 0 || size >= XOS_ANSWER_SIZE)
        return 0;
    memset(answer.text, 'x', sizeof answer.text);
    memcpy(answer.text, data, size);
    if (xos_daemon_read(&answer, size) != XOS_FOUND)
        return 0;
    const char *end = answer.text + size + 1;
    const char *texts[] = {answer.entry.name, answer.entry.own_group, answer.entry.home, answer.entry.shell};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i] != NULL && (texts[i] < answer.text || texts[i] + strlen(texts[i]) >= end))
            __builtin_trap();
    }
    if (answer.entry.n_gids > XOS_MAX_GIDS)
        __builtin_trap();
    return 0;
}
