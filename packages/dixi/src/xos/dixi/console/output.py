# SPDX-License-Identifier: BSD-3-Clause
"""How the console shows results: tables and ``name: value`` lines for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from xos.dixi.commands import Colour, Painted, Session, clean, paint, table
from xos.dixi.description import ServiceDescription


class Printer:
    """Shows the results of one run. Values are plain: structs are dicts, bytes are bytes."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def result(self, value: Any) -> None:
        """What a call answered; nothing for none."""
        if self._session.json:
            text = msgspec.json.encode(value)
            self._session.out((msgspec.json.format(text, indent=2) if self._session.is_tty else text).decode())
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            self._table(value)
        elif isinstance(value, list):
            self._session.out("\n".join(map(_cell, value)) if value else "(nothing)")
        elif isinstance(value, dict):
            self._fields(value)
        elif value is not None:
            self._session.out(_cell(value))

    def item(self, value: Any) -> None:
        """One of a stream: a line of its own, for people and programs alike."""
        self._session.out(msgspec.json.encode(value).decode() if self._session.json else _cell(value))

    def service(self, description: ServiceDescription) -> None:
        """What a service offers."""
        if self._session.json:
            self.result(_named(description))
            return
        self._session.out(f"{description.name}: {clean(description.doc.partition(chr(10))[0])}\n")
        rows: list[list[str | Painted]] = []
        for method in description.methods:
            params = ", ".join(p.name if p.default is None else f"[{p.name}]" for p in method.params)
            answer = f"stream of {method.result}" if method.streams else str(method.result)
            rows.append([Painted(method.name, Colour.BOLD), params, answer, method.doc.partition("\n")[0]])
        self._session.out(self._render(["METHOD", "ARGUMENTS", "ANSWERS", ""], rows))
        self._session.out(f"Also: ping, info, stats, describe. xconsole {description.name} METHOD --help tells more.")

    def _table(self, rows: list[dict[str, Any]]) -> None:
        names = list(rows[0])
        cells = [[_cell(row.get(name)) for name in names] for row in rows]
        self._session.out(self._render([name.upper() for name in names], cells))

    def _render(self, headings: list[str], rows: Sequence[Sequence[str | Painted]]) -> str:
        width = self._session.columns if self._session.is_tty else None
        return table(headings, rows, columns=width, colour=self._session.colour)

    def _fields(self, value: dict[str, Any]) -> None:
        longest = max(map(len, value), default=0)
        for name, item in value.items():
            label = paint(f"{name}:".ljust(longest + 1), Colour.BOLD, wanted=self._session.colour)
            self._session.out(f"{label} {_cell(item)}")


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case str():
            return clean(value)
        case bytes():
            return _text(value)
        case bool() | int() | float():
            return msgspec.json.encode(value).decode()
        case _:
            return clean(msgspec.json.encode(_readable(value)).decode())


def _readable(value: Any) -> Any:
    match value:
        case bytes():
            return _text(value)
        case dict():
            return {k: _readable(v) for k, v in value.items()}
        case list():
            return [_readable(v) for v in value]
    return value


def _text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return f"({len(value)} bytes)"
    return clean(text.rstrip("\n"))


def _named(description: ServiceDescription) -> Any:
    from xos.dixi.console.catalogue import standard
    from xos.dixi.values import Values

    method = standard().method("describe")
    if method is None:
        raise KeyError("describe")
    return Values(standard()).to_plain(method.result, msgspec.to_builtins(description))
