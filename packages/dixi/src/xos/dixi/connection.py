# SPDX-License-Identifier: BSD-3-Clause
"""One DIXI connection: the same code at both ends, since either may call the other.

Answers to many calls that become ready together leave in one TLS record. The end that accepted the connection stops
reading while its peer does not read, so that a client that sends and never listens costs bounded memory; the end that
made it always reads, so the two cannot wait for each other.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import msgspec

from xos.common.errors import XosError, from_fault
from xos.common.identity import ANONYMOUS, Identity, Kind
from xos.common.log import get_logger
from xos.common.tls import Trust, explain_tls_error
from xos.dixi import frames
from xos.dixi.api import CallContext
from xos.dixi.dispatch import Dispatcher
from xos.dixi.errors import BadFrame, ConnectionLost, DeadlineExceeded, Draining, Overloaded, WrongPeer
from xos.dixi.expiry import Expiry
from xos.dixi.sealing import TAG_BYTES, Seal
from xos.dixi.stage import Work

log = get_logger("xos.dixi.connection")

MOST_CALLS = 4096
"""Calls from one peer that may be under way."""
SILENCE = 20.0
"""Seconds without a byte after which a peer is asked for a sign of life; after twice that it is given up."""


def explain_loss(exc: BaseException | None, otherwise: XosError) -> XosError:
    """What a connection's end means to its calls: a TLS alert that came after the handshake, or *otherwise*.

    In TLS 1.3 the client's handshake ends before the server has looked at the client's certificate (RFC 8446,
    section 4.4.2.4), so that a refusal arrives as an alert on the finished connection.
    """
    return explain_tls_error(exc) if isinstance(exc, ssl.SSLError) else otherwise


_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def decode_as(kind: Any, value: msgspec.Raw) -> Any:
    """A result, as the type that the method promises. Raises `BadFrame`."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame(detail=f"the answer is not of the promised type: {error}") from error


