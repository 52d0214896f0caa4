# SPDX-License-Identifier: BSD-3-Clause
"""What the name space speaks of."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, TypeVar

import msgspec

from xos.xtreemfs.api import NOW, Change, Inode, Row

__all__ = [
    "LINK_MAX",
    "NAME_MAX",
    "NOW",
    "TARGET_MAX",
    "XATTR_NAME_MAX",
    "XATTR_VALUE_MAX",
    "Change",
    "Inode",
    "Refusal",
    "Result",
    "Row",
    "Who",
]

NAME_MAX = 255
TARGET_MAX = 4095
"""Bytes of a symbolic link's target, as Linux has it."""
XATTR_NAME_MAX = 255
XATTR_VALUE_MAX = 64 << 10
LINK_MAX = 65_000


class Refusal(NamedTuple):
    """Why something is not done. Returned, not raised: a raise would make the store repeat its neighbours' writes."""

    errno: int
    leased: tuple[int, ...] = ()
    """Directories that others have leased: when they have given them back, it is to be tried again."""


_T = TypeVar("_T")
Result: TypeAlias = _T | Refusal


class Who(msgspec.Struct, array_like=True, frozen=True):
    """Who asks, by global identity."""

    user: str
    """``alice@demo``."""
    groups: frozenset[str] = frozenset()
    """``users@demo``: all of them, the primary one too."""
    group: str = ""
    """The primary one, which new files get."""
    superuser: bool = False
    """An administrator of the VO, or root of a machine that mounts for all."""
