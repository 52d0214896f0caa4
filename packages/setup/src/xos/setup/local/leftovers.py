# SPDX-License-Identifier: BSD-3-Clause
"""Job units outlive the daemon that started them; when a local grid goes down, they must not."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import msgspec

from xos.aem.execution.group import Group
from xos.setup.local import processes
from xos.setup.local.processes import Process

UNITS = "data/ExecutionManager/units"
GRACE_SECONDS = 15.0
"""For programs to end, and for shims to write down how they did."""


class _Shim(msgspec.Struct, frozen=True):
    """The file ``shim`` of a unit directory (see `xos.aem.execution.shim`)."""

    pid: int
    start: int
    boot: str
    group: str = ""


def end_units(root: Path) -> list[str]:
    """End the job units that still run on nodes below *root*, with all their processes; their names.

    Each is asked to end and writes down that it was killed; what does not is killed without a record.
    """
    shims = {path.parent.name: _read(path) for path in root.glob(f"*/{UNITS}/*/shim") if _unfinished(path.parent)}
    known = {name: shim for name, shim in shims.items() if shim is not None}
    running = {
        name: process for name, shim in known.items() if (process := Process(shim.pid, shim.start, shim.boot)).alive
    }
    processes.end(running, grace_s=GRACE_SECONDS)
    for shim in known.values():
        _end_group(shim.group)
    for process in processes.find_environment("XOS_UNIT_ID", known):
        processes.send(process, signal.SIGKILL)
    return sorted(running)


def _unfinished(unit: Path) -> bool:
    return not (unit / "exit").exists()


def _read(path: Path) -> _Shim | None:
    """None: the shim was killed before it signed."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Shim)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _end_group(path: str) -> None:
    if path and Path(path).is_dir():
        group = Group(path)
        group.kill()
        group.wait_empty()
        group.remove()


def remove_groups(root: Path) -> None:
    """Remove the control groups that nodes below *root* made for their units, as far as they are empty."""
    signed = (_read(path) for path in root.glob("*/data/ExecutionManager/*/*/shim"))
    for group in {Path(shim.group).parent for shim in signed if shim is not None and shim.group}:
        with contextlib.suppress(OSError):  # in use by another grid of this machine, or gone
            group.rmdir()
