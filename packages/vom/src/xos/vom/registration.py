# SPDX-License-Identifier: BSD-3-Clause
"""Registration: requests for membership, decisions on them, invitations."""

from __future__ import annotations

import secrets
import time
from typing import Annotated

import msgspec
import sqlalchemy as sa
from msgspec import Meta

from xos.common.identity import Kind
from xos.common.log import get_logger
from xos.dixi.api import current_call
from xos.dixi.hosting import Hosted
from xos.vom import accounts, invitations, members, requests, vos
from xos.vom.api import Invitation, MembershipRequest, OpenVO, Registration, RequestState, User
from xos.vom.callers import authorise, authorise_over, caller_member, may_decide_person
from xos.vom.core import VomCore
from xos.vom.errors import (
    BadCredentials,
    BadInvitation,
    BadRequest,
    NameTaken,
    RequestDecided,
    TooManyRequests,
    UnknownRequest,
    UnknownVO,
)
from xos.vom.fields import LONGEST_NAME, MOST_LISTED, check_email, check_limit, check_line, new_user
from xos.vom.members import Member
from xos.vom.names import check_name
from xos.vom.passwords import check_new_password
from xos.vom.policy import Act, require_over
from xos.vom.records.trail import acting
from xos.vom.requests import Kept
from xos.vom.sharing import VomSettings, release, share
from xos.vom.throttle import Limit, Throttle, retry_after_ms

ID_BYTES = 18

log = get_logger(__name__)


