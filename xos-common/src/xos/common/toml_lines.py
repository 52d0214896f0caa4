# SPDX-License-Identifier: BSD-3-Clause
"""On which line of a TOML text each key stands; `tomllib` does not say."""

from __future__ import annotations

import bisect
import re
import tomllib

Key = tuple[str | int, ...]
"""A path into the document: names in tables, numbers in arrays."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'')
_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\]|\\.)*"|\'[^\']*\'', re.DOTALL)
_OTHER_VALUE = re.compile(r"[^,\]}\n#]*")


def key_lines(text: str) -> dict[Key, int]:
    """The line (from 1) of every key, table and array element of *text*, which `tomllib` must have accepted."""
    return _Scanner(text).scan()


class _Scanner:
    """Walks a valid document once; it need not notice errors, `tomllib` has."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._newlines = [m.start() for m in re.finditer("\n", text)]
        self._lines: dict[Key, int] = {}
        self._tables: dict[Key, int] = {}  # arrays of tables: how many so far

    def scan(self) -> dict[Key, int]:
        table: Key = ()
        while self._next_is_something():
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._assignment(table)
        return self._lines

    def _next_is_something(self) -> bool:
        self._skip(_BLANK)
        return self._at < len(self._text)

    def _skip(self, what: re.Pattern[str]) -> str:
        found = what.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found.group()

    def _mark(self, path: Key) -> None:
        self._lines.setdefault(path, bisect.bisect_left(self._newlines, self._at) + 1)

    def _header(self) -> Key:
        """``[a.b]`` or ``[[a.b]]``."""
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        names = self._dotted()
        path: Key = ()
        for name in names[:-1]:
            path = self._enter((*path, name))
        path = (*path, names[-1])
        if is_array:
            self._mark(path)
            self._tables[path] = self._tables.get(path, 0) + 1
        path = self._enter(path)
        self._mark(path)
        self._at += 2 if is_array else 1
        return path

    def _enter(self, path: Key) -> Key:
        self._mark(path)
        return (*path, self._tables[path] - 1) if path in self._tables else path

    def _dotted(self) -> list[str]:
        names = []
        while True:
            self._skip(_SPACE)
            quoted = self._skip(_QUOTED)
            names.append(tomllib.loads(f"k={quoted}")["k"] if quoted else self._skip(_BARE_KEY))
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return names
            self._at += 1

    def _assignment(self, table: Key) -> None:
        """``a.b = value``."""
        self._skip(_BLANK)
        path = table
        start = self._at
        names = self._dotted()
        end, self._at = self._at, start
        for name in names:
            path = (*path, name)
            self._mark(path)
        self._at = end + 1  # past the "="
        self._value(path)

    def _value(self, path: Key) -> None:
        self._skip(_SPACE)
        first = self._text[self._at : self._at + 1]
        if first == "[":
            self._items("]", path)
        elif first == "{":
            self._items("}", path)
        elif first in {'"', "'"}:
            self._skip(_STRING)
        else:
            self._skip(_OTHER_VALUE)
        self._skip(_SPACE)

    def _items(self, end: str, path: Key) -> None:
        """An array, or an inline table."""
        self._at += 1
        number = 0
        while self._next_is_something() and self._text[self._at] != end:
            if end == "]":
                self._mark((*path, number))
                self._value((*path, number))
            else:
                self._assignment(path)
            number += 1
            self._skip(_BLANK)
            if self._text.startswith(",", self._at):
                self._at += 1
        self._at += 1
