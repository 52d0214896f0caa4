# SPDX-License-Identifier: BSD-3-Clause
"""A VOPS that decides by a set of nodes and signs for real: for tests of those who ask it or believe it."""

from __future__ import annotations

import time

import msgspec

from support.jobs import People
from xos.common.certificate import make_csr, make_key
from xos.common.signing import sign
from xos.common.tls import Credential
from xos.vom.api import RULING_PURPOSE, VOPS_ROLE, Denial, JobAnswer, JobQuestion, Ruling

DENIED = "denied by rule night/day-only"


class SmallVops:
    """Answers as VOPS does."""

    def __init__(self, people: People, *allowed: str) -> None:
        key = make_key()
        certificate = people.authority.issue_machine(make_csr(key, "vops"), "vops", [VOPS_ROLE], [], 3600)
        self.credential = Credential(certificate, key)
        self.trust = people.trust
        self.allowed = set(allowed)
        self.seconds = 600
        self.error: Exception | None = None
        """Raised instead of an answer, as long as it is set."""
        self.asked: list[JobQuestion] = []

    async def decide(self, question: JobQuestion) -> JobAnswer:
        self.asked.append(question)
        if self.error is not None:
            raise self.error
        return self.answer(question)

    def answer(self, question: JobQuestion) -> JobAnswer:
        who = self.trust.identify(question.certificate)
        names = [node.name for node in question.nodes]
        allowed = tuple(name for name in names if name in self.allowed)
        now = int(time.time())
        ruling = Ruling(
            str(who),
            who.vo,
            question.action,
            question.digest,
            msgspec.structs.replace(question.job, quota_exceeded=True),  # what only VOPS knows
            allowed,
            ("members/may-use",),
            now,
            now + self.seconds,
        )
        signed = sign(msgspec.msgpack.encode(ruling), self.credential, purpose=RULING_PURPOSE)
        return JobAnswer(signed, allowed, tuple(Denial(name, DENIED) for name in names if name not in allowed))
