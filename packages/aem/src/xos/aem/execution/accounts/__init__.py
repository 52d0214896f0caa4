# SPDX-License-Identifier: BSD-3-Clause
"""The accounts of this machine that units run under, and where they come from: one file for each variant.

``local``   numbers from a range, kept in a file of the service's own: for a grid on one machine, and for tests
``mapped``  xos-amsd's: the accounts that VO users log in to, with names, groups and homes
"""

from __future__ import annotations

import abc
import importlib
import pkgutil
from pathlib import Path
from typing import ClassVar

import msgspec

from xos.aem.errors import UnknownAccounts
from xos.aem.execution.orders import Checked
from xos.aem.execution.settings import ExecutionSettings


class Account(msgspec.Struct, array_like=True, frozen=True):
    """Whom a unit runs as. Positional: new fields only at the end."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """Supplementary ones."""
    name: str = ""
    """As others on the machine see it; empty: a number without a name."""
    home: str = ""
    """Its home directory, there; empty: the unit's own directory takes its place."""


class Accounts(abc.ABC):
    """The accounts of one node, for a daemon that is root. Thread-safe; may block for some seconds."""

    names: ClassVar[dict[str, type[Accounts]]] = {}

    def __init_subclass__(cls, *, name: str, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        Accounts.names[name] = cls

    def __init__(self, directory: Path, settings: ExecutionSettings) -> None:
        """What it keeps is in *directory*, which outlives the daemon."""
        self._directory, self._settings = directory, settings

    @abc.abstractmethod
    def account(self, checked: Checked, certificate: bytes) -> Account:
        """The account of the owner of a verified order, never root's; kept on disk before this returns.

        *certificate* (DER) is the owner's. Raises `NoAccount` and other `XosError`, and `OSError`.
        """

    def vos(self) -> frozenset[str]:
        """The VOs that have accounts here, or might have. Raises `XosError`."""
        return frozenset()

    def withdraw(self, vo: str) -> None:  # noqa: B027 -- a variant whose accounts outlive the VO has nothing to do
        """The VO is dissolved: its accounts are nobody's any more. Again: nothing happens. Raises `XosError`."""


def accounts_named(name: str) -> type[Accounts]:
    """The variant of that name. Raises `UnknownAccounts`."""
    known = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if name not in known:
        raise UnknownAccounts(name=name, known=", ".join(known))
    importlib.import_module(f"{__name__}.{name}")
    return Accounts.names[name]


__all__ = ["Account", "Accounts", "accounts_named"]
