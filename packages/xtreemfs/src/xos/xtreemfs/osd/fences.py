# SPDX-License-Identifier: BSD-3-Clause
"""Which capabilities are too old for a share, by what it remembers. Pure; applied while nothing else happens to it."""

from __future__ import annotations

from xos.xtreemfs.api import Capability
from xos.xtreemfs.errors import BadCapability
from xos.xtreemfs.osd.checksums import Mark
from xos.xtreemfs.osd.share import Admit


def fence(capability: Capability) -> Admit:
    """Refuses what a later truncation, revocation or layout has made invalid, and remembers what this one tells."""

    def admit(mark: Mark) -> Mark:
        check(capability, mark)
        return mark._replace(
            epoch=max(mark.epoch, capability.epoch),
            revision=max(mark.revision, capability.revision),
            layout=max(mark.layout, capability.layout.version),
            snapshot=max(mark.snapshot, capability.snapshot),
        )

    return admit


def check(capability: Capability, mark: Mark) -> None:
    """Raises `BadCapability`."""
    for what, said, known in (
        ("it is from before a truncation", capability.epoch, mark.epoch),
        ("it was revoked", capability.revision, mark.revision),
        ("it is from before the replicas changed", capability.layout.version, mark.layout),
    ):
        if said < known:
            raise BadCapability(file_id=capability.file_id, detail=what)


def revoked(revision: int) -> Admit:
    """Capabilities of an older revision are refused from now on."""
    return lambda mark: mark._replace(revision=max(mark.revision, revision))


def laid_out(version: int) -> Admit:
    """Capabilities of an older layout are refused from now on: they may name other replicas."""
    return lambda mark: mark._replace(layout=max(mark.layout, version))


def unless_newer(capability: Capability) -> Admit:
    """For work on behalf of a layout, whoever may read the file meanwhile: not when there is a later one."""

    def admit(mark: Mark) -> Mark:
        if capability.layout.version < mark.layout:
            raise BadCapability(file_id=capability.file_id, detail="it is from before the replicas changed")
        return mark

    return admit
