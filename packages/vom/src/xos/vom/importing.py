# SPDX-License-Identifier: BSD-3-Clause
"""Lists of members as CSV (RFC 4180) or LDIF (RFC 2849): read whole, each bad line named. Pure.

CSV begins with a line of column names, of which ``name`` must be there; several values in a column are separated by
``;``. LDIF entries are told by ``uid``; other attributes (``dn``, ``objectClass``, …) may be there and are not looked
at. Passwords are never in clear: ``password`` is an encoded argon2id hash, in LDIF with ``{ARGON2}`` before it.

=============  ==============================  =========================================
CSV            LDIF
=============  ==============================  =========================================
name           uid                             the user's name in the VO
group          xosPrimaryGroup                 primary group (``users``)
groups         xosGroup                        further groups
roles          xosRole
capabilities   xosCapability
full_name      cn
email          mail
expires        xosExpires                      a date, ``2027-09-30``: the last day
identity       xosIdentity                     ``BACKEND:SUBJECT``, such as ``oidc:1234``
password       userPassword                    ``$argon2id$…``
=============  ==============================  =========================================
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

import msgspec

from xos.vom.api import BadLine, LinkedIdentity, User
from xos.vom.errors import BadImport, BadRequest, VomError
from xos.vom.names import check_name

LARGEST = 8 * 1024 * 1024
"""Bytes of a list."""
MOST_LINES = 20_000
"""Members of one list."""
MOST_NAMED = 8
"""Bad lines that an error names; a dry run tells more."""
MOST_TOLD = 1000
"""Bad lines that a dry run tells."""
_HASH = re.compile(
    r"\$argon2id\$v=19\$m=[0-9]{1,8},t=[0-9]{1,4},p=[0-9]{1,3}\$[A-Za-z0-9+/]{8,88}\$[A-Za-z0-9+/]{16,88}"
)
_FROM_LDIF = {
    "uid": "name",
    "xosprimarygroup": "group",
    "xosgroup": "groups",
    "xosrole": "roles",
    "xoscapability": "capabilities",
    "cn": "full_name",
    "mail": "email",
    "xosexpires": "expires",
    "xosidentity": "identity",
    "userpassword": "password",
}
_COLUMNS = frozenset(_FROM_LDIF.values())
_ONE = frozenset({"name", "group", "full_name", "email", "expires", "password"})
_ARGON2 = "{ARGON2}"

Fields = Mapping[str, tuple[str, ...]]


class Row(msgspec.Struct, frozen=True):
    """One member of a list."""

    line: int
    user: User
    password: str = ""
    """Encoded hash."""
    identities: tuple[LinkedIdentity, ...] = ()


def read(text: str, form: str, make: Callable[[Fields], User]) -> tuple[list[Row], list[BadLine]]:
    """The members in *text*, and what is wrong by line; *make* builds and checks a user. Raises `BadRequest`."""
    reader = _FORMS.get(form)
    if reader is None:
        raise BadRequest(what="form", detail=f"one of {', '.join(sorted(_FORMS))}")
    if len(text.encode("utf-8", "replace")) > LARGEST:
        raise BadRequest(what="list", detail=f"at most {LARGEST} bytes")
    problems: list[BadLine] = []
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for line, fields in _entries(reader(text), problems):
        if len(rows) >= MOST_LINES:
            raise BadRequest(what="list", detail=f"at most {MOST_LINES} members")
        try:
            row = _row(line, fields, make)
        except VomError as error:
            problems.append(BadLine(line, error.message))
            continue
        if row.user.name in seen:
            problems.append(BadLine(line, f"{row.user.name} is in line {seen[row.user.name]} already"))
        seen.setdefault(row.user.name, line)
        rows.append(row)
    if not rows and not problems:
        problems.append(BadLine(1, "there is no member in it"))
    return rows, problems


def refuse(problems: list[BadLine]) -> None:
    """Raise `BadImport`, which names them, if there are any."""
    if problems:
        named = [f"line {one.line}: {one.detail}" for one in sorted(problems, key=lambda one: one.line)[:MOST_NAMED]]
        if len(problems) > MOST_NAMED:
            named.append(f"and {len(problems) - MOST_NAMED} more")
        raise BadImport(count=len(problems), lines="; ".join(named))


def _entries(found: Iterator[tuple[int, Fields | str]], problems: list[BadLine]) -> Iterator[tuple[int, Fields]]:
    for line, fields in found:
        if isinstance(fields, str):
            problems.append(BadLine(line, fields))
        else:
            yield line, fields


def _row(line: int, fields: Fields, make: Callable[[Fields], User]) -> Row:
    for name in _ONE & fields.keys():
        if len(fields[name]) > 1:
            raise BadRequest(what=name, detail="one value only")
    if not fields.get("name"):
        raise BadRequest(what="name", detail="is missing")
    password = "".join(fields.get("password", ())).removeprefix(_ARGON2)
    if password and _HASH.fullmatch(password) is None:
        raise BadRequest(what="password", detail="not an argon2id hash ($argon2id$v=19$…)")
    return Row(line, make(fields), password, tuple(_identity(text) for text in fields.get("identity", ())))


def _identity(text: str) -> LinkedIdentity:
    backend, colon, subject = text.partition(":")
    if not (colon and subject.isprintable() and 0 < len(subject) <= 255):
        raise BadRequest(what="identity", detail="BACKEND:SUBJECT")
    return LinkedIdentity(check_name("backend", backend), subject)


# --- CSV -------------------------------------------------------------------------------------------------------------


def _csv(text: str) -> Iterator[tuple[int, Fields | str]]:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    columns: list[str] = []
    line = 1
    try:
        for cells in reader:
            if not columns:
                columns = [cell.strip() for cell in cells]
                wrong = _check_columns(columns)
                if wrong:
                    yield line, wrong
                    return
            elif cells:
                yield line, _csv_fields(columns, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        yield line, f"not CSV: {error}"


def _check_columns(columns: list[str]) -> str:
    unknown = [column for column in columns if column not in _COLUMNS]
    if unknown:
        return f"no such column: {unknown[0][:40]!r}; there are {', '.join(sorted(_COLUMNS))}"
    if len(set(columns)) != len(columns):
        return "a column twice"
    return "" if "name" in columns else "the first line names the columns, and there is none called name"


def _csv_fields(columns: list[str], cells: list[str]) -> Fields | str:
    if len(cells) != len(columns):
        return f"{len(cells)} columns, not {len(columns)}"
    return {
        column: (cell.strip(),) if column in _ONE else tuple(_values(cell))
        for column, cell in zip(columns, cells, strict=True)
        if cell.strip()
    }


def _values(cell: str) -> Iterable[str]:
    return (value.strip() for value in cell.split(";") if value.strip())


# --- LDIF ------------------------------------------------------------------------------------------------------------


def _ldif(text: str) -> Iterator[tuple[int, Fields | str]]:
    entry: dict[str, list[str]] = {}
    first, wrong = 0, ""
    for line, logical in [*_unfolded(text), (0, "")]:
        if not logical:
            if wrong:
                yield first, wrong
            elif entry:
                yield first, {name: tuple(values) for name, values in entry.items()}
            entry, first, wrong = {}, 0, ""
            continue
        if logical.startswith("#") or (not first and logical.lower().startswith("version:")):
            continue
        first = first or line
        name, value, problem = _attribute(logical)
        wrong = wrong or (problem and f"line {line}: {problem}" if line != first else problem)
        if name == "changetype" and value != "add":
            wrong = wrong or "only entries that add somebody"
        if name in _FROM_LDIF:
            entry.setdefault(_FROM_LDIF[name], []).append(value)


def _unfolded(text: str) -> list[tuple[int, str]]:
    """Logical lines with the number that each begins at (RFC 2849: a line that begins with a blank goes on)."""
    found: list[tuple[int, str]] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if line.startswith(" ") and found and found[-1][1]:
            found[-1] = (found[-1][0], found[-1][1] + line[1:])
        else:
            found.append((number, line.rstrip("\r")))
    return found


def _attribute(line: str) -> tuple[str, str, str]:
    """Name, value, and what is wrong."""
    name, colon, value = line.partition(":")
    name = name.partition(";")[0].strip().lower()
    if not colon or not name:
        return "", "", "neither NAME: VALUE nor empty"
    if value.startswith("<"):
        return "", "", "files and URLs are not read"
    if not value.startswith(":"):
        return name, value.strip(), ""
    try:
        return name, base64.b64decode(value[1:].strip(), validate=True).decode(), ""
    except (binascii.Error, UnicodeDecodeError):
        return "", "", f"the value of {name[:40]} is not base64 of UTF-8"


_FORMS: Mapping[str, Callable[[str], Iterator[tuple[int, Fields | str]]]] = MappingProxyType(
    {"csv": _csv, "ldif": _ldif}
)
