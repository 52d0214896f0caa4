# SPDX-License-Identifier: BSD-3-Clause
"""RCA: gives machines their certificates, against a token or when somebody approves; certifies what they are."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Annotated

import msgspec
import sqlalchemy as sa
from cryptography import x509
from msgspec import Meta

from xos.common import ssh
from xos.common.certificate import CertificateRevoked, check_csr, load_certificate
from xos.common.log import get_logger
from xos.dixi.api import current_call
from xos.dixi.hosting import Hosted
from xos.vom import ledger, resources, vos
from xos.vom.api import RCA, Issued, Joining, JoinToken, Resource, ResourceAttributes, ResourceState
from xos.vom.callers import authorise
from xos.vom.core import VomCore
from xos.vom.errors import (
    BadRequest,
    MachineKnown,
    MachinePending,
    TooManyRequests,
    UnknownMachine,
    UnknownVO,
    Withdrawn,
)
from xos.vom.fields import check_limit, check_version
from xos.vom.ledger import Outcome, Signed, Token
from xos.vom.machines import check_addresses, check_attributes, digest, judge, key_digest, measured, sign_machine
from xos.vom.names import check_name
from xos.vom.policy import Act, require
from xos.vom.records.trail import Note, acting
from xos.vom.resources import Machine
from xos.vom.sharing import VomSettings, release, share, to_the_end

TOKEN_BYTES = 24
"""192 bits: not to be guessed, so tries are not counted."""
JOINED_ROLES = ("resource",)
"""What a machine that joins is; core machines are set up by `xos.vom.founding`."""
MOST_HOST_KEYS = 16

log = get_logger(__name__)


class Settings(VomSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``[services.RCA.settings]``."""

    machine_days: Annotated[float, Meta(gt=0)] = 30.0
    """Lifetime of a machine certificate."""
    max_token_minutes: Annotated[float, Meta(gt=0)] = 7 * 24 * 60.0
    """No token is good for longer; a longer wish is cut."""
    most_pending: Annotated[int, Meta(ge=0)] = 1000
    """Machines that wait for approval; more are refused. 0: machines join by token only."""