class Connection(asyncio.Protocol):
    """Speaks frames over one transport, TLS but for what was agreed upon over such. Satisfies `xos.dixi.api.Caller`."""

    def __init__(
        self,
        *,
        trust: Trust,
        dispatcher: Dispatcher,
        accepted: bool,
        wanted: str | None = None,
        on_open: Callable[[Connection], None] | None = None,
        on_close: Callable[[Connection], None] | None = None,
        on_goodbye: Callable[[Connection], None] | None = None,
        on_approach: Callable[[Connection, frames.Approach], frames.Place] | None = None,
        after: Connection | None = None,
        seal: Seal | None = None,
    ) -> None:
        """*after*: the connection over which this one was agreed upon: its peer is the peer here.

        *seal*: what proves that each frame is the peer's; None: the transport does.
        """
        self.peer = ANONYMOUS
        self.address = ""
        self.opened = False
        self.closed = False
        self.refusal: XosError | None = None
        """Why this connection ended before it began to serve."""
        self.near: Connection | None = None
        """The one without TLS that was agreed upon over this, see `xos.dixi.transports.doors`."""
        self._trust = trust
        self._dispatcher = dispatcher
        self._accepted = accepted
        self._wanted = wanted
        self._on_open = on_open
        self._on_close = on_close
        self._on_goodbye = on_goodbye
        self._on_approach = on_approach
        self._after = after
        self._seal = seal
        self._place: asyncio.Future[frames.Place] | None = None
        self._draining: str | None = None
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._splitter = frames.Splitter(frames.MAX_FRAME + (TAG_BYTES if seal is not None else 0))
        self._out: list[frames.Bulk] = []
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._number = 0
        self._calls: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._streams: dict[int, _Stream] = {}
        self._works: dict[int, Work] = {}
        self._credit: dict[int, _Credit] = {}
        self._expiry = Expiry(self._loop, self._expired)
        self._heard = self._loop.time()
        self._partial_since = math.inf

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TLS handshake is done: learn who the other side is."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not subclasses of asyncio's
        self._heard = self._loop.time()
        try:
            if self._after is not None:
                self.peer, self.address = self._after.peer, self._after.address
            else:
                self.address = _address(transport.get_extra_info("peername"))
                self.peer = self._identify(transport.get_extra_info("ssl_object"))
        except XosError as error:
            self.refusal = error
            self.fail(error)
            return
        self.opened = True
        if self._on_open is not None:
            self._on_open(self)

    def _identify(self, tls: ssl.SSLObject | None) -> Identity:
        der = tls.getpeercert(binary_form=True) if tls is not None else None
        identity = self._trust.identify(der) if der else ANONYMOUS
        if not self._accepted and identity.kind is not Kind.MACHINE:
            raise WrongPeer(address=self.address, found=str(identity), wanted="a machine of the grid")
        if self._wanted is not None and identity.name != self._wanted:
            raise WrongPeer(address=self.address, found=identity.name, wanted=self._wanted)
        return identity

    def data_received(self, data: bytes) -> None:
        """Bytes came: handle every frame that they complete."""
        try:
            self._handle_all(self._splitter.feed(data))
        except BadFrame as error:
            self._broken(error)

    def room(self) -> memoryview | None:
        """See `xos.dixi.transports.tls.Filled`."""
        return self._splitter.room()

    def filled(self, count: int) -> None:
        """See `xos.dixi.transports.tls.Filled`."""
        body = self._splitter.filled(count)
        try:
            self._handle_all([] if body is None else [body])
        except BadFrame as error:
            self._broken(error)

    def _handle_all(self, bodies: list[memoryview]) -> None:
        self._heard = self._loop.time()
        self._partial_since = self._heard if self._splitter.partial else math.inf
        for body in bodies:
            self._handle(frames.unpack(body if self._seal is None else self._seal.open(body)))

    def pause_writing(self) -> None:
        """The peer does not read: stop streams, and where we accepted it, stop reading from it too."""
        self._flowing.clear()
        if self._accepted and self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._flowing.set()
        if self._accepted and self._transport is not None and not self.closed:
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """The peer has closed: so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End everything that hung on this connection."""
        if self.closed:
            return
        self.closed = True
        self._flowing.set()
        self._expiry.close()
        detail = str(exc) if exc is not None else "closed by the other side"
        lost = (
            exc if isinstance(exc, XosError) else explain_loss(exc, ConnectionLost(address=self.address, detail=detail))
        )
        for future in self._calls.values():
            if not future.done():
                future.set_exception(lost)
        for incoming in self._streams.values():
            incoming.end(lost)
        for work in self._works.values():
            work.cancel()
        for credit in self._credit.values():
            credit.close()
        if self._place is not None and not self._place.done():
            self._place.set_exception(lost)
        self._calls.clear()
        self._streams.clear()
        self._works.clear()
        if self._on_close is not None:
            self._on_close(self)

    # -- calling the other side

    async def call(
        self,
        method: str,
        args: tuple[Any, ...],
        result: Any,
        *,
        deadline: float | None = None,
        retry: bool = False,  # noqa: ARG002 -- a connection is lost only once; channels try again
    ) -> Any:
        """See `xos.dixi.api.Caller.call`."""
        number = self._request(method, args, deadline)
        future: asyncio.Future[msgspec.Raw] = self._loop.create_future()
        self._calls[number] = future
        try:
            value = await future
        except asyncio.CancelledError:
            self._send_frame(frames.Cancel(number))
            raise
        finally:
            self._calls.pop(number, None)
            if deadline is not None:
                self._expiry.discard(-number)
        return decode_as(result, value)

    def stream(
        self, method: str, args: tuple[Any, ...], item: Any, *, deadline: float | None = None
    ) -> AsyncIterator[Any]:
        """See `xos.dixi.api.Caller.stream`."""
        return self._stream(method, args, item, deadline)

    async def _stream(
        self, method: str, args: tuple[Any, ...], item: Any, deadline: float | None
    ) -> AsyncIterator[Any]:
        number = self._request(method, args, deadline)
        incoming = self._streams[number] = _Stream()
        unread = 0
        try:
            while True:
                value = await incoming.next()
                if value is None:
                    return
                yield decode_as(item, value)
                unread += 1
                if unread >= frames.WINDOW // 2:
                    self._send_frame(frames.Credit(number, unread))
                    unread = 0
        finally:
            self._expiry.discard(-number)
            if self._streams.pop(number, None) is not None and not incoming.ended:
                self._send_frame(frames.Cancel(number))

    @property
    def agreed(self) -> bool:
        """Whether this is one without TLS, that was agreed upon over another."""
        return self._after is not None

    @property
    def ends(self) -> tuple[str, str]:
        """Our address and the peer's on this connection, without the ports; empty when it is closed."""
        if self._transport is None:
            return "", ""
        ours, theirs = self._transport.get_extra_info("sockname"), self._transport.get_extra_info("peername")
        return (ours[0], theirs[0]) if ours and theirs else ("", "")

    @property
    def here(self) -> str | None:
        """This end's address, if the other seems to be on the same machine."""
        if self._transport is None or self.agreed:
            return None
        ours, theirs = self._transport.get_extra_info("sockname"), self._transport.get_extra_info("peername")
        if not ours or not theirs:
            return None
        same = ours[0] == theirs[0] or all(ipaddress.ip_address(end[0]).is_loopback for end in (ours, theirs))
        return _address(ours) if same else None

    async def approach(self, seen: str, *, plain: bool = False) -> frames.Place:
        """Ask for a place to meet without TLS, see `xos.dixi.frames.Approach`. Raises `ConnectionLost`."""
        if self.closed:
            raise ConnectionLost(address=self.address, detail="closed")
        self._place = self._loop.create_future()
        self._send_frame(frames.Approach(seen, plain))
        return await self._place

    def _request(self, method: str, args: tuple[Any, ...], deadline: float | None) -> int:
        if self.closed or not self.opened:
            raise ConnectionLost(address=self.address, detail="closed")
        self._number = number = self._number + 1
        limit = 0
        if deadline is not None:
            # Our own requests are told from the peer's by their sign.
            self._expiry.add(-number, self._loop.time() + deadline, method)
            limit = max(1, int(deadline * 1000))
        self._write(*frames.pack_request(number, method, args, limit), alone=not self._calls)
        return number

    def _expired(self, number: int, method: str) -> None:
        error = DeadlineExceeded(method=method)
        if number > 0:
            work = self._works.get(number)
            if work is not None:
                work.cancel()
            return
        future = self._calls.get(-number)
        if future is not None and not future.done():
            future.set_exception(error)
            self._send_frame(frames.Cancel(-number))
        incoming = self._streams.get(-number)
        if incoming is not None:
            incoming.end(error)
            self._send_frame(frames.Cancel(-number))

    # -- frames

    def _handle(self, frame: frames.Frame) -> None:
        kind = type(frame)
        if kind is frames.Request:
            self._serve(frame)  # type: ignore[arg-type]
        elif kind is frames.Result:
            future = self._calls.get(frame.id)  # type: ignore[union-attr]
            if future is not None and not future.done():
                future.set_result(frame.value)  # type: ignore[union-attr]
        else:
            self._handle_rare(frame)

    def _handle_rare(self, frame: frames.Frame) -> None:
        match frame:
            case frames.Item() | frames.End():
                self._streamed(frame)
            case frames.Failure():
                self._failed(frame)
            case frames.Cancel():
                if (work := self._works.get(frame.id)) is not None:
                    work.cancel()
            case frames.Credit():
                if (credit := self._credit.get(frame.id)) is not None:
                    credit.add(frame.items)
            case frames.Ping():
                self._send_frame(frames.Pong(frame.nonce))
            case frames.Goodbye() if self._on_goodbye is not None:
                self._on_goodbye(self)
            case frames.Approach() if self._on_approach is not None:
                self._send_frame(self._on_approach(self, frame))
            case frames.Place() if self._place is not None and not self._place.done():
                self._place.set_result(frame)
            case _:  # a Pong: that it came is what counts
                pass

    def _streamed(self, frame: frames.Item | frames.End) -> None:
        incoming = self._streams.get(frame.id)
        if incoming is None:
            return  # its reader has left; the Cancel is under way
        if isinstance(frame, frames.Item):
            incoming.put(frame.value)
        else:
            incoming.end(None)

    def _failed(self, frame: frames.Failure) -> None:
        error = from_fault(frame.fault)
        if frame.id == 0:
            log.info("connection.refused", peer=self.address, code=error.code, detail=error.message)
            self.abort(error)
            return
        future = self._calls.get(frame.id)
        if future is not None and not future.done():
            future.set_exception(error)
        incoming = self._streams.get(frame.id)
        if incoming is not None:
            incoming.end(error)

    def _serve(self, request: frames.Request) -> None:
        number = request.id
        try:
            work = self._admit(request)
        except XosError as error:
            self._send_frame(frames.Failure(number, error.to_fault()))
            return
        self._works[number] = work
        if request.deadline_ms:
            self._expiry.add(number, self._loop.time() + request.deadline_ms / 1000, request.method)
        work.method.stage.submit(work)

    def _admit(self, request: frames.Request) -> Work:
        if self._draining is not None:
            raise Draining(node=self._draining)
        if len(self._works) >= MOST_CALLS:
            raise Overloaded(service=request.method.partition(".")[0], queued=len(self._works))
        number = request.id
        if number <= 0 or number in self._works:
            raise BadFrame(detail=f"request id {number} is taken or not positive")
        method = self._dispatcher.find(request.method)
        method.admit(self.peer)
        if self.peer.kind is not Kind.ANONYMOUS:
            self._trust.check(self.peer, time.time())
        context = CallContext(
            self.peer,
            method.service,
            method.signature.name,
            self._loop.time() + request.deadline_ms / 1000 if request.deadline_ms else None,
            self,
            address=self.address.rpartition(":")[0],
        )
        args = method.decode(request.args)
        if method.streams:
            credit = self._credit[number] = _Credit(frames.WINDOW)
            return Work(
                method,
                args,
                context,
                lambda _, e: self._finish_stream(number, e),
                lambda v: self._item(number, credit, v),
            )
        return Work(method, args, context, lambda v, e: self._finish(number, v, e))

    def _finish(self, number: int, value: Any, error: XosError | None) -> None:
        if self._works.pop(number, None) is None or self.closed:
            return
        self._expiry.discard(number)
        try:
            data = frames.pack_result(number, value) if error is None else [frames.pack(_failure(number, error))]
        except XosError as raised:
            data = [frames.pack(_failure(number, raised))]
        self._write(*data, alone=not self._works)

    def _finish_stream(self, number: int, error: XosError | None) -> None:
        self._credit.pop(number, None)
        if self._works.pop(number, None) is None or self.closed:
            return
        self._expiry.discard(number)
        self._send_frame(frames.End(number) if error is None else frames.Failure(number, error.to_fault()))

    async def _item(self, number: int, credit: _Credit, value: Any) -> None:
        await credit.take()
        if not self._flowing.is_set():
            await self._flowing.wait()
        self._write(frames.pack_item(number, value))

    # -- sending

    def _send_frame(self, frame: frames.Frame) -> None:
        self._write(frames.pack(frame))

    def _write(self, *pieces: frames.Bulk, alone: bool = False) -> None:
        """Send *pieces*; unless *alone*, at the end of this turn of the loop, with what else comes up in it."""
        if self.closed:
            return
        first = not self._out
        self._out += pieces if self._seal is None else self._seal.close(pieces)
        if alone:
            self._flush()
        elif first:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._out and self._transport is not None and not self.closed:
            if len(self._out) > 1:
                self._transport.writelines(self._out)
            else:
                self._transport.write(self._out[0])
        self._out.clear()

    # -- ending

    def fail(self, error: XosError) -> None:
        """Tell the peer why, and close."""
        log.info("connection.failed", peer=self.address, code=error.code, detail=error.message)
        self._send_frame(frames.Failure(0, error.to_fault()))
        self._flush()
        self.close()

    def _broken(self, error: BadFrame) -> None:
        """What came is no frame. Where others are on the way that is no news of the peer, but the end of this way."""
        if self._seal is None:
            self.fail(error)
            return
        log.warning("connection.altered", peer=self.address, detail=error.message)
        self.abort(ConnectionLost(address=self.address, detail=error.message))

    def close(self) -> None:
        """Close after what has been written is sent."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self, error: XosError) -> None:
        """Close at once; calls under way end with *error*."""
        if self._transport is not None:
            self._transport.abort()
        self.connection_lost(error)

    def goodbye(self, node: str) -> None:
        """Take no new calls; those under way go on."""
        self._draining = node
        self._send_frame(frames.Goodbye(node))

    def tend(self, now: float) -> None:
        """Called every few seconds: ask a silent peer for a sign of life, give up a dead or stuck one."""
        if self.closed:
            return
        if now - self._heard > 2 * SILENCE:
            self.abort(ConnectionLost(address=self.address, detail=f"no sign of life for {2 * SILENCE:.0f} s"))
        elif now - self._partial_since > SILENCE:
            self._broken(BadFrame(detail=f"half a frame, and nothing more for {SILENCE:.0f} s"))
        elif now - self._heard > SILENCE:
            self._send_frame(frames.Ping(int(now)))


def _address(name: Any) -> str:
    return f"{name[0]}:{name[1]}" if name else "?"


def _failure(number: int, error: XosError) -> frames.Failure:
    return frames.Failure(number, error.to_fault())


class _Stream:
    """Items of a stream between the wire and its reader; never more than the window."""

    __slots__ = ("_error", "_items", "_wake", "ended")

    def __init__(self) -> None:
        self._items: deque[msgspec.Raw] = deque()
        self._wake = asyncio.Event()
        self._error: XosError | None = None
        self.ended = False

    def put(self, value: msgspec.Raw) -> None:
        if len(self._items) >= 2 * frames.WINDOW:
            raise BadFrame(detail="more items of a stream than there was credit for")
        self._items.append(value)
        self._wake.set()

    def end(self, error: XosError | None) -> None:
        self.ended, self._error = True, error
        self._wake.set()

    async def next(self) -> msgspec.Raw | None:
        """The next item; None at the end. Raises the stream's error once its items are read."""
        while not self._items:
            if self.ended:
                if self._error is not None:
                    raise self._error
                return None
            self._wake.clear()
            await self._wake.wait()
        return self._items.popleft()


class _Credit:
    """How many items may still be sent."""

    __slots__ = ("_left", "_wake")

    def __init__(self, left: int) -> None:
        self._left = left
        self._wake = asyncio.Event()

    def add(self, items: int) -> None:
        self._left = min(self._left + max(0, items), 1 << 20)
        self._wake.set()

    def close(self) -> None:
        self._left = 1 << 20
        self._wake.set()

    async def take(self) -> None:
        while self._left <= 0:
            self._wake.clear()
            await self._wake.wait()
        self._left -= 1
