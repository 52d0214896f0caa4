# SPDX-License-Identifier: BSD-3-Clause
"""The key that signs packages and metadata: made once, kept outside the checkout and the cache, changed by rotation.

The directory holds a GnuPG home and ``fingerprints``: one a line, the key that signs first, those before it after it.
Several builds may use it at once: they only read it, and one at a time makes a key (``lock``).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from xos.common.files import write_atomically
from xos.image.errors import BadKey, StepFailed
from xos.image.repository.packages import TOOLS
from xos.image.sandbox import Bind, Sandbox

LIFETIME = "2y"
POLL_SECONDS = 0.1


class Signer(msgspec.Struct, frozen=True, kw_only=True):
    """The key that signs, and what others need to check it."""

    directory: Path
    fingerprint: str
    public: str
    """All keys, armoured: the one that signs and those whose signatures are still about."""

    def inside(self, sandbox: Sandbox) -> Sandbox:
        """The sandbox with the keys in it."""
        return sandbox.also(Bind(self.directory, "/keys"))


def key_directory() -> Path:
    """``$XOS_KEYS``, or below the user's configuration."""
    if given := os.environ.get("XOS_KEYS"):
        return Path(given).resolve()
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "xtreemos/keys"


async def signer(directory: Path, sandbox: Sandbox, log: Path) -> Signer:
    """The key of *directory*, made if there is none. Raises `BadKey`."""
    if not (directory / "fingerprints").exists():
        async with _alone(directory):
            if not (directory / "fingerprints").exists():
                await _make(directory, sandbox, log)
    known = (directory / "fingerprints").read_text().split()
    inside = sandbox.also(Bind(directory, "/keys"))
    try:
        public = await inside.run([f"{TOOLS}/export-key", *known], step="reading the signing key", log=log)
    except StepFailed as error:
        raise BadKey(path=str(directory), detail=str(error.data["tail"])) from error
    return Signer(directory=directory, fingerprint=known[0], public=public.decode())


async def rotate(directory: Path, sandbox: Sandbox, log: Path) -> str:
    """Make a new key, which signs from now on; the ones before stay published. Returns its fingerprint."""
    async with _alone(directory):
        return await _make(directory, sandbox, log)


@contextlib.asynccontextmanager
async def _alone(directory: Path) -> AsyncIterator[None]:
    """Nobody else makes a key in the directory meanwhile; that takes a second or so."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "lock").open("a") as lock:
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            await asyncio.sleep(POLL_SECONDS)
        yield


async def _make(directory: Path, sandbox: Sandbox, log: Path) -> str:
    file = directory / "fingerprints"
    before = file.read_text().split() if file.exists() else []
    name = f"XtreemOS packages <packages@{socket.gethostname()}>"
    inside = sandbox.also(Bind(directory, "/keys", writable=True))
    made = await inside.run([f"{TOOLS}/make-key", name, LIFETIME], step="making the signing key", log=log)
    fingerprint = made.decode().strip()
    if not fingerprint:
        raise BadKey(path=str(directory), detail="GnuPG made none")
    write_atomically(file, "".join(f"{key}\n" for key in (fingerprint, *before)).encode(), 0o600)
    return fingerprint
