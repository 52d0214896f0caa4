# SPDX-License-Identifier: BSD-3-Clause
"""Which spec has to wait for which: decided from what rpm says they need and provide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from xos.image.errors import SpecCycle, UnknownPackage
from xos.image.rpms.specs import Spec

Needs = Mapping[str, frozenset[str]]
"""For each spec, the specs whose packages it is built with."""


def direct_needs(specs: Iterable[Spec]) -> dict[str, frozenset[str]]:
    """For each spec those of ours that it names in BuildRequires, by package name or by what packages provide."""
    specs = tuple(specs)
    maker = {name: spec.name for spec in specs for name in (*spec.provides, *spec.packages)}
    return {
        spec.name: frozenset(maker[need] for need in spec.build_requires if need in maker) - {spec.name}
        for spec in specs
    }


def all_needs(direct: Needs) -> dict[str, frozenset[str]]:
    """For each spec all that must be installed when it is built, also what the ones it names need themselves.

    The order of the result is one in which they can be built. Raises `SpecCycle`.
    """
    found: dict[str, frozenset[str]] = {}
    try:
        for name in TopologicalSorter(direct).static_order():
            found[name] = direct[name].union(*(found[need] for need in direct[name]))
    except CycleError as error:
        raise SpecCycle(names=" -> ".join(error.args[1])) from error
    return found


def chosen(needs: Needs, wanted: Iterable[str]) -> tuple[str, ...]:
    """The specs to build for *wanted* (all if it is empty), in order. Raises `UnknownPackage`."""
    wanted = tuple(wanted)
    for name in wanted:
        if name not in needs:
            raise UnknownPackage(name=name, known=", ".join(sorted(needs)))
    asked = set(wanted).union(*(needs[name] for name in wanted)) if wanted else set(needs)
    return tuple(name for name in needs if name in asked)
