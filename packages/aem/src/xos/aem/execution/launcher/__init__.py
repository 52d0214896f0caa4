# SPDX-License-Identifier: BSD-3-Clause
"""What runs units on a node: the interface of launchers, and the way to find one by its name.

A launcher is a module of this package, named as in the configuration, with one subclass of `Launcher` in it.
"""

from __future__ import annotations

import abc
import asyncio
import importlib
import pkgutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar, Protocol

from xos.aem.errors import UnknownLauncher
from xos.aem.execution.task import Task


class Watcher(Protocol):
    """Hears from a launcher what happens to units. Called in the event loop; must not block and never fails."""

    def running(self, unit_id: str, started: float) -> None:
        """The program has been executed, at *started* (Unix seconds)."""
        ...

    def gone(self, unit_id: str) -> None:
        """Nothing of the unit runs any more. Its directory says how it ended; says it nothing, launch it again: that
        settles it."""
        ...


class Spawn(Protocol):
    """`xos.dixi.hosting.Host.spawn`."""

    def __call__(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run *work* in the background."""
        ...


class Launcher(abc.ABC):
    """Has units run on this node, or on what stands behind it.

    Whatever a launcher does, the unit directory stays the truth (`xos.aem.execution.unitdir`): who executes the
    program first makes ``started`` there, who sees the end writes ``exit``, both under the lock on ``shim``, so that a
    unit runs at most once however often, and by however many daemons, it is launched.
    """

    names: ClassVar[dict[str, type[Launcher]]] = {}

    def __init_subclass__(cls, *, name: str, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        Launcher.names[name] = cls

    def __init__(self, *, node: str, directory: Path, watcher: Watcher, spawn: Spawn) -> None:
        """A launcher for *node* that keeps what it needs in *directory*, which outlives the daemon."""
        self.node, self.directory, self.watcher, self.spawn = node, directory, watcher, spawn

    @abc.abstractmethod
    async def open(self) -> None:
        """Get ready. Raises `XosError` when this machine cannot run units in this way. At most 10 s."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Let go of everything but the units, which run on. No calls of the watcher come afterwards. At most 5 s."""

    @abc.abstractmethod
    async def launch(self, task: Task) -> None:
        """Have a unit run, or settled: when this returns, something is at work on it, and `Watcher.gone` will follow.

        At most once per unit: one that is running is watched, one that ran without an end on record is buried (its
        processes killed, ``exit`` written), one that has ended stays as it is. Tries until it succeeds.
        """

    @abc.abstractmethod
    async def find(self, unit_id: str, directory: Path) -> bool:
        """After a restart: watch the unit if it is being run; False when nothing is at work on it. At most 1 s."""

    @abc.abstractmethod
    async def kill(self, unit_id: str, directory: Path) -> None:
        """End a unit whose directory has ``killed``: SIGTERM, after the task's grace SIGKILL, to every process.

        Returns when that is under way. A unit that is not running yet never will be. At most 1 s.
        """


def launcher_named(name: str) -> type[Launcher]:
    """The launcher of that name. Raises `UnknownLauncher`."""
    known = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if name not in known:
        raise UnknownLauncher(name=name, known=", ".join(known))
    importlib.import_module(f"{__name__}.{name}")
    return Launcher.names[name]


__all__ = ["Launcher", "Spawn", "Watcher", "launcher_named"]
