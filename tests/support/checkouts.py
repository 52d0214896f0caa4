# SPDX-License-Identifier: BSD-3-Clause
"""Git checkouts that packages are built from in tests."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path


def git(top: Path, *arguments: str, date: int | None = None) -> None:
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    if date is not None:
        env |= {"GIT_AUTHOR_DATE": f"@{date} +0000", "GIT_COMMITTER_DATE": f"@{date} +0000"}
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(top), *who, *arguments], check=True, env=env, capture_output=True)


def commit(top: Path, message: str, date: int) -> None:
    git(top, "add", "--all")
    git(top, "commit", "-q", "--allow-empty", "-m", message, date=date)


def snapshot(checkout: Path, place: Path) -> Path:
    """A clone with everything as it is in *checkout* now, committed or not: that may change while tests run."""
    subprocess.run(["git", "clone", "-q", str(checkout), str(place)], check=True)
    for path in (path for path in place.iterdir() if path.name != ".git"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    listed = ["git", "-C", str(checkout), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (checkout / name).exists():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, place / name)
    commit(place, "as it is now", int(time.time()))
    return place
