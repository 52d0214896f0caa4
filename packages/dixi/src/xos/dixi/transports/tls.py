# SPDX-License-Identifier: BSD-3-Clause
"""TLS between a socket and a protocol.

asyncio's own TLS layer closes the socket when a handshake fails without sending the alert that says why, so that a
user with an expired certificate would see nothing but a lost connection. This one sends it (RFC 8446, section 6.2),
and keeps the socket open for a moment so that the alert is not overtaken by a reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Protocol, cast

from xos.common.log import get_logger

log = get_logger("xos.dixi.tls")

HANDSHAKE_SECONDS = 10.0
"""A peer that has not finished its handshake by then is dropped."""
LINGER_SECONDS = 1.0
"""How long a refused peer has to read why."""
_RECORD = 16 * 1024
"""Bytes that a TLS record holds at most (RFC 8446, section 5.1): what one read gives."""
_SLICE = 256 * 1024
"""Bytes that are encrypted at a time, so that they are in the processor's cache when they are sent."""


class Filled(Protocol):
    """A protocol that says where bytes are to be put, which saves it from copying them."""

    def room(self) -> memoryview | None:
        """Where the next bytes are to go; None: hand them to ``data_received``."""
        ...

    def filled(self, count: int) -> None:
        """So many bytes are in `room`, which is released."""
        ...


def _filled(app: asyncio.Protocol) -> Filled | None:
    return cast("Filled", app) if hasattr(app, "filled") else None


class TlsLayer(asyncio.Protocol):
    """Faces the socket; *app* gets plain bytes and a `TlsTransport` once the handshake is done."""

    def __init__(
        self,
        app: asyncio.Protocol,
        context: ssl.SSLContext,
        *,
        server: bool,
        shaken: asyncio.Future[None] | None = None,
        gate: Gate | None = None,
    ) -> None:
        """*shaken*, for a client: is resolved with the outcome of the handshake. *gate*, for a server: counts."""
        self.app = app
        self._filled = _filled(app)
        self._gate = gate
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server)
        self._shaken = shaken
        self._ready = self._failed = self._closing = False
        self._error: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._raw: asyncio.Transport | None = None
        self._transport: TlsTransport | None = None

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there: shake hands."""
        self._raw = cast("asyncio.Transport", transport)
        if self._gate is not None and not self._gate.enter(self):
            self._failed = True
            self._raw.abort()
            return
        self._transport = TlsTransport(self, self._raw, self._tls)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, self._late)
        self._shake()

    def data_received(self, data: bytes) -> None:
        """Bytes from the socket."""
        if self._failed:
            return
        self._incoming.write(data)
        if not self._ready:
            self._shake()
        if self._ready and not self._failed:
            self._read()

    def eof_received(self) -> bool:
        """The peer sends nothing more: a TLS peer that just ends the stream has broken off."""
        return False

    def pause_writing(self) -> None:
        """The socket's buffer is full."""
        if self._ready:
            self.app.pause_writing()

    def resume_writing(self) -> None:
        """The socket's buffer has room again."""
        if self._ready:
            self.app.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._stop_timer()
        if self._gate is not None:
            self._gate.leave(self)
        error = self._error or exc
        if self._ready:
            self._ready = False
            self.app.connection_lost(error)
        if self._shaken is not None and not self._shaken.done():
            self._shaken.set_exception(error or ConnectionResetError("closed by the other side during the handshake"))

    # -- handshake

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except (ssl.SSLError, ssl.CertificateError) as error:
            self._refuse(error)
        else:
            self._stop_timer()
            self._flush()
            self._ready = True
            assert self._transport is not None  # noqa: S101 -- made with the connection
            self.app.connection_made(self._transport)
            if self._shaken is not None and not self._shaken.done():
                self._shaken.set_result(None)

    def _refuse(self, error: Exception) -> None:
        """Say why, by the alert that OpenSSL has left to be sent, and close without a reset."""
        self._failed, self._error = True, error
        log.info("handshake.failed", peer=str(self._peer()), detail=str(error))
        self._flush()
        if self._shaken is not None and not self._shaken.done():
            self._shaken.set_exception(error)
        if self._raw is not None and not self._raw.is_closing():
            if self._raw.can_write_eof():
                with contextlib.suppress(OSError):
                    self._raw.write_eof()
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._raw.abort)

    def _late(self) -> None:
        self._timer = None
        self._failed, self._error = True, TimeoutError("no TLS handshake in time")
        log.info("handshake.late", peer=str(self._peer()))
        if self._raw is not None:
            self._raw.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _peer(self) -> Any:
        return self._raw.get_extra_info("peername") if self._raw is not None else None

    # -- data

    def _read(self) -> None:
        ended = False
        try:
            if self._filled is None:
                self._read_all()
            else:
                while not self._failed and not self._closing:
                    self._read_some(self._filled)
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, EOFError):
            ended = True
        except ssl.SSLError as error:
            self._error, ended = error, True
        self._flush()  # answers to key updates and the like
        if ended:
            self.close()

    def _read_all(self) -> None:
        """All that is there, in one go."""
        chunks: list[bytes] = []
        try:
            while chunk := self._tls.read(_RECORD):
                chunks.append(chunk)
        finally:
            if chunks:
                self.app.data_received(b"".join(chunks) if len(chunks) > 1 else chunks[0])
        raise EOFError

    def _read_some(self, app: Filled) -> None:
        """A record, or as much as is there of what has its place already. Raises `EOFError`, `ssl.SSLError`."""
        room = app.room()
        if room is None:
            chunk = self._tls.read(_RECORD)
            if not chunk:
                raise EOFError
            self.app.data_received(chunk)
            return
        count = 0
        try:
            while count < len(room):
                got = self._tls.read(len(room) - count, room[count:])  # type: ignore[arg-type]
                if not got:
                    raise EOFError
                count += cast("int", got)
        finally:
            room.release()
            if count:
                app.filled(count)

    def hand_over(self, app: asyncio.Protocol) -> None:
        """To another protocol."""
        self.app, self._filled = app, _filled(app)

    def write(self, data: bytes | memoryview) -> None:
        """Encrypt and send."""
        if self._failed or self._closing or self._raw is None:
            return
        try:
            if len(data) <= _SLICE:
                self._tls.write(data)
                self._raw.write(self._outgoing.read())
                return
            view = memoryview(data)
            for at in range(0, len(view), _SLICE):
                self._tls.write(view[at : at + _SLICE])
                self._raw.write(self._outgoing.read())
        except ssl.SSLError as error:  # the peer has ended TLS: nothing more can be said to it
            self._error = error
            self._raw.abort()

    def _flush(self) -> None:
        if self._outgoing.pending and self._raw is not None and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())

    def abort(self) -> None:
        """Close at once."""
        if self._raw is not None:
            self._raw.abort()

    def close(self) -> None:
        """Send what is written and the close_notify, then close."""
        if self._closing or self._raw is None:
            return
        self._closing = True
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        self._flush()
        self._raw.close()

    @property
    def closing(self) -> bool:
        """Whether no more can be sent."""
        return self._closing or self._failed


