# SPDX-License-Identifier: BSD-3-Clause
"""The verbs of the socket: who may ask them, what they check, what they answer. The README is their reference."""

from __future__ import annotations

import asyncio
import base64
import binascii
import pwd
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from xos.common.identity import Identity
from xos.common.log import get_logger
from xos.node.accounts import Accounts
from xos.node.allowance import Allowance
from xos.node.api import Account, State
from xos.node.config import NodeConfig
from xos.node.errors import BadMessage, NoCertificate, NotAllowed, TryAgain, UnknownAccount, WrongName
from xos.node.policy import NodePolicy, this_node
from xos.node.promised import Promised
from xos.node.scan import not_looked_at
from xos.node.sessions import MOST, Sessions
from xos.node.trust import Trusts, Verified, prove
from xos.node.withdrawn import Withdrawn

log = get_logger("xos.node.service")

Fields = dict[str, str]
PAGE = 500
"""Accounts in one answer of `list`."""
USER_MANAGER = "systemd-user"
"""The PAM service of ``user@UID.service``, which systemd starts beside somebody's first login: no login itself."""
KEEP_SESSIONS_SECONDS = 90 * 86_400


class Peer(NamedTuple):
    """Who asks, as the kernel says."""

    uid: int
    pid: int


class Service:
    """What xos-amsd does."""

    def __init__(
        self,
        accounts: Accounts,
        sessions: Sessions,
        *,
        helpers: frozenset[int],
        reload: Callable[[], None] | None = None,
        withdrawn: Withdrawn | None = None,
    ) -> None:
        """*helpers*: uids that may ask `authorize`, besides root. *reload* reads the configuration again.

        *withdrawn*: the VOs that are over.
        """
        self._reload, self._withdrawn = reload, withdrawn
        self._accounts, self._sessions = accounts, sessions
        self._promised = Promised(accounts)
        self._helpers = helpers
        self.wanted_scan = asyncio.Event()
        """Set when somebody wants to know now whether retired accounts still own something."""
        self.configure(accounts.config)
        self._verbs: dict[str, tuple[Callable[[Fields], Awaitable[Fields]], Callable[[int], bool]]] = {
            "lookup": (self._lookup, lambda _: True),
            "authorize": (self._authorize, lambda uid: uid == 0 or uid in self._helpers),
            "account": (self._account, _root),
            "open": (self._open, _root),
            "close": (self._close, _root),
            "map": (self._map, _root),
            "list": (self._list, _root),
            "logins": (self._logins, _root),
            "retire": (self._retire, _root),
            "withdraw": (self._withdraw, _root),
            "scan": (self._scan, _root),
            "status": (self._status, _root),
            "reload": (self._read_again, _root),
        }

    def configure(self, config: NodeConfig) -> None:
        """Go by *config* from now on."""
        self._config = config
        self._trusts = Trusts({vo: each.trust for vo, each in config.vos.items()})
        self.policy = NodePolicy(config.policy)

    async def answer(self, ask: Fields, peer: Peer) -> Fields:
        """The answer to a request. Raises `XosError`."""
        op = ask.get("op", "")
        verb, may = self._verbs.get(op, (None, _root))
        if verb is None:
            raise BadMessage(detail=f"there is no op {op[:40]!r}")
        if not may(peer.uid):
            raise NotAllowed(uid=peer.uid, op=op)
        return {"ok": "1", **await verb(ask)}

    # --- names

    async def _lookup(self, ask: Fields) -> Fields:
        accounts = self._accounts
        if "group" in ask or "gid" in ask:
            if "group" in ask:
                group = accounts.group_by_name(ask["group"])
            else:
                gid = _number(ask, "gid")
                group = accounts.group_by_gid(gid) or self._promised.group(gid)
            if group is None:
                raise UnknownAccount(name=ask.get("group", ask.get("gid", ""))[:80])
            return {"kind": "group", "name": group.name, "id": str(group.gid)}
        if "name" in ask:
            account = accounts.by_name(ask["name"])
        else:
            uid = _number(ask, "uid")
            account = accounts.by_uid(uid) or self._promised.by_uid(uid)
        if account is None:
            raise UnknownAccount(name=ask.get("name", ask.get("uid", ""))[:80])
        self._promised.told(account)
        return {"kind": "user", **self._line(account)}

    def _line(self, account: Account) -> Fields:
        """The account as NSS tells it."""
        return {
            "name": account.name,
            "id": str(account.uid),
            "own_group": account.own_group,
            "home": home_of(account, self._config),
            "shell": shell_of(account, self._config),
            "gids": ",".join(map(str, self._accounts.gids(account))),
        }

    # --- logins

    async def _authorize(self, ask: Fields) -> Fields:
        verified = self._verify(ask)
        identity = verified.identity
        remote = ask.get("connection", "").partition(" ")[0]
        self._check_login(identity, "sshd", remote)
        user, uid = _text(ask, "user"), _number(ask, "uid")
        account = await self._account_of(verified, user, uid)
        log.info("login.authorized", vo=identity.vo, user=identity.name, account=user, uid=uid, remote=remote)
        return {"principals": f"{identity.name}@{identity.vo}", "uid": str(account.uid), "name": account.name}

    async def _account(self, ask: Fields) -> Fields:
        account, verified = await self._allowed(ask)
        return {} if verified is None else {**_id(account), "expires": str(verified.identity.not_after)}

    async def _open(self, ask: Fields) -> Fields:
        account, verified = await self._allowed(ask)
        session = secrets.token_hex(16)
        where = (ask.get("service", "")[:64], ask.get("tty", "")[:64], ask.get("rhost", "")[:255])
        if where[0] != USER_MANAGER:
            self._sessions.opened(session, account, *where)
        log.info(
            "session.opened", vo=account.vo, user=account.owner, uid=account.uid, service=where[0], remote=where[2],
            session=session,
        )  # fmt: skip
        answer = {
            **_id(account),
            "home": home_of(account, self._config),
            "shell": shell_of(account, self._config),
            "session": session,
            "env.XOS_VO": account.vo,
            "env.XOS_USER": account.owner,
            **_may_take(self._config.allowance(account.vo, account.groups)),
        }
        if verified is not None:
            answer["env.XOS_USER"] = verified.identity.name
            answer["expires"] = str(verified.identity.not_after)
            answer["keyring"] = base64.b64encode(verified.certificate).decode()
            answer["renews"] = ",".join(place for place, der in _held(ask) if self._trusts.renews(verified, der))
        return answer

    async def _close(self, ask: Fields) -> Fields:
        session = _text(ask, "session")[:64]
        uid = self._sessions.closed(session)
        if uid is not None:
            log.info("session.closed", uid=uid, session=session)
        return {}

    async def forget_sessions(self) -> None:
        """Drop the records of logins that are long past; the journal has them too."""
        self._sessions.forget(int(time.time()) - KEEP_SESSIONS_SECONDS)

    async def _map(self, ask: Fields) -> Fields:
        """The account of whoever signed a job."""
        verified = self._verify(ask)
        if self.policy.is_there:
            from xos.common.policy import Action, JobContext, Request, Time

            told = msgspec.json.decode(ask.get("context", "[]"), type=JobContext) if "context" in ask else JobContext()
            context = msgspec.structs.replace(told, time=Time.at(time.time()))
            self.policy.check(Request(verified.identity, Action.RUN_JOB, this_node(), context))
        override = self._config.overrides.get(str(verified.identity))
        account = await self._account_of(verified, override or self._accounts.wanted(verified.identity)[0], None)
        own = _local(override) if override else None
        home = own.pw_dir if own else home_of(account, self._config)
        return {
            **_id(account),
            "gid": str(own.pw_gid if own else account.uid),
            "home": home,
            "gids": ",".join(map(str, self._accounts.gids(account))),
        }

    async def _allowed(self, ask: Fields) -> tuple[Account, Verified | None]:
        """The account that a session is for; without a certificate only where the machine itself vouches."""
        user, service = _text(ask, "user"), ask.get("service", "")
        if ask.get("certificate"):
            verified = self._verify(ask)
            if "challenge" in ask:
                prove(verified, _text(ask, "challenge"), _bytes(ask, "proof"), user=user)
            self._check_login(verified.identity, service, ask.get("rhost", ""))
            return await self._account_of(verified, user, _number(ask, "uid") if "uid" in ask else None), verified
        account = self._accounts.by_name(user)
        if account is None or account.state is not State.ACTIVE:
            raise UnknownAccount(name=user[:80])
        if service not in self._config.without_certificate:
            raise NoCertificate(name=user[:80])
        return account, None

    def _verify(self, ask: Fields) -> Verified:
        return self._trusts.verify(_bytes(ask, "certificate"))

    def _check_login(self, identity: Identity, service: str, remote: str) -> None:
        if not self.policy.is_there:
            return
        from xos.common.policy import Action, LoginContext, Request, Time

        context = LoginContext(service=service[:64], remote_host=remote[:255], time=Time.at(time.time()))
        self.policy.check(Request(identity, Action.LOGIN, this_node(), context))

    async def _account_of(self, verified: Verified, user: str, uid: int | None) -> Account:
        """The account called *user*, made if need be, once it is the certificate's own."""
        identity = verified.identity
        name, owner, shared = self._accounts.wanted(identity)
        override = self._config.overrides.get(str(identity))
        if user != (override or name):
            raise WrongName(identity=str(identity), wanted=override or name, name=user[:80])
        if override is None:
            return await self._accounts.commit(identity, verified.authority, uid=uid)
        entry = _local(override)
        if uid is not None and uid != entry.pw_uid:
            raise TryAgain(name=override)
        return Account(uid=entry.pw_uid, name=override, vo=identity.vo, owner=owner, shared=shared)

    # --- looking after them

    async def _list(self, ask: Fields) -> Fields:
        after = _number(ask, "after") if "after" in ask else 0
        found = [each for each in self._accounts.all() if each.uid > after]
        page = found[:PAGE]
        answer = {"accounts": msgspec.json.encode([self._told(each) for each in page]).decode()}
        if len(found) > PAGE:
            answer["next"] = str(page[-1].uid)
        return answer

    async def _logins(self, ask: Fields) -> Fields:
        before = _number(ask, "before") if "before" in ask else None
        found = self._sessions.latest(before=before, name=ask.get("name", ""))
        answer = {"logins": msgspec.json.encode(found).decode()}
        if len(found) == MOST:
            answer["next"] = str(found[-1].number)
        return answer

    def _told(self, account: Account) -> Mapping[str, object]:
        return {**msgspec.to_builtins(account), "home": home_of(account, self._config)}

    async def _retire(self, ask: Fields) -> Fields:
        if "vo" in ask:
            names = [each.name for each in self._accounts.all() if each.vo == ask["vo"]]
        else:
            names = _text(ask, "names").split(",")
        gone = await self._accounts.retire(names)
        for account in gone:
            log.info("account.retired", vo=account.vo, user=account.owner, account=account.name, uid=account.uid)
        self.wanted_scan.set()
        return {"accounts": msgspec.json.encode([self._told(each) for each in gone]).decode()}

    async def _withdraw(self, ask: Fields) -> Fields:
        """The VO is over: nobody of it gets in any more, their accounts are retired. Again: nothing happens."""
        vo = _text(ask, "vo")
        served = self._config.vos.get(vo)
        if served is None or self._withdrawn is None:
            return {"accounts": "[]"}
        await asyncio.to_thread(self._withdrawn.add, vo, served.trust)
        await self._read_again({})
        log.info("vo.withdrawn", vo=vo)
        return await self._retire({"vo": vo})

    async def _scan(self, _: Fields) -> Fields:
        self.wanted_scan.set()
        return {"quarantined": str(len(self._accounts.quarantined()))}

    async def _read_again(self, _: Fields) -> Fields:
        if self._reload is not None:
            self._reload()
        return {}

    def _over(self) -> list[str]:
        """VOs that were withdrawn and are served no more: not those whose withdrawal is still under way, nor those that
        were founded anew under the same name."""
        kept = () if self._withdrawn is None else self._withdrawn.vos
        return [vo for vo in kept if vo not in self._config.vos]

    async def _status(self, _: Fields) -> Fields:
        return {
            "vos": ",".join(self._config.vos),
            "active": str(len(self._accounts.active())),
            "quarantined": str(len(self._accounts.quarantined())),
            "not_looked_at": ", ".join(not_looked_at()),
            "withdrawn": ",".join(self._over()),
            "policy": "none" if not self.policy.is_there else self.policy.problem or "in force",
        }


