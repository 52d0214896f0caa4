# SPDX-License-Identifier: BSD-3-Clause
"""What a bench that was killed leaves behind: empty control groups and a temporary directory, no process."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def mark(what: str) -> str:
    """A name for something of this run's outside ``build/bench``, by which a later run knows whose it is."""
    return f"xos-bench-{os.getpid()}-{what}"


_MARK = re.compile(r"xos-bench-(\d+)-")


@contextlib.contextmanager
def short_directory(what: str) -> Iterator[Path]:
    """A temporary directory with a short name, for sockets (108 bytes, unix(7))."""
    with tempfile.TemporaryDirectory(prefix=mark(what) + "-") as path:
        yield Path(path)


def sweep(groups: Path | None, temporary: Path) -> list[Path]:
    """Remove what runs that are gone have left in the control group *groups* and in *temporary*; says what."""
    removed = []
    if groups is not None:
        for group in _of_the_dead(groups):
            for child in [*sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True), group]:
                with contextlib.suppress(OSError):  # somebody lives there: not ours to end
                    child.rmdir()
            removed.append(group)
    for path in _of_the_dead(temporary):
        shutil.rmtree(path, ignore_errors=True)
        removed.append(path)
    return removed


def _of_the_dead(directory: Path) -> list[Path]:
    found = [(path, _MARK.match(path.name)) for path in directory.glob("xos-bench-*")]
    return [path for path, match in found if match and not Path(f"/proc/{match[1]}").exists()]