class TlsTransport(asyncio.Transport):
    """Faces the application."""

    def __init__(self, layer: TlsLayer, raw: asyncio.Transport, tls: ssl.SSLObject) -> None:
        super().__init__({"ssl_object": tls, "peercert": None})
        self._layer, self._raw, self._tls = layer, raw, tls

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As asyncio's TLS transports: also ``ssl_object`` and ``sslcontext``."""
        if name == "ssl_object":
            return self._tls
        if name == "sslcontext":
            return self._tls.context
        return self._raw.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send *data*."""
        self._layer.write(bytes(data) if not isinstance(data, bytes) else data)

    def writelines(self, list_of_data: Any) -> None:
        """Send all of it, in as few records as it takes; what is large is not copied."""
        small: list[bytes] = []
        for data in list_of_data:
            if len(data) < _RECORD:
                small.append(data)
                continue
            self._layer.write(b"".join(small))
            self._layer.write(data)
            small = []
        if small:
            self._layer.write(b"".join(small))

    def close(self) -> None:
        """Close after what is written has been sent."""
        self._layer.close()

    def abort(self) -> None:
        """Close at once."""
        self._raw.abort()

    def is_closing(self) -> bool:
        """Whether no more can be sent."""
        return self._layer.closing or self._raw.is_closing()

    def can_write_eof(self) -> bool:
        """TLS has no half-closed state here."""
        return False

    def pause_reading(self) -> None:
        """Take no more from the socket."""
        if not self._raw.is_closing():
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Take from the socket again."""
        if not self._raw.is_closing():
            self._raw.resume_reading()

    def is_reading(self) -> bool:
        """Whether the socket is read."""
        return self._raw.is_reading()

    def get_write_buffer_size(self) -> int:
        """Bytes that the socket has not taken yet."""
        return self._raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Low and high water."""
        return self._raw.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set low and high water."""
        self._raw.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection to another protocol."""
        self._layer.hand_over(cast("asyncio.Protocol", protocol))

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The application."""
        return self._layer.app


class Gate:
    """A server's connections, those that are still shaking hands among them, and how many there may be."""

    def __init__(self, most: int, address: str) -> None:
        self._most, self._address = most, address
        self._inside: set[TlsLayer] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._inside)

    def enter(self, layer: TlsLayer) -> bool:
        """Whether there is room for one more."""
        if len(self._inside) >= self._most:
            log.warning("listener.full", address=self._address, connections=len(self._inside))
            return False
        self._inside.add(layer)
        self._empty.clear()
        return True

    def leave(self, layer: TlsLayer) -> None:
        """It is closed."""
        self._inside.discard(layer)
        if not self._inside:
            self._empty.set()

    async def shut(self, seconds: float) -> None:
        """Close every connection: each has *seconds* to send what is written."""
        for layer in list(self._inside):
            layer.close()
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            for layer in list(self._inside):
                layer.abort()

    def accepting(self, make: Callable[[], asyncio.Protocol], context: ssl.SSLContext) -> Callable[[], TlsLayer]:
        """A protocol factory for a server: each connection speaks TLS before *make*'s protocol sees it."""
        return lambda: TlsLayer(make(), context, server=True, gate=self)
