# SPDX-License-Identifier: BSD-3-Clause
"""What may stand in the fields of VOs and users, and how changes are made from them. Pure."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from xos.vom.api import VO, User, UserChange, UserState
from xos.vom.errors import BadRequest, ChangedMeanwhile, UnsupportedByVO
from xos.vom.names import check_label, check_labels, check_name

MOST_LISTED = 1000
MOST_LABELS = 100
"""Groups, roles, capabilities and attributes of one user: all may stand in each of their certificates."""
LONGEST_LINE = 1000
"""Characters of a description or reason."""
LONGEST_NAME = 200
LONGEST_EMAIL = 254
"""RFC 5321, 4.5.3.1.3."""
T = TypeVar("T", bound=msgspec.Struct)


def check_line(what: str, text: str, longest: int = LONGEST_LINE) -> str:
    """*text*, if it is one line of printable characters; else raises `BadRequest`."""
    if len(text) > longest or not text.isprintable():
        raise BadRequest(what=what, detail=f"one line of at most {longest} characters")
    return text


def check_email(email: str) -> str:
    """*email*, if it could be an address; else raises `BadRequest`."""
    check_line("e-mail address", email, LONGEST_EMAIL)
    name, at, host = email.rpartition("@")
    if email and not (name and at and host and " " not in email):
        raise BadRequest(what="e-mail address", detail="NAME@HOST")
    return email


def check_limit(limit: int) -> int:
    """How many to list at most. Raises `BadRequest`."""
    if limit < 1:
        raise BadRequest(what="limit", detail="at least 1")
    return min(limit, MOST_LISTED)


def check_version(what: str, given: int, version: int) -> None:
    """Raise `ChangedMeanwhile` when a change was made from another version than the present one (0: from any)."""
    if given not in (0, version):
        raise ChangedMeanwhile(what=what, version=version, given=given)


def changed(value: T, change: msgspec.Struct) -> T:
    """*value* with what *change* says; its None leave a thing as it is."""
    said = {name: new for name, new in msgspec.structs.asdict(change).items() if new is not None}
    return msgspec.structs.replace(value, **said)


def told(change: msgspec.Struct) -> str:
    """What *change* says, as text for the trail of acts."""
    said = {name: new for name, new in msgspec.structs.asdict(change).items() if new is not None}
    return msgspec.json.encode(said).decode()


def new_user(vo: str, name: str, group: str, groups: tuple[str, ...], roles: tuple[str, ...], now: float) -> User:
    """A user to be added, checked. Raises `BadName`."""
    check_label("group", group)
    return User(
        vo,
        check_name("user", name),
        group,
        tuple(other for other in check_labels("groups", groups, most=MOST_LABELS) if other != group),
        check_labels("roles", roles, most=MOST_LABELS),
        UserState.ACTIVE,
        now,
    )


def checked_change(change: UserChange) -> UserChange:
    """*change*, if it can be right for any user; else raises `BadName`, `BadRequest`."""
    if change.group is not None:
        check_label("group", change.group)
    for what in ("groups", "roles", "capabilities"):
        check_labels(what, getattr(change, what) or (), most=MOST_LABELS)
    check_labels("attributes", tuple(name for name, _ in change.attributes or ()), most=MOST_LABELS)
    for name, value in change.attributes or ():
        check_line(f"attribute {name}", value)
    check_line("full name", change.full_name or "", LONGEST_NAME)
    check_email(change.email or "")
    if change.expires is not None and not 0 <= change.expires < 1 << 40:  # NaN too
        raise BadRequest(what="expires", detail="Unix seconds, or 0 for never")
    return change


def normal(user: User) -> User:
    """*user* with each name once and in order."""
    return msgspec.structs.replace(
        user,
        groups=tuple(sorted(set(user.groups) - {user.group})),
        roles=tuple(sorted(set(user.roles))),
        capabilities=tuple(sorted(set(user.capabilities))),
        attributes=tuple(sorted(dict(user.attributes).items())),
    )


def check_supported(wanted: User, there: User, home: VO) -> None:
    """Raise `UnsupportedByVO` for an attribute or capability that is new and that the VO does not support."""
    for what, option, names, had, supported in (
        ("capability", "capabilities", set(wanted.capabilities), set(there.capabilities), home.capabilities),
        ("attribute", "attributes", set(dict(wanted.attributes)), set(dict(there.attributes)), home.attributes),
    ):
        for name in sorted(names - had):
            if name not in supported:
                raise UnsupportedByVO(vo=home.name, what=what, name=name, option=option)


def difference(wanted: User, there: User) -> str:
    """What of groups and roles differs; empty: nothing."""
    if wanted.group != there.group or set(wanted.groups) != set(there.groups):
        return "set of groups"
    return "set of roles" if set(wanted.roles) != set(there.roles) else ""


def loses(there: User, wanted: User) -> bool:
    """Whether a certificate for *there* may say more than one for *wanted* would."""
    before = {there.group, *there.groups}
    return (
        not before <= {wanted.group, *wanted.groups}
        or not set(there.roles) <= set(wanted.roles)
        or not set(there.capabilities) <= set(wanted.capabilities)
        or (wanted.expires > 0 and (there.expires == 0 or wanted.expires < there.expires))
    )
