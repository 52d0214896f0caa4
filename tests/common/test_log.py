# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import array
import fcntl
import io
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from xos.common import journald, log_pipeline
from xos.common.journald import Journal, journal_fields
from xos.common.log import configure, get_logger


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Leave logging as it was."""
    yield
    structlog.reset_defaults()
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, log_pipeline._FromLogging):
            root.removeHandler(handler)


def test_an_event_is_one_line_of_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure(service="dixid", node="node1", style="logfmt")
    get_logger("xos.aem").info("job.accepted", vo="demo", job=7, text="two words\nand lines", none=None)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert " level=info event=job.accepted service=dixid node=node1 source=xos.aem vo=demo job=7 " in shown.err
    assert r'text="two words\nand lines"' in shown.err


def test_json_lines_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    configure(service="dixid", node="node1", style="json")
    get_logger("x").warning("w", data={"a": [1, b"xyz"]})
    told = json.loads(capsys.readouterr().err)
    assert told["data"] == {"a": [1, "<3 bytes>"]}
    assert told["level"] == "warning"
    assert told["timestamp"].endswith("Z")


@pytest.mark.parametrize("name", ["password", "key", "token", "secret", "join_token", "PASSPHRASE", "api-key"])
@pytest.mark.parametrize("style", ["logfmt", "json", "console", "journal"])
def test_secrets_are_masked_in_every_style(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, style: str
) -> None:
    with listening(tmp_path, monkeypatch) as receiver:
        configure(service="s", node="n", style=style)  # type: ignore[arg-type]
        get_logger("x").error("e", **{name: "hunter2"}, deep={"a": {name: b"hunter2"}}, many=[{name: "hunter2"}])
        shown = capsys.readouterr().err
        if style == "journal":
            shown = receiver.recv(65536).decode()
    assert "hunter2" not in shown
    assert shown.count("***") >= 3
    structlog.reset_defaults()


def test_levels_below_the_configured_one_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    log = get_logger("x")
    log.info("before")
    configure(service="s", node="n", level="warning", style="logfmt")
    log.info("quiet")
    assert capsys.readouterr().err == ""
    configure(service="s", node="n", level="debug", style="logfmt")
    log.debug("loud")
    assert "loud" in capsys.readouterr().err


def test_before_configure_warnings_reach_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    get_logger("x").info("quiet")
    get_logger("x").warning("loud", n=1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "event=loud" in shown.err
    assert "quiet" not in shown.err


def test_exceptions_come_with_their_traceback_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure(service="s", node="n", style="logfmt")
    try:
        raise LookupError("gone")
    except LookupError:
        get_logger("x").exception("failed")
    shown = capsys.readouterr().err
    assert "LookupError: gone" in shown
    assert "Traceback" in shown
    assert shown.count("\n") == 1


def test_what_the_standard_library_logs_comes_along(capsys: pytest.CaptureFixture[str]) -> None:
    configure(service="s", node="n", style="logfmt")
    configure(service="s", node="n", style="logfmt")
    logging.getLogger("asyncio").error("slow %s", "callback")
    logging.getLogger("asyncio").info("quiet")
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert 'level=error event="slow callback"' in shown
    assert "source=asyncio" in shown


def test_odd_names_and_values_never_fail(capsys: pytest.CaptureFixture[str]) -> None:
    configure(service="s", node="n", style="logfmt")
    get_logger("x").info("e", **{"a b=c": 1, "": 2, "é\n": 3}, big="x" * 100_000, obj=object(), nest=[[[[[[1]]]]]])
    shown = capsys.readouterr().err
    assert "a_b_c=1" in shown
    assert len(shown) < 20_000


class Broken(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError(32, "nobody reads")


@pytest.mark.parametrize("closed", [True, False])
def test_a_stderr_that_is_gone_loses_events_and_nothing_else(monkeypatch: pytest.MonkeyPatch, closed: bool) -> None:
    stream = io.StringIO() if closed else Broken()
    configure(service="s", node="n", style="logfmt")
    monkeypatch.setattr(sys, "stderr", stream)
    if closed:
        stream.close()
    get_logger("x").info("lost")


def test_importing_the_journal_imports_no_structlog() -> None:
    code = "import sys, xos.common.log as l; l.get_logger('x'); sys.exit('structlog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- journald ---


class listening:  # noqa: N801 - reads as a verb
    """A socket in the place of journald's."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = str(place / "journal")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(10)
        monkeypatch.setattr(journald, "SOCKET", self._path)

    def __enter__(self) -> socket.socket:
        self._socket.bind(self._path)
        return self._socket

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def fields_of(entry: bytes) -> dict[str, str]:
    """A reader of the native protocol."""
    found = {}
    while entry:
        line, _, entry = entry.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(entry[:8], "little")
            value, entry = entry[8 : 8 + length], entry[8 + length + 1 :]
        found[name.decode()] = value.decode()
    return found


def test_journal_entries_have_fields_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with listening(tmp_path, monkeypatch) as receiver:
        configure(service="dixid", node="node1", style="journal")
        get_logger("xos.aem").warning("job.lost", job="j-1", priority="high", note="a\nb", _hidden=1)
        found = fields_of(receiver.recv(65536))
    structlog.reset_defaults()
    assert found == {
        "MESSAGE": "job.lost job=j-1 priority=high note=a\nb _hidden=1",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "dixid",
        "EVENT": "job.lost",
        "SERVICE": "dixid",
        "NODE": "node1",
        "SOURCE": "xos.aem",
        "JOB": "j-1",
        "XOS_PRIORITY": "high",
        "NOTE": "a\nb",
        "HIDDEN": "1",
    }


def test_a_traceback_goes_into_the_journal_message() -> None:
    found = fields_of(journal_fields({"event": "e", "level": "error", "exception": "Traceback:\n  x"}))
    assert found["MESSAGE"] == "e\nTraceback:\n  x"
    assert found["PRIORITY"] == "3"


def test_a_long_journal_entry_goes_as_a_sealed_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with listening(tmp_path, monkeypatch) as receiver:
        entry = journal_fields({"event": "x" * 1_000_000})
        Journal().send(entry)
        data, ancillary, _, _ = receiver.recvmsg(100, socket.CMSG_SPACE(4))
    assert data == b""
    fd = array.array("i", ancillary[0][2])[0]
    assert os.pread(fd, len(entry) + 1, 0) == entry
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
    os.close(fd)


def test_without_journald_nothing_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(journald, "SOCKET", str(tmp_path / "none"))
    configure(service="s", node="n", style="journal")
    get_logger("x").info("lost")
    structlog.reset_defaults()


def test_the_journal_is_used_when_stderr_is_connected_to_it(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    stderr = os.fstat(2)
    with listening(tmp_path, monkeypatch) as receiver:
        monkeypatch.setenv("JOURNAL_STREAM", f"{stderr.st_dev}:{stderr.st_ino}")
        configure(service="s", node="n")
        get_logger("x").info("to.journal")
        assert fields_of(receiver.recv(65536))["EVENT"] == "to.journal"
        monkeypatch.setenv("JOURNAL_STREAM", "1:2")
        configure(service="s", node="n")
        get_logger("x").info("to.stderr")
    assert "event=to.stderr" in capfd.readouterr().err
