# SPDX-License-Identifier: BSD-3-Clause
"""Blocking calls over one plain socket: what the blocking XATI clients stand on.

For programs without an event loop. Not for several threads at once: give each its own bus.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from xos.common.errors import XosError, from_fault
from xos.common.identity import Kind
from xos.common.tls import Credential, Trust, client_context, explain_tls_error
from xos.dixi import frames
from xos.dixi.channel import CONNECT_SECONDS, PATIENCE, Backoff
from xos.dixi.client import ClientConfig, load_client, load_credential, xos_home
from xos.dixi.connection import decode_as
from xos.dixi.directory import NodeRecord
from xos.dixi.errors import (
    ConnectionLost,
    DeadlineExceeded,
    Draining,
    NotConnected,
    Overloaded,
    UnknownService,
    WrongPeer,
)
from xos.dixi.transports import Address, Endpoint

_CHUNK = 256 * 1024


class BlockingLink:
    """One connection; calls are made one after another."""

    def __init__(self, address: Address, endpoint: Endpoint, node: str | None, seconds: float) -> None:
        """Connect within *seconds*. Raises `NotConnected`, `WrongPeer` and the certificate errors."""
        self.closed = False
        self._address, self._credential = str(address), endpoint.credential
        context = client_context(endpoint.credential, endpoint.trust, alpn=[frames.ALPN])
        try:
            plain = socket.create_connection((address.host, address.port), timeout=seconds)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = context.wrap_socket(plain)
        except ssl.SSLError as error:
            raise explain_tls_error(error, endpoint.credential) from error
        except OSError as error:
            raise NotConnected(address=self._address, detail=str(error) or type(error).__name__) from error
        self._splitter = frames.Splitter()
        self._bodies: deque[memoryview] = deque()
        self._number = 0
        peer = endpoint.trust.identify(self._socket.getpeercert(binary_form=True) or b"", kind=Kind.MACHINE)
        if node and peer.name != node:
            self.close()
            raise WrongPeer(address=self._address, found=peer.name, wanted=node)

    def call(self, method: str, args: tuple[Any, ...], result: Any, deadline: float | None) -> Any:
        """Send, wait, decode."""
        until = None if deadline is None else time.monotonic() + deadline
        number = self._send_request(method, args, deadline)
        while True:
            frame = self._next(until, method, number)
            if isinstance(frame, frames.Result) and frame.id == number:
                return decode_as(result, frame.value)
            if isinstance(frame, frames.Failure) and frame.id == number:
                raise from_fault(frame.fault)

    def stream(self, method: str, args: tuple[Any, ...], item: Any, deadline: float | None) -> Iterator[Any]:
        """Send, then yield items as they come."""
        until = None if deadline is None else time.monotonic() + deadline
        number = self._send_request(method, args, deadline)
        ended, unread = False, 0
        try:
            while True:
                frame = self._next(until, method, number)
                if isinstance(frame, frames.Item) and frame.id == number:
                    yield decode_as(item, frame.value)
                    unread += 1
                    if unread >= frames.WINDOW // 2:
                        self._send(frames.pack(frames.Credit(number, unread)))
                        unread = 0
                elif isinstance(frame, frames.End) and frame.id == number:
                    ended = True
                    return
                elif isinstance(frame, frames.Failure) and frame.id == number:
                    ended = True
                    raise from_fault(frame.fault)
        finally:
            if not ended and not self.closed:
                self._send(frames.pack(frames.Cancel(number)))

    def _send_request(self, method: str, args: tuple[Any, ...], deadline: float | None) -> int:
        self._number += 1
        limit = 0 if deadline is None else max(1, int(deadline * 1000))
        self._send(b"".join(frames.pack_request(self._number, method, args, limit)))
        return self._number

    def _next(self, until: float | None, method: str, number: int) -> frames.Frame:
        """The next frame that is not the connection's own business."""
        while True:
            while not self._bodies:
                self._bodies.extend(self._splitter.feed(self._receive(until, method, number)))
            frame = frames.unpack(self._bodies.popleft())
            match frame:
                case frames.Ping():
                    self._send(frames.pack(frames.Pong(frame.nonce)))
                case frames.Goodbye():
                    self.closed = True
                case frames.Failure(id=0):
                    self.close()
                    raise from_fault(frame.fault)
                case _:
                    return frame

    def _receive(self, until: float | None, method: str, number: int) -> bytes:
        left = None if until is None else until - time.monotonic()
        try:
            if left is not None and left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            data = self._socket.recv(_CHUNK)
        except TimeoutError as error:
            self._send(frames.pack(frames.Cancel(number)))
            raise DeadlineExceeded(method=method) from error
        except ssl.SSLError as error:
            self.close()
            raise explain_tls_error(error, self._credential) from error
        except OSError as error:
            self.close()
            raise ConnectionLost(address=self._address, detail=str(error)) from error
        if not data:
            self.close()
            raise ConnectionLost(address=self._address, detail="closed by the other side")
        return data

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(CONNECT_SECONDS)
            self._socket.sendall(data)
        except OSError as error:
            lost = self._why_lost(error)
            self.close()
            raise lost from error

    def _why_lost(self, error: OSError) -> XosError:
        """A server that refused our certificate has said so before it closed: read that, it tells more."""
        try:
            self._socket.settimeout(0.2)
            self._socket.recv(1)
        except ssl.SSLError as told:
            if not isinstance(told, ssl.SSLWantReadError):
                return explain_tls_error(told, self._credential)
        except OSError:
            pass  # it said nothing more
        return ConnectionLost(address=self._address, detail=str(error))

    @property
    def stale(self) -> bool:
        """Whether the other side has closed meanwhile (an idle connection has nothing to read)."""
        if self.closed:
            return True
        ready = select.poll()  # select() knows only descriptors below 1,024
        ready.register(self._socket.fileno(), select.POLLIN)
        return bool(ready.poll(0)) and self._socket.pending() == 0 and self._peek_closed()

    def _peek_closed(self) -> bool:
        try:
            self._socket.settimeout(0.0)
            data = self._socket.recv(_CHUNK)
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        except OSError:
            return True
        if data:
            self._bodies.extend(self._splitter.feed(data))
            self._discard_rare()
        return not data or self.closed

    def _discard_rare(self) -> None:
        kept = [frames.unpack(body) for body in self._bodies]
        self._bodies.clear()
        for frame in kept:
            if isinstance(frame, frames.Ping):
                self._send(frames.pack(frames.Pong(frame.nonce)))
            elif isinstance(frame, frames.Goodbye):
                self.closed = True

    def close(self) -> None:
        """Close it."""
        self.closed = True
        self._socket.close()


