# SPDX-License-Identifier: BSD-3-Clause
"""The commands that the agent has loaded, and whether the code on disk is still the same."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
import time
from collections.abc import Callable, Iterable

import msgspec

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi import commands
from xos.dixi.agent.protocol import Refusal

log = get_logger("xos.agent")

CHECK_SECONDS = 1.0
"""How long it is believed that no file has changed."""


class Loaded(msgspec.Struct, frozen=True):
    """A command, ready to run."""

    command: commands.Command
    parser: argparse.ArgumentParser


class Registry:
    """Loads each command once."""

    def __init__(self, find: Callable[[str], commands.Command] = commands.find) -> None:
        self._find = find
        self._loaded: dict[str, Loaded] = {}
        self.code = Code()

    def preload(self, names: Iterable[str]) -> None:
        """Load commands, and the modules beside theirs, which they may import only when they run."""
        for name in names:
            try:
                _import_siblings(self.load(name).command)
            except Exception as error:  # noqa: BLE001 -- anybody's package may offer commands
                log.warning("command.broken", command=name, error=repr(error))
        self.code.accept()

    def load(self, name: str) -> Loaded:
        """The command of that name. Raises `UnknownCommand`."""
        loaded = self._loaded.get(name)
        if loaded is None:
            command = self._find(name)
            loaded = self._loaded[name] = Loaded(command, commands.make_parser(command))
        return loaded

    def find(self, name: str) -> Loaded | Refusal:
        """The command of that name, or why it cannot be run here."""
        try:
            return self.load(name)
        except XosError:
            return Refusal.UNKNOWN
        except Exception as error:  # noqa: BLE001 -- as above; the client's own process will show the traceback
            log.warning("command.broken", command=name, error=repr(error))
            return Refusal.UNKNOWN


class Code:
    """The files that our modules, and those of commands, were loaded from."""

    def __init__(self) -> None:
        self._ages: dict[str, int] = {}
        self._checked = 0.0
        self._changed = False

    def changed(self) -> bool:
        """Whether one of them is newer or gone: an upgrade, or a programmer at work. It stays so until `accept`."""
        now = time.monotonic()
        if not self._changed and now - self._checked >= CHECK_SECONDS:
            self._checked = now
            for name, module in list(sys.modules.items()):
                if name.startswith("xos."):
                    source = getattr(module, "__file__", None)
                    if source and self._ages.setdefault(source, _age(source)) != _age(source):
                        self._changed = True
        return self._changed

    def accept(self) -> None:
        """Take the files as they are now for those that were loaded."""
        self._ages.clear()
        self._changed = False
        self._checked = 0.0
        self.changed()


def _age(source: str) -> int:
    try:
        return os.stat(source).st_mtime_ns  # noqa: PTH116 -- a hundred files each time
    except OSError:
        return 0


def _import_siblings(command: commands.Command) -> None:
    """Of ``xos.ROOM.cli.xps`` everything in ``xos.ROOM.cli``; of ``xos.ROOM.cli`` nothing, a room may be large."""
    package = command.run.__module__.rpartition(".")[0]
    if package.count(".") < 2:
        return
    for found in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if not found.name.startswith("__"):
            importlib.import_module(f"{package}.{found.name}")
