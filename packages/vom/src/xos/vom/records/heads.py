# SPDX-License-Identifier: BSD-3-Clause
"""The heads of the chains, signed by the core machine and kept beside the database, not in it.

So whoever changes the database, in order to hide it, has to forge a signature too. A head is only ever followed by one
further on in the same chain: when the database no longer has what was signed, the signed head stays, for `xos-audit
verify` to show, and the journal says so.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import sqlalchemy as sa

from xos.common.errors import UNDECODABLE, XosError
from xos.common.files import write_atomically
from xos.common.identity import Kind
from xos.common.log import get_logger
from xos.common.signing import Signed, sign, verify_signed
from xos.common.tls import Credential, Trust
from xos.dixi.hosting import Host
from xos.vom.api import HEAD_PURPOSE, Head, Log
from xos.vom.core import VomCore
from xos.vom.errors import ForeignHead
from xos.vom.policy import CORE_ROLE
from xos.vom.records import chain

SECONDS = 1.0
"""Between two looks at the chains: what is cut off within that time of being written is not missed."""

log = get_logger(__name__)
_head = msgspec.msgpack.Decoder(Head)
_signed = msgspec.msgpack.Decoder(Signed)


def head_file(directory: Path, which: Log) -> Path:
    """Where the signed head of a chain is, below the VO core's directory."""
    return directory / "heads" / which.value


def sign_head(head: Head, credential: Credential) -> Signed:
    """*head*, vouched for by the holder of *credential*."""
    return sign(msgspec.msgpack.encode(head), credential, purpose=HEAD_PURPOSE)


def read_head(file: Path, trust: Trust) -> Head | None:
    """The signed head in *file*; None when there is no file. Raises `XosError` when it is not to be believed."""
    try:
        signed = _signed.decode(file.read_bytes())
    except FileNotFoundError:
        return None
    return open_head(signed, trust)


def open_head(signed: Signed, trust: Trust, *, by: str = "") -> Head:
    """The head in *signed*, verified as of when it was made. Raises `XosError`, `msgspec.MsgspecError`.

    *by*: who must have signed it; empty: a core machine.

    Its certificate has long expired when an old head is looked at: what counts is that it was valid then.
    """
    head = _head.decode(signed.payload)
    signer = verify_signed(signed, trust, purpose=HEAD_PURPOSE, at=head.at)
    right = str(signer) == by if by else signer.kind is Kind.MACHINE and CORE_ROLE in signer.roles
    if not right:
        raise ForeignHead(log=head.log.value, detail=f"{signer} has signed it")
    return head


class Keeper:
    """Signs the heads of one core, in the background."""

    def __init__(self, core: VomCore, host: Host) -> None:
        self._core, self._host = core, host
        self._last: dict[Log, Head] = {}
        self._warned: set[Log] = set()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(SECONDS)

    async def look(self) -> None:
        """Sign each head that has moved on."""
        for which in Log:
            try:
                await self._look_at(which)
            except (XosError, OSError, *UNDECODABLE) as error:
                log.warning("head-not-signed", log=which.value, reason=str(error))

    async def _look_at(self, which: Log) -> None:
        file = head_file(self._core.directory, which)
        last = self._last.get(which) or await asyncio.to_thread(read_head, file, self._host.trust)
        known = 0 if last is None else last.number

        def read(connection: sa.Connection) -> tuple[Head, bytes | None]:
            now = chain.head(connection, which, self._core.now())
            return now, chain.digest_at(connection, which, known)

        head, digest = await self._core.store.read(read)
        if last is not None and digest != last.digest:
            if which not in self._warned:
                self._warned.add(which)
                log.error("chain-tampered", log=which.value, signed=last.number, here=head.number)
            return
        if head.number > known:
            file.parent.mkdir(mode=0o700, exist_ok=True)
            content = msgspec.msgpack.encode(sign_head(head, self._host.credential))
            await asyncio.to_thread(write_atomically, file, content, 0o600)
            self._last[which] = head
        elif last is not None:
            self._last[which] = last
