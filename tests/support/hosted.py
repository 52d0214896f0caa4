# SPDX-License-Identifier: BSD-3-Clause
"""Services for real daemons in tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from xos.dixi.api import call, current_call, service, stream
from xos.dixi.hosting import Hosted


class GreeterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[services.Greeter.settings]``."""

    greeting: str = "hello"


@service
class Greeter(Hosted[GreeterSettings]):
    """Greets, and knows whom."""

    settings_type = GreeterSettings

    @call(reads=True)
    async def greet(self) -> str:
        """A greeting from this node."""
        return f"{self.settings.greeting}, {current_call().caller}, from {self.host.node}"

    @call(reads=True)
    async def slow(self, seconds: float) -> str:
        """Answers later."""
        await asyncio.sleep(seconds)
        return "done"

    @stream
    async def count(self, upto: int) -> AsyncIterator[int]:
        """Numbers from 0."""
        for number in range(upto):
            yield number


@service
class Forwarder(Hosted[msgspec.Struct]):
    """Calls a service that may be elsewhere."""

    @call(reads=True)
    async def ask(self, node: str = "") -> str:
        """What the Greeter says to this machine."""
        answer: str = await self.host.bus.caller("Greeter", node or None).call("Greeter.greet", (), str, deadline=5.0)
        return answer
