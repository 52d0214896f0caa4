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
        check(capability, mark)  # so none of the first three is less than is known
        epoch, revision, layout = capability.epoch, capability.revision, capability.layout.version
        snapshot = max(mark.snapshot, capability.snapshot)
        if (epoch, revision, layout, snapshot) == (mark.epoch, mark.revision, mark.layout, mark.snapshot):
            return mark
        return mark._replace(epoch=epoch, revision=revision, layout=layout, snapshot=snapshot)

    return admit


def check(capability: Capability, mark: Mark) -> None:
    """Raises `BadCapability`."""
    if capability.epoch < mark.epoch:
        raise BadCapability(file_id=capability.file_id, detail="it is from before a truncation")
    if capability.revision < mark.revision:
        raise BadCapability(file_id=capability.file_id, detail="it was revoked")
    if capability.layout.version < mark.layout:
        raise BadCapability(file_id=capability.file_id, detail="it is from before the replicas changed")


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
