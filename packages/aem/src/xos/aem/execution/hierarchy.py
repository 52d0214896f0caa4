# SPDX-License-Identifier: BSD-3-Clause
"""The part of the cgroup hierarchy (version 2) in which a node's units get their groups."""

from __future__ import annotations

import os
import time
from pathlib import Path

from xos.aem.execution.group import remove, try_write

HIERARCHIES = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
SUBGROUP = "daemon"
"""Where systemd puts the daemon itself (``DelegateSubgroup=``), beside the units and not above them."""
_CONTROLLERS = ("memory", "pids", "cpu")
_OLD_SECONDS = 60.0


def own_group() -> Path | None:
    """The cgroup of this process in the version 2 hierarchy; None when none is mounted."""
    root = next((path for path in HIERARCHIES if (path / "cgroup.controllers").exists()), None)
    if root is None:
        return None
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::/"):
            return root / line[len("0::/") :]
    return None


def make_parent(name: str) -> str:
    """Make the cgroup in which a node's units get theirs; empty when this process may not, or none are mounted."""
    own = own_group()
    if own is None:
        return ""
    base = own.parent if own.name == SUBGROUP else own
    parent = base / name
    try:
        parent.mkdir(exist_ok=True)
        if not os.access(parent / "cgroup.kill", os.W_OK):
            return ""
    except OSError:
        return ""
    for group in (base, parent):
        _hand_down_controllers(group)
    return str(parent)


def _hand_down_controllers(group: Path) -> None:
    """Let groups below *group* have limits. One with processes of its own cannot: pids and cpu would be accepted, but
    make the groups below invalid for processes (cgroup-v2.rst, "Threads")."""
    try:
        if (group / "cgroup.procs").read_text():
            return
    except OSError:
        return  # of threads only
    for controller in _CONTROLLERS:
        try_write(f"{group}/cgroup.subtree_control", f"+{controller}")


def sweep(parent: str) -> None:
    """Remove the empty cgroups in *parent* that no shim can be about to use: what a killed one left."""
    for entry in list(Path(parent).iterdir()):
        if entry.is_dir() and time.time() - entry.stat().st_ctime > _OLD_SECONDS:
            remove(str(entry))
