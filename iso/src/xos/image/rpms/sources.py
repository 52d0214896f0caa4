# SPDX-License-Identifier: BSD-3-Clause
"""The sources of a package: which files of the checkout, when they last changed, and an archive of them."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import time
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import msgspec

from xos.image.errors import BadSpec, NotTracked
from xos.image.processes import environment, need


class Entry(msgspec.Struct, frozen=True):
    """A file of the sources. Only content, name and the executable bit count: no owner, no time, no other mode."""

    name: str
    content: bytes
    executable: bool = False
    link: str = ""
    """Where it points, if it is a symbolic link."""


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What a package is built from, at one moment."""

    entries: tuple[Entry, ...]
    epoch: int
    """When they last changed: the time of the last commit that touched them."""
    dirty: bool
    """Whether they differ from that commit."""

    @property
    def digest(self) -> str:
        """Names the content."""
        total = hashlib.sha256()
        for entry in self.entries:
            head = f"{entry.name}\0{entry.executable:d}\0{entry.link}\0{len(entry.content)}\0"
            total.update(head.encode() + entry.content)
        return total.hexdigest()

    @property
    def release(self) -> str:
        """The Release of the packages: grows with time, and tells changes that were not committed."""
        stamp = time.strftime("1.%Y%m%d%H%M", time.gmtime(self.epoch))
        return f"{stamp}.d{self.digest[:8]}" if self.dirty else stamp

    def archive(self, top: str) -> bytes:
        """A tar archive with everything below directory *top*; the same sources give the same bytes."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for entry in self.entries:
                info = tarfile.TarInfo(f"{top}/{entry.name}")
                info.mtime = self.epoch
                info.mode = 0o755 if entry.executable else 0o644
                if entry.link:
                    info.type, info.linkname = tarfile.SYMTYPE, entry.link
                else:
                    info.size = len(entry.content)
                tar.addfile(info, io.BytesIO(entry.content))
        return out.getvalue()


class Checkout:
    """A Git checkout that packages are built from."""

    def __init__(self, path: Path) -> None:
        """Raises `NotTracked`, `ToolMissing`."""
        need("git")
        self.path = path
        self._git("rev-parse", "--verify", "HEAD")

    def collect(self, spec: Path, paths: Iterable[str]) -> Sources:
        """The files below *paths* that Git knows or would take, and the spec's date. Raises `BadSpec`, `NotTracked`."""
        paths = sorted(set(paths))
        listed = self._git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths)
        names = sorted({name for name in listed.split("\0") if name})
        entries = tuple(e for name in names if (e := self._entry(name)) is not None)
        for path in paths:
            if not any(PurePosixPath(entry.name).is_relative_to(path) for entry in entries):
                raise BadSpec(spec=str(spec), detail=f"xos_sources names {path}, and there is nothing")
        inputs = [*paths, str(spec.relative_to(self.path))]
        changed = self._git("log", "-1", "--format=%ct", "--", *inputs) or self._git("log", "-1", "--format=%ct")
        dirty = bool(self._git("status", "--porcelain", "--untracked-files=all", "--", *inputs))
        return Sources(entries=entries, epoch=int(changed), dirty=dirty)

    def _entry(self, name: str) -> Entry | None:
        """The file as it is now; None if it was deleted and Git does not know it yet."""
        path = self.path / name
        if path.is_symlink():
            return Entry(name, b"", link=str(path.readlink()))
        try:
            return Entry(name, path.read_bytes(), bool(path.stat().st_mode & 0o100))
        except FileNotFoundError:
            return None

    def _git(self, *arguments: str) -> str:
        # The checkout may belong to another user than root, who builds.
        command = ["git", "-C", str(self.path), "-c", f"safe.directory={self.path}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment())
        if done.returncode != 0:
            raise NotTracked(path=str(self.path), detail=done.stderr.strip() or f"git ended with {done.returncode}")
        return done.stdout.strip()
