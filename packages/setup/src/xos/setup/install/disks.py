# SPDX-License-Identifier: BSD-3-Clause
"""The disks of this machine, and which of them may be overwritten. What is chosen is pure; `listed` asks lsblk(8)."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from xos.setup.install.errors import DiskBusy, DiskSmall, WrongDisk

NEEDED_MB = 2048
"""The system, and a little to work in."""
COLUMNS = "PATH,TYPE,SIZE,RO,RM,MODEL,SERIAL,FSTYPE,LABEL,MOUNTPOINTS"
HOLDERS = {"crypt", "dm", "lvm", "mpath"}
"""Types of block devices that mean that those below are in use; RAID types begin with "raid"."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A block device as lsblk tells it."""

    path: str
    type: str
    size: int
    """Bytes."""
    ro: bool = False
    rm: bool = False
    model: str | None = None
    serial: str | None = None
    fstype: str | None = None
    label: str | None = None
    mountpoints: tuple[str | None, ...] = ()
    children: tuple[Device, ...] = ()

    @property
    def size_mb(self) -> int:
        """MiB."""
        return self.size >> 20


class _Listed(msgspec.Struct, frozen=True):
    blockdevices: tuple[Device, ...]


def listed() -> tuple[Device, ...]:
    """The whole disks of this machine; no partition, no optical drive, no RAM disk."""
    command = ["lsblk", "--json", "--bytes", "--tree", "--output", COLUMNS]
    return parsed(subprocess.run(command, check=True, capture_output=True).stdout)


def parsed(told: bytes) -> tuple[Device, ...]:
    """The disks in what lsblk printed."""
    devices = msgspec.json.decode(told, type=_Listed).blockdevices
    return tuple(d for d in devices if d.type == "disk" and d.size and not d.path.startswith(("/dev/zram", "/dev/ram")))


def choose(name: str, disks: Sequence[Device]) -> Device:
    """The disk *name* (a link such as /dev/disk/by-id/… too), if the system may be put on it.

    Raises `WrongDisk`, `DiskBusy`, `DiskSmall`.
    """
    known = ", ".join(f"{disk.path} ({disk.size_mb} MB)" for disk in disks) or "none"
    real = os.path.realpath(name)
    found = next((disk for disk in disks if disk.path == real), None)
    if found is None:
        raise WrongDisk(disk=name, detail=_why_none(real, disks), known=known)
    if found.ro:
        raise WrongDisk(disk=name, detail="it can only be read", known=known)
    for used in uses(found):
        raise DiskBusy(disk=name, detail=used, known=known)
    if found.size_mb < NEEDED_MB:
        raise DiskSmall(disk=name, size_mb=found.size_mb, needed_mb=NEEDED_MB, known=known)
    return found


def uses(disk: Device) -> Iterator[str]:
    """Why a disk is in use, as far as it can be seen."""
    for point in disk.mountpoints:
        if point is not None:
            yield f"{disk.path} is used as swap" if point == "[SWAP]" else f"{disk.path} is mounted at {point}"
    if disk.type in HOLDERS or disk.type.startswith("raid"):
        yield f"{disk.path} ({disk.type}) is made of it"
    for child in disk.children:
        yield from uses(child)


def claim(disk: Device) -> None:
    """Ask the kernel itself whether anything uses the disk. Raises `DiskBusy`, `WrongDisk`."""
    try:
        os.close(os.open(disk.path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        kind = DiskBusy if error.errno == errno.EBUSY else WrongDisk
        detail = "the kernel says that it is in use" if error.errno == errno.EBUSY else error.strerror or str(error)
        raise kind(disk=disk.path, detail=detail, known="see lsblk") from error


def partition(disk: str, number: int) -> str:
    """The device of a partition: /dev/vda3, /dev/nvme0n1p3."""
    return f"{disk}{'p' if disk[-1].isdigit() else ''}{number}"


def described(disk: Device) -> str:
    """A disk in a few words, for people."""
    words = [f"{disk.size / 1e9:.1f} GB", (disk.model or "").strip(), (disk.serial or "").strip()]
    held = sorted({part.fstype for part in _all(disk) if part.fstype})
    words.append(f"holds {', '.join(held)}" if held else "empty")
    return "  ".join(word for word in words if word)


def _all(disk: Device) -> Iterator[Device]:
    yield disk
    for child in disk.children:
        yield from _all(child)


def _why_none(path: str, disks: Sequence[Device]) -> str:
    if any(path == part.path for disk in disks for part in _all(disk)):
        return "a part of a disk; the whole disk is needed"
    if Path(path).is_block_device():
        return "not a disk that a system can be put on"
    return "there is no such disk"
