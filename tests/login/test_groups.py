# SPDX-License-Identifier: BSD-3-Clause
"""Groups of users are what they were before nsswitch.conf got a line for initgroups of ours."""

from __future__ import annotations

import pytest

from support.machine import TOP, Machine

pytestmark = pytest.mark.timeout(60)
CONFIGURE = str(TOP / "packages/node/libexec/nss-configure")


@pytest.mark.parametrize("group", ["files", "files systemd", "files [SUCCESS=merge] systemd"])
def test_local_and_vo_users_have_the_same_groups_with_a_line_for_initgroups_and_without(
    node: Machine, group: str
) -> None:
    node.ssh(node.identity_files(node.credential("grace"), "grace"), "grace.demo", "true")
    switch, groups = node.path("/etc/nsswitch.conf"), node.path("/etc/group")
    before = switch.read_text(), groups.read_text()
    lines = [line for line in before[0].splitlines() if not line.startswith(("group:", "initgroups:"))]
    groups.write_text(f"{before[1]}theirs:x:1700:bob,grace.demo\nalso:x:1701:bob\n")
    try:
        switch.write_text("\n".join([*lines, f"group: {group}", ""]))
        node.run(CONFIGURE, "add")
        assert "\ninitgroups: files [SUCCESS" in switch.read_text()
        with_line = {user: node.run("id", "-G", user).stdout.split() for user in ("root", "bob", "grace.demo")}
        switch.write_text(
            "\n".join(line for line in switch.read_text().splitlines() if "initgroups" not in line) + "\n"
        )
        without = {user: node.run("id", "-G", user).stdout.split() for user in with_line}
    finally:
        switch.write_text(before[0])
        groups.write_text(before[1])
    assert with_line == without
    assert with_line["bob"] == ["1500", "1700", "1701"]
    assert len(with_line["grace.demo"]) == 3  # her own, users.demo, theirs
    assert "1700" in with_line["grace.demo"]
