# SPDX-License-Identifier: BSD-3-Clause
"""Our C programs, built; a machine in which they are installed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.machine import TOP, Machine, machine, possible


def build(out: Path, **variables: str) -> Path:
    """``pam_xos.so``, ``xos-principals`` and ``libnss_xos.so.2`` in *out*; *variables* are make's."""
    for module in ("pam_xos", "nss_xos"):
        told = [f"{name}={value}" for name, value in variables.items()]
        command = ["make", "-s", "-C", str(TOP / "kernel-modules" / module), f"OUT={out}", *told]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def node(built: Path) -> Iterator[Machine]:
    """A machine with everything running; for tests that leave it so."""
    why = possible()
    if why is not None:
        pytest.skip(why)
    with machine(built) as made:
        made.start_amsd()
        made.configure_pam()
        made.start_sshd()
        yield made
