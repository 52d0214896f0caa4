# SPDX-License-Identifier: BSD-3-Clause
"""Answers are checked whole, and found in the first channel that has any."""

import contextlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.common.errors import ConfigError, XosError
from xos.setup.node import channels
from xos.setup.node.answers import (
    Answers,
    BadAnswer,
    Client,
    Core,
    Install,
    Network,
    Resource,
    System,
    Web,
    from_file,
)
from xos.setup.node.manual import ANSWER_FILE
from xos.vom.api import JoinToken
from xos.vom.word import of_token

WORD = of_token(JoinToken("T" * 32, "node1", 0, "ab" * 32), front_door="10.0.0.1:6730", directory="10.0.0.1:6740")
CORE = """
role = "core"
hostname = "core1"
address = "10.0.0.2"
[network]
address = "10.0.0.2/24"
gateway = "10.0.0.1"
dns = ["10.0.0.1", "2001:db8::1"]
[system]
root_password_hash = "$6$salt$hash/."
[core]
vo = "demo"
administrator = "alice"
administrator_password = "long enough"
nodes = ["node1", "node2"]
[install]
disk = "/dev/vda"
flavour = "core"
then = "poweroff"
"""


def write(directory: Path, text: str, name: str = "answers.toml") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_whole_file_is_taken_as_it_is(tmp_path: Path) -> None:
    answers = from_file(write(tmp_path, CORE))
    assert answers.core.nodes == ("node1", "node2")
    assert answers.network is not None
    assert answers.install is not None
    assert (answers.install.disk, answers.install.then) == ("/dev/vda", "poweroff")


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ('role = "core"\nhostnam = "x"\n', 2, "hostnam"),
        ('role = "king"\n', 1, "role"),
        ('[install]\ndisk = "/dev/../etc/passwd x"\n', 2, "install.disk"),
        ('[install]\nflavour = "core"\n', 1, "install.disk"),
        ('[install]\ndisk = "/dev/vda"\nthen = "dance"\n', 3, "install.then"),
        ('hostname = "-x"\n', 1, "hostname"),
        ('hostname = "UPPER"\n', 1, "hostname"),
        ("[resource]\nslots = 0\n", 2, "resource.slots"),
        ('[resource]\nslots = "4"\n', 2, "resource.slots"),
        ('[system]\nroot_password_hash = "secret"\n', 2, "system.root_password_hash"),
        ('[system]\nroot_password_hash = "$6$a:b$c"\n', 2, "system.root_password_hash"),
        ('[core]\nvo = "../x"\n', 2, "core.vo"),
        ("[core]\nnodes = 3\n", 2, "core.nodes"),
        ('[core]\ndatabase = "mysql://x/y"\n', 2, "core.database"),
        ("role = \n", 1, "(syntax)"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_key(tmp_path: Path, text: str, line: int, key: str) -> None:
    with pytest.raises(ConfigError) as told:
        from_file(write(tmp_path, text))
    assert (told.value.data["line"], told.value.data["key"]) == (line, key)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('address = "10.0.0.300"', "address"),
        ('[network]\naddress = "10.0.0.2"', "network.address"),
        ('[network]\naddress = "10.0.0.2/33"', "network.address"),
        ('[network]\naddress = "10.0.0.2/24"\ngateway = "there"', "network.gateway"),
        ('[network]\naddress = "10.0.0.2/24"\ndns = ["x"]', "network.dns"),
        ('[core]\nadministrator = "alice"', "core.administrator"),
        ('[core]\nvo = "demo"\nadministrator_password = "long enough"', "core.administrator_password"),
        ('[core]\nnodes = ["a", "a"]', "core.nodes"),
        ('[core]\nca_key = "pkcs11:object=ca"', "core.ca_key"),
        ('[resource]\ntoken = "xos1-xyz"', "resource.token"),
        ('role = "resource"', "resource.token"),
        ('[resource]\ncore = "core1"', "resource.ca_fingerprint"),
        (f'[resource]\ntoken = "{WORD}"\ncore = "core1"\nca_fingerprint = "{"0" * 64}"', "resource.core"),
        ('role = "client"', "client"),
        (f'hostname = "other"\n[resource]\ntoken = "{WORD}"', "hostname"),
    ],
)
def test_answers_that_make_no_sense_are_refused(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(BadAnswer) as told:
        from_file(write(tmp_path, text))
    assert told.value.data["key"] == key


@given(st.text(max_size=200))
def test_any_text_is_answers_or_a_told_mistake(text: str) -> None:
    from xos.common.config import parse
    from xos.setup.node.answers import check

    with contextlib.suppress(XosError):
        check(parse(text, Answers, file="x"), "x")


def test_nothing_anywhere_is_no_answers(tmp_path: Path) -> None:
    write(tmp_path, "boot=live quiet\n", "proc/cmdline")
    assert channels.find(tmp_path) is None


def test_the_file_goes_before_the_credential_and_that_before_kernel_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name() -> str | None:
        found = channels.find(tmp_path)
        assert found is not None
        return found.answers.hostname

    write(tmp_path, "quiet xos.hostname=kernel\n", "proc/cmdline")
    assert name() == "kernel"
    write(tmp_path, 'hostname = "credential"', "run/credentials/@system/xos.answers")
    assert name() == "credential"
    write(tmp_path, 'hostname = "unit"', "given/xos.answers")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "given"))
    assert name() == "unit"
    write(tmp_path, 'hostname = "file"', "etc/xos/answers.toml")
    assert name() == "file"


