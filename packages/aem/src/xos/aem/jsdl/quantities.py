# SPDX-License-Identifier: BSD-3-Clause
"""Sizes and times as people write them."""

from __future__ import annotations

import re

from xos.aem.jsdl.errors import BadValue

BYTES_MAX = 2**53
"""Whole numbers up to here are exact in JSDL's ``xsd:double``."""
SECONDS_MAX = 10 * 366 * 86_400

_SIZE = re.compile(r"(\d{1,16}(?:\.\d{1,3})?)\s*([KMGTP]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_SCALE = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}
_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m(?:in)?)?(?:(\d{1,9})s?)?", re.ASCII)


def size(value: int | str) -> int:
    """Bytes: a whole number, or with K, M, G, T, P (powers of 1,024), for example ``2G``."""
    if isinstance(value, str):
        found = _SIZE.fullmatch(value.strip())
        if found is None:
            raise BadValue(f"“{value[:80]}” is not a size such as 512M or 2G")
        number, scale = found[1], _SCALE[found[2].upper()]
        value = int(float(number) * scale) if "." in number else int(number) * scale
    return whole(value, 1, BYTES_MAX)


def duration(value: int | str) -> int:
    """Seconds: a whole number, or with units, for example ``90s``, ``10m``, ``1h30m``, ``2d``."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        if found is None or not any(found.groups()):
            raise BadValue(f"“{value[:80]}” is not a time such as 90s, 10m or 1h30m")
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        value = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return whole(value, 1, SECONDS_MAX)


def whole(value: int, low: int, high: int) -> int:
    """A whole number within bounds."""
    if not low <= value <= high:
        raise BadValue(f"{_shown(value)} is not between {low} and {high}")
    return value


def _shown(value: int) -> str:
    return str(value) if abs(value) < 10**18 else "the number"
