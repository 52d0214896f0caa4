# SPDX-License-Identifier: BSD-3-Clause
"""Bytes of several units on one output: whole lines, each with its unit's label before it."""

from __future__ import annotations

LONGEST = 65_536
"""Bytes of a line without an end that are kept back; a longer one is broken."""


class Lines:
    """One unit's bytes, made into labelled lines."""

    def __init__(self, label: bytes) -> None:
        self._label = label
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """What can be printed now that *data* has come."""
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        lines = self._labelled(data[:end])
        if len(self._rest) > LONGEST:
            lines += self._label + self._rest + b"\n"
            self._rest = b""
        return lines

    def end(self) -> bytes:
        """The last line, if it had no end of its own."""
        rest, self._rest = self._rest, b""
        return self._label + rest + b"\n" if rest else b""

    def _labelled(self, lines: bytes) -> bytes:
        if not lines:
            return b""
        return self._label + lines[:-1].replace(b"\n", b"\n" + self._label) + b"\n"


class Raw(Lines):
    """The bytes as they are."""

    def __init__(self) -> None:
        super().__init__(b"")

    def feed(self, data: bytes) -> bytes:
        """See `Lines.feed`."""
        return data
