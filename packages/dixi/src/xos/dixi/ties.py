# SPDX-License-Identifier: BSD-3-Clause
"""What ties a command that runs in a process of its own to its user and to the grid: the files in ``$XOS_HOME``."""

from __future__ import annotations

import functools
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xos.common.tls import Credential
    from xos.dixi.bus import GridBus


class OwnTies:
    """Satisfies `xos.dixi.session.Ties`. Everything is loaded on first use: ``xsub --help`` needs none of it."""

    def __init__(self, home: Path) -> None:
        self._home = home

    @functools.cached_property
    def credential(self) -> Credential:
        """See `Ties.credential`; on a terminal, asks for the passphrase of an encrypted key."""
        from xos.common.tls import Credential
        from xos.dixi.client import KeyLocked, load_credential

        try:
            return load_credential(self._home)
        except KeyLocked:
            if not sys.stdin.isatty():
                raise
        key = self._home / "user.key"
        passphrase = getpass.getpass(f"Passphrase of {key}: ")
        return Credential.load(self._home / "user.pem", key, passphrase.encode())

    @functools.cached_property
    def bus(self) -> GridBus:
        """See `Ties.bus`."""
        from xos.dixi.client import load_client, make_bus

        return make_bus(*load_client(self._home), self.credential)

    def close(self) -> None:
        """Close the connections that were made."""
        bus = self.__dict__.get("bus")
        if bus is not None:
            bus.close()
