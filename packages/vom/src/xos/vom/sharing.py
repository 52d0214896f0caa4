# SPDX-License-Identifier: BSD-3-Clause
"""How the services of one daemon come to the same `VomCore`: by its directory, which a process opens once."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi.hosting import Host
from xos.vom.api import CRL_TOPIC, CrlPublished
from xos.vom.core import VomCore

log = get_logger(__name__)
T = TypeVar("T")


class VomSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the settings of XVOMS, CDA and RCA all have."""

    directory: str = "vom"
    """Of the `VomCore`; the same for all three. Relative to the directory that holds the services' own."""


@dataclasses.dataclass(slots=True)
class _Opened:
    core: asyncio.Task[VomCore]
    services: int = 0


# The process's one list of open directories, as the kernel has one of mounted file systems.
_opened: dict[Path, _Opened] = {}


async def share(host: Host, settings: VomSettings) -> VomCore:
    """The core in the directory that *settings* names: opened for the first service, counted for the others.

    Each new CRL is taken into force in this daemon and published under `CRL_TOPIC`. Raises what `VomCore.open` does.
    """
    directory = (host.data.parent / settings.directory).absolute()
    entry = _opened.get(directory)
    if entry is None:
        entry = _opened[directory] = _Opened(asyncio.ensure_future(_open(host, directory)))
    entry.services += 1
    try:
        return await asyncio.shield(entry.core)
    except BaseException:
        await _leave(directory, entry)
        raise


async def release(core: VomCore) -> None:
    """A service is done with *core*; the last one closes it."""
    entry = _opened.get(core.directory)
    if entry is not None:
        await _leave(core.directory, entry)


async def to_the_end(host: Host, work: Coroutine[Any, Any, T], *, name: str) -> T:
    """The result of *work*, which goes on when the caller goes away: what it commits must not be left half done."""
    result: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        try:
            value = await work
        except BaseException as error:
            if result.cancelled():
                raise  # nobody waits any more: the host's journal has it
            result.set_exception(error)
        else:
            if not result.cancelled():
                result.set_result(value)

    host.spawn(run(), name=name)
    return await result


async def _leave(directory: Path, entry: _Opened) -> None:
    entry.services -= 1
    if entry.services == 0:
        del _opened[directory]
        if entry.core.done() and not entry.core.cancelled() and entry.core.exception() is None:
            await entry.core.result().close()
        else:
            entry.core.cancel()


async def _open(host: Host, directory: Path) -> VomCore:
    core = await VomCore.open(directory)

    def announce(crl: CrlPublished) -> None:
        try:
            host.trust.set_crl(crl.crl)
        except XosError as error:
            # A daemon that trusts another CA still serves this one's members; the journal says so each time.
            log.warning("crl-refused", code=error.code, reason=error.message)
        host.bus.publish(CRL_TOPIC, crl)

    core.announce = announce
    announce(core.crl)
    return core
