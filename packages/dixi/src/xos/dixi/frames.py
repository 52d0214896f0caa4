# SPDX-License-Identifier: BSD-3-Clause
"""The wire: what two ends of a DIXI connection say to each other.

A frame is a big-endian u32 length and that many bytes of one msgpack array, whose first element names its kind.
Either end may send requests (that is how a service calls a client back). A request's id is chosen by the end that
sends it; answers carry it back. The same table serves clients in other languages, so fields are positional and are
only ever added at the end.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from xos.common.errors import Fault
from xos.dixi.errors import BadFrame

ALPN = "xos-dixi/1"
HEADER = struct.Struct(">I")
MAX_FRAME = 16 * 1024 * 1024
"""Bytes; a longer frame is refused before it is read."""
LARGE = 64 * 1024
"""Bytes from which on data is not copied to be sent, and a frame that is not whole has a buffer of its own."""
_ARRAY, _BIN = struct.Struct(">BI"), struct.Struct(">BI")
"""msgpack's array 32 and bin 32."""


class Request(msgspec.Struct, array_like=True, tag=1):
    """Call ``Service.method``."""

    id: int
    method: str
    args: msgspec.Raw
    deadline_ms: int = 0
    """Time left for the call; 0 is no limit."""


class Result(msgspec.Struct, array_like=True, tag=2):
    """The call's answer."""

    id: int
    value: msgspec.Raw


class Failure(msgspec.Struct, array_like=True, tag=3):
    """The call's error. With id 0: the connection's, which ends after it."""

    id: int
    fault: Fault


class Item(msgspec.Struct, array_like=True, tag=4):
    """One item of a streaming result."""

    id: int
    value: msgspec.Raw


class End(msgspec.Struct, array_like=True, tag=5):
    """No more items will come."""

    id: int


class Cancel(msgspec.Struct, array_like=True, tag=6):
    """The caller does not want the answer any more."""

    id: int


class Credit(msgspec.Struct, array_like=True, tag=7):
    """The caller has read so many items: so many more may be sent."""

    id: int
    items: int


class Ping(msgspec.Struct, array_like=True, tag=8):
    """Are you there?"""

    nonce: int


class Pong(msgspec.Struct, array_like=True, tag=9):
    """Yes."""

    nonce: int


class Goodbye(msgspec.Struct, array_like=True, tag=10):
    """No new requests, please: this end is shutting down. Calls under way are still answered."""

    reason: str


class Approach(msgspec.Struct, array_like=True, tag=11):
    """Where can we meet without TLS? See `xos.dixi.transports.near` and `xos.dixi.transports.plaintcp`."""

    seen: str
    """The address of this end as it sees it itself, ``host:port``; empty: not on the other's machine."""
    plain: bool = False
    """We trust the network between us."""


class Place(msgspec.Struct, array_like=True, tag=12):
    """The answer to `Approach`."""

    name: str
    """Of a socket in the abstract name space; empty: there is none."""
    ticket: bytes
    """To be shown there, once."""
    uid: int
    """Whose socket it is."""
    address: str = ""
    """``host:port`` of plain TCP, the host left out if it is that of this connection; empty: there is none."""
    key: bytes = b""
    """Of what goes there, see `xos.dixi.sealing`."""
    methods: tuple[str, ...] = ()
    """What may be called there."""


Frame = Request | Result | Failure | Item | End | Cancel | Credit | Ping | Pong | Goodbye | Approach | Place
Bulk = bytes | bytearray | memoryview
WINDOW = 64
"""Items of a stream that may be under way before the reader has given credit."""

encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Frame).decode


def pack(frame: Frame) -> bytes:
    """The frame's bytes, length first."""
    return framed(encode(frame))


def framed(body: bytes) -> bytes:
    """*body* with its length before it. Raises `BadFrame` when it is too long to be sent."""
    if len(body) > MAX_FRAME:
        raise BadFrame(detail=f"a message of {len(body)} bytes; the limit is {MAX_FRAME}")
    return HEADER.pack(len(body)) + body


def pack_request(number: int, method: str, args: tuple[Any, ...], deadline_ms: int) -> list[Bulk]:
    """A `Request`, encoded in one go but for bulk data, which is not copied: the pieces, in order.

    Bulk data that could be changed must not be, as long as the call is under way.
    """
    if any(_is_bulk(value) for value in args):
        middle = [piece for value in args for piece in _element(value)]
        head = b"\x95" + encode(1) + encode(number) + encode(method) + _ARRAY.pack(0xDD, len(args))
        return _joined([head, *middle, encode(deadline_ms)])
    return [framed(encode((1, number, method, args, deadline_ms)))]


