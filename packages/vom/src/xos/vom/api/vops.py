# SPDX-License-Identifier: BSD-3-Clause
"""VOPS: the policies of VOs and the decisions that follow from them, as others see it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from xos.common.identity import Kind
from xos.common.policy.request import Action, JobContext, NodeAttributes, Time, Used
from xos.common.signing import Signed
from xos.dixi.api import call, service

VOPS_ROLE = "vops"
"""In the certificate that signs rulings: issued by the VO CA to VOPS and to nobody else."""
RULING_PURPOSE = "xos-vops-ruling"
"""What the signature on a `Ruling` is for."""


class Policy(msgspec.Struct, array_like=True, frozen=True):
    """A document of rules of a VO, as it is or was."""

    vo: str
    name: str
    text: str
    """Cedar; empty once it is removed."""
    version: int
    """0: built in, never touched; else it grows by one with each change of this document."""
    changed: float = 0.0
    """Unix seconds."""
    changed_by: str = ""
    note: str = ""
    """Why, in the words of who changed it."""
    removed: bool = False
    rules: tuple[str, ...] = ()
    """Names of its rules, ``DOCUMENT/ID``."""


class Problem(msgspec.Struct, array_like=True, frozen=True):
    """What is wrong with a draft."""

    line: int
    column: int
    detail: str
    advice: str = ""


class PolicyCheck(msgspec.Struct, array_like=True, frozen=True):
    """What VOPS thinks of a draft."""

    problems: tuple[Problem, ...] = ()
    """Empty: it may be put into effect."""
    rules: tuple[str, ...] = ()


class JobQuestion(msgspec.Struct, array_like=True, frozen=True):
    """May this user run this job there?"""

    certificate: bytes
    """Of the user, DER; VOPS looks up what the user is now, not what the certificate says."""
    digest: bytes
    """SHA-256 of the signed order's payload: the ruling is good for that order alone."""
    job: JobContext
    """As the order says; time and usage are filled in by VOPS."""
    nodes: tuple[NodeAttributes, ...]
    """Candidates; what the RCA has certified of them counts more than what is told here."""
    action: Action = Action.RUN_JOB
    """Or `Action.RESERVE`."""


class Denial(msgspec.Struct, array_like=True, frozen=True):
    """Why not on one node."""

    node: str
    reason: str
    """``denied by rule night/day-only``."""


class Ruling(msgspec.Struct, array_like=True, frozen=True):
    """A decision of VOPS: msgpack of this is the payload of the `Signed` in a `JobAnswer`."""

    subject: str
    """``alice@demo``."""
    vo: str
    action: Action
    digest: bytes
    job: JobContext
    """What was decided on: a node compares it with the order, and takes the usage from here."""
    nodes: tuple[str, ...]
    """Where it may run; nowhere else."""
    rules: tuple[str, ...] = ()
    """What allows it."""
    issued: int = 0
    """Unix seconds."""
    expires: int = 0
    """Unix seconds; a unit must have been accepted by its node before."""


class JobAnswer(msgspec.Struct, array_like=True, frozen=True):
    """The answer to a `JobQuestion`."""

    ruling: Signed
    """See `Ruling`; verified by `xos.vom.rulings.verify`."""
    nodes: tuple[str, ...]
    """Where it may run, as the ruling says."""
    denied: tuple[Denial, ...] = ()


class PastRequest(msgspec.Struct, array_like=True, frozen=True):
    """A request that was decided, kept so that drafts can be tried on it."""

    number: int
    vo: str
    at: float
    """Unix seconds."""
    subject: str
    action: Action
    node: str
    allowed: bool
    reason: str


class Changed(msgspec.Struct, array_like=True, frozen=True):
    """A past request that a draft would decide otherwise."""

    request: PastRequest
    allowed: bool
    """By the draft."""
    reason: str


class DryRun(msgspec.Struct, array_like=True, frozen=True):
    """What a draft would have changed."""

    tried: int
    allowed: int
    """By the draft."""
    changed: tuple[Changed, ...] = ()
    """The newest first, at most 200."""
    changed_in_all: int = 0


class Verdict(msgspec.Struct, array_like=True, frozen=True):
    """A decision with its reasons, signed by nobody: for people."""

    allowed: bool
    reason: str
    """One line: ``denied by rule quotas/used-up``."""
    rules: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    used: Used = Used()
    time: Time = Time()


@service
class VOPS(Protocol):
    """VO Policy Service: administration, information and decision point for the policies of VOs.

    A VO's rules are those of all its documents together; ``forbid`` wins over ``permit``. Three documents are built in
    and may be replaced or removed: ``members`` (members may use the VO's resources), ``administrators`` (who may change
    policies) and ``quotas`` (a used-up quota forbids jobs).
    """

    @call(reads=True)
    async def policies(self, vo: str) -> list[Policy]:
        """The documents in effect, by name; members may read them."""
        ...

    @call(reads=True)
    async def history(self, vo: str, name: str = "", before: float = 0.0, limit: int = 100) -> list[Policy]:
        """All versions of a document (or of all), the newest first, those changed before *before* (0: now)."""
        ...

    @call(reads=True)
    async def check_policy(self, vo: str, name: str, text: str) -> PolicyCheck:
        """What is wrong with a draft: nothing is changed."""
        ...

    @call(idempotent=True)
    async def put_policy(self, vo: str, name: str, text: str, expected: int, note: str = "") -> Policy:
        """Put a document into effect in place of version *expected* (0: there is none, or the built-in one).

        Raises `PolicyInvalid`, `PolicyConflict` (somebody else was faster), `PolicyLocksOut`.
        """
        ...

    @call(idempotent=True)
    async def remove_policy(self, vo: str, name: str, expected: int, note: str = "") -> Policy:
        """Take a document out of effect; its history stays. Raises as `put_policy`, and `UnknownPolicy`."""
        ...

    @call(reads=True)
    async def dry_run(self, vo: str, name: str, text: str, days: float = 30.0, limit: int = 10000) -> DryRun:
        """Decide the VO's past requests with *text* in place of the document *name* (empty text: without it)."""
        ...

    @call(reads=True)
    async def requests(self, vo: str, before: int = 0, limit: int = 100) -> list[PastRequest]:
        """Past requests, the newest first, those numbered below *before* (0: all)."""
        ...

    @call(reads=True)
    async def explain(self, vo: str, user: str, node: NodeAttributes, job: JobContext) -> Verdict:
        """Whether a member could run such a job there now, and why: oneself, or anybody as administrator."""
        ...

    @call(reads=True)
    async def schema(self) -> str:
        """What rules may speak of, in Cedar's schema language."""
        ...

    @call(reads=True, allow={Kind.MACHINE})
    async def decide_job(self, question: JobQuestion) -> JobAnswer:
        """Decide for each node, and sign the result. Raises what is wrong with the user's certificate."""
        ...