def test_kernel_arguments_make_tables_lists_and_numbers() -> None:
    line = 'ro xos.role=core xos.core.vo=demo xos.core.nodes=a,b xos.resource.slots=4 "xos.address=10.0.0.2" xosx=1'
    assert channels.kernel_tables(line) == {
        "role": "core",
        "core": {"vo": "demo", "nodes": ["a", "b"]},
        "resource": {"slots": 4},
        "address": "10.0.0.2",
    }


@pytest.mark.parametrize(
    "line", ["xos.role", "xos.role=", "xos.core=1 xos.core.vo=a", "xos.core.vo=a xos.core=1", "xos.rol=core", "xos.=1"]
)
def test_wrong_kernel_arguments_are_told(tmp_path: Path, line: str) -> None:
    write(tmp_path, line, "proc/cmdline")
    with pytest.raises(BadAnswer) as told:
        channels.find(tmp_path)
    assert told.value.data["where"] == channels.KERNEL


@given(st.text(max_size=200))
def test_any_kernel_command_line_is_read_or_told(line: str) -> None:
    with contextlib.suppress(BadAnswer):
        channels.kernel_tables(line)


def test_cloud_init_user_data_has_a_section_of_ours(tmp_path: Path) -> None:
    text = "#cloud-config\nusers: [default]\nxos:\n  role: core\n  core: {vo: demo, nodes: [n1]}\n  network:\n"
    write(tmp_path, text + "    address: 10.0.0.2/24\n", "user-data")
    found = channels.from_volume(tmp_path, "volume")
    assert found is not None
    assert (found.answers.role, found.answers.core.nodes) == ("core", ("n1",))


@pytest.mark.parametrize("text", ["#!/bin/sh\necho", "#cloud-config\nusers: []\n", "#cloud-config\n", "", "\0\1"])
def test_user_data_of_others_is_left_alone(tmp_path: Path, text: str) -> None:
    write(tmp_path, text, "user-data")
    assert channels.from_volume(tmp_path, "volume") is None


@pytest.mark.parametrize(
    "text", ["xos: 3", "xos: {rol: core}", "xos: {role: [", "xos:\n  1: 2", "a: &a [*a]\nxos: {role: !!python/none x}"]
)
def test_a_wrong_section_is_told(tmp_path: Path, text: str) -> None:
    write(tmp_path, f"#cloud-config\n{text}\n", "user-data")
    with pytest.raises(BadAnswer):
        channels.from_volume(tmp_path, "volume")


def test_a_volume_may_simply_hold_the_file(tmp_path: Path) -> None:
    write(tmp_path, CORE)
    found = channels.from_volume(tmp_path, "volume")
    assert found is not None
    assert found.answers.hostname == "core1"


def test_the_manual_knows_every_key() -> None:
    told = ANSWER_FILE.splitlines()
    tables: dict[str, type[msgspec.Struct]] = {
        "network": Network,
        "system": System,
        "core": Core,
        "resource": Resource,
        "client": Client,
        "web": Web,
        "install": Install,
    }
    for name, kind in tables.items():
        at = next(number for number, line in enumerate(told) if line.strip().startswith(f"[{name}]"))
        below = [line.split(" = ")[0].strip() for line in told[at + 1 :]]
        assert set(below[: len(kind.__struct_fields__)]) == set(kind.__struct_fields__), name
    for key in set(Answers.__struct_fields__) - set(tables):
        assert any(line.strip().startswith(f"{key} = ") for line in told)