class RcaService(Hosted[Settings], RCA):
    """The RCA over a `VomCore`."""

    settings_type = Settings
    core: VomCore

    async def start(self) -> None:
        """Open the core, or join the services that have."""
        self.core = await share(self.host, self.settings)

    async def stop(self) -> None:
        """Leave the core; the last service closes it."""
        await release(self.core)

    # --- by token ---

    async def create_token(
        self, node: str, minutes: float = 60.0, addresses: tuple[str, ...] = (), vo: str = ""
    ) -> JoinToken:
        """See `RCA.create_token`. Raises `Forbidden`, `BadName`, `BadRequest`, `UnknownVO`, `MachineKnown`."""
        caller = await authorise(self.core, Act.CREATE_VO_TOKEN if vo else Act.CREATE_TOKEN, vo)
        check_name("node", node)
        if not minutes > 0:  # NaN too
            raise BadRequest(what="minutes", detail="more than 0")
        certified = check_addresses(addresses)
        secret = secrets.token_urlsafe(TOKEN_BYTES)
        now = self.core.now()
        expires = int(now + 60 * min(minutes, self.settings.max_token_minutes))
        token = Token(digest(secret.encode()), node, certified, str(caller), now, expires, vo=vo)
        noted = acting(now, "join-token-made", vo=vo, target=node, addresses=",".join(certified), expires=expires)

        def write(connection: sa.Connection) -> None:
            if vo:
                _check_joins_for(connection, node, vo)
            ledger.insert_token(connection, token)
            noted(connection)

        await self.core.store.write(write)
        log.info("join-token-made", node=node, vo=vo, expires=expires, by=str(caller))
        return JoinToken(secret, node, expires, digest(self.core.authority.der))

    async def join(self, token: str, node: str, csr: bytes, attributes: ResourceAttributes | None = None) -> Issued:
        """See `RCA.join`. A machine of that name that was there before loses its certificates.

        Raises `UnknownToken`, `TokenExpired`, `TokenUsed`, `TokenForeign`, `BadName`, `BadCsr`, `WeakKey`,
        `CsrForbidden`, `BadRequest`, `UnknownVO`, `MachineKnown`.
        """
        check_name("node", node)
        if attributes is not None:
            check_attributes(attributes)
        checked = check_csr(csr)
        request, key = digest(csr), digest(token.encode())
        core = self.core
        while True:
            now = int(core.now())
            kept = await core.store.read(lambda connection: ledger.find_token(connection, key))
            good = judge(kept, node, request, now)
            if isinstance(good, bytes):
                return self._again(good)
            joined = await to_the_end(self.host, self._join(checked, good, request, now, attributes), name="join")
            if joined is not None:
                return joined
            # Somebody used the token at this very moment: judge again.

    async def _join(
        self,
        csr: x509.CertificateSigningRequest,
        token: Token,
        request: str,
        now: int,
        attributes: ResourceAttributes | None,
    ) -> Issued | None:
        there = await self.core.store.read(lambda connection: resources.find(connection, token.node))
        told = there.resource.attributes if there else ResourceAttributes()
        resource = Resource(
            token.node,
            ResourceState.ACTIVE,
            JOINED_ROLES,
            token.addresses,
            (token.vo,) if token.vo else (),
            told,
            float(now),
            approved_by=token.made_by,
        )
        pinned = there is not None and there.pinned
        machine = measured(Machine(resource, scoped=bool(token.vo), pinned=pinned), attributes)
        issued, signed = await self._sign(csr, machine, now)

        def write(connection: sa.Connection) -> int | None:
            if not ledger.use_token(connection, token.digest, request, issued.certificate, now):
                return None
            revoked = ledger.revoke_machine(connection, token.node, now)
            if token.vo:
                _check_joins_for(connection, token.node, token.vo)
            self._keep(connection, machine, signed)
            resources.leave_vos(connection, token.node)
            if token.vo:
                resources.add_to_vo(connection, token.node, _number(connection, token.vo))
            return revoked

        revoked = await self.core.store.write(write)
        if revoked is None:
            return None
        if revoked:
            await self.core.publish_crl()
        log.info("machine-joined", node=token.node, vo=token.vo, serial=signed.serial, revoked=revoked)
        return issued

    # --- by approval ---

    async def ask(
        self,
        node: str,
        csr: bytes,
        addresses: tuple[str, ...] = (),
        attributes: ResourceAttributes | None = None,
    ) -> Joining:
        """See `RCA.ask`. Whoever asked first keeps the name until they are refused.

        Raises `MachineKnown`, `Withdrawn`, `TooManyRequests`, `BadName`, `BadRequest`, `BadCsr`, `WeakKey`,
        `CsrForbidden`.
        """
        check_name("node", node)
        told = ResourceAttributes() if attributes is None else check_attributes(attributes)
        checked = check_csr(csr)
        key, request, now = key_digest(checked), digest(csr), self.core.now()
        resource = Resource(node, ResourceState.PENDING, JOINED_ROLES, check_addresses(addresses), (), told, now)
        wanted = Machine(resource, asked_key=key)
        machine = await self.core.store.write(lambda connection: self._enter(connection, wanted))
        if machine.asked_key != key:
            raise MachineKnown(node=node, state=machine.resource.state.value)
        if machine.resource.state is ResourceState.WITHDRAWN:
            raise Withdrawn(node=node)
        if machine.resource.state is ResourceState.PENDING:
            return Joining(ResourceState.PENDING)
        if machine.asked_certificate is not None and machine.asked_csr == request:
            return Joining(ResourceState.ACTIVE, self._again(machine.asked_certificate))
        return Joining(ResourceState.ACTIVE, await self._admit(checked, machine, request))

    def _enter(self, connection: sa.Connection, wanted: Machine) -> Machine:
        there = resources.find(connection, wanted.node)
        if there is not None:
            return there
        if resources.count_pending(connection) >= self.settings.most_pending:
            raise TooManyRequests(where="by machines wait for approval", seconds=86400)
        resources.keep(connection, wanted)
        log.info("machine-asks", node=wanted.node, key=wanted.asked_key, address=current_call().address)
        return wanted

    async def _admit(self, csr: x509.CertificateSigningRequest, machine: Machine, request: str) -> Issued:
        """The certificate of a machine that has been approved, whose key asked for it: once."""
        if machine.asked_certificate is not None:
            raise MachineKnown(node=machine.node, state="active, and has its certificate")
        issued, signed = await self._sign(csr, machine, int(self.core.now()))
        kept = msgspec.structs.replace(machine, asked_csr=request, asked_certificate=issued.certificate)

        def write(connection: sa.Connection) -> bool:
            there = resources.find(connection, machine.node)
            if (
                there is None
                or there.asked_certificate is not None
                or there.resource.version != machine.resource.version
            ):
                return False
            self._keep(connection, kept, signed)
            return True

        if not await self.core.store.write(write):
            raise MachinePending(node=machine.node)  # it was changed at this very moment: ask again
        log.info("machine-joined", node=machine.node, serial=signed.serial)
        return issued

    async def approve(self, node: str, fingerprint: str = "") -> Resource:
        """See `RCA.approve`. Raises `UnknownMachine`, `Withdrawn`, `BadRequest`, `BadName`, `Forbidden`."""
        caller = await authorise(self.core, Act.RULE_MACHINES)

        def approved(machine: Machine) -> Machine:
            if fingerprint and fingerprint.lower().replace(":", "") != machine.asked_key:
                raise BadRequest(
                    what="fingerprint", detail=f"{node} asked with the key {machine.asked_key or '(none)'}"
                )
            if machine.resource.state is ResourceState.WITHDRAWN:
                raise Withdrawn(node=node)
            return _with(machine, state=ResourceState.ACTIVE, approved_by=str(caller))

        return await self._change(node, "machine-approved", approved)

    async def withdraw(self, node: str) -> Resource:
        """See `RCA.withdraw`. When it returns, the CRL in force names its certificates.

        Raises `UnknownMachine`, `BadRequest` for a core machine, `BadName`, `Forbidden`.
        """
        await authorise(self.core, Act.RULE_MACHINES)
        check_name("node", node)
        if node == self.host.node:
            raise BadRequest(what="node", detail="the core cannot withdraw itself")
        return await to_the_end(
            self.host, self._withdraw(node, acting(self.core.now(), "machine-withdrawn", target=node)), name="withdraw"
        )

    async def _withdraw(self, node: str, noted: Note) -> Resource:
        now = self.core.now()

        def write(connection: sa.Connection) -> Machine:
            machine = _known(connection, node)
            if machine.resource.state is ResourceState.PENDING:
                resources.forget(connection, node)  # refused: the name is free again
            else:
                resources.withdraw(connection, node, now)
            noted(connection)
            return resources.find(connection, node) or _with(machine, state=ResourceState.WITHDRAWN)

        machine = await self.core.store.write(write)
        await self.core.publish_crl()
        log.info("machine-withdrawn", node=node)
        return machine.resource

    # --- what it is ---

    async def renew(self, csr: bytes, attributes: ResourceAttributes | None = None) -> Issued:
        """See `RCA.renew`.

        Raises `UnknownMachine`, `Withdrawn`, `CertificateRevoked`, `BadCsr`, `WeakKey`, `CsrForbidden`, `BadRequest`.
        """
        caller = current_call().caller
        require(Act.RENEW_MACHINE, caller)
        checked = check_csr(csr)
        if attributes is not None:
            check_attributes(attributes)
        machine = measured(await self._in_grid(caller.name), attributes)
        issued, signed = await self._sign(checked, machine, int(self.core.now()))

        def write(connection: sa.Connection) -> Outcome:
            there = resources.find(connection, caller.name)
            if there is None or there.resource.state is not ResourceState.ACTIVE:
                return Outcome.REVOKED
            outcome = ledger.record_machine(connection, caller.name, signed, caller.serial)
            if outcome is Outcome.RECORDED:
                resources.measured(connection, caller.name, machine.resource.attributes)
                resources.certified(connection, caller.name, signed.not_after)
            return outcome

        outcome = await self.core.store.write(write)
        if outcome is Outcome.REVOKED:
            raise CertificateRevoked(name=str(caller), serial=caller.serial)
        log.info("machine-renewed", node=caller.name, serial=signed.serial, not_after=signed.not_after)
        return issued

    async def myself(self) -> Resource:
        """See `RCA.myself`. Raises `UnknownMachine`, `Withdrawn`."""
        caller = current_call().caller
        require(Act.RENEW_MACHINE, caller)
        return (await self._in_grid(caller.name)).resource

    async def list_resources(
        self, vo: str = "", after: str = "", limit: int = 1000, state: ResourceState | None = None
    ) -> list[Resource]:
        """See `RCA.list_resources`. Raises `UnknownVO`, `BadName`, `BadRequest`, `Forbidden`."""
        await authorise(self.core, Act.LIST_RESOURCES if vo else Act.LIST_MACHINES, vo)
        if after:
            check_name("node", after)
        most = check_limit(limit)

        def read(connection: sa.Connection) -> list[Resource]:
            if vo:
                _number(connection, vo)
            return resources.list_(connection, vo, after, most, state)

        return await self.core.store.read(read)

    async def resource_info(self, node: str) -> Resource:
        """See `RCA.resource_info`: for machines, and for members of a VO that it serves.

        Raises `UnknownMachine`, `BadName`, `Forbidden`.
        """
        caller = await authorise(self.core, Act.SEE_MACHINE)
        check_name("node", node)
        machine = await self.core.store.read(lambda connection: _known(connection, node))
        if machine.scoped and not set(machine.resource.vos) & {caller.vo, *caller.vos}:
            require(Act.LIST_MACHINES, caller)
        return machine.resource

    async def set_attributes(self, node: str, attributes: ResourceAttributes, version: int = 0) -> Resource:
        """See `RCA.set_attributes`. From then on what the machine measures of itself does not count.

        Raises `ChangedMeanwhile`, `UnknownMachine`, `BadName`, `BadRequest`, `Forbidden`.
        """
        await authorise(self.core, Act.RULE_MACHINES)
        check_attributes(attributes)

        def told(machine: Machine) -> Machine:
            check_version(node, version, machine.resource.version)
            return msgspec.structs.replace(_with(machine, attributes=attributes), pinned=True)

        return await self._change(node, "machine-described", told)

    async def add_to_vo(self, node: str, vo: str) -> Resource:
        """See `RCA.add_to_vo`. One that served every VO then serves this one only.

        Raises `UnknownMachine`, `UnknownVO`, `BadName`, `Forbidden`.
        """
        await authorise(self.core, Act.ADD_RESOURCE, vo)
        check_name("node", node)
        noted = acting(self.core.now(), "resource-added", vo=vo, target=node)

        def write(connection: sa.Connection) -> Resource:
            _known(connection, node)
            resources.add_to_vo(connection, node, _number(connection, vo))
            noted(connection)
            return _known(connection, node).resource

        resource = await self.core.store.write(write)
        log.info("resource-added", node=node, vo=vo)
        return resource

    async def remove_from_vo(self, node: str, vo: str) -> Resource:
        """See `RCA.remove_from_vo`. One that has no VO left is withdrawn.

        Raises `UnknownMachine`, `UnknownVO`, `BadName`, `Forbidden`.
        """
        await authorise(self.core, Act.REMOVE_RESOURCE, vo)
        check_name("node", node)
        noted = acting(self.core.now(), "resource-removed", vo=vo, target=node)
        return await to_the_end(self.host, self._remove_from_vo(node, vo, noted), name="remove-from-vo")

    async def _remove_from_vo(self, node: str, vo: str, noted: Note) -> Resource:
        now = self.core.now()

        def write(connection: sa.Connection) -> Resource:
            machine = _known(connection, node)
            if vo in machine.resource.vos:
                resources.remove_from_vo(connection, node, _number(connection, vo), now)
                noted(connection)
            return _known(connection, node).resource

        resource = await self.core.store.write(write)
        if resource.state is ResourceState.WITHDRAWN:
            await self.core.publish_crl()
        log.info("resource-removed", node=node, vo=vo, state=resource.state.value)
        return resource

    async def certify_host_keys(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """See `RCA.certify_host_keys`. Raises `UnknownMachine`, `BadRequest`, `BadCertificate`, `WeakKey`."""
        caller = current_call().caller
        require(Act.RENEW_MACHINE, caller)
        if len(keys) > MOST_HOST_KEYS:
            raise BadRequest(what="keys", detail=f"at most {MOST_HOST_KEYS}")
        core, resource = self.core, (await self._in_grid(caller.name)).resource
        names = (resource.node, *resource.addresses)
        # The serial is that of the machine's own certificate: who takes that back knows which host is meant.
        made = await core.signed(
            lambda ca: tuple(
                ssh.certify_host(ca, key, names, caller.not_after, serial=caller.serial, at=core.now()) for key in keys
            )
        )
        log.info("host-keys-certified", node=resource.node, keys=len(keys), not_after=caller.not_after)
        return made

    # --- shared ---

    async def _in_grid(self, node: str) -> Machine:
        """A machine that is a part of the grid. Raises `UnknownMachine`, `Withdrawn`, `MachinePending`."""
        machine = await self.core.store.read(lambda connection: _known(connection, node))
        if machine.resource.state is ResourceState.WITHDRAWN:
            raise Withdrawn(node=node)
        if machine.resource.state is ResourceState.PENDING:
            raise MachinePending(node=node)
        return machine

    async def _change(self, node: str, act: str, make: Callable[[Machine], Machine]) -> Resource:
        check_name("node", node)
        noted = acting(self.core.now(), act, target=node)

        def write(connection: sa.Connection) -> Resource:
            machine = _known(connection, node)
            wanted = make(machine)
            if wanted != machine:
                resources.keep(connection, wanted)
                noted(connection)
            return _known(connection, node).resource

        resource = await self.core.store.write(write)
        log.info(act, node=node)
        return resource

    def _keep(self, connection: sa.Connection, machine: Machine, signed: Signed) -> None:
        resources.keep(connection, _with(machine, not_after=signed.not_after))
        ledger.record_machine(connection, machine.node, signed, 0)

    async def _sign(self, csr: x509.CertificateSigningRequest, machine: Machine, now: int) -> tuple[Issued, Signed]:
        return await sign_machine(self.core, csr, machine, now, self.settings.machine_days * 86400)

    def _again(self, certificate: bytes) -> Issued:
        """The answer to a call that is repeated."""
        not_after = load_certificate(certificate).not_valid_after_utc
        return Issued(certificate, self.core.authority.der, int(not_after.timestamp()))


def _known(connection: sa.Connection, node: str) -> Machine:
    machine = resources.find(connection, node)
    if machine is None:
        raise UnknownMachine(node=node)
    return machine


def _with(machine: Machine, **changes: object) -> Machine:
    return msgspec.structs.replace(machine, resource=msgspec.structs.replace(machine.resource, **changes))


def _number(connection: sa.Connection, vo: str) -> int:
    number = vos.vo_id(connection, vo)
    if number is None:
        raise UnknownVO(vo=vo)
    return number


def _check_joins_for(connection: sa.Connection, node: str, vo: str) -> None:
    """Raise `MachineKnown` when a VO's token would take over a machine of the grid, or of other VOs."""
    _number(connection, vo)
    there = resources.find(connection, node)
    if there is None or there.resource.state is ResourceState.WITHDRAWN:
        return
    if there.resource.vos != (vo,):
        raise MachineKnown(node=node, state=there.resource.state.value)
