# SPDX-License-Identifier: BSD-3-Clause
"""A plug-in for dnf that makes ``dnf group`` work on Debian 13.

There libcomps 0.1.21 on Python 3.13 crashes whenever one of its lists is walked through by an iterator while nothing
else holds the list, as dnf 4 does for groups, their packages and environments. Taking the entries by number does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dnf
import libcomps
from dnf.comps import Comps, Forwarder

LISTS = tuple(kind for kind in vars(libcomps).values() if isinstance(kind, type) and hasattr(kind, "append"))


class Groups(dnf.Plugin):
    """Loaded by dnf; there is nothing to configure."""

    name = "xos_groups"


def entries(value: Any) -> Any:
    """A list of libcomps as a list of Python, anything else as it is."""
    return [value[number] for number in range(len(value))] if isinstance(value, LISTS) else value


def walk(kind: str, build: str) -> Callable[[Comps], Iterator[Any]]:
    """What `Comps` has in place of the method that goes through one kind of its entries."""
    return lambda self: iter([getattr(self, build)(entry) for entry in entries(getattr(self._i, kind))])


_forward = Forwarder.__getattr__
Forwarder.__getattr__ = lambda self, name: entries(_forward(self, name))
Comps.categories_iter = walk("categories", "_build_category")
Comps.environments_iter = walk("environments", "_build_environment")
Comps.groups_iter = walk("groups", "_build_group")