class Settings(VomSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of ``[services.Registration.settings]``."""

    request_days: Annotated[float, Meta(gt=0)] = 30.0
    """A request that nobody decides in that time is over."""
    most_pending: Annotated[int, Meta(ge=1)] = 1000
    """Requests that wait in one VO; more are refused."""
    per_address: Annotated[int, Meta(ge=1)] = 20
    """Requests from one address at once, and wrong invitations."""
    per_address_seconds: Annotated[float, Meta(gt=0)] = 60.0
    """After these, one every so many seconds."""


class RegistrationService(Hosted[Settings], Registration):
    """Registration over a `VomCore`."""

    settings_type = Settings
    core: VomCore

    async def start(self) -> None:
        """Open the core, or join the services that have."""
        self.core = await share(self.host, self.settings)
        limit = Limit(self.settings.per_address, self.settings.per_address_seconds)
        self._asked, self._tried = Throttle(limit), Throttle(limit)

    async def stop(self) -> None:
        """Leave the core; the last service closes it."""
        await release(self.core)

    async def open_vos(self) -> list[OpenVO]:
        """See `Registration.open_vos`."""
        return await self.core.store.read(requests.open_vos)

    async def ask(
        self, vo: str, name: str, password: str, full_name: str = "", email: str = "", reason: str = ""
    ) -> MembershipRequest:
        """See `Registration.ask`. A VO that takes no requests is not known here.

        Raises `UnknownVO`, `NameTaken`, `TooManyRequests`, `BadName`, `BadRequest`, `WeakPassword`, `PasswordsBusy`.
        """
        check_name("VO", vo)
        check_name("user", name)
        check_line("full name", full_name, LONGEST_NAME)
        check_email(email)
        check_line("reason", reason)
        context = current_call()
        person = await caller_member(self.core, Act.SEE_USER) if context.caller.kind is Kind.USER else None
        if person is None:
            check_new_password(password, name)
        await self._admit(vo, context.address)
        now = self.core.now()
        request = MembershipRequest(
            secrets.token_urlsafe(ID_BYTES),
            vo,
            name,
            full_name or (person.user.full_name if person else ""),
            email or (person.user.email if person else ""),
            reason,
            created=now,
            expires=now + self.settings.request_days * 86400,
            by=str(context.caller) if person else "",
            address=context.address[:64],
        )
        hashed = "" if person else await self.core.passwords.hash(password)
        kept = Kept(request, hashed, None if person is None else person.account)
        there = await self.core.store.write(lambda connection: self._enter(connection, kept))
        if there.request.id != request.id:
            await self._check_same(there, kept, password)
        else:
            log.info("membership-asked", vo=vo, user=name, address=request.address, by=request.by)
        return there.request

    async def _admit(self, vo: str, address: str) -> None:
        """Raise `UnknownVO` or `TooManyRequests`."""
        if vo not in {one.name for one in await self.open_vos()}:
            raise UnknownVO(vo=vo)
        _charge(self._asked, address)

    def _enter(self, connection: sa.Connection, kept: Kept) -> Kept:
        """The request that waits for that name: *kept*, or the one that was there."""
        request = kept.request
        number = vos.vo_id(connection, request.vo)
        if number is None:
            raise UnknownVO(vo=request.vo)
        requests.expire(connection, request.created)
        there = requests.pending_of(connection, number, request.name)
        if there is not None:
            return there
        member = members.find_member(connection, request.vo, request.name)
        known = kept.account is not None and accounts.name_in(connection, request.vo, kept.account)
        if member is not None or known:
            raise NameTaken(name=known or request.name, vo=request.vo)
        if requests.count_pending(connection, number) >= self.settings.most_pending:
            raise TooManyRequests(where=f"wait in VO {request.vo}", seconds=86400)
        requests.insert(connection, number, kept)
        return kept

    async def _check_same(self, there: Kept, asked: Kept, password: str) -> None:
        """Pass when the request that waits is this one, repeated; only who knows its password is told its id."""
        if asked.account is not None or there.account is not None:
            same = asked.account == there.account
        else:
            same = await self.core.passwords.matches(there.password, password)
        if not same:
            raise NameTaken(name=asked.request.name, vo=asked.request.vo)

    async def status(self, request: str) -> MembershipRequest:
        """See `Registration.status`. Raises `UnknownRequest`."""
        _check_id(request)
        now = self.core.now()
        kept = await self.core.store.read(lambda connection: requests.find(connection, request))
        if kept is None:
            raise UnknownRequest
        return _as_of(kept.request, now)

    async def list_requests(
        self, vo: str, state: RequestState | None = RequestState.PENDING, after: str = "", limit: int = MOST_LISTED
    ) -> list[MembershipRequest]:
        """See `Registration.list_requests`. Raises `UnknownVO`, `BadRequest`, `Forbidden`."""
        await authorise(self.core, Act.DECIDE_REQUESTS, vo)
        if after:
            _check_id(after)
        most = check_limit(limit)
        now = self.core.now()

        def write(connection: sa.Connection) -> list[MembershipRequest]:
            if vos.vo_id(connection, vo) is None:
                raise UnknownVO(vo=vo)
            requests.expire(connection, now)
            return requests.list_(connection, vo, state, after, most)

        return await self.core.store.write(write)

    async def _asker(self, vo: str, request: str) -> str:
        """The user name that was asked for, which the trail shall tell. Raises `UnknownRequest`."""
        return _of_vo(await self.core.store.read(lambda c: requests.find(c, request)), vo).request.name

    async def approve(
        self,
        vo: str,
        request: str,
        group: str = "users",
        groups: tuple[str, ...] = (),
        roles: tuple[str, ...] = (),
    ) -> User:
        """See `Registration.approve`. Raises `UnknownRequest`, `RequestDecided`, `NameTaken`, `Forbidden`."""
        caller = await authorise(self.core, Act.DECIDE_REQUESTS, vo)
        require_over(roles, caller, vo)
        _check_id(request)
        now = self.core.now()
        name = await self._asker(vo, request)
        noted = acting(
            now, "membership-approved", vo=vo, target=name, request=request, group=group, roles=",".join(roles)
        )

        def write(connection: sa.Connection) -> Member:
            kept = _of_vo(requests.find(connection, request), vo)
            asked = _as_of(kept.request, now)
            member = members.find_member(connection, vo, asked.name)
            if asked.state is RequestState.APPROVED and member is not None:
                return member  # a repetition
            if asked.state is not RequestState.PENDING:
                raise RequestDecided(name=asked.name, state=asked.state.value)
            if member is not None:
                raise NameTaken(name=asked.name, vo=vo)
            user = msgspec.structs.replace(
                new_user(vo, asked.name, group, groups, roles, now), full_name=asked.full_name, email=asked.email
            )
            if asked.by and kept.account is None:
                raise RequestDecided(name=asked.name, state="void: who asked is no member of any VO")
            members.insert_member(connection, user, kept.password, kept.account)
            requests.decide(connection, request, RequestState.APPROVED, now=now, by=str(caller))
            noted(connection)
            made = members.find_member(connection, vo, asked.name)
            if made is None:
                raise UnknownVO(vo=vo)
            return made

        member = await self.core.store.write(write)
        log.info("membership-approved", vo=vo, user=member.user.name, by=str(caller))
        return member.user

    async def refuse(self, vo: str, request: str, answer: str = "") -> MembershipRequest:
        """See `Registration.refuse`. Raises `UnknownRequest`, `RequestDecided`, `BadRequest`, `Forbidden`."""
        caller = await authorise(self.core, Act.DECIDE_REQUESTS, vo)
        _check_id(request)
        check_line("answer", answer)
        now = self.core.now()
        name = await self._asker(vo, request)
        noted = acting(now, "membership-refused", vo=vo, target=name, request=request, answer=answer)

        def write(connection: sa.Connection) -> MembershipRequest:
            asked = _as_of(_of_vo(requests.find(connection, request), vo).request, now)
            if asked.state is RequestState.PENDING:
                requests.decide(connection, request, RequestState.REFUSED, now=now, by=str(caller), answer=answer)
                noted(connection)
            elif asked.state is not RequestState.REFUSED:
                raise RequestDecided(name=asked.name, state=asked.state.value)
            return _of_vo(requests.find(connection, request), vo).request

        refused = await self.core.store.write(write)
        log.info("membership-refused", vo=vo, user=refused.name, by=str(caller))
        return refused

    async def invite(self, vo: str, name: str, hours: float = 168.0) -> Invitation:
        """See `Registration.invite`. Raises `UnknownUser`, `BadRequest`, `Forbidden`."""
        caller, member = await authorise_over(self.core, Act.INVITE, vo, name)
        if not 0 < hours <= 24 * 365:  # NaN too
            raise BadRequest(what="hours", detail="more than 0, at most a year")
        alone = await self.core.store.read(lambda connection: accounts.is_in_one_vo(connection, member.account))
        may_decide_person(caller, alone=alone, vo=vo, user=name)
        made, code = invitations.make(vo, name, int(self.core.now() + hours * 3600))
        noted = acting(self.core.now(), "user-invited", vo=vo, target=name)

        def write(connection: sa.Connection) -> None:
            accounts.invite(connection, member.id, code.digest, code.expires)
            noted(connection)

        await self.core.store.write(write)
        log.info("user-invited", vo=vo, user=name, expires=code.expires, by=str(caller))
        return made

    async def accept(self, vo: str, name: str, code: str, password: str) -> None:
        """See `Registration.accept`. Raises `BadInvitation`, `TooManyRequests`, `WeakPassword`, `PasswordsBusy`."""
        check_name("VO", vo)
        check_name("user", name)
        check_new_password(password, name)
        address = current_call().address
        _charge(self._tried, address)
        digest, now = invitations.digest(code), self.core.now()
        member = await self.core.store.read(lambda connection: members.find_member(connection, vo, name))
        hashed = await self.core.passwords.hash(password)  # also for nobody, so that the time tells nothing

        def write(connection: sa.Connection) -> bool:
            if member is None or not accounts.is_invited(connection, member.id, digest, now):
                return False
            accounts.update_password(connection, member.account, hashed)
            accounts.uninvite(connection, member.id)
            return True

        if not await self.core.store.write(write):
            await self._check_repeated(vo, name, member, address, password)
            return
        self._tried.give_back(address)
        log.info("invitation-accepted", vo=vo, user=name, address=address)

    async def _check_repeated(self, vo: str, name: str, member: Member | None, address: str, password: str) -> None:
        """Pass when the password is the user's already, since the call is a repetition; guesses are limited as ever."""
        kept = None if member is None else member.password
        try:
            await self.core.gate.admit(vo=vo, user=name, address=address, kept=kept, password=password)
        except BadCredentials as error:
            raise BadInvitation from error


def _charge(throttle: Throttle, address: str) -> None:
    wait = throttle.charge(address, time.monotonic()) if address else 0.0
    if wait:
        error = TooManyRequests(where=f"from {address}", seconds=round(wait + 0.5))
        error.retry_after_ms = retry_after_ms(wait)
        raise error


def _check_id(request: str) -> None:
    """Raise `UnknownRequest` for what can be no id."""
    if not (0 < len(request) <= 32 and request.isascii() and request.replace("-", "").replace("_", "").isalnum()):
        raise UnknownRequest


def _of_vo(kept: Kept | None, vo: str) -> Kept:
    if kept is None or kept.request.vo != vo:
        raise UnknownRequest
    return kept


def _as_of(request: MembershipRequest, now: float) -> MembershipRequest:
    """*request* as it stands at *now*."""
    if request.state is RequestState.PENDING and request.expires < now:
        return msgspec.structs.replace(request, state=RequestState.EXPIRED)
    return request
