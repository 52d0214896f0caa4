# SPDX-License-Identifier: BSD-3-Clause
"""``/etc/xos/node.toml``: which VOs this node serves, with which numbers, and how.

[vos.demo]
trust = "/var/lib/xos/resource/trust"       # ca.pem, crl.der, as the node's daemon keeps them
uids = [1900000000, 1900099999]
gids = [1900100000, 1900109999]
"""

from __future__ import annotations

import itertools
import pwd
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from xos.common.attributes import check_name
from xos.common.config import ConfigError, load
from xos.common.errors import BadCertificate
from xos.node.allowance import Allowance, merged, of_groups, wrong_limits

LOWEST_ID = 60_000
"""Below are the accounts of the machine itself (Debian Policy 9.2.2)."""
NOT_OURS = (65_534, 65_535)
"""nobody, and -1 in sixteen bits."""
FIRST_USUAL = 1_900_000_000
"""Between what systemd and subuid(5) give out and 2**31: nobody else's by convention (systemd's UIDS-GIDS.md)."""
Id = Annotated[int, msgspec.Meta(ge=LOWEST_ID, le=2**31 - 2)]


class Range(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Numbers from *first* to *last*."""

    first: Id
    last: Id

    @property
    def size(self) -> int:
        """How many."""
        return self.last - self.first + 1

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last


class Vo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[vos.NAME]``."""

    trust: Path
    """Directory with ``ca.pem`` and ``crl.der``; read again when it changes."""
    uids: Range
    gids: Range
    accounts: Literal["user", "pool", "group"] = "user"
    """``user``: one for each user, kept; ``pool``: the same, retired when idle; ``group``: one for each group."""
    pool_idle_hours: Annotated[float, msgspec.Meta(gt=0)] = 24.0
    suffix: str = ""
    """What account names end with after a dot; empty: the VO's name."""
    home: Path | None = None
    shell: str = ""
    roles: dict[str, str] = {}
    """Groups that roles stand for here: ``VOAdmin = "admins"`` puts those who have it into ``admins.demo``."""
    limits: dict[str, str] = {}
    slice: dict[str, str] = {}


class NodeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file."""

    vos: dict[str, Vo] = {}
    overrides: dict[str, str] = {}
    """Identities that have an account of this machine's own: ``"carol@demo" = "carol"``."""
    home: Path = Path("/var/lib/xos/home")
    """Homes are in it, one directory for each account."""
    shell: str = "/bin/bash"
    enumerate: bool = False
    """Whether getpwent(3) lists VO accounts."""
    scan_hours: Annotated[float, msgspec.Meta(gt=0)] = 24.0
    """How often it is looked whether retired accounts still own something."""
    policy: Path = Path("/etc/xos/node-policy.cedar")
    without_certificate: tuple[str, ...] = ("systemd-user", "su", "su-l", "runuser", "runuser-l", "sudo", "sudo-i")
    """PAM services in which the machine itself vouches for an account that it has already: root became it."""
    limits: dict[str, str] = {}
    """Of each session: ``nofile = "1024:4096"``; see `xos.node.allowance`, also for what VOs and groups have."""
    slice: dict[str, str] = {}
    """Of each user's slice, in which all their sessions are: ``MemoryMax = "4G"``."""
    groups: dict[str, Allowance] = {}
    """``[groups."demo/guests"]``: ``limits`` and ``slice`` of those who are in a group of a VO."""
    log_level: str = "info"

    def suffix(self, vo: str) -> str:
        """What account names of *vo* end with."""
        return self.vos[vo].suffix or vo

    def allowance(self, vo: str, groups: Iterable[str]) -> Allowance:
        """What a session of somebody of *vo* who is in *groups* may take."""
        said = [Allowance(limits=self.limits, slice=self.slice)]
        if vo in self.vos:
            said.append(Allowance(limits=self.vos[vo].limits, slice=self.vos[vo].slice))
        return merged([*said, *of_groups(self.groups, vo, groups)])


def load_node(path: Path) -> NodeConfig:
    """The configuration in *path*, checked. Raises `ConfigMissing`, `ConfigError`."""
    config = load(path, NodeConfig)
    for key, detail, advice in problems(config):
        raise ConfigError(file=str(path), line=0, key=key, detail=detail, advice=advice)
    return config


def problems(config: NodeConfig) -> list[tuple[str, str, str]]:
    """What is wrong beyond its form: key, what, what to do."""
    return [*_wrong_names(config), *_wrong_ranges(config), *_wrong_overrides(config), *_wrong_allowances(config)]


def _wrong_allowances(config: NodeConfig) -> list[tuple[str, str, str]]:
    found = list(wrong_limits("", Allowance(limits=config.limits, slice=config.slice)))
    for vo, each in config.vos.items():
        found += wrong_limits(f"vos.{vo}.", Allowance(limits=each.limits, slice=each.slice))
        found += _wrong_roles(vo, each)
    for name, allowance in config.groups.items():
        vo, slash, group = name.partition("/")
        key = f'groups."{name}"'
        if vo not in config.vos or not slash or not group:
            found.append((key, "it is no group of a VO that is served", "Write VO/GROUP, the VO one of [vos]."))
        found += wrong_limits(f"{key}.", allowance)
    return found


def _wrong_roles(vo: str, served: Vo) -> list[tuple[str, str, str]]:
    found = []
    for role, group in served.roles.items():
        try:
            check_name(group, "group")
        except BadCertificate as error:
            detail = str(error.data.get("detail"))
            found.append((f"vos.{vo}.roles.{role}", detail, 'Name a group, without the VO: "admins".'))
    if served.roles and served.accounts == "group":
        detail = "an account that a group shares has no roles"
        found.append((f"vos.{vo}.roles", detail, 'Take accounts = "user" or "pool".'))
    return found


def _wrong_names(config: NodeConfig) -> list[tuple[str, str, str]]:
    found = []
    for vo in config.vos:
        for text, key in ((vo, f"vos.{vo}"), (config.suffix(vo), f"vos.{vo}.suffix")):
            try:
                check_name(text, "name")
            except BadCertificate as error:
                found.append((key, str(error.data.get("detail")), "Names are like demo, or atlas.cern."))
    suffixes = {vo: config.suffix(vo) for vo in config.vos}
    for one, other in itertools.permutations(suffixes, 2):
        if suffixes[one] == suffixes[other] or suffixes[one].endswith(f".{suffixes[other]}"):
            detail = f"names ending in .{suffixes[one]} could be of VO {other} too"
            found.append((f"vos.{one}.suffix", detail, 'Give one of them another ending: suffix = "…".'))
    return found


def _wrong_ranges(config: NodeConfig) -> list[tuple[str, str, str]]:
    found = []
    ranges = [(f"vos.{vo}.{kind}", each) for vo, set_ in config.vos.items() for kind, each in _ranges(set_)]
    for key, each in ranges:
        if each.first > each.last:
            found.append((key, f"{each.first} is more than {each.last}", "Write [FIRST, LAST]."))
        if any(number in each for number in NOT_OURS):
            found.append((key, f"{NOT_OURS[0]} and {NOT_OURS[1]} are nobody", "Take other numbers."))
    for (key, one), (other_key, other) in itertools.combinations(ranges, 2):
        if one.first <= other.last and other.first <= one.last:
            found.append((key, f"overlaps with {other_key}", "Every range needs numbers of its own."))
    return found


def _ranges(vo: Vo) -> tuple[tuple[str, Range], tuple[str, Range]]:
    return ("uids", vo.uids), ("gids", vo.gids)


def _wrong_overrides(config: NodeConfig) -> list[tuple[str, str, str]]:
    found = []
    for identity, name in config.overrides.items():
        key = f'overrides."{identity}"'
        vo = identity.partition("@")[2]
        if vo not in config.vos:
            found.append((key, f"VO {vo!r} is not served", "Write USER@VO, the VO one of [vos]."))
            continue
        try:
            entry = pwd.getpwnam(name)
        except (KeyError, ValueError):
            found.append((key, f"this machine has no user {name!r}", "Name one of /etc/passwd."))
            continue
        if entry.pw_uid < 1000:
            found.append((key, f"{name} is an account of the system", "Name an ordinary user; never root."))
        if any(entry.pw_uid in each.uids for each in config.vos.values()):
            found.append((key, f"{name} is itself a VO account", "Name one of /etc/passwd."))
    return found
