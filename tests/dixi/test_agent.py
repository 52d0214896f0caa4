# SPDX-License-Identifier: BSD-3-Clause
"""The agent and its C client as real processes: what users may rely on, and what must not harm it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import signal
import socket
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.agents import PATIENCE, Desk, alive, build_client, kill
from support.daemons import eventually
from support.dixi import Grid
from xos.dixi.agent import protocol
from xos.dixi.agent.client import connect
from xos.dixi.agent.registry import CHECK_SECONDS

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_client(tmp_path_factory.mktemp("bin"))


@pytest.fixture(scope="module")
def shared(client: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk with an agent that tests may use but not end."""
    desk = Desk(tmp_path_factory.mktemp("desk"), client)
    with desk.with_agent():
        yield desk


@pytest.fixture
def desk(client: Path, tmp_path: Path) -> Desk:
    """A desk of its own, without agent."""
    return Desk(tmp_path, client)


@pytest.fixture(params=["agent", "alone"])
def either(request: pytest.FixtureRequest, client: Path, tmp_path: Path) -> Iterator[Desk]:
    """The same test inside the agent and without one."""
    if request.param == "agent":
        yield request.getfixturevalue("shared")
    else:
        yield Desk(tmp_path, client)


# --- the same inside and outside -------------------------------------------------------------------------------------


def test_arguments_directory_mask_and_name_arrive(either: Desk) -> None:
    umask = os.umask(0o027)
    try:
        seen = either.show("a b", "", "ü\n")
    finally:
        os.umask(umask)
    assert seen["words"] == ["a b", "", "ü\n"]
    assert (seen["cwd"], seen["umask"], seen["name"]) == (str(either.cwd), 0o027, "xt-show")


def test_the_exit_status_is_the_commands(either: Desk) -> None:
    assert either.run("xt-show", "1", "2", "3").returncode == 3
    assert either.run("xt-fail").returncode == 1
    assert either.run("xt-true", "--nonsense").returncode == 2


def test_output_and_errors_go_where_the_user_sent_them(either: Desk) -> None:
    done = either.run("xt-fail")
    assert done.stdout == b""
    assert done.stderr.startswith(b"xt-fail: cannot reach node1:1")
    assert b"usage: xt-true" in either.run("xt-true", "--help").stdout


def test_a_file_is_appended_to_where_it_stands(either: Desk) -> None:
    path = either.cwd / f"out-{random.random()}"
    with path.open("wb") as out:
        out.write(b"before\n")
        out.flush()
        either.run("xt-flood", "1", stdout=out)
        os.write(out.fileno(), b"after\n")
    assert path.read_bytes() == b"before\n" + b"x" * 1023 + b"\nafter\n"


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_everything_on_standard_input_reaches_the_command(either: Desk, size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert either.run("xt-cat", stdin=data).stdout == data


def test_standard_input_may_be_a_file_or_nothing(either: Desk) -> None:
    path = either.cwd / "input"
    path.write_bytes(b"from a file")
    with path.open("rb") as source, either.start("xt-cat", stdin=source) as process:
        assert process.communicate(timeout=PATIENCE)[0] == b"from a file"
    with either.start("xt-cat", stdin=subprocess.DEVNULL) as process:
        assert process.communicate(timeout=PATIENCE)[0] == b""


def test_closed_descriptors_do_no_harm(either: Desk) -> None:
    script = f'"{either.env["PATH"].partition(":")[0]}/xt-show" one <&- >&- 2>&-'
    assert subprocess.run(["/bin/sh", "-c", script], env=either.env, cwd=either.cwd).returncode == 1


def test_a_reader_that_leaves_ends_the_command(either: Desk) -> None:
    with either.start("xt-lines") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.wait(PATIENCE) == 141


def test_an_interrupt_cancels_the_command_and_ends_the_client_by_the_signal(either: Desk) -> None:
    with either.start("xt-sleep", "mark") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) in (-signal.SIGINT, 130)
    for _ in eventually(PATIENCE):  # an agent's command is cancelled while its client already ends
        if (either.cwd / "mark").exists():
            break
    (either.cwd / "mark").unlink()


def test_a_secret_is_not_shown_as_it_is_typed(either: Desk) -> None:
    ours, theirs = pty.openpty()
    with either.start("xt-secret", stdin=theirs, stdout=theirs, stderr=theirs) as process:
        said = b""
        for _ in eventually(PATIENCE):
            said += os.read(ours, 1000)
            if b"Secret: " in said:
                break
        assert not termios.tcgetattr(theirs)[3] & termios.ECHO
        os.write(ours, b"open sesame\n")
        assert process.wait(PATIENCE) == 0
        said += os.read(ours, 1000)
    assert termios.tcgetattr(theirs)[3] & termios.ECHO
    os.close(theirs)
    os.close(ours)
    assert said.count(b"open sesame") == 1  # what the command tells, not what was typed
    assert b"told: open sesame" in said


