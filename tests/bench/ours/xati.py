# SPDX-License-Identifier: BSD-3-Clause
"""One client of the grid: blocking XATI in a process of its own (run as ``python -m``, inside the enclosure).

Requests: ``{"do": "submit", "count": N}`` submits N trivial jobs one after another, with ``"held": true`` such that
wait for a node that there is not; ``{"do": "cancel"}`` cancels what has not ended; ``{"do": "drain"}`` waits until
the user's jobs have ended; ``{"do": "follow", "count": N}`` submits one job after another and takes the times to
RUNNING and to DONE as they are pushed; ``{"do": "thousand", "count": N}`` submits N and waits for each.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from xos.aem.api import ORDER_PURPOSE, JobOrder, State
from xos.aem.jsdl import JobDescription, to_jsdl
from xos.aem.xati import JobManagerXati
from xos.common.errors import XosError
from xos.common.signing import Signed, sign
from xos.common.tls import Credential
from xos.dixi.blocking import BlockingBus
from xos.dixi.errors import DeadlineExceeded
from xos.dixi.client import load_credential, xos_home

TRIVIAL = to_jsdl(JobDescription(executable="/bin/true"))
HELD = to_jsdl(JobDescription(executable="/bin/true", candidate_hosts=("nowhere",)))
"""Wants a node that there is not."""

PATIENCE = 30.0
"""Seconds in which the next trivial job ends, whatever the machine does."""

Answer = dict[str, Any]


class Client:
    """The user's end."""

    def __init__(self, bus: BlockingBus, credential: Credential) -> None:
        self._jobs = JobManagerXati(bus)
        self._credential = credential
        self._vo = credential.identity.vo

    def _order(self, document: bytes = TRIVIAL) -> Signed:
        """A new trivial job, signed: part of what is measured."""
        order = JobOrder(request_id=uuid.uuid4().hex, vo=self._vo, jsdl=document, submitted=time.time())
        return sign(msgspec.msgpack.encode(order), self._credential, purpose=ORDER_PURPOSE)

    def submit(self, request: Answer) -> Answer:
        """Jobs one after another, each acknowledged before the next."""
        document = HELD if request.get("held") else TRIVIAL
        begin = time.perf_counter()
        for _ in range(request["count"]):
            self._jobs.create_job(self._order(document))
        return {"wall": time.perf_counter() - begin}

    def cancel(self, _: Answer) -> Answer:
        """Cancel everything that has not ended."""
        while waiting := self._jobs.list_jobs(ended=False, limit=1000):
            for job in waiting:
                self._jobs.cancel_job(job.job_id)
        return {}

    def drain(self, _: Answer) -> Answer:
        """Wait for everything that has not ended."""
        while waiting := self._jobs.list_jobs(ended=False, limit=1000):
            for number, job in enumerate(waiting):
                try:
                    self._jobs.wait_job(job.job_id, deadline=PATIENCE)
                except DeadlineExceeded:
                    stuck = self._jobs.job_info(job.job_id)
                    left = len(waiting) - number
                    said = f"after {PATIENCE:.0f} s {left} jobs have not ended; {stuck.job_id} is {stuck.state}"
                    raise RuntimeError(f"{said} ({stuck.reason or 'no reason given'})") from None
        return {}

    def follow(self, request: Answer) -> Answer:
        """Seconds from the submission to RUNNING and to DONE, for each of some jobs."""
        running, done = [], []
        for _ in range(request["count"]):
            begin = time.perf_counter()
            job_id = self._jobs.create_job(self._order())
            seen_running = 0.0
            for job in self._jobs.watch_job(job_id, deadline=PATIENCE):
                now = time.perf_counter() - begin
                if not seen_running and (job.state is State.RUNNING or job.state.ended):
                    seen_running = now
                if job.state.ended:
                    _require_done(job.state, job.reason)
                    running.append(seen_running)
                    done.append(now)
        return {"running": running, "done": done}

    def thousand(self, request: Answer) -> Answer:
        """Many jobs, from the first submission to the end of the last."""
        begin = time.perf_counter()
        ids = [self._jobs.create_job(self._order()) for _ in range(request["count"])]
        for job_id in ids:
            job = self._jobs.wait_job(job_id, deadline=PATIENCE)
            _require_done(job.state, job.reason)
        return {"wall": time.perf_counter() - begin}


def _require_done(state: State, reason: str) -> None:
    if state is not State.DONE:
        raise RuntimeError(f"a job ended as {state}: {reason}")


def main() -> None:
    """Answer requests until the input ends."""
    credential = load_credential(xos_home())
    with BlockingBus.open(credential=credential) as bus:
        client = Client(bus, credential)
        known: dict[str, Callable[[Answer], Answer]] = {
            "submit": client.submit,
            "cancel": client.cancel,
            "drain": client.drain,
            "follow": client.follow,
            "thousand": client.thousand,
        }
        client.drain({})
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            try:
                answer = known[request["do"]](request)
            except (XosError, RuntimeError) as error:
                answer = {"error": str(error)}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
