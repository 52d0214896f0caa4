# SPDX-License-Identifier: BSD-3-Clause
"""The policy engine: Cedar, through cedarpy, behind types of ours.

A set is parsed once and decides many times: some 0.2 ms of one core with 200 rules, in proportion to their number.
Texts that this module has let through cannot end the process; see `xos.common.policy.syntax`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from xos.common.errors import PolicyInvalid, PolicyTooLarge
from xos.common.policy.request import Request
from xos.common.policy.syntax import Document, Statement, cut, find_mistake, find_quoted, schema_text

if TYPE_CHECKING:  # imported where it is used: clients have the types beside this module, but not the engine
    import cedarpy

MAX_RULES = 2000
"""In one set: some 2 ms a decision."""


class Rule(msgspec.Struct, array_like=True, frozen=True):
    """One ``permit`` or ``forbid``."""

    name: str
    """``DOCUMENT/ID``, or ``DOCUMENT/line N`` when it has no ``@id``."""
    effect: str
    document: str
    line: int


class Decision(msgspec.Struct, array_like=True, frozen=True):
    """Whether a request is allowed, and by what."""

    allowed: bool
    reasons: tuple[str, ...] = ()
    """Names of the rules that decided: the permits that allow, the forbids that deny; empty when nothing permits."""
    errors: tuple[str, ...] = ()
    """What went wrong while deciding. A ``forbid`` that cannot be worked out forbids."""

    def explain(self) -> str:
        """One line for people."""
        if self.allowed:
            return f"allowed by {_listed(self.reasons)}"
        if self.reasons:
            return f"denied by {_listed(self.reasons)}"
        if self.errors:
            return f"denied: {self.errors[0]}"
        return "denied: no rule permits it"


class PolicySet:
    """Rules that were parsed and found right; immutable, so that any thread may use it."""

    def __init__(self, parsed: cedarpy.PolicySet, rules: tuple[Rule, ...]) -> None:
        """Use `parse`."""
        self._parsed = parsed
        self.rules = rules

    @classmethod
    def parse(cls, documents: Mapping[str, str]) -> PolicySet:
        """The rules of several *documents* (Cedar text by name), checked against the schema.

        Takes about 1 ms for each 10 rules, in which other threads run. Raises `PolicyInvalid` (with document, line
        and column of the first mistake) and `PolicyTooLarge`.
        """
        import cedarpy

        read = [_read(name, text) for name, text in documents.items()]
        rules = tuple(rule for document in read for rule in _rules(document))
        if len(rules) > MAX_RULES:
            raise PolicyTooLarge(document="the set", size=len(rules), limit=MAX_RULES)
        text = "\n".join(document.text for document in read)
        try:
            return cls(cedarpy.PolicySet.from_str(text, release_gil=True), rules)
        except ValueError as error:  # each document is right, together they are not
            raise PolicyInvalid(document="the set", line=1, column=1, detail=str(error)) from error

    def decide(self, request: Request) -> Decision:
        """Whether *request* is allowed. Never raises: what goes wrong denies, and is told."""
        import cedarpy

        try:
            answer = cedarpy.is_authorized(request.to_cedar(), self._parsed, request.entities())
        except (ValueError, TypeError, UnicodeError) as error:
            return Decision(False, (), (str(error)[:500],))
        failed, errors = self._failures(answer.diagnostics.errors)
        if answer.decision is cedarpy.Decision.NoDecision:
            return Decision(False, (), errors)
        reasons = tuple(self.rules[_number(told)].name for told in sorted(answer.diagnostics.reasons, key=_number))
        broken = tuple(rule.name for rule in failed if rule.effect == "forbid")
        if answer.allowed and broken:
            return Decision(False, broken, errors)
        return Decision(answer.allowed, reasons, errors)

    def _failures(self, told: list[str]) -> tuple[list[Rule], tuple[str, ...]]:
        failed, errors = [], []
        for text in told:
            found = re.search(r"`policy(\d+)`: ?(.*)", text, re.DOTALL)
            if found is None:
                errors.append(text[:500])
                continue
            rule = self.rules[int(found[1])]
            failed.append(rule)
            errors.append(f"rule {rule.name}: {found[2][:300]}")
        return failed, tuple(errors)


def _read(name: str, text: str) -> Document:
    """The document, once every rule of it is right."""
    import cedarpy

    document = cut(name, text)
    seen: set[str] = set()
    for statement in document.statements:
        _check_form(document, statement)
        if statement.name and statement.name in seen:
            raise document.wrong(statement.start, f'@id("{statement.name}") is there twice', "Rename one of them.")
        seen.add(statement.name)
    result = cedarpy.validate_policies(text, _schema(), release_gil=True)
    for error in result.errors:
        number = _number(error.policy_id) if error.policy_id else 0
        statement = document.statements[number]
        detail = re.sub(r"^for policy `policy\d+`, ", "", error.error)
        raise document.wrong(
            find_quoted(document, statement, detail), detail, "`xos-policy schema` shows what rules may speak of."
        )
    return document


def _check_form(document: Document, statement: Statement) -> None:
    text = document.text[statement.start : statement.end]
    complaint = _complaint(text)
    if not complaint:
        return
    if "unexpected" in complaint or "invalid token" in complaint:
        at = find_mistake(document, statement, _complaint)
    else:
        at = find_quoted(document, statement, complaint)
    raise document.wrong(at, complaint)


def _complaint(text: str) -> str:
    import cedarpy

    try:
        cedarpy.PolicySet.from_str(text)
    except ValueError as error:
        return str(error)[:300]
    return ""


def _rules(document: Document) -> list[Rule]:
    rules = []
    for statement in document.statements:
        line, _ = document.place(statement.start)
        name = f"{document.name}/{statement.name or f'line {line}'}"
        rules.append(Rule(name, statement.effect, document.name, line))
    return rules


def _number(policy_id: str) -> int:
    """Cedar numbers the rules of a text from 0: ``policy7``."""
    return int(policy_id.removeprefix("policy"))


def _listed(names: tuple[str, ...]) -> str:
    if len(names) > 3:
        return f"rules {', '.join(names[:3])} and {len(names) - 3} more"
    return ("rule " if len(names) == 1 else "rules ") + ", ".join(names)


@functools.cache
def _schema() -> cedarpy.Schema:
    import cedarpy

    return cedarpy.Schema.from_str(schema_text())