class BlockingBus:
    """Finds services and calls them, blocking. Satisfies `xos.dixi.stubs.HasBlockingCallers`."""

    def __init__(self, config: ClientConfig, trust: Trust, credential: Credential | None) -> None:
        self._config, self._endpoint = config, Endpoint(trust, credential)
        self._links: dict[tuple[str, str], BlockingLink] = {}
        self._found: dict[tuple[str, str | None], NodeRecord] = {}

    @classmethod
    def open(cls, home: Path | None = None, *, credential: Credential | None = None) -> Self:
        """A bus as the user of *home* (default ``$XOS_HOME``); connections are made on first use."""
        home = home or xos_home()
        config, trust = load_client(home)
        return cls(config, trust, credential or load_credential(home))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        for link in self._links.values():
            link.close()
        self._links.clear()

    def caller(self, service: str, node: str | None = None) -> BlockingRoute:
        """A caller for *service*, at *node* or wherever it runs."""
        return BlockingRoute(self, service, node)

    def find(self, service: str, node: str | None) -> NodeRecord:
        """Where *service* is. Raises `UnknownService`."""
        directory = self._config.directory
        if self._endpoint.credential is None:
            return NodeRecord("", directory.front_door or directory.address, (service,))
        if service == "Directory":
            return NodeRecord("", directory.address, (service,))
        found = self._found.get((service, node))
        if found is None:
            ask = self.caller("Directory")
            answer = ask.call("Directory.find", (service, node or ""), list[NodeRecord], deadline=10.0, retry=True)
            if not answer:
                raise UnknownService(service=service, where=f" at {node}" if node else "")
            found = self._found[service, node] = answer[0]
        return found

    def link(self, record: NodeRecord, seconds: float) -> BlockingLink:
        """The live connection to a node."""
        key = (record.address, record.node)
        link = self._links.get(key)
        if link is None or link.stale:
            if link is not None:
                link.close()
            link = BlockingLink(Address.parse(record.address), self._endpoint, record.node or None, seconds)
            self._links[key] = link
        return link

    def forget(self, record: NodeRecord) -> None:
        """The service is not there any more."""
        self._found = {key: found for key, found in self._found.items() if found != record}


class BlockingRoute:
    """Satisfies `xos.dixi.stubs.BlockingCaller`."""

    def __init__(self, bus: BlockingBus, service: str, node: str | None) -> None:
        self._bus, self._service, self._node = bus, service, node

    def call(
        self, method: str, args: tuple[Any, ...], result: Any, *, deadline: float | None = None, retry: bool = False
    ) -> Any:
        """As `xos.dixi.channel.Channel.call`: what was surely not carried out is tried again in any case."""
        give_up = time.monotonic() + (PATIENCE if deadline is None else deadline)
        backoff = Backoff()
        while True:
            left = give_up - time.monotonic()
            record = self._bus.find(self._service, self._node)
            try:
                link = self._bus.link(record, max(0.05, min(left, CONNECT_SECONDS)))
                return link.call(method, args, result, None if deadline is None else max(0.001, left))
            except (ConnectionLost, NotConnected, Draining, Overloaded, UnknownService, WrongPeer) as error:
                if isinstance(error, ConnectionLost) and not retry:
                    raise
                self._bus.forget(record)
                pause = backoff.next(error)
                if time.monotonic() + pause >= give_up or isinstance(error, UnknownService):
                    raise
                time.sleep(pause)

    def stream(self, method: str, args: tuple[Any, ...], item: Any, *, deadline: float | None = None) -> Iterator[Any]:
        """As `xos.dixi.channel.Channel.stream`."""
        record = self._bus.find(self._service, self._node)
        link = self._bus.link(record, CONNECT_SECONDS if deadline is None else deadline)
        yield from link.stream(method, args, item, deadline)


__all__ = ["BlockingBus", "BlockingLink", "BlockingRoute"]
