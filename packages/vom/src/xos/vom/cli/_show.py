# SPDX-License-Identifier: BSD-3-Clause
"""How VOs, users and times look."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from xos.dixi.commands import Colour, Painted, Session, clean, table
from xos.vom.api import User, UserState


def moment(at: float) -> str:
    """A time of day where the user is."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def span(seconds: float) -> str:
    """How long, in the two largest units: ``11 h 59 min``."""
    left = int(abs(seconds))
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for name, size in units:
        count, left = divmod(left, size)
        if count or parts or name == "s":
            parts.append(f"{count} {name}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 ")) or "0 s"


def names(values: Iterable[str]) -> str:
    """Names in a row; a dash when there is none."""
    return ", ".join(values) or "-"


def fields(session: Session, pairs: Iterable[tuple[str, str | Painted]]) -> None:
    """Print names and values, a line each."""
    from xos.dixi.commands import paint

    rows = list(pairs)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        cell = value if isinstance(value, Painted) else Painted(value)
        text = clean(cell.text)
        if cell.colour is not None:
            text = paint(text, cell.colour, wanted=session.colour)
        session.out(f"{name:<{width}}  {text}")


def print_table(
    session: Session,
    headings: Sequence[str],
    rows: Iterable[Sequence[str | Painted]],
    *,
    right: frozenset[int] = frozenset(),
) -> None:
    """Print rows in columns, as wide as the terminal."""

    columns = session.columns if session.is_tty else None
    session.out(table(headings, rows, columns=columns, colour=session.colour, right=right))


def state(user: User) -> Painted:
    """Active or suspended, the latter in red."""
    return Painted(user.state.value, Colour.RED if user.state is UserState.SUSPENDED else None)


def user_pairs(user: User) -> list[tuple[str, str | Painted]]:
    """All of a user."""
    return [
        ("User", user.name),
        ("VO", user.vo),
        ("Group", user.group),
        ("Further groups", names(user.groups)),
        ("Roles", names(user.roles)),
        ("State", state(user)),
        ("Capabilities", names(user.capabilities)),
        ("Attributes", names(f"{name}={value}" for name, value in user.attributes)),
        ("Full name", user.full_name or "-"),
        ("E-mail", user.email or "-"),
        ("Member since", moment(user.created)),
        ("Member until", moment(user.expires) if user.expires else "-"),
    ]


def print_user(session: Session, user: User) -> None:
    """Print a user."""
    if session.json:
        as_json(session, user)
    else:
        fields(session, user_pairs(user))


def as_json(session: Session, value: Any) -> None:
    """Print structs by their field names."""
    session.out(msgspec.json.encode(named(value)).decode())


def named(value: Any) -> Any:
    """Structs as dicts (on the wire they are arrays)."""
    if isinstance(value, msgspec.Struct):
        return {key: named(item) for key, item in msgspec.structs.asdict(value).items()}
    if isinstance(value, list | tuple):
        return [named(item) for item in value]
    if isinstance(value, dict):
        return {key: named(item) for key, item in value.items()}
    return value