def pack_result(number: int, value: Any) -> list[Bulk]:
    """A `Result`, as `pack_request`."""
    if _is_bulk(value):
        return _joined([b"\x93" + encode(2) + encode(number), *_element(value)])
    return [framed(encode((2, number, value)))]


def pack_item(number: int, value: Any) -> bytes:
    """An `Item`, encoded in one go."""
    return framed(encode((4, number, value)))


def _is_bulk(value: Any) -> bool:
    return isinstance(value, Bulk) and len(value) >= LARGE


def _element(value: Any) -> tuple[Bulk, ...]:
    """One value in msgpack; of bulk data the head and the data itself."""
    if _is_bulk(value):
        return _BIN.pack(0xC6, len(value)), value
    return (encode(value),)


def _joined(pieces: list[Bulk]) -> list[Bulk]:
    """The pieces of one frame, the length before them. Raises `BadFrame` when it is too long."""
    size = sum(map(len, pieces))
    if size > MAX_FRAME:
        raise BadFrame(detail=f"a message of {size} bytes; the limit is {MAX_FRAME}")
    return [HEADER.pack(size), *pieces]


def unpack(body: bytes | memoryview) -> Frame:
    """The frame in *body* (without its length). Raises `BadFrame`."""
    try:
        frame: Frame = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame(detail=str(error)) from error
    return frame


class Splitter:
    """Cuts a byte stream into frames; a frame that is not whole yet is kept, never more than *limit* bytes.

    The rest of a large frame may be put where it belongs (`room`, `filled`) instead of being fed.
    """

    __slots__ = ("_have", "_kept", "_large", "_limit", "_size", "_wanted")

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._wanted = HEADER.size
        self._large: bytearray | None = None
        self._have = self._size = 0

    @property
    def partial(self) -> bool:
        """Whether the beginning of a frame waits for its rest."""
        return bool(self._kept) or self._large is not None

    def room(self) -> memoryview | None:
        """Where the next bytes of a large frame go; None: `feed` them. To be released before any other call."""
        large = self._large
        if large is None:
            return None
        if self._have == len(large):
            large.extend(bytes(self._reach(self._have) - self._have))
        return memoryview(large)[self._have :]

    def filled(self, count: int) -> memoryview | None:
        """So many bytes of `room` are there; the body if the frame is whole."""
        self._have += count
        if self._have < self._size or self._large is None:
            return None
        body, self._large = memoryview(self._large), None
        return body

    def feed(self, data: bytes) -> list[memoryview]:
        """The bodies of the frames that *data* completes. Raises `BadFrame` for a length over the limit."""
        bodies: list[memoryview] = []
        view = memoryview(data)
        while view and (room := self.room()) is not None:
            count = min(len(room), len(view))
            room[:count] = view[:count]
            room.release()
            view = view[count:]
            if (body := self.filled(count)) is not None:
                bodies.append(body)
        kept = self._kept
        if kept:
            kept += view
            if len(kept) < self._wanted:
                return bodies
            view = memoryview(bytes(kept))
            self._kept = bytearray()
        self._cut(view, bodies)
        return bodies

    def _cut(self, view: memoryview, bodies: list[memoryview]) -> None:
        at, end = 0, len(view)
        while end - at >= HEADER.size:
            (size,) = HEADER.unpack_from(view, at)
            if size > self._limit:
                raise BadFrame(detail=f"a frame of {size} bytes; the limit is {self._limit}")
            if end - at < HEADER.size + size:
                self._begin(size, view[at:])
                return
            at += HEADER.size
            bodies.append(view[at : at + size])
            at += size
        if at < end:
            self._wanted = HEADER.size
            self._kept += view[at:]

    def _reach(self, have: int) -> int:
        """Bytes to make room for: no more than a few times what the other side has really sent."""
        return min(self._size, 8 * have)

    def _begin(self, size: int, view: memoryview) -> None:
        """Keep the beginning of a frame."""
        if size >= LARGE and len(view) > HEADER.size:
            self._have, self._size = len(view) - HEADER.size, size
            self._large = bytearray(self._reach(self._have))
            self._large[: self._have] = view[HEADER.size :]
        else:
            self._wanted = HEADER.size + size
            self._kept += view
