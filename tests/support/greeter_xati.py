# SPDX-License-Identifier: BSD-3-Clause
# Made by dixi-gen from support.greeter; do not edit: change that module and run `make gen`.
"""XATI: clients in Python for the services of support.greeter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from support.greeter import Greeting, Level, Person, Tone
from xos.dixi.stubs import AsyncStub, BlockingStub


class GreeterAsync(AsyncStub):
    """Greets people.

    Used in tests only; a docstring of several lines, with a \\ and a pipe | in it.
    """

    service = "Greeter"

    async def greet(
        self, person: Person, tone: Tone = Tone.PLAIN, level: Level = Level.LOW, *, deadline: float | None = None
    ) -> Greeting:
        """Greet one person. *tone* says how it sounds; *level*: how loud it is."""
        result: Greeting = await self._caller.call(
            "Greeter.greet", (person, tone, level), Greeting, deadline=deadline, retry=True
        )
        return result

    async def greet_all(
        self,
        people: list[Person],
        first: Person = Person("nobody", 0, ()),
        suffixes: tuple[str, ...] = ("!", '"'),
        span: tuple[int, float] = (1, 2.5),
        sizes: float = 1.0,
        *,
        deadline: float | None = None,
    ) -> list[Greeting]:
        """Greet many people with a call whose signature does not fit into a line.

        The second paragraph belongs to the docstring too.
        """
        result: list[Greeting] = await self._caller.call(
            "Greeter.greet_all", (people, first, suffixes, span, sizes), list[Greeting], deadline=deadline
        )
        return result

    async def names(self, seal: bytes = b"\x00\xff", *, deadline: float | None = None) -> dict[str, int]:
        """How often each name was greeted."""
        result: dict[str, int] = await self._caller.call("Greeter.names", (seal,), dict[str, int], deadline=deadline)
        return result

    async def youngest(self, limit: int | None = None, *, deadline: float | None = None) -> Person | None:
        """The youngest, if anybody is there."""
        result: Person | None = await self._caller.call("Greeter.youngest", (limit,), Person | None, deadline=deadline)
        return result

    async def reset(self, *, deadline: float | None = None) -> None:
        """Forget everybody."""
        await self._caller.call("Greeter.reset", (), None, deadline=deadline)

    def count(self, upto: int, step: int = 1, *, deadline: float | None = None) -> AsyncIterator[Greeting]:
        """A greeting for each number."""
        return self._caller.stream("Greeter.count", (upto, step), Greeting, deadline=deadline)


class GreeterXati(BlockingStub):
    """Greets people.

    Used in tests only; a docstring of several lines, with a \\ and a pipe | in it.
    """

    service = "Greeter"

    def greet(
        self, person: Person, tone: Tone = Tone.PLAIN, level: Level = Level.LOW, *, deadline: float | None = None
    ) -> Greeting:
        """Greet one person. *tone* says how it sounds; *level*: how loud it is."""
        result: Greeting = self._caller.call(
            "Greeter.greet", (person, tone, level), Greeting, deadline=deadline, retry=True
        )
        return result

    def greet_all(
        self,
        people: list[Person],
        first: Person = Person("nobody", 0, ()),
        suffixes: tuple[str, ...] = ("!", '"'),
        span: tuple[int, float] = (1, 2.5),
        sizes: float = 1.0,
        *,
        deadline: float | None = None,
    ) -> list[Greeting]:
        """Greet many people with a call whose signature does not fit into a line.

        The second paragraph belongs to the docstring too.
        """
        result: list[Greeting] = self._caller.call(
            "Greeter.greet_all", (people, first, suffixes, span, sizes), list[Greeting], deadline=deadline
        )
        return result

    def names(self, seal: bytes = b"\x00\xff", *, deadline: float | None = None) -> dict[str, int]:
        """How often each name was greeted."""
        result: dict[str, int] = self._caller.call("Greeter.names", (seal,), dict[str, int], deadline=deadline)
        return result

    def youngest(self, limit: int | None = None, *, deadline: float | None = None) -> Person | None:
        """The youngest, if anybody is there."""
        result: Person | None = self._caller.call("Greeter.youngest", (limit,), Person | None, deadline=deadline)
        return result

    def reset(self, *, deadline: float | None = None) -> None:
        """Forget everybody."""
        self._caller.call("Greeter.reset", (), None, deadline=deadline)

    def count(self, upto: int, step: int = 1, *, deadline: float | None = None) -> Iterator[Greeting]:
        """A greeting for each number."""
        return self._caller.stream("Greeter.count", (upto, step), Greeting, deadline=deadline)


class EmptyAsync(AsyncStub):
    """Offers nothing of its own."""

    service = "Empty"


class EmptyXati(BlockingStub):
    """Offers nothing of its own."""

    service = "Empty"