def home_of(account: Account, config: NodeConfig) -> str:
    """The home directory of an account."""
    vo = config.vos.get(account.vo)
    return str((vo.home if vo is not None and vo.home is not None else config.home) / account.name)


def shell_of(account: Account, config: NodeConfig) -> str:
    """Its login shell."""
    vo = config.vos.get(account.vo)
    return vo.shell if vo is not None and vo.shell else config.shell


def _root(uid: int) -> bool:
    return uid == 0


def _id(account: Account) -> Fields:
    return {"uid": str(account.uid), "gid": str(account.uid), "name": account.name}


def _held(ask: Fields) -> Iterator[tuple[str, bytes]]:
    """Credentials that other sessions of the user hold: ``held.PLACE``."""
    return ((name.removeprefix("held."), _bytes(ask, name)) for name in ask if name.startswith("held."))


def _may_take(allowance: Allowance) -> Fields:
    limits = {f"limit.{name}": value for name, value in allowance.limits.items()}
    return {**limits, **{f"slice.{name}": value for name, value in allowance.slice.items()}}


def _local(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError as error:
        raise UnknownAccount(name=name) from error


def _text(ask: Fields, field: str) -> str:
    if field not in ask:
        raise BadMessage(detail=f"the field {field} is missing")
    return ask[field]


def _bytes(ask: Fields, field: str) -> bytes:
    try:
        return base64.b64decode(_text(ask, field), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadMessage(detail=f"{field} is not base64") from error


def _number(ask: Fields, field: str) -> int:
    text = _text(ask, field)
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise BadMessage(detail=f"{field} is not a number")
    return int(text)
