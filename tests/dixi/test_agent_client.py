# SPDX-License-Identifier: BSD-3-Clause
"""Both clients, in C and in Python, against agents that misbehave; the C one with address and undefined sanitizers."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.agents import CLIENT, Desk, build_client
from support.daemons import eventually
from xos.dixi.agent import protocol
from xos.dixi.agent.protocol import BadRequest, Request, decode, encode

Answer = Callable[[socket.socket], None]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_client(tmp_path_factory.mktemp("sanitized"), "-g", "-fsanitize=address,undefined")


@pytest.fixture(params=["c", "python"])
def desk(request: pytest.FixtureRequest, client: Path, tmp_path: Path) -> Desk:
    desk = Desk(tmp_path, client)
    if request.param == "python":
        for name in ("xt-show", "xt-true"):
            script = tmp_path / name
            script.write_text(
                f"#!{sys.executable} -P\nimport sys\nfrom xos.dixi.commands import main\nsys.exit(main())\n"
            )
            script.chmod(0o755)
        desk.bin = tmp_path
    return desk


@contextlib.contextmanager
def fake(desk: Desk, answer: Answer) -> Iterator[list[Request]]:
    """An agent that reads a request, then does what *answer* does; the requests it got."""
    got: list[Request] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(desk.home / "agent.sock"))
        listener.listen(5)
        listener.settimeout(15)

        def serve() -> None:
            conn, _ = listener.accept()
            with conn:
                header, fds, _, _ = socket.recv_fds(conn, protocol.HEADER.size, 10)
                body = b""
                while len(body) < protocol.body_length(header):
                    body += conn.recv(1 << 20)
                got.append(decode(body))
                assert len(fds) == protocol.DESCRIPTORS
                for fd in fds:
                    os.close(fd)
                answer(conn)

        thread = threading.Thread(target=serve)
        thread.start()
        yield got
        thread.join()


@pytest.mark.parametrize(
    "said", [b"", b"R\x01", b"R\x63", b"E", b"S", b"Z\x00", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=repr
)
def test_what_was_not_started_is_run_here(desk: Desk, said: bytes) -> None:
    with fake(desk, lambda conn: conn.sendall(said)):
        done = desk.run("xt-show", "one")
    assert (done.returncode, done.stderr) == (1, b"")
    assert b'"in_agent":false' in done.stdout


@pytest.mark.parametrize("said", [b"S\x00", b"S\x00E", b"S\x00Zx", b"S\x00R\x01"], ids=repr)
def test_what_was_started_is_not_repeated(desk: Desk, said: bytes) -> None:
    with fake(desk, lambda conn: conn.sendall(said)):
        done = desk.run("xt-show", "one")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"xt-show: xos-agent went away; whether the command was carried out is not known\n"


@pytest.mark.parametrize("status", [0, 1, 130, 255])
def test_the_status_is_passed_on(desk: Desk, status: int) -> None:
    with fake(desk, lambda conn: conn.sendall(bytes([ord("S"), 0, ord("E"), status]))):
        assert desk.run("xt-show").returncode == status


CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""All of them: Python itself catches SIGINT from its start on."""


def test_a_long_command_line_arrives_whole(desk: Desk) -> None:
    words = ["x" * 100_000, *(str(i) for i in range(10_000)), ""]
    with fake(desk, lambda conn: conn.sendall(b"S\0E\0")) as got:
        assert desk.run("xt-show", *words).returncode == 0
    assert list(got[0].args) == words


@pytest.mark.parametrize("number", CAUGHT)
def test_a_signal_is_passed_on_and_then_obeyed(desk: Desk, number: signal.Signals) -> None:
    heard: list[bytes] = []
    ready = threading.Event()

    def answer(conn: socket.socket) -> None:
        conn.sendall(b"S\0")
        ready.set()
        heard.append(conn.recv(2))
        conn.sendall(bytes([ord("E"), 128 + number]))

    with fake(desk, answer), desk.start("xt-show") as process, contextlib.ExitStack() as at_last:
        at_last.callback(process.kill)
        assert ready.wait(10)
        for _ in eventually():
            if all(caught(process.pid, each) for each in CAUGHT):
                break
        process.send_signal(number)
        assert process.wait(10) == -number
    assert heard == [b"K" + bytes([number])]


def test_a_second_signal_ends_the_client_at_once(desk: Desk) -> None:
    ready, heard, over = threading.Event(), threading.Event(), threading.Event()

    def answer(conn: socket.socket) -> None:
        conn.sendall(b"S\0")
        ready.set()
        conn.recv(2)
        heard.set()
        over.wait(10)

    with fake(desk, answer), desk.start("xt-show") as process, contextlib.ExitStack() as at_last:
        at_last.callback(process.kill)
        assert ready.wait(10)
        for _ in eventually():
            if all(caught(process.pid, each) for each in CAUGHT):
                break
        process.send_signal(signal.SIGINT)
        assert heard.wait(10)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        over.set()


def caught(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def test_the_shell_edits_lines_remembers_them_and_completes(client: Path, tmp_path: Path) -> None:
    desk = Desk(tmp_path, client)
    ours, theirs = pty.openpty()
    env = {**desk.env, "TERM": "dumb", "INPUTRC": "/dev/null"}
    with desk.start("xconsole", stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process, ended(process):
        os.close(theirs)
        read_until(ours, b"xos> ")
        os.write(ours, b"help\n")
        read_until(ours, b"Tab completes")
        os.write(ours, b"Direct\t")
        read_until(ours, b"Directory ")
        os.write(ours, b"unreg\t\n")
        read_until(ours, b"cannot read the configuration")
        read_until(ours, b"xos> ")
        os.write(ours, b"exit\n")
        assert process.wait(10) == 78
    os.close(ours)
    history = desk.home / "xconsole.history"
    assert "Directory unregister" in history.read_text()
    assert history.stat().st_mode & 0o777 == 0o600


def read_until(fd: int, wanted: bytes) -> None:
    said = b""
    for _ in eventually():
        while select.select([fd], [], [], 0.1)[0] and wanted not in said:
            said += os.read(fd, 1)
        if wanted in said:
            return


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever happens, *process* does not stay."""
    try:
        yield
    finally:
        process.kill()


# --- the protocol ----------------------------------------------------------------------------------------------------

words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(words, st.lists(words), st.integers(0, 0o777), words, words)
def test_a_request_arrives_as_it_was_sent(name: str, args: list[str], umask: int, place: str, home: str) -> None:
    sent = encode(name, args, f"/{place}", umask, {"XOS_HOME": home, "SECRET": "x"})
    header, body = sent[: protocol.HEADER.size], sent[protocol.HEADER.size :]
    assert protocol.body_length(header) == len(body)
    assert decode(body) == Request(name, umask, f"/{place}", tuple(args), {"XOS_HOME": home})


@given(st.binary() | st.lists(st.binary(max_size=5)).map(lambda parts: b"\0".join([*parts, b""])))
def test_any_bytes_are_a_request_or_refused(body: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert isinstance(decode(body), Request)


def test_what_is_too_long_is_not_sent() -> None:
    with pytest.raises(BadRequest):
        encode("x", ["y" * protocol.LONGEST], "/", 0, {})


def test_the_c_source_agrees_with_the_protocol() -> None:
    text = CLIENT.read_text()
    for name in protocol.PASSED:
        assert f'"{name}="' in text
    assert '"XOS1' in text
