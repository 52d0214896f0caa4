# SPDX-License-Identifier: BSD-3-Clause
"""Sources that are not in the checkout: wheels that upstream publishes, pinned by SHA-256, fetched before a build.

A spec names them by ``%global xos_pinned specs/NAME.txt``, a pip requirements file in which each has its version and
its hashes. They are fetched once into the cache and lie beside the spec when it is built; builds have no network.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import sys
from pathlib import Path

import msgspec

from xos.image.errors import BadSpec, PinnedMissing, StepFailed
from xos.image.processes import run
from xos.image.progress import Say, tail

PYTHON = "3.13"
"""Of the base: Debian 13's."""
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")
_TAIL_LINES = 5


class Pinned(msgspec.Struct, frozen=True):
    """A file that was fetched and is what the checkout says."""

    name: str
    digest: str
    """SHA-256, hex."""
    path: Path


async def fetch(requirements: Path, cache: Path, say: Say) -> tuple[Pinned, ...]:
    """What *requirements* names, for this machine's architecture: from the cache, else from where pip gets things.

    Raises `BadSpec` when something in it has no hash, `PinnedMissing` when it cannot be had.
    """
    text = requirements.read_text() if requirements.is_file() else ""
    wanted = frozenset(_HASH.findall(text))
    if not wanted:
        raise BadSpec(spec=str(requirements), detail="names nothing that is pinned by --hash=sha256:")
    key = hashlib.sha256(f"{text}\0{platform.machine()}\0{PYTHON}".encode()).hexdigest()[:16]
    home = cache / "pinned" / f"{requirements.stem}-{key}"
    if not home.is_dir():
        say(f"  fetching what {requirements.name} pins")
        await _download(requirements, home, cache)
    found = tuple(_pinned(path) for path in sorted(home.iterdir()))
    for one in found:
        if one.digest not in wanted:
            shutil.rmtree(home)
            raise PinnedMissing(
                file=requirements.name, tail=f"{one.name} is damaged in the cache: removed", log=str(home)
            )
    return found


async def _download(requirements: Path, home: Path, cache: Path) -> None:
    draft = cache / "tmp" / home.name
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    log = cache / "logs" / f"{requirements.stem}-pinned.log"
    log.parent.mkdir(exist_ok=True)
    log.unlink(missing_ok=True)
    machine = platform.machine()
    command = [sys.executable, "-m", "pip", "download", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
    command += ["--implementation", "cp", "--python-version", PYTHON]
    for level in ("manylinux2014", "manylinux_2_17", "manylinux_2_28"):
        command += ["--platform", f"{level}_{machine}"]
    command += ["--dest", str(draft), "--requirement", str(requirements)]
    settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    try:
        await run(command, step=f"fetching {requirements.name}", log=log, env=settings)
    except StepFailed as error:
        raise PinnedMissing(file=requirements.name, tail=tail(log, _TAIL_LINES), log=str(log)) from error
    home.parent.mkdir(exist_ok=True)
    draft.rename(home)


def _pinned(path: Path) -> Pinned:
    return Pinned(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), path)
