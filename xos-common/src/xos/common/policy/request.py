# SPDX-License-Identifier: BSD-3-Clause
"""What is asked of a policy: typed here, entities and context of Cedar there (`xtreemos.cedarschema`)."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from xos.common.identity import Identity

_LARGEST = 2**63 - 1


class Action(enum.StrEnum):
    """What somebody wants to do. The text is the id of the Cedar action."""

    RUN_JOB = "runJob"
    RESERVE = "reserve"
    LOGIN = "login"
    MANAGE_POLICIES = "managePolicies"


_USES = frozenset({Action.RUN_JOB, Action.RESERVE, Action.LOGIN})
"""Those in the action group ``use``."""


class Time(msgspec.Struct, array_like=True, frozen=True):
    """When: for rules about hours and days, in UTC."""

    hour: int = 0
    minute: int = 0
    weekday: int = 1
    """1 is Monday."""
    unix: int = 0
    """Seconds."""

    @classmethod
    def at(cls, unix: float) -> Time:
        """The moment *unix* (seconds)."""
        when = datetime.datetime.fromtimestamp(unix, datetime.UTC)
        return cls(when.hour, when.minute, when.isoweekday(), int(unix))


class Used(msgspec.Struct, array_like=True, frozen=True):
    """What was used since the first of the month (UTC)."""

    jobs: int = 0
    """Job units that ended or run."""
    running: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


class NodeAttributes(msgspec.Struct, array_like=True, frozen=True):
    """A machine as policies see it; empty and 0 stand for what is not known."""

    name: str
    architecture: str = ""
    operating_system: str = ""
    site: str = ""
    flavour: str = ""
    cores: int = 0
    memory: int = 0
    """Bytes."""


class VoAttributes(msgspec.Struct, array_like=True, frozen=True):
    """A VO as the thing acted on."""

    name: str


class JobContext(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Of `Action.RUN_JOB` and `Action.RESERVE`."""

    name: str = ""
    executable: str = ""
    units: int = 1
    cores: int = 1
    """Of each unit."""
    memory: int = 0
    """Bytes of each unit; 0 is any."""
    wall_time: float = 0.0
    """Seconds; 0 is without end."""
    input_bytes: int = 0
    time: Time = Time()
    used: Used = Used()
    used_by_group: Used = Used()
    used_by_vo: Used = Used()
    quota_exceeded: bool = False


class LoginContext(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Of `Action.LOGIN`."""

    service: str = ""
    remote_host: str = ""
    time: Time = Time()


class AdministrationContext(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Of `Action.MANAGE_POLICIES`."""

    time: Time = Time()


class Request(msgspec.Struct, array_like=True, frozen=True):
    """May *principal* do *action* on *resource*? The context's type must be the action's."""

    principal: Identity
    action: Action
    resource: NodeAttributes | VoAttributes
    context: JobContext | LoginContext | AdministrationContext

    def to_cedar(self) -> dict[str, Any]:
        """The request as cedarpy takes it."""
        kind = "Node" if isinstance(self.resource, NodeAttributes) else "VO"
        return {
            "principal": _uid("User", str(self.principal)),
            "action": _uid("Action", self.action.value),
            "resource": _uid(kind, self.resource.name),
            "context": _encode(_value(self.context)),
        }

    def entities(self) -> str:
        """The entities of the request, with all that they are in, as Cedar's JSON."""
        action = _entity(_uid("Action", self.action.value), {}, [_uid("Action", "use")] if self.action in _USES else [])
        return _encode([action, *_user(self.principal), *_resource(self.resource, self.principal.vo)])


def _user(who: Identity) -> Iterator[dict[str, Any]]:
    groups = list(dict.fromkeys(group for group in (who.group, *who.groups) if group))
    roles = list(dict.fromkeys(who.roles))
    around = list(dict.fromkeys(above for group in groups for above in _path(group)))
    yield _entity(
        _uid("User", str(who)),
        {"name": who.name, "vo": who.vo, "group": who.group, "groups": groups, "roles": roles},
        [
            *(_uid("Group", f"{who.vo}/{group}") for group in groups),
            *(_uid("Role", f"{who.vo}/{role}") for role in roles),
            _uid("VO", who.vo),
        ],
    )
    for group in around:
        parent, _, _ = group.rpartition(".")
        up = _uid("Group", f"{who.vo}/{parent}") if parent else _uid("VO", who.vo)
        yield _entity(_uid("Group", f"{who.vo}/{group}"), {}, [up])
    for role in roles:
        yield _entity(_uid("Role", f"{who.vo}/{role}"), {}, [_uid("VO", who.vo)])
    yield _entity(_uid("VO", who.vo), {}, [])


def _path(group: str) -> Iterator[str]:
    """``a.b.c``: ``a.b.c``, ``a.b``, ``a``."""
    while group:
        yield group
        group = group.rpartition(".")[0]


def _resource(resource: NodeAttributes | VoAttributes, known_vo: str) -> Iterator[dict[str, Any]]:
    if isinstance(resource, NodeAttributes):
        yield _entity(_uid("Node", resource.name), _value(resource), [])
    elif resource.name != known_vo:
        yield _entity(_uid("VO", resource.name), {}, [])


def _entity(uid: dict[str, str], attributes: dict[str, Any], parents: Iterable[dict[str, str]]) -> dict[str, Any]:
    return {"uid": uid, "attrs": attributes, "parents": list(parents)}


def _uid(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "id": name}


def _value(value: Any) -> Any:
    """A struct as a Cedar record (names in Cedar's style), numbers as Longs: 64 bits, whole."""
    if isinstance(value, msgspec.Struct):
        return {_camel(name): _value(field) for name, field in msgspec.structs.asdict(value).items()}
    if isinstance(value, float):
        value = int(max(-1e19, min(value, 1e19)))
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-_LARGEST, min(value, _LARGEST))
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()
