# SPDX-License-Identifier: BSD-3-Clause
"""RCAClient: keeps the machine certificate of its node current, without a restart.

It asks the RCA for a new one, for the same key, when a third of the lifetime is left, when what the RCA says of the
node is no longer what the certificate says (it was added to a VO, taken out of one, described by a person), and when
the node has changed (more memory). The RCA is asked about the node every `Settings.seconds`.
"""

from __future__ import annotations

import asyncio
import os
import platform
import time
from typing import Annotated

import msgspec
from msgspec import Meta

from xos.common.attributes import measures_of
from xos.common.certificate import load_certificate, make_csr
from xos.common.errors import XosError
from xos.common.identity import Identity, Kind
from xos.common.log import get_logger
from xos.dixi.hosting import Hosted
from xos.vom.api import NodeCertificate, RCAClient, Resource, ResourceAttributes
from xos.vom.errors import BadRequest
from xos.vom.xati import RCAAsync

LEFT = 1 / 3
"""Of the lifetime, when a certificate is renewed."""

log = get_logger(__name__)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``[services.RCAClient.settings]``."""

    seconds: Annotated[float, Meta(gt=0)] = 30.0
    """How often the RCA is asked."""
    site: str = ""
    """Where the node stands, for its certificate."""
    flavour: str = "pc"
    """``pc``, ``ssi`` or ``mobile``."""


class RcaClientService(Hosted[Settings], RCAClient):
    """One node's."""

    settings_type = Settings

    async def start(self) -> None:
        """Begin to ask."""
        self._renewed = 0.0
        self._problem = ""
        self._told: ResourceAttributes | None = None
        self.host.spawn(self._keep(), name="certificate")

    async def certificate(self) -> NodeCertificate:
        """See `RCAClient.certificate`."""
        credential = self.host.credential
        who = credential.identity
        return NodeCertificate(
            who.name, who.not_after, who.vos, certified(credential.certificate), self._renewed, self._problem
        )

    async def _keep(self) -> None:
        while True:
            try:
                await self._look()
            except XosError as error:
                if error.message != self._problem:
                    log.warning("certificate-not-renewed", code=error.code, reason=error.message, hint=error.next_step)
                self._problem = error.message
            else:
                self._problem = ""
            await asyncio.sleep(self.settings.seconds)

    async def _look(self) -> None:
        """Ask about this node, and renew if need be. Raises what the RCA does, and when it cannot be reached."""
        rca, credential = RCAAsync(self.host.bus), self.host.credential
        known = await rca.myself(deadline=10.0)
        measured = measure(self.settings)
        why = reason(known, credential.identity, certified(credential.certificate), time.time())
        if not why and measured != self._told and measured != known.attributes:
            why = "the node has changed"
        if not why:
            return
        csr = make_csr(credential.key, self.host.node)
        issued = await rca.renew(csr, measured, deadline=20.0)
        who = self.host.trust.identify(issued.certificate, kind=Kind.MACHINE)
        if who.name != self.host.node:
            raise BadRequest(what="the RCA's answer", detail=f"it is a certificate of {who}")
        await self.host.renew(issued.certificate)
        self._told, self._renewed = measured, time.time()
        log.info("certificate-renewed", why=why, serial=who.serial, not_after=who.not_after, vos=",".join(who.vos))


def reason(known: Resource, shown: Identity, measures: ResourceAttributes, now: float) -> str:
    """Why the certificate *shown*, with its *measures*, must be renewed at *now*; empty: it need not. Pure."""
    if shown.not_after - now < LEFT * (shown.not_after - shown.not_before):
        return "it ends soon"
    if known.vos != shown.vos:
        return "its VOs are others"
    if known.roles != shown.roles:
        return "its roles are others"
    return "its attributes are others" if known.attributes != measures else ""


def certified(certificate: bytes) -> ResourceAttributes:
    """What a machine's certificate (DER) says of the machine. Raises `BadCertificate`."""
    told = measures_of(load_certificate(certificate))
    return ResourceAttributes(told.cores, told.memory, told.architecture, told.site, told.flavour)


def measure(settings: Settings) -> ResourceAttributes:
    """What this node is."""
    # Not /proc/meminfo: a unit with ProcSubset=pid does not see it.
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return ResourceAttributes(os.cpu_count() or 0, memory, platform.machine(), settings.site, settings.flavour)