def test_a_secret_may_come_from_a_pipe(either: Desk) -> None:
    done = either.run("xt-secret", stdin=b"from a pipe\nrest\n")
    assert (done.stdout, done.stderr) == (b"told: from a pipe\n", b"")


def test_a_terminals_width_is_known(either: Desk) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 71))
    with either.start("xt-show", stdout=theirs) as process:
        process.wait(PATIENCE)
    seen = json.loads(os.read(ours, 10_000))
    os.close(theirs)
    os.close(ours)
    assert (seen["columns"], seen["is_tty"]) == (71, True)


def test_a_shell_gets_the_terminal_for_itself(either: Desk) -> None:
    done = either.run("xt-shell")
    assert (done.returncode, done.stdout) == (5, b"a shell of my own\n")


def test_an_unknown_command_is_unknown(either: Desk) -> None:
    done = either.run("xt-absent")
    assert (done.returncode, done.stderr) == (127, b"xt-absent: no command xt-absent is installed\n")


def test_files_are_made_with_the_users_mask(either: Desk) -> None:
    umask = os.umask(0o002)
    try:
        either.run("xt-write", "new")
    finally:
        os.umask(umask)
    assert (either.cwd / "new").stat().st_mode & 0o777 == 0o664
    (either.cwd / "new").unlink()


# --- inside ----------------------------------------------------------------------------------------------------------


def test_commands_run_inside_and_get_only_what_they_need_of_the_environment(shared: Desk) -> None:
    env = {**shared.env, "SECRET": "x", "XOS_COLOUR": "y", "LC_TIME": "C", "TERM": "xterm", "XOSX": "z"}
    seen = shared.show(env=env)
    assert seen["in_agent"]
    assert seen["env"].items() >= {"XOS_COLOUR": "y", "LC_TIME": "C", "TERM": "xterm"}.items()
    assert not {"SECRET", "PATH", "PYTHONPATH", "XOSX"} & seen["env"].keys()


def test_status_tells_what_it_is_doing(shared: Desk) -> None:
    status = shared.agent
    assert (status["running"], status["user"], status["stale"]) == (1, None, False)
    assert b"acts as    nobody" in shared.run("xos-agent", "status").stdout


def test_no_other_process_may_read_its_memory_or_make_a_core_file(shared: Desk) -> None:
    assert shared.agent["undumpable"]
    limits = Path(f"/proc/{shared.agent['pid']}/limits").read_text()
    (core,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]


def test_only_its_user_reaches_the_socket(shared: Desk) -> None:
    path = shared.home / "agent.sock"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_command_for_another_home_runs_by_itself(shared: Desk, tmp_path: Path) -> None:
    env = {**shared.env, "XOS_AGENT_SOCK": str(shared.home / "agent.sock"), "XOS_HOME": str(tmp_path)}
    seen = shared.show(env=env)
    assert (seen["in_agent"], seen["home"]) == (False, str(tmp_path))


def test_the_agent_can_be_left_out(shared: Desk) -> None:
    assert not shared.show(env={**shared.env, "XOS_NO_AGENT": "1"})["in_agent"]


def test_a_slow_reader_holds_nobody_else_up(shared: Desk) -> None:
    with shared.start("xt-flood", "4000") as slow:
        assert slow.stdout is not None
        assert slow.stdout.read(1) == b"x"
        for _ in range(5):
            assert shared.run("xt-true").returncode == 0
        assert len(slow.stdout.read()) == 4000 * 1024 - 1
        assert slow.wait(PATIENCE) == 0


def test_a_socket_may_be_standard_output(shared: Desk) -> None:
    ours, theirs = socket.socketpair()
    with ours, shared.start("xt-flood", "1000", stdout=theirs) as process:
        theirs.close()
        received = 0
        while data := ours.recv(100_000):
            received += len(data)
        assert process.wait(PATIENCE) == 0
    assert received == 1000 * 1024


def test_a_client_that_is_killed_takes_its_command_along(shared: Desk) -> None:
    mark = shared.cwd / "killed"
    with shared.start("xt-sleep", "killed") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.kill()
    for _ in eventually(PATIENCE):
        if mark.exists():
            break
    mark.unlink()


def test_a_bug_in_a_command_is_written_to_the_agents_log(shared: Desk) -> None:
    done = shared.run("xt-crash")
    incident = done.stderr.partition(b"(incident ")[2][:8].decode()
    assert done.returncode == 1
    log = (shared.home / "agent.log").read_text()
    assert f"incident {incident}, command xt-crash" in log
    assert "ZeroDivisionError" in log


