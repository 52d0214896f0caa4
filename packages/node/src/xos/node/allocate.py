# SPDX-License-Identifier: BSD-3-Clause
"""Which number a name gets: decided by the name and the numbers that are taken, so a look-up need not keep it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Container

from xos.node.config import Range


def number_for(key: str, numbers: Range, taken: Container[int]) -> int | None:
    """The first number of *numbers* that is free, counted from where *key* points; None when all are taken."""
    start = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) % numbers.size
    for step in range(numbers.size):
        number = numbers.first + (start + step) % numbers.size
        if number not in taken:
            return number
    return None
