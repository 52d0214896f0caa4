# SPDX-License-Identifier: BSD-3-Clause
"""The commands that the agent has loaded, and whether their code on disk is still the same."""

from __future__ import annotations

import argparse
import os
import sys

import msgspec

from xos.common.errors import XosError
from xos.common.log import get_logger
from xos.dixi import commands
from xos.dixi.agent.protocol import Refusal

log = get_logger("xos.agent")


class Loaded(msgspec.Struct, frozen=True):
    """A command, ready to run."""

    command: commands.Command
    parser: argparse.ArgumentParser
    source: str
    """The file that defines it; empty if there is none."""
    age: int
    """That file's modification time, ns."""


class Registry:
    """Loads each command once. Looking one up costs a dictionary look-up and a stat(2)."""

    def __init__(self) -> None:
        self._loaded: dict[str, Loaded] = {}

    def preload(self) -> None:
        """Load every installed command; one that cannot be loaded is logged and left to fail by itself."""
        for name in commands.names():
            try:
                self.load(name)
            except Exception as error:  # noqa: BLE001 -- anybody's package may offer commands
                log.warning("command.broken", command=name, error=repr(error))

    def load(self, name: str) -> Loaded:
        """The command of that name. Raises `UnknownCommand`."""
        loaded = self._loaded.get(name)
        if loaded is None:
            command = commands.find(name)
            module = sys.modules.get(getattr(command.run, "__module__", ""))
            source = getattr(module, "__file__", None) or ""
            loaded = self._loaded[name] = Loaded(command, command.parser(), source, _age(source))
        return loaded

    def find(self, name: str) -> Loaded | Refusal:
        """The command of that name, or why it cannot be run here."""
        try:
            loaded = self.load(name)
        except XosError:
            return Refusal.UNKNOWN
        except Exception as error:  # noqa: BLE001 -- as above; the client's own process will show the traceback
            log.warning("command.broken", command=name, error=repr(error))
            return Refusal.UNKNOWN
        return loaded if _age(loaded.source) == loaded.age else Refusal.STALE


def _age(source: str) -> int:
    try:
        return os.stat(source).st_mtime_ns if source else 0  # noqa: PTH116 -- on the fast path
    except OSError:
        return 0
