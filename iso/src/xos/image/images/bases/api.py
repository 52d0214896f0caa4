# SPDX-License-Identifier: BSD-3-Clause
"""What a distribution must offer for flavours to stand on it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from xos.image.errors import ImageError
from xos.image.images.flavours import Flavour, Kind
from xos.image.progress import Say
from xos.image.sandbox import Bind

INSIDE = Path(__file__).parents[1] / "inside"


class BaseCannot(ImageError):
    """Raised when a base cannot make the kind of system that a format holds."""

    code = "image.base-cannot"
    template = "{flavour}: the base {base} makes no {kind} systems"
    hint = 'It makes: {kinds}; see "Bases" in iso/README.md'


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What a flavour is installed on: *script* runs in *root* and writes the finished system to /run/out.

    It writes ``root.tar`` and ``packages`` (see `manifest.read_packages`); of a live system ``vmlinuz`` and
    ``initrd.img`` too. It must not have the time, the machine or anything random in them.
    """

    root: Path
    key: str
    """Names all that is in it."""
    newest: int
    """When its newest package was made, in seconds since 1970; 0 if nobody knows."""
    script: Path
    binds: tuple[Bind, ...] = ()


class Base(Protocol):
    """A distribution."""

    name: str
    kinds: frozenset[Kind]
    """What it can make."""

    async def ground(self, flavour: Flavour, kind: Kind, cache: Path, say: Say) -> Ground:
        """The distribution's own packages, made if they are not in the cache.

        Only this may use the network. Raises `NoNetwork`, `BaseUnreached`, `StepFailed`, `NotRoot`, `ToolMissing`.
        """
        ...
