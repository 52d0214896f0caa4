# SPDX-License-Identifier: BSD-3-Clause
"""Groups of changes as bytes. A statement's text goes over once in a stream, its number then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from xos.common.recording import Group
from xos.xtreemfs.errors import OutOfStep


class _Body(msgspec.Struct, array_like=True, frozen=True):
    texts: list[str]
    """New ones; they are numbered as they come."""
    groups: list[tuple[int, list[tuple[Annotated[int, msgspec.Meta(ge=0)], Any]]]]


_decoder = msgspec.msgpack.Decoder(_Body)


class Writer:
    """Of one stream."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def encode(self, groups: Sequence[Group]) -> bytes:
        """These groups, next."""
        new: list[str] = []
        told = []
        for group in groups:
            statements = []
            for text, parameters in group.statements:
                number = self._numbers.get(text)
                if number is None:
                    number = self._numbers[text] = len(self._numbers)
                    new.append(text)
                statements.append((number, parameters))
            told.append((group.changed, statements))
        return msgspec.msgpack.encode(_Body(new, told))


class Reader:
    """Of one stream."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def decode(self, body: bytes) -> list[Group]:
        """The next groups. Raises `OutOfStep` for what no `Writer` wrote."""
        try:
            read = _decoder.decode(body)
            self._texts += read.texts
            return [
                Group([(self._texts[number], parameters) for number, parameters in statements], changed)
                for changed, statements in read.groups
            ]
        except (msgspec.DecodeError, UnicodeDecodeError, IndexError) as error:
            raise OutOfStep(detail=f"a frame cannot be read: {error}") from error
