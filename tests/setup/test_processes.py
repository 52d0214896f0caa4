# SPDX-License-Identifier: BSD-3-Clause
"""A process is recognised by its start time, started until it says ready, and ended for good."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from xos.setup.errors import DaemonDied, DaemonSlow
from xos.setup.local import processes
from xos.setup.local.processes import Process, Starting

READY = "import os,socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(%r, os.environ['NOTIFY_SOCKET'])"


def start(tmp_path: Path, code: str) -> Starting:
    return Starting("daemon", [sys.executable, "-c", code], log=tmp_path / "log", env=os.environ)


def test_a_ready_daemon_outlives_its_start_and_ends_when_asked(tmp_path: Path) -> None:
    with start(tmp_path, READY % b"STATUS=up\nREADY=1" + "; import time; time.sleep(60)") as starting:
        process = starting.wait(10)
    try:
        assert process.alive
    finally:
        killed = processes.end({"daemon": process}, grace_s=10)
    assert killed == []
    assert not process.alive


def test_a_daemon_that_stands_back_does_so_as_a_session(tmp_path: Path) -> None:
    code = READY % b"READY=1" + "; import time; time.sleep(60)"
    argv = [sys.executable, "-c", code]
    with Starting("daemon", argv, log=tmp_path / "log", env=os.environ, nice=7) as starting:
        process = starting.wait(10)
    try:
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 7
        group = Path(f"/proc/{process.pid}/autogroup")
        assert not group.exists() or group.read_text().endswith("nice 7\n")
    finally:
        processes.end({"daemon": process}, grace_s=10)


def test_a_daemon_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    code = (
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + READY % b"READY=1" + "; time.sleep(60)"
    )
    with start(tmp_path, code) as starting:
        process = starting.wait(10)
    assert processes.end({"daemon": process}, grace_s=0.2) == ["daemon"]
    assert not process.alive


def test_a_daemon_that_ends_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("an older run\n")
    with start(tmp_path, "raise SystemExit('no such key')") as starting, pytest.raises(DaemonDied) as caught:
        starting.wait(10)
    assert "exit status 1" in caught.value.message
    assert "no such key" in caught.value.message
    assert "older run" not in caught.value.message


def test_a_daemon_killed_by_a_signal_is_reported_by_its_name(tmp_path: Path) -> None:
    with start(tmp_path, "import os; os.abort()") as starting, pytest.raises(DaemonDied, match="signal SIGABRT"):
        starting.wait(10)


def test_a_daemon_that_never_gets_ready_is_reported_with_its_status_and_killed(tmp_path: Path) -> None:
    with start(tmp_path, READY % b"STATUS=recovering" + "; import time; time.sleep(60)") as starting:
        with pytest.raises(DaemonSlow, match="last said: recovering"):
            starting.wait(1.5)
        process = starting.process
    assert not process.alive


def test_a_recorded_process_of_another_start_time_or_boot_is_not_it(tmp_path: Path) -> None:
    me = processes.identify(os.getpid())
    assert me is not None
    record = tmp_path / "pid"
    for other in (Process(me.pid, me.started + 1, me.boot), Process(me.pid, me.started, "another boot")):
        record.write_bytes(msgspec.json.encode(other))
        assert processes.load(record) is None
    record.write_bytes(msgspec.json.encode(me))
    assert processes.load(record) == me


@pytest.mark.parametrize("text", [b"", b"{", b'{"pid": "x"}', b"\xff"])
def test_a_torn_record_is_no_process(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "pid").write_bytes(text)
    assert processes.load(tmp_path / "pid") is None


def test_ending_a_process_id_that_now_is_another_process_touches_nobody() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        real = processes.identify(other.pid)
        assert real is not None
        processes.end({"old": Process(real.pid, real.started - 1, real.boot)}, grace_s=0.1)
        assert other.poll() is None
        other.kill()


def test_a_zombie_does_not_count_as_running() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.identify(child.pid) is None
    child.wait()


def test_a_process_whose_main_thread_has_ended_still_counts_as_running(tmp_path: Path) -> None:
    """It holds its ports until its other threads have ended too."""
    code = (
        "import ctypes, os, signal, threading;"
        "threading.Thread(target=lambda: signal.sigtimedwait([], 60)).start();"
        + READY % b"READY=1"
        + "; ctypes.CDLL(None).pthread_exit(None)"
    )
    with start(tmp_path, code) as starting:
        process = starting.wait(10)
    stat = Path(f"/proc/{process.pid}/stat")
    while stat.read_text().rpartition(") ")[2][0] != "Z":
        assert process.alive
    assert process.alive
    assert process.dying
    assert processes.end({"daemon": process}, grace_s=10) == []
    assert not process.alive


def test_a_process_that_was_killed_but_still_runs_is_dying() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        process = processes.identify(child.pid)
        assert process is not None
        before = process.dying
        child.kill()
        while process.alive:
            assert process.dying or processes.identify(child.pid) is None
    assert not before


def test_processes_are_found_by_whole_arguments_next_to_each_other() -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()", "--config", "/a/b"]) as child:
        found = processes.find("--config", "/a/b")
        nothing = processes.find("--config", "/a") + processes.find("/a/b", "--config")
        child.send_signal(signal.SIGKILL)
    assert [process.pid for process in found] == [child.pid]
    assert nothing == []
