# SPDX-License-Identifier: BSD-3-Clause
"""RCAClient: the RCA's counterpart on each node, as others see it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from xos.dixi.api import call, service
from xos.vom.api.rca import ResourceAttributes


class NodeCertificate(msgspec.Struct, array_like=True, frozen=True):
    """A node's machine certificate, and what came of keeping it current."""

    node: str
    not_after: int
    """Unix seconds."""
    vos: tuple[str, ...] = ()
    """The VOs that it belongs to; none: all."""
    attributes: ResourceAttributes = ResourceAttributes()
    """Certified."""
    renewed: float = 0.0
    """Unix seconds of the last renewal by this daemon; 0: none."""
    problem: str = ""
    """Why the last try failed; empty: it did not."""


@service
class RCAClient(Protocol):
    """Keeps a node's machine certificate current: renewed before its end, and when the RCA certifies something else."""

    @call(reads=True)
    async def certificate(self) -> NodeCertificate:
        """The certificate in force."""
        ...
