# SPDX-License-Identifier: BSD-3-Clause
"""What tests in QEMU need: images that `make vm` has built, and a place for disks."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from vm.guest import OVMF, QEMU

TOP = Path(__file__).parents[2]
IMAGES = TOP / "build/images"


def image(name: str) -> Path:
    """An image of this checkout; the test is skipped if it has not been built."""
    path = IMAGES / name
    if not path.exists():
        pytest.skip(f"needs {path}: make vm")
    return path


@pytest.fixture(scope="session", autouse=True)
def _tools() -> None:
    for program in (QEMU, "qemu-img"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed here")
    if not OVMF.exists():
        pytest.skip("OVMF is not installed here")


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Disks and logs. $XOS_VM_LOGS keeps what the serial lines said."""
    made = tmp_path_factory.mktemp("vm")
    yield made
    if keep := os.environ.get("XOS_VM_LOGS"):
        Path(keep).mkdir(parents=True, exist_ok=True)
        for log in made.glob("*.log"):
            shutil.copy(log, keep)
    for each in made.glob("*.qcow2"):
        each.unlink()


def new_disk(path: Path, size: str, *, like: Path | None = None) -> Path:
    """An empty disk, or one that begins as *like*, which stays as it is."""
    backing = ["-b", str(like), "-F", "qcow2"] if like is not None else []
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(path), size], check=True)
    return path


def hashed(password: str) -> str:
    """As shadow(5) has it."""
    command = ["openssl", "passwd", "-6", "-stdin"]
    return subprocess.run(command, input=f"{password}\n", check=True, capture_output=True, text=True).stdout.strip()
