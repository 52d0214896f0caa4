# SPDX-License-Identifier: BSD-3-Clause
"""What the name space speaks of."""

from __future__ import annotations

import stat
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec

NAME_MAX = 255
TARGET_MAX = 4095
"""Bytes of a symbolic link's target, as Linux has it."""
XATTR_NAME_MAX = 255
XATTR_VALUE_MAX = 64 << 10
LINK_MAX = 65_000


class Refusal(NamedTuple):
    """Why something is not done. Returned, not raised: a raise would make the store repeat its neighbours' writes."""

    errno: int


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


class Inode(msgspec.Struct, array_like=True, frozen=True):
    """A file, directory, link, FIFO, socket or device, as stat(2) tells it."""

    id: int
    mode: int
    nlink: int
    owner: str
    group: str
    size: int
    atime: int
    mtime: int
    ctime: int
    rdev: int
    parent: int = 0
    """Of a directory: where ".." leads; of the root: itself."""
    target: bytes | None = None

    @property
    def is_directory(self) -> bool:
        """Whether it holds names."""
        return stat.S_ISDIR(self.mode)


class Change(msgspec.Struct, array_like=True, frozen=True):
    """What setattr is to change; None: not that. `NOW` stands for the time at the MRC."""

    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    size: int | None = None
    atime: int | None = None
    mtime: int | None = None


NOW = -(1 << 63)
"""As a time in `Change`."""


class Row(msgspec.Struct, array_like=True, frozen=True):
    """An entry of a directory."""

    cookie: int
    """From where to go on after it."""
    name: bytes
    inode: Inode
