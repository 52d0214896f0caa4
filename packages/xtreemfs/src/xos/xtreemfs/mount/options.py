# SPDX-License-Identifier: BSD-3-Clause
"""What ``mount.xtreemfs VOLUME DIR -o OPTIONS`` is told. Pure."""

from __future__ import annotations

import msgspec

from xos.xtreemfs.client.patience import PATIENCE_SECONDS
from xos.xtreemfs.errors import BadMountOption, BadVolumeName
from xos.xtreemfs.fuse.mounting import MountOptions

_NOT_OURS = frozenset(
    {"defaults", "auto", "noauto", "nouser", "_netdev", "nofail", "async", "loud", "silent", "atime", "noatime"}
    | {"diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime"}
)
"""mount(8)'s own, or the default, or looked at below; atimes are never written by reading."""


LONGEST = 64
"""Characters of the name of a volume, and of a snapshot behind an ``@``."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be mounted, and how."""

    source: str
    """As given: what df(1) shows."""
    volume: str
    suid: bool = False
    dev: bool = False
    execute: bool = True
    read_only: bool = False
    patience: float = PATIENCE_SECONDS
    config: str = ""
    """Of the machine's daemon, whose certificate is used then."""
    home: str = ""
    """Of a user's certificate."""
    foreground: bool = False
    leases: bool = True
    """Whether directories that are used much are leased."""
    allow_other: bool | None = None
    """None: as root."""

    def for_kernel(self, *, others: bool) -> MountOptions:
        """What the kernel is told; *others*: whoever has an account may enter, unless it was said."""
        return MountOptions(
            source=self.source,
            suid=self.suid,
            dev=self.dev,
            execute=self.execute,
            read_only=self.read_only,
            allow_other=others if self.allow_other is None else self.allow_other,
        )


def parse(source: str, options: str, *, sloppy: bool = False) -> Wanted:
    """*sloppy*: pass over what is not known. Raises `BadMountOption`, `BadVolumeName`."""
    volume = source.rstrip("/").rpartition("/")[2]
    name, at, snapshot = volume.partition("@")
    if not 0 < len(name) <= LONGEST or len(snapshot) > LONGEST or bool(at) != bool(snapshot):
        raise BadVolumeName(source=source)
    found: dict[str, bool | str | float] = {}
    for word in filter(None, options.split(",")):
        name, equals, value = word.partition("=")
        if name in ("config", "home") and value:
            found[name] = value
        elif name == "leases" and value in ("on", "off"):
            found[name] = value == "on"
        elif name == "patience" and equals:
            found[name] = _seconds(word, value)
        elif not _switch(name, found, plain=not equals) and not sloppy:
            raise BadMountOption(option=word)
    if snapshot:
        found["read_only"] = True
    return Wanted(source=source, volume=volume, **found)  # type: ignore[arg-type]


def _switch(name: str, found: dict[str, bool | str | float], *, plain: bool) -> bool:
    """Whether it is known."""
    if name.startswith("x-") or name in ("comment", "fsname", "subtype"):
        return True
    if not plain:
        return False
    match name:
        case "suid" | "dev" | "foreground" | "allow_other":
            found[name] = True
        case "nosuid" | "nodev":
            found[name[2:]] = False
        case "exec" | "noexec":
            found["execute"] = name == "exec"
        case "ro" | "rw":
            found["read_only"] = name == "ro"
        case "user" | "users" | "owner" | "group":  # as mount(8) has it
            found["suid"] = found["dev"] = found["execute"] = False
        case _:
            return name in _NOT_OURS
    return True


def _seconds(word: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        raise BadMountOption(option=word) from None
    if not 1 <= seconds <= 86_400:
        raise BadMountOption(option=word)
    return seconds
