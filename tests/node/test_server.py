# SPDX-License-Identifier: BSD-3-Clause
"""xos-amsd as a process: started, asked, starved, killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.amsd import Amsd, until
from support.node import Va, identity
from xos.node.client import ask
from xos.node.errors import BadMessage, NotReachable, StateBroken, UnknownAccount
from xos.node.message import MAX_MESSAGE, decode, encode

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may ask to map accounts")


@pytest.fixture
def amsd(tmp_path: Path, va: Va) -> Iterator[Amsd]:
    made = Amsd(tmp_path, va.directory)
    made.start()
    yield made
    made.kill()


def mapped(amsd: Amsd, va: Va, name: str) -> str:
    return amsd.ask(op="map", certificate=va.xos(identity(name)))["uid"]


def test_an_account_that_was_told_survives_kill_9(amsd: Amsd, va: Va) -> None:
    told = {}
    for n in range(2):
        told[f"u{n}"] = mapped(amsd, va, f"u{n}")
        assert amsd.end(signal.SIGKILL) == -signal.SIGKILL
        amsd.start()
    assert {name: mapped(amsd, va, name) for name in told} == told
    assert len(set(told.values())) == 2
    assert amsd.end() == 0


def test_junk_is_refused_and_the_daemon_goes_on(amsd: Amsd) -> None:
    for junk in (
        b"x",
        b"\0",
        b"=\0",
        b"op\0",
        b"op=lookup\0op=lookup\0",
        b"\xff=1\0",
        b"a=" + b"x" * (MAX_MESSAGE - 10),
    ):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(str(amsd.socket))
            connection.send(junk)
            answer = decode(connection.recv(MAX_MESSAGE))
            assert answer["error"] == "node.bad-message"
    with pytest.raises(UnknownAccount):
        amsd.ask(op="lookup", name="root")


def test_who_only_connects_keeps_nobody_from_being_heard(amsd: Amsd) -> None:
    with contextlib.ExitStack() as idle:
        for _ in range(300):
            connection = idle.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            connection.connect(str(amsd.socket))
        assert amsd.ask(op="lookup", name="alice.demo")["name"] == "alice.demo"


def test_a_user_gets_so_many_connections_and_the_others_theirs(amsd: Amsd) -> None:
    amsd.socket.parent.chmod(0o755)
    program = (
        "import os, socket, sys\nos.setuid(12345)\nheld = []\n"
        "for n in range(200):\n"
        " held.append(s := socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)); s.connect(sys.argv[1])\n"
        "print('ready', flush=True); sys.stdin.read()\n"
    )
    for parent in amsd.socket.parents:
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    hog = subprocess.Popen(
        [sys.executable, "-I", "-c", program, str(amsd.socket)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert hog.stdin is not None
    assert hog.stdout is not None
    assert hog.stdout.readline() == b"ready\n"
    assert amsd.ask(op="lookup", name="alice.demo")["name"] == "alice.demo"
    hog.stdin.close()
    hog.wait()
    hog.stdout.close()


def test_a_wrong_configuration_is_told_and_the_old_one_stays(amsd: Amsd) -> None:
    assert amsd.process is not None
    right = amsd.config.read_text()
    amsd.config.write_text(right.replace("uids", "uidz"))
    amsd.process.send_signal(signal.SIGHUP)
    until(lambda: b"reload.failed" in amsd.log.read_bytes())
    assert amsd.ask(op="status")["vos"] == "demo"
    amsd.config.write_text("")
    amsd.process.send_signal(signal.SIGHUP)
    until(lambda: amsd.ask(op="status")["vos"] == "")
    with pytest.raises(UnknownAccount):
        amsd.ask(op="lookup", name="alice.demo")  # the VO is dissolved


def test_a_table_that_somebody_removed_comes_back(amsd: Amsd) -> None:
    table = amsd.state / "table"
    until(table.exists)
    table.unlink()
    until(table.exists)


def test_damaged_accounts_end_the_daemon_with_a_message(amsd: Amsd) -> None:
    assert amsd.end() == 0
    (amsd.state / "accounts.sqlite").write_bytes(b"x" * 5000)
    done = subprocess.run(
        [sys.executable, "-m", "xos.node.amsd", "--config", amsd.config, "--state", amsd.state], capture_output=True
    )
    assert done.returncode == 1
    assert StateBroken.code.encode() in done.stderr


def test_nobody_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(NotReachable):
        ask({"op": "status"}, path=tmp_path / "none")


# --- messages


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        fields = decode(data)
    except BadMessage:
        return
    assert decode(encode(fields)) == fields


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9_.-]{0,20}", fullmatch=True), st.text(), min_size=1, max_size=9))
def test_what_is_written_is_read(fields: dict[str, str]) -> None:
    if any("\0" in value for value in fields.values()):
        with pytest.raises(BadMessage):
            encode(fields)
    else:
        assert decode(encode(fields)) == fields
