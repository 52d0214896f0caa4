# SPDX-License-Identifier: BSD-3-Clause
"""systemd takes our units as they are, and finds them confined."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd-units"
pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system that has our units, and the programs that they name."""
    target = tmp_path / "etc/systemd/system"
    shutil.copytree(UNITS / "system", target)
    shutil.copytree(UNITS / "user", tmp_path / "etc/systemd/user")
    for program in ("usr/bin/dixid", "usr/bin/xos-agent", "usr/bin/xos-setup", "bin/kill"):
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    for name in ("core", "resource"):
        shutil.copy(target / "dixid@.service", target / f"dixid@{name}.service")
    return tmp_path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("unit", "most"), [("dixid@core.service", 20), ("dixid@resource.service", 35)])
def test_exposure_stays_below_its_limit(root: Path, unit: str, most: int) -> None:
    done = analyze("security", "--offline=true", f"--root={root}", f"--threshold={most}", unit)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


@pytest.mark.parametrize("unit", ["dixid@core.service", "dixid@resource.service", "xos-firstboot.service"])
def test_every_directive_is_known_and_every_program_is_there(root: Path, unit: str) -> None:
    done = analyze("verify", "--man=no", "--recursive-errors=no", f"--root={root}", unit)
    assert done.stderr == ""
    assert done.returncode == 0


def test_the_agents_unit_is_right(root: Path) -> None:
    path = root / "etc/systemd/user/xos-agent.service"
    path.write_text(path.read_text().replace("/usr/bin/xos-agent", str(root / "usr/bin/xos-agent")))
    done = analyze("verify", "--user", "--man=no", "--recursive-errors=no", str(path))
    assert "xos-agent" not in done.stderr
