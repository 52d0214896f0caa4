# SPDX-License-Identifier: BSD-3-Clause
"""``dixid``: the daemon that hosts services.

Start: configuration, certificate, services (each recovers what it keeps), listeners, registration, READY=1.
Stop (SIGTERM, SIGINT): no new calls, those under way end (`drain_seconds`), services stop, connections close.
SIGHUP: certificate and revocations are read again.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.metadata
import resource
import signal
import ssl
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from xos.common.config import convert
from xos.common.errors import XosError
from xos.common.files import write_atomically
from xos.common.identity import Identity, Kind
from xos.common.log import get_logger
from xos.common.tls import Credential, Trust
from xos.dixi.bus import GridBus, Local
from xos.dixi.configuration import BadSetting, DaemonConfig, Listen, ServiceSettings
from xos.dixi.directory import NodeRecord, Registration
from xos.dixi.dispatch import Dispatcher, service_name
from xos.dixi.errors import BadService
from xos.dixi.hosting import Hosted
from xos.dixi.metrics import exposition
from xos.dixi.notify import Notifier
from xos.dixi.revocation import keep_revocations
from xos.dixi.stage import Stage
from xos.dixi.standard import Standard
from xos.dixi.transports import Address, Endpoint, Listener, Offer, transport
from xos.dixi.trusted import Trusted
from xos.dixi.xati import DirectoryAsync

log = get_logger("xos.dixi.daemon")

TEND_SECONDS = 5.0
ENTRY_POINTS = "xos.services"


class ServiceHost:
    """The daemon as one service sees it. Satisfies `xos.dixi.hosting.Host`."""

    def __init__(self, daemon: Daemon, service: str) -> None:
        self.node = daemon.config.node
        self.identity: Identity = daemon.credential.identity
        self.trust: Trust = daemon.trust
        self.bus = daemon.bus
        self._daemon = daemon
        self.data = Path(daemon.config.data) / service
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._service = service
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def credential(self) -> Credential:
        """The machine certificate in force; a renewal changes it."""
        return self._daemon.credential

    async def renew(self, certificate: bytes) -> None:
        """See `xos.dixi.hosting.Host.renew`."""
        await self._daemon.renew(certificate)

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """See `xos.dixi.hosting.Host.spawn`."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self._service}:{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task.failed", service=self._service, task=task.get_name(), exc_info=error)

    async def cancel(self) -> None:
        """Cancel what runs in the background, and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)


class Daemon:
    """One running ``dixid``."""

    def __init__(self, config: DaemonConfig, file: Path | None = None) -> None:
        """*file*, where the configuration was read, is named in errors."""
        self.config = config
        self._file = file
        self.trust = Trust.load(Path(config.tls.trust))
        self.credential = self._load_credential()
        self.dispatcher = Dispatcher()
        self.stages: list[Stage] = []
        self.listeners: list[Listener] = []
        self._services: list[tuple[Hosted[Any], ServiceHost]] = []
        self._standard = Stage("standard")
        self._registration: Registration | None = None
        self._local = Local(config.node, self.credential.identity, self.dispatcher)
        self.endpoint = Endpoint(self.trust, self.credential, trusted=Trusted.of(config.plain))
        self.bus = GridBus(self.endpoint, self, self._local)
        self._background: list[asyncio.Task[None]] = []

    def _load_credential(self) -> Credential:
        tls = self.config.tls
        return self._checked(Credential.load(Path(tls.certificate), Path(tls.key)))

    def _checked(self, credential: Credential) -> Credential:
        tls, found = self.config.tls, credential.identity
        if found.kind is not Kind.MACHINE or found.name != self.config.node:
            raise BadSetting(file=tls.certificate, key="node", detail=f"names {found}, not machine {self.config.node}")
        return credential

    # -- xos.dixi.bus.Finder

    async def find(self, service: str, node: str | None) -> NodeRecord | None:
        """Where *service* is: the Directory itself by configuration, all else by the Directory."""
        if service == "Directory" and self.config.directory is not None:
            return NodeRecord("", self.config.directory.address, ("Directory",))
        return await self._registration.find(service, node) if self._registration is not None else None

    def forget(self, record: NodeRecord) -> None:
        """See `xos.dixi.bus.Finder.forget`."""
        if self._registration is not None:
            self._registration.forget(record)

    # -- life

    async def start(self) -> None:
        """Start services and listeners, and register. Raises what any of them raises; then nothing stays behind."""
        for name, settings in self.config.services.items():
            self._add(name, settings)
        # The addresses are held before any service starts, so that a second daemon by mistake never touches the first
        # one's state; a client that comes early waits in the backlog until every service has recovered.
        plain = self.config.plain.address
        for listen in self.config.listen:
            at = Address.parse(plain) if plain and _for_machines(listen) else None
            self.listeners.append(await self._listen(listen, at))
            plain = "" if at is not None else plain
        self._registration = Registration(DirectoryAsync(self.bus), self._record())
        for service, _ in self._services:
            await service.start()
            self._local.started(service_name(type(service)))
        for listener, listen in zip(self.listeners, self.config.listen, strict=True):
            await listener.serve()
            log.info("listening", transport=listen.transport, address=str(listener.address))
        await self._registration.enter()
        self._background = [
            asyncio.create_task(self._registration.keep(), name="registration"),
            asyncio.create_task(self._tend(), name="tend"),
            asyncio.create_task(
                keep_revocations(self.bus, self.trust, self.config.revocation_seconds), name="revocations"
            ),
        ]

    def _add(self, name: str, settings: ServiceSettings) -> None:
        cls = implementation(name, settings)
        host = ServiceHost(self, name)
        own = convert(settings.settings, cls.settings_type, where=f"services.{name}.settings", file=self._file)
        service = cls(host, own)
        stage = Stage(name, limit=settings.limit, queue=settings.queue, waiting=settings.waiting)
        self.stages.append(stage)
        self.dispatcher.add(Standard(service, stage, self.config.node), self._standard, name=name)
        self.dispatcher.add(service, stage)
        self._services.append((service, host))
        self._local.starting(name)

    async def _listen(self, listen: Listen, plain: Address | None) -> Listener:
        dispatcher = self.dispatcher.only(frozenset(listen.services)) if listen.services else self.dispatcher
        offer = Offer(
            Endpoint(self.trust, self.credential, dispatcher, self.endpoint.trusted),
            Address.parse(listen.address),
            anonymous=listen.anonymous,
            most_connections=listen.most_connections,
            metrics=self._metrics,
            origins=frozenset(listen.origins),
            elsewhere=self._elsewhere,
            plain=plain,
        )
        return await transport(listen.transport).listen(offer)

    def _record(self) -> NodeRecord:
        addresses = {
            listen.transport: str(listener.address)
            for listen, listener in reversed(list(zip(self.config.listen, self.listeners, strict=True)))
            if not listen.services
        }
        return NodeRecord(
            self.config.node,
            addresses.get("dixi", ""),
            tuple(self.config.services),
            https=addresses.get("https", ""),
            started=time.time(),
        )

    def _metrics(self) -> bytes:
        gauges = {"dixi_connections": float(sum(listener.connections for listener in self.listeners))}
        return exposition([*self.stages, self._standard], gauges)

    def _elsewhere(self, service: str) -> str | None:
        record = self._registration.known(service) if self._registration is not None else None
        return f"https://{record.https}" if record is not None and record.https else None

    async def _tend(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TEND_SECONDS)
            now = loop.time()
            for listener in self.listeners:
                listener.tend(now)
            self.bus.tend(now)

    def reload(self) -> None:
        """Read the certificate and the revocations again; what cannot be read leaves the old in force."""
        try:
            credential = self._load_credential()
            self.trust.reload()
        except (XosError, OSError) as error:
            log.warning("reload.failed", detail=str(error))
            return
        self._take(credential)
        log.info("reloaded", certificate_until=credential.identity.not_after)

    async def renew(self, certificate: bytes) -> None:
        """See `xos.dixi.hosting.Host.renew`."""
        credential = self._checked(Credential(certificate, self.credential.key))
        path = Path(self.config.tls.certificate)
        await asyncio.to_thread(write_atomically, path, credential.certificate_pem(), 0o644)
        self._take(credential)

    def _take(self, credential: Credential) -> None:
        self.credential = self.endpoint.credential = credential
        for listener in self.listeners:
            listener.renew(credential)

    async def stop(self) -> None:
        """Drain, then end."""
        log.info("stopping")
        if self._registration is not None and self._background:
            await self._registration.leave()
        for listener in self.listeners:
            listener.goodbye(self.config.node)
        await asyncio.gather(*(stage.drain(self.config.drain_seconds) for stage in self.stages))
        for task in self._background:
            task.cancel()
        if self._background:
            await asyncio.wait(self._background, timeout=2.0)
        for service, host in reversed(self._services):
            await host.cancel()
            try:
                await service.stop()
            except Exception as error:
                log.exception("stop.failed", service=service_name(type(service)), exc_info=error)
        for listener in self.listeners:
            await listener.close()
        self.bus.close()


def _for_machines(listen: Listen) -> bool:
    """Whether it is one of those that the Directory names."""
    return listen.transport == "dixi" and not listen.services and not listen.anonymous


def implementation(name: str, settings: ServiceSettings) -> type[Hosted[Any]]:
    """The class that implements service *name*. Raises `BadService`."""
    path = settings.implementation
    if not path:
        found = importlib.metadata.entry_points(group=ENTRY_POINTS, name=name)
        if not found:
            known = ", ".join(sorted(importlib.metadata.entry_points(group=ENTRY_POINTS).names))
            raise BadService(service=name, detail=f"no installed package offers it; there are: {known}")
        path = next(iter(found)).value
    module, _, attribute = path.partition(":")
    try:
        cls = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadService(service=name, detail=f"cannot load {path}: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, Hosted)):
        raise BadService(service=name, detail=f"{path} is not a subclass of xos.dixi.hosting.Hosted")
    if service_name(cls) != name:
        raise BadService(service=name, detail=f"{path} implements {service_name(cls)}")
    return cls


async def run(config: DaemonConfig, file: Path | None = None) -> None:
    """Run a daemon until it is told to stop."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_unhandled)
    _raise_file_limit()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    notifier = Notifier()
    daemon = Daemon(config, file)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    try:
        await daemon.start()
        notifier.send("READY=1", f"STATUS=hosting {', '.join(config.services)}")
        watchdog = loop.create_task(_watchdog(notifier))
        await stopping.wait()
        notifier.send("STOPPING=1")
        watchdog.cancel()
    finally:
        await daemon.stop()
        log.info("stopped")


async def _watchdog(notifier: Notifier) -> None:
    while notifier.watchdog_seconds is not None:
        notifier.send("WATCHDOG=1")
        await asyncio.sleep(notifier.watchdog_seconds)


def _raise_file_limit() -> None:
    """As many connections as the system allows, not the 1,024 of old select() programs."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, ssl.SSLError | ConnectionError | TimeoutError):
        # A peer that speaks no TLS, breaks off or shows a bad certificate: worth a line, not a traceback.
        log.info("handshake.failed", detail=str(error) or type(error).__name__)
        return
    log.error("loop.error", detail=str(context.get("message")), exc_info=error)


__all__ = ["Daemon", "ServiceHost", "implementation", "run"]
