# SPDX-License-Identifier: BSD-3-Clause
"""From where a machine takes its answers when nobody is there to give them.

In this order; the first that has any is the only one used, so that two never mix:

1. ``/etc/xos/answers.toml``: left by xos-install, or put into an image.
2. The system credential ``xos.answers`` (systemd.system-credentials(7)): SMBIOS or fw_cfg of a virtual machine.
3. Kernel arguments: ``xos.role=core xos.core.vo=demo xos.core.nodes=node1,node2``.
4. A volume labelled CIDATA, as cloud-init's NoCloud has it: ``answers.toml``, or ``user-data`` with a section ``xos``.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from xos.setup.errors import SetupError
from xos.setup.node import answers
from xos.setup.node.answers import Answers, BadAnswer

NAME = "xos.answers"
SYSTEM_CREDENTIALS = "run/credentials/@system"
KERNEL = "kernel arguments"
LABELS = ("CIDATA", "cidata")
PREFIX = "xos."
LISTS = {"core.nodes", "network.dns", "resource.vos"}
"""Keys whose values are lists: with commas among kernel arguments."""
NUMBERS = {"resource.slots"}
LARGEST = 1 << 20
SETTLE_SECONDS = 30
CLOUD_CONFIG = b"#cloud-config"


class VolumeUnreadable(SetupError):
    """Raised when there is a volume with answers that cannot be mounted."""

    code = "setup.volume-unreadable"
    template = "the volume {label} ({device}) cannot be read: {detail}"
    hint = "It should hold an ISO 9660 or FAT file system"


class Channel(msgspec.Struct, frozen=True):
    """Where answers were found."""

    where: str
    """For people."""
    answers: Answers


def find(root: Path = Path("/")) -> Channel | None:
    """The answers of this machine; None if there are none. Raises `ConfigError`, `BadAnswer`, `VolumeUnreadable`."""
    for path in (root / "etc/xos/answers.toml", *credentials(root)):
        if path.exists():
            return Channel(str(path), answers.from_file(path))
    cmdline = (root / "proc/cmdline").read_text(errors="replace") if (root / "proc/cmdline").exists() else ""
    if tables := kernel_tables(cmdline):
        return Channel(KERNEL, answers.from_tables(tables, KERNEL))
    if root == Path("/"):
        # At boot the links by label come as udev gets to them.
        subprocess.run(["udevadm", "settle", f"--timeout={SETTLE_SECONDS}"], check=False, capture_output=True)
    for label in LABELS:
        device = root / "dev/disk/by-label" / label
        if device.exists():
            with mounted(device, label) as directory:
                return from_volume(directory, f"volume {label}")
    return None


def credentials(root: Path) -> tuple[Path, ...]:
    """Where the credential may be: given to our unit, or to the system (which units do not see)."""
    ours = os.environ.get("CREDENTIALS_DIRECTORY")
    return (*((Path(ours) / NAME,) if ours else ()), root / SYSTEM_CREDENTIALS / NAME)


def kernel_tables(cmdline: str) -> dict[str, Any]:
    """The tables that kernel arguments make; empty if none is ours. Raises `BadAnswer`."""
    tables: dict[str, Any] = {}
    for argument in _words(cmdline):
        name, equals, value = argument.partition("=")
        if not name.startswith(PREFIX):
            continue
        key = name.removeprefix(PREFIX)
        if not equals or not value:
            raise BadAnswer(where=KERNEL, key=key, detail="a value is missing: xos.KEY=VALUE")
        _put(tables, key, _value(key, value))
    return tables


def _words(cmdline: str) -> list[str]:
    try:
        return shlex.split(cmdline)
    except ValueError:
        return cmdline.split()  # a quote without its second; the kernel is as forgiving


def _value(key: str, text: str) -> Any:
    if key in LISTS:
        return [part for part in text.split(",") if part]
    return int(text) if key in NUMBERS and text.isdecimal() and len(text) < 10 else text


def _put(tables: dict[str, Any], key: str, value: Any) -> None:
    *above, last = key.split(".")
    table = tables
    for name in above:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise BadAnswer(where=KERNEL, key=key, detail=f"{name} is a value already, not a table")
    if isinstance(table.get(last), dict):
        raise BadAnswer(where=KERNEL, key=key, detail="this is a table already, not a value")
    table[last] = value


def from_volume(directory: Path, where: str) -> Channel | None:
    """The answers on a mounted volume; None if it holds none (it may be another program's)."""
    plain = directory / "answers.toml"
    if plain.exists():
        return Channel(f"{where}, answers.toml", answers.from_file(plain))
    data = directory / "user-data"
    if not data.exists():
        return None
    where = f"{where}, user-data"
    with data.open("rb") as file:
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST or not text.startswith(CLOUD_CONFIG):
        return None
    try:
        document = msgspec.yaml.decode(text)
    except msgspec.DecodeError as error:
        raise BadAnswer(where=where, key="(syntax)", detail=str(error)) from error
    section = document.get("xos") if isinstance(document, dict) else None
    if section is None:
        return None
    if not isinstance(section, dict):
        raise BadAnswer(where=where, key="xos", detail="this should be a table")
    return Channel(where, answers.from_tables(section, where))


@contextmanager
def mounted(device: Path, label: str) -> Iterator[Path]:
    """A directory where *device* is mounted, read only. Raises `VolumeUnreadable`."""
    with tempfile.TemporaryDirectory(prefix="xos-answers-") as place:
        options = "ro,nosuid,nodev,noexec"
        done = subprocess.run(["mount", "-o", options, str(device), place], capture_output=True, text=True)
        if done.returncode != 0:
            raise VolumeUnreadable(label=label, device=str(device), detail=done.stderr.strip())
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "--lazy", place], check=False)