def test_many_commands_at_once_all_end_well(shared: Desk) -> None:
    running = [shared.start("xt-show", str(i)) for i in range(40)]
    seen = [json.loads(process.communicate(timeout=PATIENCE)[0]) for process in running]
    assert [one["words"] for one in seen] == [[str(i)] for i in range(40)]
    assert all(one["in_agent"] for one in seen)


def hello(*args: str, cwd: str = "/") -> bytes:
    return protocol.encode("xt-true", args, cwd, 0o022, {})


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: agent\r\n\r\n",
        protocol.HEADER.pack(protocol.MAGIC, 0xFFFFFFFF),
        protocol.HEADER.pack(protocol.MAGIC, 0),
        protocol.HEADER.pack(protocol.MAGIC, 5) + b"x\0y\0z",
        protocol.HEADER.pack(protocol.MAGIC, 5) + b"xxxxx",
        hello()[:-1],
        hello().replace(b"xt-true\x0022", b"xt-true\x00zz"),
        hello(cwd="not/absolute"),
        hello("a").replace(b"/\x001\x00", b"/\x009\x00"),
        random.Random(7).randbytes(50_000),
    ],
    ids=str,
)
def test_garbage_on_its_socket_does_not_harm_it(shared: Desk, garbage: bytes) -> None:
    with contextlib.closing(connected(shared)) as conn:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            conn.sendall(garbage)
        conn.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            assert conn.recv(100)[:1] in (b"", protocol.REFUSED)
    assert shared.show()["in_agent"]


def test_descriptors_that_are_too_many_too_few_or_unusable_are_refused_and_closed(shared: Desk) -> None:
    before = descriptors(shared.agent["pid"])
    with Path(os.devnull).open("rb") as nothing:
        for count in (0, 1, 2, 4, 50):
            with contextlib.closing(connected(shared)) as conn:
                if count:
                    socket.send_fds(conn, [hello()], [nothing.fileno()] * count)
                else:
                    conn.sendall(hello())
                assert conn.recv(10)[:1] in (b"", protocol.REFUSED)
    assert shared.show()["in_agent"]
    for _ in eventually(PATIENCE):
        if descriptors(shared.agent["pid"]) <= before:
            break


def test_clients_that_send_nothing_do_not_keep_others_out(shared: Desk) -> None:
    with contextlib.ExitStack() as idle:
        for _ in range(100):
            idle.enter_context(contextlib.closing(connected(shared)))
        assert shared.show()["in_agent"]


def connected(desk: Desk) -> socket.socket:
    conn = connect(str(desk.home / "agent.sock"))
    assert conn is not None
    conn.settimeout(PATIENCE)
    return conn


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


# --- its life --------------------------------------------------------------------------------------------------------


def test_start_returns_when_it_serves_and_a_second_one_is_told(desk: Desk) -> None:
    with desk.with_agent() as pid:
        again = desk.run("xos-agent", "start")
        assert (again.returncode, again.stderr) == (0, f"xos-agent already runs (pid {pid})\n".encode())
        assert desk.run("xos-agent", "stop").returncode == 0
        for _ in eventually(PATIENCE):
            if not alive(pid):
                break
        assert not (desk.home / "agent.sock").exists()
    assert desk.run("xos-agent", "stop").returncode == 0
    assert desk.run("xos-agent", "status").returncode == 3


def test_stopping_cancels_what_runs(desk: Desk) -> None:
    with desk.with_agent(), desk.start("xt-sleep", "mark") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        desk.run("xos-agent", "stop")
        assert process.wait(PATIENCE) == 1
        assert process.stderr is not None
        assert b"went away" in process.stderr.read()
    assert (desk.cwd / "mark").exists()


def test_killing_it_loses_nothing_but_what_it_had_in_memory(desk: Desk) -> None:
    with desk.with_agent() as pid, desk.start("xt-sleep", "mark") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        kill(pid)
        assert process.wait(PATIENCE) == 1
        assert process.stderr is not None
        assert process.stderr.read().startswith(b"xt-sleep: xos-agent went away")
    assert not desk.show()["in_agent"]  # the socket is still there, nobody listens
    with desk.with_agent():
        assert desk.show()["in_agent"]


def test_two_that_start_at_once_leave_one(desk: Desk) -> None:
    starting = [desk.start("xos-agent", "start") for _ in range(4)]
    results = [process.communicate(timeout=PATIENCE) for process in starting]
    assert [p.returncode for p in starting].count(0) >= 1
    assert all(p.returncode == 0 or b"already runs" in err for p, (_, err) in zip(starting, results, strict=True))
    kill(desk.agent["pid"])


