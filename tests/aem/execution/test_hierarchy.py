# SPDX-License-Identifier: BSD-3-Clause
"""Where units get their control groups. Directories stand in for groups: this kernel may offer no controllers."""

from __future__ import annotations

from pathlib import Path

import pytest

from xos.aem.execution import hierarchy

CONTROLLERS = "cgroup.subtree_control"


def group(path: Path, *, processes: str = "") -> Path:
    path.mkdir(parents=True)
    for name, text in {"cgroup.procs": processes, CONTROLLERS: "", "cgroup.kill": ""}.items():
        (path / name).write_text(text)
    return path


def test_units_get_limits_beside_the_daemon_where_systemd_puts_it_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = group(tmp_path / "dixid@resource.service")
    daemon = group(service / hierarchy.SUBGROUP, processes="1\n")
    group(service / "xos-node1")
    monkeypatch.setattr(hierarchy, "own_group", lambda: daemon)
    parent = Path(hierarchy.make_parent("xos-node1"))
    assert parent == service / "xos-node1"
    assert (service / CONTROLLERS).read_text() == (parent / CONTROLLERS).read_text() != ""
    assert (daemon / CONTROLLERS).read_text() == ""


def test_a_group_with_processes_hands_nothing_down_since_groups_below_would_become_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = group(tmp_path / "session.scope", processes="1\n")
    group(own / "xos-node1")
    monkeypatch.setattr(hierarchy, "own_group", lambda: own)
    assert hierarchy.make_parent("xos-node1") == str(own / "xos-node1")
    assert (own / CONTROLLERS).read_text() == ""
