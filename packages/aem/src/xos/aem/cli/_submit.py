# SPDX-License-Identifier: BSD-3-Clause
"""Submitting a job."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import time

import msgspec

from xos.aem.api import ORDER_PURPOSE, JobOrder
from xos.aem.cli import _show as show
from xos.aem.cli import _wait
from xos.aem.cli._draft import Draft, draft
from xos.aem.xati import JobManagerAsync
from xos.common.credential import Credential
from xos.common.signing import Signed, sign
from xos.dixi.session import Session


async def run(args: argparse.Namespace, session: Session) -> int:
    """``xsub``."""
    made = await draft(args, session)
    if args.dry_run:
        session.out(made.document.decode())
        return 0
    job_id = await JobManagerAsync(session.bus).create_job(signed(made, session.credential))
    if not session.json:
        session.out(job_id)
    elif not (args.wait or args.watch):
        session.out(show.as_json({"job_id": job_id, "name": made.job.name, "units": made.job.total_resource_count}))
    if not (args.wait or args.watch):
        if session.is_tty and not session.json:
            session.err(f"kept; `xps {job_id}` shows its state, `xout -f {job_id}` its output")
        return 0
    await session.drain()
    try:
        return await (_wait.watch if args.watch else _wait.wait)(session, job_id)
    except asyncio.CancelledError:
        session.err(f"{session.name}: the job goes on; `xkill {job_id}` ends it")
        raise


def signed(made: Draft, credential: Credential) -> Signed:
    """The order, as its user wants it and nobody else can make it."""
    order = JobOrder(
        request_id=secrets.token_hex(16),
        vo=credential.identity.vo,
        jsdl=made.document,
        files=made.files,
        submitted=time.time(),
    )
    return sign(msgspec.msgpack.encode(order), credential, purpose=ORDER_PURPOSE)
