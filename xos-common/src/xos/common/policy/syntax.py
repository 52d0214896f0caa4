# SPDX-License-Identifier: BSD-3-Clause
"""Cedar text before the engine sees it: rules told apart, places found, and limits that keep the engine's stack whole.

The engine recurses over a rule's expression and a text nested deeply enough ends the process (seen at 1,000 brackets),
and its messages tell no place. So the text is cut into tokens here: brackets, conditionals and tokens of a rule are
bounded far below what the engine bears, and a mistake is found as the first token without which the text could go on.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Callable, Iterator

import msgspec

from xos.common.errors import PolicyInvalid, PolicyTooLarge

MAX_BYTES = 64 * 1024
"""Of one document."""
MAX_NESTING = 50
"""Brackets within brackets."""
MAX_CONDITIONALS = 50
"""``if`` in one rule."""
MAX_TOKENS = 4000
"""In one rule."""

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<word>[A-Za-z_]\w*)
    | (?P<number>\d+)
    | (?P<open>[(\[{]) | (?P<close>[)\]}])
    | (?P<end>;)
    | (?P<other>::|==|!=|<=|>=|&&|\|\||.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class Token(msgspec.Struct, frozen=True):
    """A piece of the text."""

    kind: str
    text: str
    start: int


class Statement(msgspec.Struct, frozen=True):
    """One rule of a document."""

    start: int
    end: int
    """Behind its semicolon, or where the text ends."""
    tokens: tuple[Token, ...]
    name: str
    """Of its ``@id``; else empty."""
    effect: str
    """``permit`` or ``forbid``; empty when it is neither."""


class Document(msgspec.Struct, frozen=True):
    """A text that has been cut into rules."""

    name: str
    text: str
    statements: tuple[Statement, ...]

    def place(self, at: int) -> tuple[int, int]:
        """Line and column, from 1, of an offset."""
        before = self.text[:at]
        return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1

    def wrong(self, at: int, detail: str, advice: str = "") -> PolicyInvalid:
        """The error of a mistake at an offset."""
        line, column = self.place(at)
        return PolicyInvalid(document=self.name, line=line, column=column, detail=detail, advice=advice)


def cut(name: str, text: str) -> Document:
    """The rules of *text*. Raises `PolicyTooLarge`, `PolicyInvalid` (brackets, nesting, templates)."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise PolicyTooLarge(document=name, size=size, limit=MAX_BYTES)
    document = Document(name, text, ())
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise document.wrong(0, "a NUL or a lone surrogate", "Write plain UTF-8.")
    return Document(name, text, tuple(_statements(document)))


def _statements(document: Document) -> Iterator[Statement]:
    tokens: list[Token] = []
    depth = conditionals = 0
    for token in _tokens(document.text):
        tokens.append(token)
        if token.kind == "open":
            depth += 1
            if depth > MAX_NESTING:
                raise document.wrong(token.start, f"more than {MAX_NESTING} brackets within brackets")
        elif token.kind == "close":
            depth = max(0, depth - 1)
        elif token.text == "if":
            conditionals += 1
        elif token.text == "?":
            raise document.wrong(token.start, "templates have no use here", "Name the principal or resource itself.")
        if conditionals > MAX_CONDITIONALS:
            raise document.wrong(token.start, f"more than {MAX_CONDITIONALS} conditionals in one rule")
        if len(tokens) > MAX_TOKENS:
            raise document.wrong(token.start, f"more than {MAX_TOKENS} tokens in one rule")
        if token.kind == "end":
            yield _statement(document, tokens)
            tokens, depth, conditionals = [], 0, 0
    if tokens:
        yield _statement(document, tokens)


def _tokens(text: str) -> Iterator[Token]:
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or "other"
        if kind != "space":
            yield Token(kind, found[0], found.start())


def _statement(document: Document, tokens: list[Token]) -> Statement:
    effect, name, last = "", "", tokens[-1]
    for i, token in enumerate(tokens):
        if token.text in ("permit", "forbid") and token.kind == "word" and not (i and tokens[i - 1].text == "@"):
            effect = token.text
            break
        if token.text == "@" and [t.text for t in tokens[i + 1 : i + 3]] == ["id", "("] and len(tokens) > i + 3:
            name = _unquoted(document, tokens[i + 3])
    return Statement(tokens[0].start, last.start + len(last.text), tuple(tokens), name, effect)


_NAME = re.compile(r"[A-Za-z0-9][\w.:-]{0,63}", re.ASCII)


def _unquoted(document: Document, token: Token) -> str:
    name = token.text[1:-1] if token.kind == "string" else ""
    if _NAME.fullmatch(name) is None:
        raise document.wrong(token.start, f"@id({token.text[:80]}) is no rule's name", "Letters, digits and . : _ -")
    return name


def find_mistake(document: Document, statement: Statement, complaint: Callable[[str], str]) -> int:
    """Where in *statement* the mistake is.

    *complaint* is what the engine says of a text (empty: nothing). Cut before its mistake, a text could still go on,
    and only its end is complained of: bisection finds the first token that changes this. The parser tries to recover,
    so that may be a token too late; what it complained of is then the last such token before.
    """
    tokens = statement.tokens
    low, high = 0, len(tokens)  # the mistake is in tokens[low:high]
    while high - low > 1:
        middle = (low + high) // 2
        last = tokens[middle - 1]
        if "end of input" in complaint(document.text[statement.start : last.start + len(last.text)]):
            low = middle
        else:
            high = middle
    quoted = re.search(r"`(.+?)`", complaint(document.text[statement.start : statement.end]), re.DOTALL)
    alike = [token for token in tokens[: low + 1] if quoted and token.text == quoted[1]]
    return alike[-1].start if alike else tokens[low].start


def find_quoted(document: Document, statement: Statement, message: str) -> int:
    """Where in *statement* stands what *message* quotes in backticks or ends with; else where the statement begins."""
    for quoted in (*re.findall(r"`([^`]{1,200})`", message), *re.findall(r": (\w+)$", message)):
        at = document.text.find(quoted, statement.start, statement.end)
        if at >= 0:
            return at
    return statement.start


@functools.cache
def schema_text() -> str:
    """The schema that policies are checked against, in Cedar's own syntax."""
    return importlib.resources.files("xos.common.policy").joinpath("xtreemos.cedarschema").read_text("utf-8")
