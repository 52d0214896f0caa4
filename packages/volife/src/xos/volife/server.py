# SPDX-License-Identifier: BSD-3-Clause
"""The HTTPS listener for browsers: bounded connections, bounded handshakes, idle ones are closed."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from xos.common.log import get_logger
from xos.common.tls import Credential, use_credential
from xos.dixi.transports import BACKLOG, Address, bind
from xos.dixi.transports.tls import Gate
from xos.volife.settings import Settings

MOST_CONNECTIONS = 5000
IDLE_SECONDS = 75.0
STOP_SECONDS = 1.0

log = get_logger("xos.volife")


def shown_to_browsers(settings: Settings, machine: Credential) -> Credential:
    """The certificate that browsers see. Raises `CredentialMissing`, `KeyExposed`, `BadKey`, `BadCertificate`."""
    if settings.certificate:
        return Credential.load(Path(settings.certificate), Path(settings.key or settings.certificate))
    return machine


class Server:
    """One bound address."""

    def __init__(self, address: Address, credential: Credential) -> None:
        """Raises `AddressTaken`."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.set_alpn_protocols(["http/1.1"])
        self._shown = credential
        use_credential(self._context, credential)
        self._socket = bind(address)
        host, port = self._socket.getsockname()[:2]
        self.address = Address(host, port)
        self._gate = Gate(MOST_CONNECTIONS, str(self.address))
        self._quiet_since: dict[object, float] = {}
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    async def serve(self, application: web.Application) -> None:
        """Begin to answer."""
        application.middlewares.append(self._watching())
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, keepalive_timeout=IDLE_SECONDS
        )
        await self._runner.setup()
        made = self._runner.server
        assert made is not None  # noqa: S101 -- set up
        self._server = await asyncio.get_running_loop().create_server(
            self._gate.accepting(made, self._context), sock=self._socket, backlog=BACKLOG
        )
        log.info("listening", address=str(self.address))

    def _watching(self) -> Any:
        """Notes which connections have a request that is being answered."""

        @web.middleware
        async def watch(request: web.Request, handler: Callable[..., Awaitable[web.StreamResponse]]) -> Any:
            self._quiet_since[request.protocol] = math.inf
            try:
                return await handler(request)
            finally:
                self._quiet_since[request.protocol] = asyncio.get_running_loop().time()

        return watch

    def tend(self, now: float) -> None:
        """Close connections that have been idle, or half a request, for too long; *now* is loop time."""
        server = self._runner.server if self._runner is not None else None
        open_now = [] if server is None else list(server.connections)
        self._quiet_since = {connection: self._quiet_since.get(connection, now) for connection in open_now}
        for connection in open_now:
            if now - self._quiet_since[connection] > IDLE_SECONDS:
                connection.force_close()
                if connection.transport is not None:
                    connection.transport.abort()

    def renew(self, credential: Credential) -> None:
        """Show *credential* on later connections, if it is another one."""
        if credential is not self._shown:
            use_credential(self._context, credential)
            self._shown = credential

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None:
            self._server.close()
        else:
            self._socket.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._gate.shut(STOP_SECONDS)
