# SPDX-License-Identifier: BSD-3-Clause
"""A service that uses every form a type can have: what the tests of descriptions and generated code stand on."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from typing import Annotated, Protocol

import msgspec

from xos.common.identity import Kind
from xos.dixi.api import call, service, stream
from xos.dixi.errors import DixiError


class Tone(enum.StrEnum):
    """How a greeting sounds."""

    PLAIN = "plain"
    WARM = "warm"
    """With an exclamation mark."""


class Level(enum.IntEnum):
    """How loud."""

    LOW = 1
    HIGH = 2


class Person(msgspec.Struct, array_like=True, frozen=True):
    """Somebody."""

    name: str
    age: int | None = None
    """Years."""
    friends: tuple[Person, ...] = ()
    """May have friends of their own."""


class Greeting(msgspec.Struct, array_like=True, frozen=True):
    """What was said, and to whom."""

    text: str
    to: Person
    tone: Tone = Tone.PLAIN
    seal: bytes = b""


class NobodyThere(DixiError):
    """Raised when there is nobody to greet."""

    code = "test.nobody"
    template = "nobody called {name!r} is there"
    hint = "Give a name."
    exit_status = 4


@service
class Greeter(Protocol):
    """Greets people.

    Used in tests only; a docstring of several lines, with a \\ and a pipe | in it.
    """

    @call(idempotent=True)
    async def greet(self, person: Person, tone: Tone = Tone.PLAIN, level: Level = Level.LOW) -> Greeting:
        """Greet one person. *tone* says how it sounds; *level*: how loud it is."""
        ...

    @call
    async def greet_all(
        self,
        people: list[Person],
        first: Person = Person("nobody", 0),  # noqa: B008 -- frozen, and part of what is tested
        suffixes: tuple[str, ...] = ("!", '"'),
        span: tuple[int, float] = (1, 2.5),
        sizes: Annotated[float, msgspec.Meta(description="how large")] = 1,
    ) -> list[Greeting]:
        """Greet many people with a call whose signature does not fit into a line.

        The second paragraph belongs to the docstring too.
        """
        ...

    @call(waits=True, allow={Kind.MACHINE})
    async def names(self, seal: bytes = b"\x00\xff") -> dict[str, int]:
        """How often each name was greeted."""
        ...

    @call
    async def youngest(self, limit: int | None = None) -> Person | None:
        """The youngest, if anybody is there."""
        ...

    @call
    async def reset(self) -> None:
        """Forget everybody."""
        ...

    @stream
    def count(self, upto: int, step: int = 1) -> AsyncIterator[Greeting]:
        """A greeting for each number."""
        ...


@service
class Empty(Protocol):
    """Offers nothing of its own."""


class GreeterService(Greeter):
    """Does it."""

    def __init__(self) -> None:
        self.greeted: dict[str, int] = {}
        self.cancelled = 0

    async def greet(self, person: Person, tone: Tone = Tone.PLAIN, level: Level = Level.LOW) -> Greeting:
        """See `Greeter.greet`."""
        if not person.name:
            raise NobodyThere(name=person.name)
        self.greeted[person.name] = self.greeted.get(person.name, 0) + 1
        mark = "!" if tone is Tone.WARM else "."
        return Greeting("hello" * level + mark, person, tone)

    async def greet_all(
        self,
        people: list[Person],
        first: Person = Person("nobody", 0),  # noqa: B008 -- as in the interface
        suffixes: tuple[str, ...] = ("!", '"'),
        span: tuple[int, float] = (1, 2.5),
        sizes: float = 1,
    ) -> list[Greeting]:
        """See `Greeter.greet_all`."""
        text = f"{first.name} {''.join(suffixes)} {span[0]} {span[1]} {sizes}"
        return [Greeting(text, person) for person in people]

    async def names(self, seal: bytes = b"\x00\xff") -> dict[str, int]:
        """See `Greeter.names`."""
        return {**self.greeted, "seal": len(seal)}

    async def youngest(self, limit: int | None = None) -> Person | None:
        """See `Greeter.youngest`."""
        return Person("ada", limit) if self.greeted else None

    async def reset(self) -> None:
        """See `Greeter.reset`."""
        self.greeted.clear()

    async def count(self, upto: int, step: int = 1) -> AsyncIterator[Greeting]:
        """See `Greeter.count`."""
        try:
            for number in range(0, upto, step):
                yield Greeting(str(number), Person("you"))
        finally:
            self.cancelled += 1
