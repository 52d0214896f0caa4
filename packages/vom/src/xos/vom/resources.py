# SPDX-License-Identifier: BSD-3-Clause
"""Machines of the grid in the database: what they are, which VOs they serve, whether they are in at all."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import sqlalchemy as sa

from xos.vom import ledger
from xos.vom.api import Resource, ResourceAttributes, ResourceState
from xos.vom.store import MACHINE_VOS, MACHINES, VOS
from xos.vom.vos import split


class Machine(msgspec.Struct, frozen=True):
    """A machine with what only the services see of it."""

    resource: Resource
    scoped: bool = False
    """It serves its VOs only; else all."""
    pinned: bool = False
    """A person has told its attributes: what it measures of itself does not count."""
    asked_key: str = ""
    asked_csr: str = ""
    asked_certificate: bytes | None = None

    @property
    def node(self) -> str:
        """Its name."""
        return self.resource.node


def find(connection: sa.Connection, node: str) -> Machine | None:
    """The machine of that name."""
    found = _machines(connection, _QUERY.where(MACHINES.c.node == node))
    return found[0] if found else None


def find_several(connection: sa.Connection, nodes: Collection[str]) -> dict[str, Machine]:
    """Those of *nodes* that there are, by name."""
    return {machine.node: machine for machine in _machines(connection, _QUERY.where(MACHINES.c.node.in_(nodes)))}


def list_(connection: sa.Connection, vo: str, after: str, limit: int, state: ResourceState | None) -> list[Resource]:
    """Machines by name, those after *after*: of *vo* (with those that serve all), or all."""
    query = _QUERY.where(MACHINES.c.node > after).order_by(MACHINES.c.node).limit(limit)
    if vo:
        serving = sa.select(MACHINE_VOS.c.node).join_from(MACHINE_VOS, VOS).where(VOS.c.name == vo)
        query = query.where(sa.or_(MACHINES.c.node.in_(serving), sa.not_(MACHINES.c.scoped)))
    if state is not None:
        query = query.where(MACHINES.c.state == state.value)
    return [machine.resource for machine in _machines(connection, query)]


_QUERY = sa.select(MACHINES)


def _machines(connection: sa.Connection, query: sa.Select[tuple[object, ...]]) -> list[Machine]:
    rows = connection.execute(query).mappings().all()
    nodes = query.with_only_columns(MACHINES.c.node).subquery()
    serving: dict[str, list[str]] = {}
    links = (
        sa.select(MACHINE_VOS.c.node, VOS.c.name)
        .join_from(MACHINE_VOS, VOS)
        .where(MACHINE_VOS.c.node.in_(sa.select(nodes.c.node)))
        .order_by(VOS.c.name)
    )
    for node, vo in connection.execute(links):
        serving.setdefault(node, []).append(vo)
    return [_machine(row, tuple(serving.get(row["node"], ()))) for row in rows]


def _machine(row: sa.RowMapping, vos: tuple[str, ...]) -> Machine:
    resource = Resource(
        node=row["node"],
        state=ResourceState(row["state"]),
        roles=split(row["roles"]),
        addresses=split(row["addresses"]),
        vos=vos,
        attributes=ResourceAttributes(row["cores"], row["memory"], row["architecture"], row["site"], row["flavour"]),
        joined=row["joined"],
        not_after=row["not_after"],
        approved_by=row["approved_by"],
        version=row["version"],
    )
    return Machine(
        resource,
        scoped=bool(row["scoped"]),
        pinned=bool(row["pinned"]),
        asked_key=row["asked_key"],
        asked_csr=row["asked_csr"],
        asked_certificate=row["asked_certificate"],
    )


def keep(connection: sa.Connection, machine: Machine) -> None:
    """Enter a machine, or all that is new about it but its VOs; its version grows."""
    resource = machine.resource
    attributes = resource.attributes
    row: dict[str, object] = {
        "roles": ",".join(resource.roles),
        "addresses": ",".join(resource.addresses),
        "state": resource.state.value,
        "cores": attributes.cores,
        "memory": attributes.memory,
        "architecture": attributes.architecture,
        "site": attributes.site,
        "flavour": attributes.flavour,
        "approved_by": resource.approved_by,
        "joined": resource.joined,
        "not_after": resource.not_after,
        "scoped": machine.scoped,
        "pinned": machine.pinned,
        "asked_key": machine.asked_key,
        "asked_csr": machine.asked_csr,
        "asked_certificate": machine.asked_certificate,
    }
    grown = {**row, "version": MACHINES.c.version + 1}
    changed = connection.execute(MACHINES.update().where(MACHINES.c.node == resource.node).values(**grown))
    if changed.rowcount == 0:
        connection.execute(MACHINES.insert().values(node=resource.node, version=1, **row))


def certified(connection: sa.Connection, node: str, not_after: int) -> None:
    """Remember until when the machine's latest certificate is good. Not a change: the version stays."""
    connection.execute(MACHINES.update().where(MACHINES.c.node == node).values(not_after=not_after))


