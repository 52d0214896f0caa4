# SPDX-License-Identifier: BSD-3-Clause
"""The grid as one person may see it: their own connections, made with their own short certificate."""

from __future__ import annotations

# Not used by name: an error that comes over the wire is only known again when its class has been loaded.
import xos.aem.errors
import xos.vom.errors
import xos.xtreemfs.errors  # noqa: F401
from xos.aem.xati import JobDirectoryAsync, JobManagerAsync
from xos.common.tls import Credential, Trust
from xos.dixi.api import Caller
from xos.dixi.bus import GridBus
from xos.dixi.directory import NodeRecord
from xos.dixi.hosting import Bus
from xos.dixi.transports import Endpoint
from xos.dixi.xati import DirectoryAsync
from xos.vom.xati import AccountingAsync, AuditAsync, CDAAsync, RCAAsync, VOPSAsync, XVOMSAsync
from xos.xtreemfs.xati import DIRAsync

FIND_SECONDS = 10.0


class Finder:
    """Asks the Directory as this machine, once for all sessions; see `xos.dixi.bus.Finder`."""

    def __init__(self, bus: Bus) -> None:
        self._directory = DirectoryAsync(bus)
        self._found: dict[tuple[str, str | None], NodeRecord] = {}

    async def find(self, service: str, node: str | None) -> NodeRecord | None:
        """Where *service* is."""
        known = self._found.get((service, node))
        if known is None:
            answer = await self._directory.find(service, node or "", deadline=FIND_SECONDS)
            if answer:
                known = self._found[service, node] = answer[0]
        return known

    def forget(self, record: NodeRecord) -> None:
        """Look it up anew next time."""
        self._found = {key: found for key, found in self._found.items() if found != record}


class UserGrid:
    """The services as one person calls them; each checks that person's certificate itself."""

    def __init__(self, trust: Trust, credential: Credential, finder: Finder) -> None:
        self._bus = GridBus(Endpoint(trust, credential), finder)
        self.accounting = AccountingAsync(self)
        self.audit = AuditAsync(self)
        self.cda = CDAAsync(self)
        self.dir = DIRAsync(self)
        self.jobs = JobManagerAsync(self)
        self.job_directory = JobDirectoryAsync(self)
        self.rca = RCAAsync(self)
        self.vops = VOPSAsync(self)
        self.xvoms = XVOMSAsync(self)

    def caller(self, service: str, node: str | None = None) -> Caller:
        """See `xos.dixi.hosting.Bus.caller`."""
        return self._bus.caller(service, node)

    def tend(self, now: float) -> None:
        """Called every few seconds of loop time."""
        self._bus.tend(now)

    def close(self) -> None:
        """Close every connection."""
        self._bus.close()
