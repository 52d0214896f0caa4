# SPDX-License-Identifier: BSD-3-Clause
"""What a service gets from the daemon that hosts it, and what it must offer in return."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from xos.common.identity import Identity
from xos.common.tls import Credential, Trust
from xos.dixi.api import Caller


class NoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A service with nothing to configure."""


S = TypeVar("S", bound=msgspec.Struct)


class Bus(Protocol):
    """Calls and events, wherever the other side runs."""

    def caller(self, service: str, node: str | None = None) -> Caller:
        """A caller for *service*: local if this daemon hosts it, else found through the Directory at call time.

        Cheap, may be kept for ever: connections are made, shared, remade and dropped behind it.
        *node* names one instance of a service that many nodes offer (``ExecutionManager``).
        """
        ...

    def publish(self, topic: str, event: msgspec.Struct) -> None:
        """Hand *event* to every subscriber of *topic* in this daemon; never blocks, never fails."""
        ...

    def subscribe(self, topic: str) -> asyncio.Queue[Any]:
        """A bounded queue (1,024) of later events; a subscriber that does not read loses the oldest."""
        ...

    def unsubscribe(self, topic: str, queue: asyncio.Queue[Any]) -> None:
        """Stop filling *queue*."""
        ...


class Host(Protocol):
    """The daemon as a service sees it."""

    node: str
    """This node's name."""
    identity: Identity
    """From the machine certificate."""
    trust: Trust
    """The VO CA's certificate and the current revocations."""
    data: Path
    """A directory of this service's own, mode 0700, that outlives the daemon."""
    bus: Bus

    @property
    def credential(self) -> Credential:
        """The machine certificate and its key, to sign with; ask anew each time, since it is renewed."""
        ...

    async def renew(self, certificate: bytes) -> None:
        """Keep *certificate* (DER; for the same key and node) as the machine's, and take it into force at once.

        Connections made from now on show it, those that are there go on. Raises `BadSetting` when it is another node's,
        ``cert.*`` when it cannot be read, `OSError` when it cannot be written: then the old stays.
        """
        ...

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run *work* in the background: its failure is logged, and it is cancelled when the service stops."""
        ...


class Hosted(Generic[S]):
    """Base of a service implementation: ``class JobManagerService(Hosted[Settings], JobManager)``.

    ``[services.NAME.settings]`` of the daemon's configuration is checked against `settings_type`.
    """

    settings_type: ClassVar[type[msgspec.Struct]] = NoSettings

    def __init__(self, host: Host, settings: S) -> None:
        self.host = host
        self.settings = settings

    async def start(self) -> None:
        """Open stores and recover; calls are admitted when every service of the daemon has started.

        Services start in the order of the configuration. A local call to one that has not started waits for it, so call
        from here only those before you, and leave the others to work that `Host.spawn` starts.
        """

    async def stop(self) -> None:
        """Close stores; running calls have ended or been cancelled."""
