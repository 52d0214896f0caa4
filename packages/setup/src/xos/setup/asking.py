# SPDX-License-Identifier: BSD-3-Clause
"""Questions on a terminal: plain lines, so that a screen, a serial line and a screen reader do alike.

A wrong answer is told and asked again; an empty one takes what stands in brackets.
"""

from __future__ import annotations

import getpass
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import TextIO

from xos.common.errors import XosError
from xos.setup.errors import SetupError

MOST_TRIES = 20
"""Then it is no person who answers."""


class NobodyThere(SetupError):
    """Raised when a question would have to be asked and there is no terminal."""

    code = "setup.nobody-there"
    template = "{what} is not known, and there is no terminal to ask at"
    hint = "Give it as an option, or in an answer file: --answers FILE"
    exit_status = 2


class NotConfirmed(SetupError):
    """Raised when a person says no; nothing has been done."""

    code = "setup.not-confirmed"
    template = "nothing has been done"


class Asking:
    """Asks at the terminal *answers* comes from; *out* shows the questions."""

    def __init__(self, answers: TextIO = sys.stdin, out: TextIO = sys.stderr) -> None:
        self._in, self._out = answers, out
        colour = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
        self._bold, self._plain = ("\033[1m", "\033[0m") if colour else ("", "")

    @property
    def possible(self) -> bool:
        """Whether somebody is there."""
        return self._in.isatty()

    def heading(self, title: str, text: str = "") -> None:
        """Begin a part."""
        width = min(78, shutil.get_terminal_size((80, 24)).columns - 2)
        self._say(f"\n{self._bold}{title}{self._plain}\n{'─' * min(width, len(title))}")
        if text:
            self._say(textwrap.fill(text, width))

    def tell(self, text: str) -> None:
        """Say why an answer will not do."""
        self._say(f"  {text}")

    def line(
        self, question: str, *, default: str = "", optional: bool = False, check: Callable[[str], object] | None = None
    ) -> str:
        """A line of text. *check* raises `XosError` or `ValueError` for one that will not do. Raises `NobodyThere`."""
        shown = f" [{default}]" if default else " [none]" if optional else ""
        for _ in range(MOST_TRIES):
            given = self._read(f"{question}{shown}: ", question) or default
            if not given and optional:
                return ""
            if wrong := "An answer is needed." if not given else _wrong(check, given):
                self.tell(wrong)
                continue
            return given
        raise NobodyThere(what=question)

    def choice(self, question: str, choices: Sequence[tuple[str, str]], *, default: str = "") -> str:
        """One of *choices*, each a value and what it means: its number or itself is typed. Raises `NobodyThere`."""
        width = max(len(value) for value, _ in choices)
        for number, (value, meaning) in enumerate(choices, 1):
            self._say(f"  {self._bold}{number}{self._plain}  {value:<{width}}  {meaning}".rstrip())
        values = [value for value, _ in choices]
        numbers = {str(number): value for number, value in enumerate(values, 1)}

        def known(text: str) -> None:
            if text not in values and text not in numbers:
                raise ValueError(f"One of 1 to {len(values)}.")

        given = self.line(question, default=default, check=known)
        return given if given in values else numbers[given]

    def secret(self, question: str, *, optional: bool = False, check: Callable[[str], object] | None = None) -> str:
        """A password, typed twice without being seen. Raises `NobodyThere`."""
        self._need(question)
        for _ in range(MOST_TRIES):
            first = getpass.getpass(f"{question}{' [none]' if optional else ''}: ", self._out)
            if not first and optional:
                return ""
            if wrong := "An answer is needed." if not first else _wrong(check, first):
                self.tell(wrong)
            elif getpass.getpass("Again: ", self._out) != first:
                self.tell("These were not the same.")
            else:
                return first
        raise NobodyThere(what=question)

    def confirm(self, question: str, *, word: str = "yes") -> None:
        """Go on only if *word* is typed. Raises `NotConfirmed`, `NobodyThere`."""
        if self._read(f"{question} Type {self._bold}{word}{self._plain} to go on: ", question) != word:
            raise NotConfirmed

    def summary(self, rows: Sequence[tuple[str, str]]) -> None:
        """What is about to be done."""
        width = max(len(name) for name, _ in rows)
        self._say("\n" + "\n".join(f"  {name:<{width}}  {value}" for name, value in rows) + "\n")

    def _need(self, what: str) -> None:
        if not self.possible:
            raise NobodyThere(what=what)

    def _read(self, prompt: str, what: str) -> str:
        self._need(what)
        self._out.write(prompt)
        self._out.flush()
        line = self._in.readline()
        if not line:
            raise NobodyThere(what=what)
        return line.strip()

    def _say(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()


def _wrong(check: Callable[[str], object] | None, given: str) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if check is None:
        return ""
    try:
        check(given)
    except (XosError, ValueError) as error:
        return str(error)
    return ""
