# SPDX-License-Identifier: BSD-3-Clause
"""Files by their path, over HTTP: for `curl`, browsers and scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from xos.common.identity import Kind
from xos.dixi.api import service, stream

USERS = frozenset({Kind.USER})


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """What stands in a directory."""

    name: str
    """Bytes that are no UTF-8 as ``\\xff``."""
    kind: str
    """``file``, ``directory``, ``link``, ``fifo``, ``socket`` or ``device``."""
    size: int
    mode: int
    """Permissions, with the sticky and set-id bits."""
    owner: str
    group: str
    modified: int
    """Unix nanoseconds."""
    href: str
    """Its address, relative to the directory's: the name, percent-encoded; a directory's ends with ``/``."""


@service
class Files(Protocol):
    """The volumes for HTTP: ``GET /Files/VOLUME/PATH``, with the rights of whose certificate is shown."""

    @stream(allow=USERS)
    def entries(self, volume: str, path: str) -> AsyncIterator[Entry]:
        """What is in a directory, oldest first. Raises `NoPath`, `PathDenied`, `UnknownVolume`."""
        ...
