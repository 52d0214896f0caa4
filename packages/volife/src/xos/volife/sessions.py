# SPDX-License-Identifier: BSD-3-Clause
"""Who is signed in. In memory only: the keys that act for people are nowhere else, and are gone with the process."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import secrets
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec

from xos.common.errors import XosError
from xos.common.identity import Identity
from xos.common.tls import Credential, Trust
from xos.volife.errors import SessionOver, TooManySessions
from xos.volife.grid import UserGrid
from xos.vom.api import Login

VISITOR_MINUTES = 20.0
"""How long somebody may take to sign in."""
MOST_VISITORS = 10_000
MOST_OF_ONE = 20
"""Sessions of one user; the oldest makes room."""
TOKEN_BYTES = 32


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """Something to be told on the next page."""

    text: str
    bad: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Elsewhere:
    """Somebody proves to their institution who they are; the CDA asks it what became of that."""

    backend: str
    """Of the CDA."""
    login: Login
    vo: str
    user: str
    then: str
    """Where they want to go afterwards."""


@dataclasses.dataclass(slots=True, eq=False)
class Session:
    """One browser. A visitor until `Sessions.sign_in`, which makes a new one."""

    digest: bytes
    csrf: str
    seen: float
    until: float
    """Unix seconds."""
    person: Person | None = None
    notices: list[Notice] = dataclasses.field(default_factory=list)
    key: ec.EllipticCurvePrivateKey | None = None
    """For a certificate that is being asked for; in memory only."""
    streams: int = 0
    """Live pages open now."""
    elsewhere: Elsewhere | None = None
    """A login at an institution that has begun."""

    def take_notices(self) -> list[Notice]:
        """What is to be told, once."""
        told, self.notices = self.notices, []
        return told


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Who is signed in, and the short certificate by which VOLife acts as them and no one else."""

    credential: Credential
    identity: Identity
    grid: UserGrid
    how: str
    """``password``, ``certificate``, ``oidc``."""


class Sessions:
    """All of them. Tokens are kept as hashes: a look into memory dumps yields no cookie."""

    def __init__(self, trust: Trust, clock: Callable[[], float], *, idle_s: float, longest_s: float, most: int) -> None:
        self._trust, self._clock = trust, clock
        self._idle_s, self._longest_s, self._most = idle_s, longest_s, most
        self._visitors: collections.OrderedDict[bytes, Session] = collections.OrderedDict()
        self._people: dict[bytes, Session] = {}

    @property
    def people(self) -> int:
        """How many are signed in."""
        return len(self._people)

    def visit(self) -> tuple[Session, str]:
        """A session for somebody new, and its token. The visitor longest there makes room."""
        session, token = self._make(self._clock() + VISITOR_MINUTES * 60)
        self._visitors[session.digest] = session
        if len(self._visitors) > MOST_VISITORS:
            self._visitors.popitem(last=False)
        return session, token

    def sign_in(self, before: Session, credential: Credential, grid: UserGrid, how: str) -> tuple[Session, str]:
        """A session under a new token, so that one that somebody planted is worth nothing; *before* ends.

        Raises `TooManySessions`.
        """
        if before.person is None and len(self._people) >= self._most:
            raise TooManySessions
        identity = credential.identity
        session, token = self._make(min(self._clock() + self._longest_s, identity.not_after))
        session.person = Person(credential, identity, grid, how)
        own = [s for s in self._people.values() if s.person is not None and _same(s.person.identity, identity)]
        if len(own) >= MOST_OF_ONE:
            self.end(min(own, key=lambda s: s.seen))
        self._people[session.digest] = session
        self.end(before)
        return session, token

    def find(self, token: str, *, touch: bool = True) -> Session | None:
        """The session of *token*; *touch*: its holder did something.

        Raises `SessionOver`: then it is gone, and the error says why.
        """
        digest = _digest(token)
        session = self._people.get(digest) or self._visitors.get(digest)
        if session is None:
            return None
        now = self._clock()
        if session.person is None:
            if now <= session.until:
                return session
            self.end(session)
            return None
        if detail := self._ended(session, session.person, now):
            self.end(session)
            raise SessionOver(detail=detail)
        if touch:
            session.seen = now
        return session

    def good(self, session: Session) -> bool:
        """Whether a live page of *session* may go on."""
        person = session.person
        return person is not None and session.digest in self._people and not self._ended(session, person, self._clock())

    def _ended(self, session: Session, person: Person, now: float) -> str:
        if now > session.until:
            return "it has reached its full length"
        if now - session.seen > self._idle_s:
            return "nothing was done in it for a while"
        try:
            self._trust.identify(person.credential.certificate)
        except XosError as error:
            return error.message
        return ""

    def end(self, session: Session) -> None:
        """It is over: the key is dropped, connections made with it are closed."""
        self._visitors.pop(session.digest, None)
        self._people.pop(session.digest, None)
        if session.person is not None:
            session.person.grid.close()
        session.key = None

    def sweep(self, loop_time: float) -> None:
        """End what is over, and tend the connections of the others (*loop_time*: of the event loop)."""
        now = self._clock()
        for session in list(self._visitors.values()):
            if now > session.until:
                self.end(session)
        for session in list(self._people.values()):
            if session.person is None or self._ended(session, session.person, now):
                self.end(session)
            else:
                session.person.grid.tend(loop_time)

    def close(self) -> None:
        """End all."""
        for session in [*self._visitors.values(), *self._people.values()]:
            self.end(session)

    def _make(self, until: float) -> tuple[Session, str]:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        return Session(_digest(token), secrets.token_urlsafe(TOKEN_BYTES), self._clock(), until), token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _same(one: Identity, other: Identity) -> bool:
    return (one.vo, one.name) == (other.vo, other.name)
