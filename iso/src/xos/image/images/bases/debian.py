# SPDX-License-Identifier: BSD-3-Clause
"""Debian, by mmdebstrap: what every node begins with, and what the flavour adds."""

from __future__ import annotations

from pathlib import Path

import msgspec

from xos.image import roots
from xos.image.images.bases.api import INSIDE, Ground
from xos.image.images.flavours import Flavour, Kind
from xos.image.progress import Say
from xos.image.roots import RootPlan
from xos.image.rpms.base import newest


class DebianBase:
    """The base that our packages are built on and for."""

    name = "debian"
    kinds: frozenset[Kind] = frozenset({"plain", "live", "disk"})

    async def ground(self, flavour: Flavour, kind: Kind, cache: Path, say: Say) -> Ground:
        """The root in which dnf then installs our packages; one for all flavours that want the same."""
        plan = root_plan(roots.plans().base, flavour, kind)
        name = kind if kind != "plain" else "system" if flavour.declared.debian else "base"
        root = await roots.ensure(name, plan, cache, say)
        return Ground(root=root.path, key=root.key, newest=newest(root.path), script=INSIDE / "install-flavour")


def root_plan(base: RootPlan, flavour: Flavour, kind: Kind) -> RootPlan:
    """The Debian packages of a flavour's system, each once."""
    more = (*flavour.declared.debian, *flavour.system(kind).debian)
    return msgspec.structs.replace(base, packages=tuple(dict.fromkeys((*base.packages, *more))))
