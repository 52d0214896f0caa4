# SPDX-License-Identifier: BSD-3-Clause
"""The machines of the grid were made nodes by xos-setup; what they are they stay."""

from __future__ import annotations

import json

from support.systems import Grid


def test_each_machine_knows_what_it_is(grid: Grid) -> None:
    for machine in grid.machines:
        told = json.loads(machine.run(["xos-setup", "show", "--json"]))
        assert (told["node"], told["address"]) == (machine.name, machine.address)
        assert told["core"] == f"{grid.core.address}:6740"
        assert machine.run(["hostname"]).strip() == machine.name


def test_setting_up_a_core_again_keeps_its_ca_and_its_members(grid: Grid) -> None:
    before = json.loads(grid.core.run(["xos-setup", "show", "--json"]))
    again = ["xos-setup", "core", "--hostname", "core", "--address", grid.core.address, "--vo", "demo", "--json"]
    made = json.loads(grid.core.run(again, seconds=120.0))
    assert made["ca_fingerprint"] == before["ca_fingerprint"]
    assert "alice" in grid.core.run("HOME=/root xos-vo list-users demo")
    job = grid.submit("echo still here")
    grid.alice(["xwait", job])
    assert "still here" in grid.alice(["xout", job])


def test_setting_up_a_node_again_by_its_used_word_changes_nothing(grid: Grid) -> None:
    word = grid.core.get(f"/root/xos-join-words/{grid.node1.name}")
    certificate = grid.node1.get("/var/lib/xos/resource/machine.pem")
    again = ["xos-setup", "resource", "--address", grid.node1.address, "--token", "-"]
    grid.node1.run(again, stdin=word, seconds=120.0)
    assert grid.node1.get("/var/lib/xos/resource/machine.pem") == certificate
    assert grid.node1.state(grid.node1.daemon) == "active"


def test_a_used_word_makes_no_second_machine(grid: Grid) -> None:
    word = grid.core.get(f"/root/xos-join-words/{grid.node1.name}")
    grid.node1.run("mkdir /tmp/other && mv /var/lib/xos/resource/machine.pem /tmp/other")
    try:
        told = grid.node1.fails(["xos-setup", "resource", "--address", grid.node1.address, "--token", "-"], stdin=word)
        assert "this join token was used already" in str(told.data["detail"])
    finally:
        grid.node1.run("mv /tmp/other/machine.pem /var/lib/xos/resource/ && rmdir /tmp/other")


def test_a_wrong_answer_file_is_refused_with_its_line(grid: Grid) -> None:
    grid.node2.put("/tmp/answers.toml", 'role = "resource"\nhostnam = "x"\n')
    told = grid.node2.fails(["xos-setup", "resource", "--answers", "/tmp/answers.toml"])
    assert "answers.toml:2: hostnam: unknown key" in str(told.data["detail"])


def test_without_answers_a_first_boot_does_nothing_and_says_so(grid: Grid) -> None:
    # The grid's machines booted without answers before they were set up.
    assert "no answers" in grid.core.run("journalctl --quiet --no-pager --unit xos-firstboot")


def test_commands_of_every_user_know_the_grid(grid: Grid) -> None:
    assert f'address = "{grid.core.address}:6740"' in grid.node1.run("cat /etc/xos/client.toml", as_user="daemon")