def measured(connection: sa.Connection, node: str, attributes: ResourceAttributes) -> None:
    """Remember what a machine measures of itself."""
    told = msgspec.structs.asdict(attributes)
    change = MACHINES.update().where(MACHINES.c.node == node, sa.not_(MACHINES.c.pinned))
    connection.execute(change.values(**told))


def count_pending(connection: sa.Connection) -> int:
    """How many wait for approval."""
    query = sa.select(sa.func.count()).where(MACHINES.c.state == ResourceState.PENDING.value)
    return int(connection.scalar(query) or 0)


def forget(connection: sa.Connection, node: str) -> None:
    """Forget a machine that never had a certificate."""
    connection.execute(MACHINE_VOS.delete().where(MACHINE_VOS.c.node == node))
    connection.execute(MACHINES.delete().where(MACHINES.c.node == node))


def leave_vos(connection: sa.Connection, node: str) -> None:
    """Let a machine serve every VO."""
    connection.execute(MACHINE_VOS.delete().where(MACHINE_VOS.c.node == node))


def add_to_vo(connection: sa.Connection, node: str, vo_id: int) -> None:
    """Make a machine a resource of one more VO, and of no others than its own."""
    there = sa.select(MACHINE_VOS.c.node).where(MACHINE_VOS.c.node == node, MACHINE_VOS.c.vo_id == vo_id)
    if connection.scalar(there) is None:
        connection.execute(MACHINE_VOS.insert().values(node=node, vo_id=vo_id))
        change = MACHINES.update().where(MACHINES.c.node == node)
        connection.execute(change.values(scoped=True, version=MACHINES.c.version + 1))


def remove_from_vo(connection: sa.Connection, node: str, vo_id: int, now: float) -> bool:
    """Take a machine out of a VO; one that has no VO left is withdrawn from the grid. Whether it was.

    Without that it would serve every VO, since a certificate that names none means all.
    """
    connection.execute(MACHINE_VOS.delete().where(MACHINE_VOS.c.node == node, MACHINE_VOS.c.vo_id == vo_id))
    change = MACHINES.update().where(MACHINES.c.node == node)
    connection.execute(change.values(version=MACHINES.c.version + 1))
    machine = find(connection, node)
    if machine is None or not machine.scoped or machine.resource.vos:
        return False
    withdraw(connection, node, now)
    return True


def withdraw(connection: sa.Connection, node: str, now: float) -> int:
    """Take a machine out of the grid; how many certificates were taken back."""
    change = MACHINES.update().where(MACHINES.c.node == node, MACHINES.c.state != ResourceState.WITHDRAWN.value)
    connection.execute(change.values(state=ResourceState.WITHDRAWN.value, version=MACHINES.c.version + 1))
    return ledger.revoke_machine(connection, node, int(now))
