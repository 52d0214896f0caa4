# SPDX-License-Identifier: BSD-3-Clause
"""Who somebody is, as an XOS-Certificate says it."""

from __future__ import annotations

import enum

import msgspec


class Kind(enum.StrEnum):
    """What kind of holder a certificate names."""

    USER = "user"
    """The certificate carries a GlobalUserID."""
    MACHINE = "machine"
    """No GlobalUserID: a service certificate of a node (seed 1, XtreemOSAuthProvider)."""
    ANONYMOUS = "anonymous"
    """No certificate was shown; only the front door (CDA, RCA) hears such a caller."""


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """The verified holder of an XOS-Certificate. Positional: new fields only at the end."""

    kind: Kind
    name: str
    """Users: the GlobalUserID, ``alice``. Machines: the node's name, ``node1``. Anonymous: empty."""
    vo: str = ""
    """GlobalPrimaryVOName; empty for machines."""
    group: str = ""
    """GlobalPrimaryGroupName."""
    groups: tuple[str, ...] = ()
    """GlobalSecondaryGroupNames."""
    roles: tuple[str, ...] = ()
    """Roles in the VO; ``VOAdmin`` administers it. A machine's: ``core`` or ``resource``."""
    vos: tuple[str, ...] = ()
    """GlobalSecondaryVONames. A machine's: the VOs that it belongs to; none is all."""
    serial: int = 0
    not_before: int = 0
    """Unix seconds."""
    not_after: int = 0
    """Unix seconds."""
    fingerprint: str = ""
    """SHA-256 of the DER certificate, hex."""
    capabilities: tuple[str, ...] = ()
    """What the user may do besides what the roles allow; the VO says what there is."""
    delegated: bool = False
    """Somebody else, to whom the user gave it for a while, holds the key: no certificate is issued for it."""

    def __str__(self) -> str:
        return f"{self.name}@{self.vo}" if self.vo else self.name or self.kind.value


ANONYMOUS = Identity(Kind.ANONYMOUS, "")
