# SPDX-License-Identifier: BSD-3-Clause
"""What people typed into forms: text of bounded length, numbers, choices. What it means, the services judge."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

from xos.volife.errors import BadField

LONGEST_LINE = 4096
LONGEST_TEXT = 2 << 20


class Fields(Mapping[str, str]):
    """The fields of one form, as they came; reads as the text of each, empty for those that did not come."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values.get(name, "")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def line(self, name: str, *, needed: bool = True) -> str:
        """One line, without blanks around it. Raises `BadField`."""
        text = self[name].strip()
        if not text and needed:
            raise BadField(field=label(name), detail="it is empty")
        if len(text) > LONGEST_LINE:
            raise BadField(field=label(name), detail=f"longer than {LONGEST_LINE} characters")
        if not text.isprintable():
            raise BadField(field=label(name), detail="only printable characters, on one line")
        return text

    def secret(self, name: str) -> str:
        """A password, exactly as it was typed. Raises `BadField`."""
        text = self[name]
        if not text:
            raise BadField(field=label(name), detail="it is empty")
        if len(text) > LONGEST_LINE:
            raise BadField(field=label(name), detail=f"longer than {LONGEST_LINE} characters")
        return text

    def text(self, name: str, *, needed: bool = True) -> str:
        """Any number of lines, each ended as Unix does. Raises `BadField`."""
        text = self[name].replace("\r\n", "\n")
        if not text.strip() and needed:
            raise BadField(field=label(name), detail="it is empty")
        if len(text) > LONGEST_TEXT:
            raise BadField(field=label(name), detail=f"longer than {LONGEST_TEXT >> 20} MB")
        if "\0" in text:
            raise BadField(field=label(name), detail="it holds a NUL character")
        return text

    def words(self, name: str) -> tuple[str, ...]:
        """Words between commas or blanks, each once."""
        return tuple(dict.fromkeys(self.line(name, needed=False).replace(",", " ").split()))

    def number(self, name: str, *, least: float, most: float, default: float | None = None) -> float:
        """A number in bounds; *default* when nothing was typed. Raises `BadField`."""
        text = self.line(name, needed=default is None)
        if not text and default is not None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:  # NaN too
            raise BadField(field=label(name), detail=f"a number from {least:g} to {most:g}")
        return value

    def choice(self, name: str, choices: Collection[str]) -> str:
        """One of *choices*. Raises `BadField`."""
        text = self[name]
        if text not in choices:
            raise BadField(field=label(name), detail=f"one of {', '.join(sorted(choices))}")
        return text


def label(name: str) -> str:
    """A field's name as people read it."""
    return name.replace("_", " ").capitalize()
