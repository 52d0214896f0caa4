# SPDX-License-Identifier: BSD-3-Clause
"""systemd takes our units as they are, finds them confined, and all keep the same rules."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd-units"
INSTANCES = {"dixid@": ("core", "resource", "web")}
"""Of templates; whatever drop-in directories there are for them."""
MOST = 3.0
"""Exposure that needs no reason."""
SINCE = {"DelegateSubgroup": 254}
"""Directives that Debian 13's systemd (257) knows, and one that may judge here (Debian 12's: 252) does not."""
REASON = re.compile(r"^# Exposure (\d+\.\d): \S.*", re.MULTILINE)

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")


def services() -> list[str]:
    """Every system service, templates by their instances."""
    found = []
    for path in sorted((UNITS / "system").glob("*.service")):
        instances = INSTANCES.get(path.stem, ())
        found += [f"{path.stem}{instance}.service" for instance in instances] if path.stem[-1] == "@" else [path.name]
    return found


def text(unit: str) -> str:
    """A unit with its drop-ins, in the order in which systemd reads them."""
    system = UNITS / "system"
    own = system / re.sub("@.*[.]", "@.", unit)
    return "\n".join(path.read_text() for path in (own, *sorted((system / f"{unit}.d").glob("*.conf"))))


def settings(unit: str) -> dict[str, str]:
    """The last value of each setting."""
    return dict(re.findall(r"^([A-Z]\w+)=(.*)$", text(unit), re.MULTILINE))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system that has our units, and the programs that they name."""
    target = tmp_path / "etc/systemd/system"
    shutil.copytree(UNITS / "system", target)
    shutil.copytree(UNITS / "user", tmp_path / "etc/systemd/user")
    named = "".join(path.read_text() for path in UNITS.rglob("*.service"))
    for program in {"/bin/kill", *re.findall(r"^Exec\w+=[-+!@:]*(/\S+)", named, re.MULTILINE)}:
        path = tmp_path / program.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    for unit in services():
        if not (target / unit).exists():
            shutil.copy(target / re.sub("@.*[.]", "@.", unit), target / unit)
    return tmp_path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("unit", services())
def test_exposure_is_3_at_most_or_the_unit_says_why_it_is_more(root: Path, unit: str) -> None:
    allowed = max([MOST, *map(float, REASON.findall(text(unit)))])
    done = analyze("security", "--offline=true", f"--root={root}", f"--threshold={allowed * 10:.0f}", unit)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


@pytest.mark.parametrize("unit", services())
def test_every_directive_is_known_and_every_program_is_there(root: Path, unit: str) -> None:
    done = analyze("verify", "--man=no", "--recursive-errors=no", f"--root={root}", unit)
    version = int(analyze("--version").stdout.split()[1])
    newer = tuple(f"Unknown key '{name}'" for name, since in SINCE.items() if version < since)
    assert [line for line in done.stderr.splitlines() if not any(text in line for text in newer)] == []
    assert done.returncode == 0 or done.stderr


@pytest.mark.parametrize("unit", services())
def test_a_service_that_stays_says_when_it_is_ready_and_is_watched_and_restarted(unit: str) -> None:
    has = settings(unit)
    if has["Type"] == "oneshot":
        return
    assert has["Type"] in ("notify", "notify-reload")
    assert has["NotifyAccess"] == "main"
    assert has["WatchdogSec"]
    assert has["Restart"] in ("on-failure", "always")


@pytest.mark.parametrize("unit", services())
def test_a_service_sees_the_system_read_only_and_has_an_account_of_its_own(unit: str) -> None:
    has = settings(unit)
    assert "Documentation" in has
    assert "CapabilityBoundingSet" in has
    assert has["NoNewPrivileges"] == "yes"
    if not REASON.search(text(unit)):
        assert has["ProtectSystem"] == "strict"
        assert has.get("User", "root") != "root" or has.get("DynamicUser") == "yes"


def test_every_target_and_service_that_is_to_start_at_boot_is_in_a_preset() -> None:
    presets = "".join(path.read_text() for path in (UNITS / "system-preset").glob("*.preset"))
    units = [*(UNITS / "system").glob("*.target"), *(UNITS / "system").glob("*.service")]
    started = [path.name for path in units if "WantedBy=multi-user.target" in path.read_text() and "@" not in path.name]
    assert [name for name in started if f"enable {name}\n" not in presets] == []


def test_the_agents_unit_is_right(root: Path) -> None:
    path = root / "etc/systemd/user/xos-agent.service"
    path.write_text(path.read_text().replace("/usr/bin/xos-agent", str(root / "usr/bin/xos-agent")))
    done = analyze("verify", "--user", "--man=no", "--recursive-errors=no", str(path))
    assert "xos-agent" not in done.stderr
