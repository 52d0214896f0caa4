# SPDX-License-Identifier: BSD-3-Clause
"""What others may know of account mapping: where it answers, and what an account is."""

from __future__ import annotations

import enum
from pathlib import Path

import msgspec

SOCKET = Path("/run/xos/amsd.sock")
"""SOCK_SEQPACKET; the README tells the verbs."""
CONFIG = Path("/etc/xos/node.toml")
STATE = Path("/var/lib/xos-accounts")
TABLE = STATE / "table"
"""Read by libnss_xos; see `xos.node.table`."""


class State(enum.StrEnum):
    """What an account is good for."""

    ACTIVE = "active"
    TENTATIVE = "tentative"
    """Nobody has it yet: what a look-up is told before a certificate has been seen. Never kept."""
    QUARANTINED = "quarantined"
    """Retired: its number stays taken until a scan has found nothing that it owns."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A global identity on this node."""

    uid: int
    """Also the gid of its own group."""
    name: str
    """``alice.demo``; of a shared account ``physics.demo``."""
    vo: str
    owner: str
    """The user; of a shared account the group."""
    shared: bool = False
    """Whether all members of the group `owner` have it."""
    groups: tuple[str, ...] = ()
    """VO groups, as the last certificate that was seen says."""
    authority: str = ""
    """SHA-256 of the public key of the CA that vouched for it, hex."""
    state: State = State.ACTIVE
    made: int = 0
    """Unix seconds."""
    used: int = 0
    """Unix seconds: when it was last mapped, within an hour."""

    @property
    def own_group(self) -> str:
        """The name of its own group, which no VO group can have: ``alice@demo``."""
        return f"{self.owner}@{self.name[len(self.owner) + 1 :]}"


class VoGroup(msgspec.Struct, frozen=True):
    """A group of a VO on this node."""

    gid: int
    name: str
    """``users.demo``."""
    vo: str
    group: str
