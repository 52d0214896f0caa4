# SPDX-License-Identifier: BSD-3-Clause
"""Memory of processes that move bulk data.

By default glibc gives a megabyte back to the system when it is freed, and the next one costs 256 page faults: more than
to encrypt it (seen: 1.3 CPU seconds in a GiB moved over DIXI).
"""

from __future__ import annotations

import ctypes

from xos.common.log import get_logger

log = get_logger("xos.dixi.memory")
# malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
KEPT = 64 << 20
"""Bytes that are kept to be used again."""
LARGEST = 32 << 20
"""Bytes of an allocation that is kept; the most that glibc takes."""


def keep_freed_memory() -> None:
    """Use freed memory again. For the whole process; does nothing where the C library has no ``mallopt``."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for option, value in ((_M_MMAP_THRESHOLD, LARGEST), (_M_TRIM_THRESHOLD, KEPT), (_M_TOP_PAD, KEPT // 8)):
        if not mallopt(option, value):
            log.info("mallopt.refused", option=option)
