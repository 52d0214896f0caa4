# SPDX-License-Identifier: BSD-3-Clause
"""Settings of ExecutionManager and ResourceManager in the daemon's configuration (``[services.NAME.settings]``)."""

from __future__ import annotations

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Size = Annotated[int, msgspec.Meta(ge=0)]
Uid = Annotated[int, msgspec.Meta(ge=1000, le=2**31 - 1)]


class ExecutionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a node runs units."""

    launcher: str = "process"
    """What runs them; see `xos.aem.execution.launcher`."""
    accounts: str = "local"
    """Whom units run as, when the daemon is root; see `xos.aem.execution.accounts`."""
    accounts_socket: str = ""
    """Where xos-amsd answers, for ``accounts = "mapped"``; empty: where it always does."""
    first_uid: Uid = 700_000
    last_uid: Uid = 799_999
    """The range of ``accounts = "local"``. Nodes that share a machine need ranges of their own."""
    work: str = ""
    """Directory of the units' working directories, which their accounts must be able to enter; empty: the service's own
    directory if they can enter that, else one under /var/lib/xos."""
    path: str = "/usr/local/bin:/usr/bin:/bin"
    """PATH of a job that sets none."""
    nice: Annotated[int, msgspec.Meta(ge=0, le=19)] = 0
    """How far units stand back for whatever else the machine does: 0 is not at all, 19 altogether (setpriority(2))."""
    longest_seconds: Seconds = 0.0
    """Longest that any unit may run; 0: as long as it likes."""
    kill_grace_seconds: Seconds = 5.0
    """Between SIGTERM and SIGKILL."""
    spare_bytes: Size = 64 * 1024 * 1024
    """No unit is taken when less is free on the disk."""
    rulings: bool = True
    """Whether a unit needs a ruling of VOPS that allows it. False only in a grid without VO policies."""
    usage: bool = True
    """Whether Accounting is told what units used. False only in a grid without it."""
    dissolved_seconds: Seconds = 20.0
    """How often XVOMS is asked whether a VO is over whose units or accounts are here; 0: never."""
    keep_days: Seconds = 7.0
    """How long output and records of ended units stay."""
    keep_units: Size = 10_000
    """How many of them, at most."""


class ResourceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a node offers."""

    slots: Size = 0
    """Units that may run at once; 0: as many as it has cores."""
    cores: Size = 0
    """Cores that it offers; 0: all it has."""
    memory: Size = 0
    """Bytes that it offers; 0: all it has."""
    longest_reservation: Seconds = 600.0
    """Seconds that a slot is held for a unit that does not come."""
