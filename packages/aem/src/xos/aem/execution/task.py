# SPDX-License-Identifier: BSD-3-Clause
"""What the shim is told of a unit, and the names of the files it keeps. Standard library only.

A `Task` follows from the unit's order, the node's settings and the account alone, so it is never stored: after a
restart it is made again.
"""

from __future__ import annotations

from typing import TypedDict

# The files of a unit directory; `xos.aem.execution.unitdir` says what each one means.
ORDER = "order"
KILLED = "killed"
SHIM = "shim"
STARTED = "started"
EXIT = "exit"
EXIT_DRAFT = "exit.new"
OUTPUT = "output"
ERROR = "error"

NOTICES = "notices"
"""Datagram socket of the daemon: a shim sends ``UNIT_ID TIME`` there when the program runs."""
RECORD_SIZE = 1024
"""Bytes that are written beforehand for the exit record, so that it fits on a disk that has become full."""


class Task(TypedDict):
    """One unit, ready to run."""

    unit_id: str
    directory: str
    """The unit directory, absolute."""
    group: str
    """The cgroup to make for the unit, absolute; empty: none can be made here."""
    executable: str
    """Absolute, or with a ``/``: from `cwd`; a bare name is looked for in `cwd`, then on PATH."""
    arguments: list[str]
    environment: dict[str, str]
    """The whole of it."""
    cwd: str
    """Absolute; exists."""
    input: str
    """From `cwd`; empty: ``/dev/null``."""
    output: str
    """From `cwd`, or absolute; empty: `OUTPUT` in the unit directory."""
    error: str
    """As `output`; the same name as `output` means one file for both."""
    account: tuple[int, int] | None
    """uid and gid to become; None: stay as the daemon is (which is then not root)."""
    groups: list[int]
    """Supplementary groups of the account."""
    credential: str
    """What the program finds in its session keyring under `keyring_name`: DER in base64; empty: nothing."""
    keyring_name: str
    expires: float
    """Unix seconds: when the credential vanishes."""
    nice: int
    """From 0 (as the daemon) to 19 (only what nobody else wants of the CPUs)."""
    wall_time: float | None
    """Seconds."""
    grace: float
    """Seconds between SIGTERM and SIGKILL."""
    memory: int | None
    """Bytes for all processes together."""
    processes: int | None
    """How many processes at once."""
    limits: list[tuple[int, int]]
    """RLIMIT number and value; the node's own hard limits are never exceeded."""
