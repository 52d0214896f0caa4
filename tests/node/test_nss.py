# SPDX-License-Identifier: BSD-3-Clause
"""libnss_xos as glibc calls it: plain, under AddressSanitizer and UBSan, and under valgrind."""

from __future__ import annotations

import os
import random
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xos.node.config import Range
from xos.node.message import decode, encode
from xos.node.table import HEADER, REPLACED_AT, Builder, Group, Table, User

SOURCES = Path(__file__).parents[2] / "kernel-modules" / "nss_xos"
HERE = Path(__file__).parent / "nss"
FIRST, FIRST_GID = 1_900_000_000, 1_900_500_000
RANGES = [Range(FIRST, FIRST + 499_999), Range(FIRST_GID, FIRST_GID + 999)]
WRAPPED = ("-Wl,--wrap=realloc", "-Wl,--wrap=mmap")
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no C compiler here")


def compiled(name: Path, *sources: Path, flags: tuple[str, ...] = ()) -> Path:
    done = subprocess.run(
        ["gcc", "-std=c17", "-O1", "-g", "-Wall", "-Wextra", "-DXOS_TESTING", "-pthread", *flags, "-o", name, *sources],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return name


def library() -> list[Path]:
    return sorted(SOURCES.glob("*.c"))


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The harness in each variant, as command lines."""
    where = tmp_path_factory.mktemp("nss")
    plain = compiled(where / "plain", HERE / "harness.c", *library(), flags=WRAPPED)
    made = {
        "plain": [str(plain)],
        "sanitized": [str(compiled(where / "sanitized", HERE / "harness.c", *library(), flags=(*SANITIZED, *WRAPPED)))],
        "threads": [
            str(compiled(where / "tsan", HERE / "harness.c", *library(), flags=("-fsanitize=thread", *WRAPPED)))
        ],
    }
    if valgrind := shutil.which("valgrind"):
        made["valgrind"] = [valgrind, "-q", "--error-exitcode=9", "--leak-check=full", str(plain)]
    return made


class Nss:
    """A harness with a table and, perhaps, a daemon."""

    def __init__(self, command: list[str], directory: Path) -> None:
        self.command, self.table, self.socket = command, directory / "table", directory / "amsd.sock"

    def __call__(self, *arguments: str, seconds: float = 18) -> list[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "XOS_NSS_TABLE": str(self.table),
            "XOS_NSS_SOCKET": str(self.socket),
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }
        done = subprocess.run(
            [*self.command, *arguments], env=environment, capture_output=True, text=True, timeout=seconds
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.splitlines()

    def look(self, *arguments: str) -> list[str]:
        return self("look", *arguments)


@pytest.fixture
def nss(programs: dict[str, list[str]], tmp_path: Path) -> Nss:
    return Nss(programs["sanitized"], tmp_path)


@pytest.fixture(params=["sanitized", "valgrind"])
def nss_twice(request: pytest.FixtureRequest, programs: dict[str, list[str]], tmp_path: Path) -> Nss:
    if request.param not in programs:
        pytest.skip("valgrind is not installed here")
    return Nss(programs[request.param], tmp_path)


def user(n: int, *gids: int) -> User:
    return User(FIRST + n, f"u{n}.demo", f"u{n}@demo", f"/home/u{n}.demo", "/bin/sh", gids)


def table(
    users: int = 10, groups: int = 3, *, enumerate_: bool = False, only: Callable[[int], bool] = lambda _: True
) -> bytes:
    return Builder().build(
        [user(n, FIRST_GID, FIRST_GID + 1) for n in range(users) if only(n)],
        [Group(FIRST_GID + n, f"g{n}.demo") for n in range(groups)],
        ranges=RANGES,
        suffixes=["demo", "b.c"],
        generation=1,
        enumerate_=enumerate_,
    )


# --- look-ups


def test_users_and_groups_are_found_by_name_and_number(nss_twice: Nss) -> None:
    nss_twice.table.write_bytes(table())
    line = f"u3.demo:*:{FIRST + 3}:{FIRST + 3}:u3@demo:/home/u3.demo:/bin/sh"
    found = nss_twice.look(
        "passwd", "u3.demo", "uid", str(FIRST + 3), "group", "g1.demo", "gid", str(FIRST_GID + 1),
        "group", "u3@demo", "gid", str(FIRST + 3), "shadow", "u3.demo",
    )  # fmt: skip
    assert found == [
        line, line, *(2 * [f"g1.demo:*:{FIRST_GID + 1}:"]), *(2 * [f"u3@demo:*:{FIRST + 3}:"]), "u3.demo:*:-1:-1",
    ]  # fmt: skip


def test_whoever_is_not_ours_is_not_found_and_nobody_is_asked(nss: Nss) -> None:
    nss.table.write_bytes(table())
    names = ["root", "alice", "u3.other", ".demo", "demo", "", "x" * 5000, "u3.demo\n"]
    pairs = [word for name in names for word in ("passwd", name)]
    assert nss.look(*pairs, "uid", "0", "gid", "0", "uid", "1000", "uid", "4294967295") == 12 * ["not found"]


def test_a_small_buffer_is_told_and_never_overrun(nss_twice: Nss) -> None:
    nss_twice.table.write_bytes(table())
    assert nss_twice("erange", "u3.demo", "g1.demo") == ["ok"]


@pytest.mark.parametrize(
    ("size", "limit", "expected"),
    [(1, 0, f"4 {FIRST_GID} {FIRST_GID + 1}"), (1, 2, f"4 {FIRST_GID}"), (3, 3, f"4 {FIRST_GID} {FIRST_GID + 1}")],
)
def test_groups_come_up_to_the_callers_limit(nss_twice: Nss, size: int, limit: int, expected: str) -> None:
    nss_twice.table.write_bytes(table())
    assert nss_twice("groups", "u3.demo", str(size), str(limit)) == [f"success {expected}"]
    assert nss_twice("groups", "root", "1", "0") == ["not found 4"]


def test_where_memory_runs_out_nobody_is_known_or_it_is_to_be_tried_again(nss_twice: Nss) -> None:
    nss_twice.table.write_bytes(table(enumerate_=True))
    line = f"u3.demo:*:{FIRST + 3}:{FIRST + 3}:u3@demo:/home/u3.demo:/bin/sh"
    assert nss_twice("memory", "u3.demo", "g1.demo") == [*(4 * ["unavailable"]), "try again ENOMEM", line, "success"]


def test_listing_lists_only_where_it_is_wanted_and_ends(nss_twice: Nss) -> None:
    nss_twice.table.write_bytes(table())
    assert nss_twice("list") == []
    nss_twice.table.write_bytes(table(100, enumerate_=True))
    listed = nss_twice("list")
    assert [line.partition(":")[0] for line in listed] == [f"u{n}.demo" for n in range(100)] + [
        "g0.demo",
        "g1.demo",
        "g2.demo",
    ]


def test_all_of_many_are_found(programs: dict[str, list[str]], tmp_path: Path) -> None:
    nss = Nss(programs["plain"], tmp_path)
    nss.table.write_bytes(table(20_000))
    numbers = random.Random(1).sample(range(20_000), 500)
    found = nss.look(*(word for n in numbers for word in ("passwd", f"u{n}.demo", "uid", str(FIRST + n))))
    assert [line.split(":")[2] for line in found] == [str(FIRST + n) for n in numbers for _ in (1, 2)]


# --- files that are not as they should be


@pytest.mark.parametrize("cut", [0, 1, 100, 127, 128, 200, -1, -200])
def test_a_table_that_was_cut_is_none(nss: Nss, cut: int) -> None:
    nss.table.write_bytes(table()[:cut])
    assert nss.look("passwd", "u3.demo", "uid", str(FIRST)) == 2 * ["unavailable"]


def test_no_file_a_directory_a_fifo_and_another_version_are_no_table(nss: Nss) -> None:
    ask = ("passwd", "u3.demo", "passwd", "root")
    expected = ["unavailable", "not found"]
    assert nss.look(*ask) == expected
    nss.table.mkdir()
    assert nss.look(*ask) == expected
    nss.table.rmdir()
    os.mkfifo(nss.table)
    assert nss.look(*ask) == expected
    nss.table.unlink()
    data = bytearray(table())
    data[8] = 2
    nss.table.write_bytes(data)
    assert nss.look(*ask) == expected


def test_flipped_bits_give_the_right_answer_or_none(programs: dict[str, list[str]], tmp_path: Path) -> None:
    nss = Nss(programs["sanitized"], tmp_path)
    whole, chance = table(4, 2), random.Random(7)
    right = {f"u{n}.demo:*:{FIRST + n}:{FIRST + n}:u{n}@demo:/home/u{n}.demo:/bin/sh" for n in range(4)}
    ask = [word for n in range(4) for word in ("passwd", f"u{n}.demo", "uid", str(FIRST + n))]
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        nss.table.write_bytes(data)
        assert set(nss.look(*ask)) <= right | {"not found", "unavailable"}


def test_an_entry_outside_of_the_ranges_is_nobody(nss: Nss) -> None:
    users = [User(0, "root.demo", "root@demo", "/root", "/bin/sh"), User(1000, "me.demo", "me@demo", "/", "/bin/sh")]
    nss.table.write_bytes(Builder().build(users, [], ranges=RANGES, suffixes=["demo"], generation=1))
    assert nss.look("passwd", "root.demo", "uid", "0", "passwd", "me.demo", "uid", "1000") == [
        "unavailable", "not found", "unavailable", "not found",
    ]  # fmt: skip


# --- replaced while it is used


@pytest.mark.parametrize(("variant", "count"), [("plain", 1000), ("sanitized", 50), ("threads", 20)])
def test_threads_and_their_forks_find_everybody_while_the_table_is_replaced(
    programs: dict[str, list[str]], tmp_path: Path, variant: str, count: int
) -> None:
    nss = Nss(programs[variant], tmp_path)
    files = [tmp_path / f"table{n}" for n in range(5)]
    for n, file in enumerate(files):
        file.write_bytes(table(100 + n))
        with file.open("r+b") as open_file:  # every look-up finds that some were replaced
            open_file.seek(REPLACED_AT)
            open_file.write(bytes([n % 2]))
    shutil.copy(files[0], nss.table)
    forks = "fork" if variant == "plain" else "none"  # sanitizers do not take forks of threads
    line = nss("threads", str(count), "3", str(FIRST), "100", forks, "all", str(nss.table), *map(str, files))
    assert line[0].startswith("ok ")
    assert int(line[0].split()[1]) > 1000


def test_the_writer_tells_those_who_have_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "table"
    Table(path).replace(table(1))
    with path.open("rb") as old:
        Table(path).replace(table(2))
        assert struct.unpack_from("<I", old.read(), REPLACED_AT) == (1,)
    assert struct.unpack_from("<I", path.read_bytes(), REPLACED_AT) == (0,)
    assert HEADER.size == 128


# --- the daemon


class Daemon:
    """Something that answers in place of xos-amsd."""

    def __init__(self, path: Path, answer: Callable[[dict[str, str]], bytes | None]) -> None:
        self.asked: list[dict[str, str]] = []
        self._answer = answer
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.bind(str(path))
        self._listening.listen(64)
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._held.append(connection)
            self.asked.append(decode(connection.recv(4096)))
            answer = self._answer(self.asked[-1])
            if answer is not None:
                connection.send(answer)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for connection in (*self._held, self._listening):
            connection.close()


@pytest.fixture
def daemon(nss: Nss) -> Iterator[Callable[[Callable[[dict[str, str]], bytes | None]], Daemon]]:
    made: list[Daemon] = []

    def start(answer: Callable[[dict[str, str]], bytes | None]) -> Daemon:
        made.append(Daemon(nss.socket, answer))
        return made[0]

    yield start
    for each in made:
        each.close()


Start = Callable[[Callable[[dict[str, str]], bytes | None]], Daemon]


def line_of(ask: dict[str, str]) -> dict[str, str]:
    return {
        "ok": "1", "kind": "user", "name": ask.get("name", "new.demo"), "id": str(FIRST + 77), "own_group": "new@demo",
        "home": "/home/new", "shell": "/bin/sh", "gids": f"{FIRST_GID},{FIRST_GID + 2}", "later": "more",
    }  # fmt: skip


def test_what_the_table_does_not_hold_the_daemon_is_asked_for(nss: Nss, daemon: Start) -> None:
    nss.table.write_bytes(table())
    amsd = daemon(lambda ask: encode(line_of(ask)))
    line = f"new.demo:*:{FIRST + 77}:{FIRST + 77}:new@demo:/home/new:/bin/sh"
    assert nss.look("passwd", "new.demo", "uid", str(FIRST + 77), "passwd", "u1.demo", "passwd", "root")[:2] == 2 * [
        line
    ]
    assert amsd.asked == [{"op": "lookup", "name": "new.demo"}, {"op": "lookup", "uid": str(FIRST + 77)}]
    assert nss("groups", "new.demo", "1", "0") == [f"success 4 {FIRST_GID} {FIRST_GID + 2}"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other.demo"},
        {"id": "0"},
        {"id": "1000"},
        {"id": "99999999999999999999"},
        {"id": "-1"},
        {"id": ""},
        {"kind": "group"},
        {"home": "/a:b"},
        {"shell": "/bin/sh\nroot::0:0"},
        {"gids": "x"},
        {"gids": ",".join(map(str, range(300)))},
        {"home": "x" * 8000},
    ],
)
def test_a_wrong_answer_becomes_nobodys_identity(nss: Nss, daemon: Start, change: dict[str, str]) -> None:
    nss.table.write_bytes(table())
    daemon(lambda ask: encode({**line_of(ask), **change}))
    assert nss.look("passwd", "new.demo")[0] in {"unavailable", "not found"}


@pytest.mark.parametrize("answer", [b"", b"\0", b"x", b"ok=1", b"ok=1\0", b"=\0" * 100, b"\xff" * 6000, b"error=x\0"])
def test_garbage_is_no_answer(nss: Nss, daemon: Start, answer: bytes) -> None:
    nss.table.write_bytes(table())
    daemon(lambda _: answer)
    assert nss.look("passwd", "new.demo") == ["unavailable"]


def test_a_daemon_that_knows_nobody_is_believed(nss: Nss, daemon: Start) -> None:
    nss.table.write_bytes(table())
    daemon(lambda _: encode({"error": "node.unknown-account", "message": "no", "hint": ""}))
    assert nss.look("passwd", "new.demo", "gid", str(FIRST_GID + 9)) == 2 * ["not found"]


def test_a_hung_daemon_costs_a_quarter_of_a_second_once(programs: dict[str, list[str]], tmp_path: Path) -> None:
    nss = Nss(programs["plain"], tmp_path)
    nss.table.write_bytes(table())
    amsd = Daemon(nss.socket, lambda _: None)
    began = time.monotonic()
    try:
        pairs = [word for n in range(200) for word in ("uid", str(FIRST + 1000 + n))]
        assert nss.look(*pairs, "passwd", "u3.demo")[:200] == 200 * ["unavailable"]
        assert len(amsd.asked) == 1
        assert time.monotonic() - began < 15  # 200 answers late by a quarter of a second each would be 50
    finally:
        amsd.close()


def test_with_no_daemon_those_in_the_table_are_known(nss_twice: Nss) -> None:
    nss_twice.table.write_bytes(table())
    found = nss_twice.look("passwd", "new.demo", "passwd", "u3.demo")
    assert found[0] == "unavailable"
    assert found[1].startswith("u3.demo:")


# --- fuzzing


def fuzz_target(where: Path, name: str) -> Path:
    flags = (*SANITIZED, "-DXOS_FUZZING", "-Wno-unused-function")
    return compiled(where / name, HERE / f"{name}.c", HERE / "replay.c", flags=flags)


@pytest.mark.parametrize("name", ["fuzz_table", "fuzz_answer"])
def test_what_fuzzing_has_found_so_far_stays_inside(tmp_path: Path, name: str) -> None:
    corpus = sorted((HERE / "corpus" / name).iterdir())
    done = subprocess.run([fuzz_target(tmp_path, name), *corpus], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == f"{len(corpus)}\n"
    assert corpus


@pytest.mark.skipif(shutil.which("clang") is None, reason="libFuzzer comes with clang, which is not installed here")
@pytest.mark.parametrize("name", ["fuzz_table", "fuzz_answer"])
def test_a_few_seconds_of_fuzzing_find_nothing(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    flags = ["-std=c17", "-O1", "-g", "-DXOS_FUZZING", "-fsanitize=fuzzer,address,undefined", "-Wno-unused-function"]
    built = subprocess.run(["clang", *flags, "-o", target, HERE / f"{name}.c"], capture_output=True, text=True)
    if "libclang_rt.fuzzer" in built.stderr:
        pytest.skip("clang is here without libFuzzer")
    assert built.returncode == 0, built.stderr
    corpus = tmp_path / "corpus"
    shutil.copytree(HERE / "corpus" / name, corpus)
    done = subprocess.run(
        [target, "-max_total_time=3", "-max_len=4096", f"-artifact_prefix={tmp_path}/", corpus],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