@pytest.fixture
def fresh(desk: Desk) -> Path:
    """The file of an installed command ``xt-fresh`` that tests may change."""
    package = desk.installed / "xos/fresh"
    package.mkdir(parents=True)
    code = package / "cli.py"
    code.write_text("from support.sample_commands import SHOW as COMMAND\n")
    info = desk.installed / "fresh-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fresh\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[xos.commands]\nxt-fresh = xos.fresh.cli:COMMAND\n")
    return code


def change(code: Path, text: str) -> None:
    """As an upgrade does; then let pass the time for which the agent believes that nothing has changed."""
    code.write_text(text)
    os.utime(code, (1, random.randrange(10**9)))
    time.sleep(CHECK_SECONDS)


@pytest.mark.parametrize("by_python", [True, False])
def test_newer_code_is_loaded_and_what_is_in_memory_stays(
    desk: Desk, fresh: Path, grid: Grid, *, by_python: bool
) -> None:
    (desk.home / "next.pem").write_bytes(grid.user.pem())
    with desk.with_agent(by_python=by_python) as pid:
        assert desk.run("xt-keep").returncode == 0
        started = desk.agent["started"]
        assert desk.run("xt-fresh", "1", "2").returncode == 2
        change(fresh, "from support.sample_commands import TRUE as COMMAND\n")
        assert desk.run("xt-fresh", "1", "2").returncode == 0
        status = desk.agent
        assert (status["pid"], status["user"], status["stale"]) == (pid, "alice@demo", False)
        assert status["started"] > started
        assert status["undumpable"]
        assert desk.run("xos-agent", "lock").returncode == 0
        change(fresh, "from support.sample_commands import SHOW as COMMAND\n")
        assert desk.run("xt-fresh", "1").returncode == 1
        assert desk.agent["user"] is None


def test_newer_code_waits_for_the_commands_that_run(desk: Desk, fresh: Path) -> None:
    with desk.with_agent(), desk.start("xt-sleep", "mark") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        assert desk.run("xt-fresh", "1").returncode == 1
        change(fresh, "from support.sample_commands import TRUE as COMMAND\n")
        assert desk.run("xt-fresh", "1").returncode == 1
        assert desk.agent["stale"]
        assert b"newer code is installed" in desk.run("xos-agent", "status").stdout
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == -signal.SIGINT
        assert desk.run("xt-fresh", "1").returncode == 0


def test_newer_code_that_does_not_start_is_not_loaded(desk: Desk, fresh: Path) -> None:
    with desk.with_agent() as pid:
        started = desk.agent["started"]
        change(fresh, "import sys\nsys.exit('broken')\n")
        assert desk.show()["in_agent"]
        assert (desk.agent["pid"], desk.agent["started"]) == (pid, started)
        assert "code.broken" in (desk.home / "agent.log").read_text()


@pytest.mark.parametrize(
    ("argv", "status"), [(["status"], 3), (["lock"], 3), (["unlock"], 3), (["stop"], 0), (["nonsense"], 2), ([], 2)]
)
def test_without_an_agent_its_command_says_so(desk: Desk, argv: list[str], status: int) -> None:
    assert desk.run("xos-agent", *argv).returncode == status


def test_env_prints_what_a_shell_can_evaluate(desk: Desk) -> None:
    wanted = f"XOS_AGENT_SOCK={desk.home}/agent.sock; export XOS_AGENT_SOCK;\n".encode()
    assert desk.run("xos-agent", "env").stdout == wanted


def test_a_socket_path_that_is_too_long_is_an_error_of_two_lines(desk: Desk) -> None:
    env = {**desk.env, "XOS_AGENT_SOCK": f"/tmp/{'x' * 200}/s"}
    done = desk.run("xos-agent", "start", env=env)
    Path(f"/tmp/{'x' * 200}/s.lock").unlink()
    Path(f"/tmp/{'x' * 200}").rmdir()
    assert done.returncode == 1
    assert b"the path is too long\n" in done.stderr


def test_as_a_service_it_tells_its_manager_when_it_is_ready(desk: Desk) -> None:
    address = desk.home / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(address))
        notify.settimeout(PATIENCE)
        env = {**desk.env, "NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "200000"}
        with desk.start("xos-agent", "run", env=env) as process:
            assert notify.recv(100) == b"READY=1"
            assert desk.show()["in_agent"]
            assert notify.recv(100) == b"WATCHDOG=1"
            process.send_signal(signal.SIGTERM)
            while (said := notify.recv(100)) == b"WATCHDOG=1":
                pass
            assert said == b"STOPPING=1"
            assert process.wait(PATIENCE) == 0


def test_a_command_through_the_agent_costs_milliseconds(shared: Desk) -> None:
    took = []
    for _ in range(20):
        begun = time.perf_counter()
        assert shared.run("xt-true").returncode == 0
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.05  # Python alone takes longer to start; the exact figure is the benchmark's business
