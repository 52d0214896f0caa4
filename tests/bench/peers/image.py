# SPDX-License-Identifier: BSD-3-Clause
"""Images by others: the bare tools one after another, and mkosi."""

from __future__ import annotations

from pathlib import Path

from bench.image_maker import Plan
from bench.model import CannotRun
from bench.ours import image as ours
from bench.resources import Resources
from xos.image.sandbox import private

HERE = Path(__file__).parent


def bare(resources: Resources) -> Plan:
    """A live ISO of the same Debian packages, our RPMs put in by plain rpm."""
    return _plan(resources, "bare-iso", ours.tools(resources), ",".join(ours.packages(resources, "live")), "bare.iso")


def mkosi(resources: Resources) -> Plan:
    """A disk of the same packages, for UEFI alone."""
    root = resources.build / "mkosi-root"
    if not (root / "usr/bin/mkosi").exists():
        raise CannotRun("mkosi is not there: tests/bench/install-peers mkosi")
    return _plan(resources, "mkosi-disk", root, ",".join(ours.packages(resources, "disk")), "bench.raw")


def _plan(resources: Resources, script: str, root: Path, packages: str, image: str) -> Plan:
    work = resources.build / script
    rpms = ours.repository(resources).parent / "rpms"
    command = (*private(), "bash", str(HERE / script), str(root), str(rpms), packages, str(work))
    return Plan(command=command, image=work / image, log=resources.build / f"{script}.log")
