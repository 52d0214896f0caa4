# SPDX-License-Identifier: BSD-3-Clause
"""The echo service as anybody would write it, hosted by an ordinary `dixid`."""

from __future__ import annotations

from typing import Protocol

from xos.dixi.api import call, service
from xos.dixi.hosting import Hosted, NoSettings


@service
class Echo(Protocol):
    """Says what it hears."""

    @call(idempotent=True)
    async def echo(self, data: bytes) -> bytes:
        """*data*."""
        ...


class EchoService(Hosted[NoSettings], Echo):
    """Satisfies `Echo`."""

    async def echo(self, data: bytes) -> bytes:
        """See `Echo.echo`."""
        return data
