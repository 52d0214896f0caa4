# SPDX-License-Identifier: BSD-3-Clause
"""How sizes, layouts and tables look, and how sizes are read."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from xos.dixi.commands import Painted, Session, clean, table
from xos.xtreemfs.api import Layout, Policy, Replica, Striping, Update
from xos.xtreemfs.tools.errors import BadArgument

_SIZE = re.compile(r"(\d{1,15})(?:([KMGTP])(?:i?B)?)?", re.IGNORECASE)
_UNITS = "KMGTP"


def size(text: str) -> int:
    """Bytes: ``4096``, ``128K``, ``10G`` (of 1,024). Raises `argparse.ArgumentTypeError`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: 4096, 128K, 10G")
    return int(match[1]) << 10 * (_UNITS.index(match[2].upper()) + 1 if match[2] else 0)


def limit(text: str) -> tuple[str, int]:
    """``alice@demo=10G``. Raises `argparse.ArgumentTypeError`."""
    name, equals, count = text.rpartition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no limit: alice@demo=10G")
    return name, size(count)


def mode(text: str) -> int:
    """Permissions in octal. Raises `argparse.ArgumentTypeError`."""
    if not re.fullmatch(r"[0-7]{1,4}", text):
        raise argparse.ArgumentTypeError(f"{text!r} are no permissions: 755")
    return int(text, 8)


def human(count: int) -> str:
    """Bytes with a unit of 1,024, three digits."""
    value, unit = float(count), ""
    for larger in _UNITS:
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f}{unit}" if value >= 10 or not unit else f"{value:.1f}{unit}"


def striping(how: Striping) -> str:
    """``128K x 2``."""
    return f"{human(how.size)} x {how.width}"


def replication(update: Update, count: int) -> str:
    """``wqrq x 3``; a dash without replication."""
    return "-" if update is Update.NONE else f"{update.value} x {count}"


def replica(one: Replica) -> str:
    """Its OSDs."""
    return " ".join(one.osds) + ("" if one.complete else "  (being filled)")


def layout_lines(layout: Layout) -> list[tuple[str, str]]:
    """A file's layout as names and values."""
    lines = [
        ("striping", striping(layout.striping)),
        ("replication", replication(layout.update, len(layout.replicas))),
    ]
    if layout.wish is not None:
        lines.append(("on its way to", replication(layout.wish.update, layout.wish.replicas)))
    for number, one in enumerate(layout.replicas):
        primary = layout.update in (Update.QUORUM, Update.ALL) and number == layout.primary
        lines.append((f"replica {number}", replica(one) + ("  (primary)" if primary else "")))
    return lines


def as_json(session: Session, value: Any) -> None:
    """Print a value as JSON."""
    session.out(msgspec.json.format(msgspec.json.encode(value)).decode())


def named(value: msgspec.Struct) -> dict[str, Any]:
    """A struct with the names of its fields, for JSON: on the wire they are positions."""
    return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return named(value)
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value


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


def fields(session: Session, pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values, a line each."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        session.out(f"{name:<{width}}  {clean(value)}")


def add_policy(made: argparse.ArgumentParser) -> None:
    """The options that say how new files are laid out."""
    made.add_argument("-p", "--striping-policy", choices=("RAID0",), default="RAID0", help="how files are striped")
    made.add_argument("-s", "--size", metavar="BYTES", type=size, help="bytes of an object, such as 128K")
    made.add_argument("-w", "--width", metavar="N", type=int, help="stripe over so many OSDs")
    made.add_argument("-r", "--replicas", metavar="N", type=int, help="copies of each file")
    made.add_argument(
        "-u",
        "--update",
        choices=[update.value for update in Update],
        help="how copies are kept the same: wqrq (a majority writes), wara (all write), ronly (files do not change)",
    )
    made.add_argument("--osd-selection", metavar="NAME,…", help="how OSDs are chosen, such as usable,free-space,random")
    text = "of files that do not change, at most so many copies more, near to where they are read often"
    made.add_argument("--extra", metavar="N", type=int, help=text)


def policy(args: argparse.Namespace, before: Policy) -> Policy:
    """What the options make of *before*. Raises `BadArgument`."""
    try:
        striping = Striping(
            before.striping.size if args.size is None else args.size,
            before.striping.width if args.width is None else args.width,
        )
    except ValueError as error:
        raise BadArgument(option="--size, --width", detail=str(error)) from error
    replicas = before.replicas if args.replicas is None else args.replicas
    update = before.update if args.update is None else Update(args.update)
    if args.update is None and args.replicas is not None:
        # A number alone is enough: a majority that writes survives the loss of the others.
        update = Update.NONE if replicas == 1 else Update.QUORUM if before.update is Update.NONE else before.update
    if update is Update.NONE:
        replicas = replicas if args.replicas is not None else 1
    if not 1 <= replicas <= 32:
        raise BadArgument(option="--replicas", detail=f"{replicas} is not between 1 and 32")
    if not 0 <= (args.extra or 0) <= 31:
        raise BadArgument(option="--extra", detail=f"{args.extra} is not between 0 and 31")
    if update is Update.NONE and replicas > 1:
        raise BadArgument(option="--update", detail=f"{replicas} replicas are kept the same by wqrq, wara or ronly")
    return msgspec.structs.replace(
        before,
        striping=striping,
        update=update,
        replicas=replicas,
        osd_selection=_names(args.osd_selection, before.osd_selection),
        extra=before.extra if args.extra is None else args.extra,
    )


def says_policy(args: argparse.Namespace) -> bool:
    """Whether any of those options was given."""
    given = (args.size, args.width, args.replicas, args.update, args.osd_selection, args.extra)
    return any(one is not None for one in given)


def _names(text: str | None, before: tuple[str, ...]) -> tuple[str, ...]:
    return before if text is None else tuple(name.strip() for name in text.split(",") if name.strip())
