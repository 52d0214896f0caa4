# SPDX-License-Identifier: BSD-3-Clause
"""Our C modules in the real libpam and behind libc, by cmocka, libpamtest, pam_wrapper and nss_wrapper: with
AddressSanitizer and UBSan, and under valgrind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.amsd import Amsd, until
from support.machine import TOP
from support.node import GIDS, UIDS, Va, encoded, identity
from xos.node.config import Range
from xos.node.table import Builder, Group, User

HERE = Path(__file__).with_name("wrapped")
MODULES = TOP / "kernel-modules"
SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
FAULTS = re.findall(r"__wrap_(\w+)\(|^WRAPPED\([^,]+, (\w+),", (HERE / "faults.c").read_text(), re.MULTILINE)
NEEDED = ("libpam_wrapper.so", "libnss_wrapper.so", "libpamtest.so", "libcmocka.so")
LOW = Range(2000, 2001)
pytestmark = pytest.mark.timeout(120)


def libraries() -> dict[str, Path] | None:
    """Where the wrappers are; None when one is not installed."""
    found = {name: next(iter(Path("/usr/lib").glob(f"*/{name}")), None) for name in NEEDED}
    return {name: path for name, path in found.items() if path} if all(found.values()) else None


@pytest.fixture(scope="module", autouse=True)
def possible() -> None:
    if os.geteuid() != 0:
        pytest.skip("xos-amsd listens to root")
    if libraries() is None or shutil.which("gcc") is None:
        pytest.skip(f"{', '.join(NEEDED)} or gcc are not installed (prepare --tests installs them)")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that alice can read in; pytest's are root's own."""
    with tempfile.TemporaryDirectory(prefix="xos-wrapped-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def va(place: Path) -> Va:
    return Va(place / "trust")


@pytest.fixture(scope="module")
def daemon(place: Path, va: Va) -> Iterator[Amsd]:
    """One in which alice has an account."""
    made = Amsd(place, va.directory)
    with made.config.open("a") as config:
        config.write('limits = {tasks_max = "100", nofile = "1024"}\n[groups."demo/guests".slice]\nMemoryMax = "1G"\n')
    try:
        made.start()
        made.ask(op="account", service="sshd", user="alice.demo", certificate=va.xos(identity("alice")))
        yield made
        assert made.end() == 0
    finally:
        made.kill()


@pytest.fixture(scope="module")
def table(place: Path, daemon: Amsd) -> Path:
    """What libnss_xos maps: alice as the daemon has her, and one whose number cannot be."""
    told = daemon.ask(op="lookup", name="alice.demo")
    users = [
        User(LOW.first, "low.demo", "low@demo", "/nonexistent", "/bin/sh", ()),
        User(int(told["id"]), "alice.demo", "alice@demo", told["home"], "/bin/sh", (int(told["gids"]),)),
    ]
    groups = [Group(int(told["gids"]), "users.demo")]
    data = Builder().build(users, groups, ranges=[LOW, UIDS, GIDS], suffixes=["demo"], generation=1, enumerate_=True)
    path = place / "table"
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module", params=["sanitized", "valgrind"])
def built(request: pytest.FixtureRequest, place: Path) -> tuple[Path, list[str]]:
    """The modules and the programs, and what goes before a program."""
    sanitized = request.param == "sanitized"
    if not sanitized and shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    out = place / request.param
    flags = f"-O1 -g {SANITIZE if sanitized else ''}"
    faults = out / "faults.o"
    out.mkdir()
    _run("gcc", *flags.split(), "-Wall", "-Wextra", "-fPIC", "-c", "-o", str(faults), str(HERE / "faults.c"))
    wraps = " ".join(f"-Wl,--wrap={name}" for name in sorted({one or other for one, other in FAULTS}))
    paths = f'-DXOS_NSS_LIBRARY=\\"{out}/libnss_xos.so.2\\" -DXOS_LOCAL_USERS=\\"{place}/passwd\\"'
    _make("nss_xos", "libnss_xos.so.2", out, f"{flags} -DXOS_TESTING", "")
    _make("pam_xos", "pam_xos.so", out, f"{flags} {paths}", f"{faults} {wraps}")
    for name, with_ in (("wrapped", ["-lpamtest", "-lpam"]), ("memory", ["-lpam"]), ("nss", [])):
        source, program = str(HERE / f"{name}.c"), str(out / name)
        _run(
            "gcc", *flags.split(), "-Wall", "-Wextra", "-Werror", "-rdynamic", "-o", program, source, *with_, "-lcmocka"
        )
    judged = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite"]
    return out, [] if sanitized else judged


def _make(module: str, library: str, out: Path, flags: str, link: str) -> None:
    variables = [f"OUT={out}", f"CFLAGS={flags}", f"LDFLAGS={link}", "CC=gcc"]
    _run("make", "-s", "-C", str(MODULES / module), *variables, str(out / library))


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def services(place: Path, out: Path, daemon: Amsd, *, whole: bool) -> Path:
    """PAM services of which our module is the first, and one that tells what it ignored the second. *whole*: with homes
    and keyrings."""
    directory = out / ("whole" if whole else "services")
    directory.mkdir(exist_ok=True)
    there, away = f"socket={daemon.socket}", f"socket={place}/none"
    filed = f"file={place}/user.pem"
    kinds = {
        "login": there, "su": there, "sshd": there, "away": away, "filed": f"{there} {filed}",
        "proof-away": f"{away} {filed}", "odd": f"{there} surprise=1 timeout=0",
    }  # fmt: skip
    codes = " ".join(f"{each}=cred_unavail" for each in ("auth", "cred", "acct", "prechauthtok", "chauthtok"))
    ignored = f"pam_debug.so {codes} open_session=cred_unavail close_session=cred_unavail"
    for name, options in kinds.items():
        lines = []
        for kind in ("auth", "account", "session", "password"):
            control = "[success=done ignore=ignore default=die]"
            given = options if "file=" in options else f"{options} file=/nonexistent"
            given += f" skel={place}/skeleton" if whole else " home=no keyring=no"
            lines.append(f"{kind} {control} {out}/pam_xos.so {given} systemctl=/usr/bin/true timeout=5\n")
            lines.append(f"{kind} required {ignored}\n")
        (directory / name).write_text("".join(lines))
    return directory


def environment(place: Path, out: Path, table: Path, *preload: str) -> dict[str, str]:
    (place / "passwd").write_text("root:x:0:0::/root:/bin/sh\nlocal.demo:x:1601:1601::/:/bin/sh\n")
    (place / "group").write_text("root:x:0:\n")
    there = libraries()
    assert there is not None
    first = []
    if out.name == "sanitized":
        told = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
        first = [told.stdout.strip()]
    return {
        "PATH": "/usr/bin:/bin",
        "LD_PRELOAD": ":".join([*first, *(str(there[name]) for name in preload)]),
        "NSS_WRAPPER_PASSWD": str(place / "passwd"),
        "NSS_WRAPPER_GROUP": str(place / "group"),
        "NSS_WRAPPER_MODULE_SO_PATH": str(out / "libnss_xos.so.2"),
        "NSS_WRAPPER_MODULE_FN_PREFIX": "xos",
        "NSS_WRAPPER_DISABLE_DEEPBIND": "1",
        "PAM_WRAPPER_DISABLE_DEEPBIND": "1",
        "XOS_NSS_TABLE": str(table),
        "XOS_NSS_SOCKET": str(place / "none"),
        # Of the wrappers, which the end of a process cleans up after; valgrind sees to leaks of ours.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def judge(command: list[str], env: dict[str, str]) -> None:
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=110)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "SYSLOG" not in line]
    assert done.returncode == 0, "\n".join(said)[-5000:]
    assert "AddressSanitizer" not in done.stderr
    assert "runtime error" not in done.stderr
    assert "[  PASSED  ]" in done.stdout + done.stderr


def pam_environment(
    place: Path, out: Path, daemon: Amsd, table: Path, va: Va, *, whole: bool = False
) -> dict[str, str]:
    """With alice's certificate in a file and as sshd tells of it."""
    alice = va.credential(identity("alice"))
    (place / "user.pem").write_bytes(alice.certificate_pem())
    (place / "user.pem").chmod(0o644)
    (place / "user.key").write_bytes(alice.key_pem(None))
    return environment(place, out, table, "libpam_wrapper.so", "libnss_wrapper.so") | {
        "PAM_WRAPPER": "1",
        "PAM_WRAPPER_SERVICE_DIR": str(services(place, out, daemon, whole=whole)),
        "XOS_GOOD": va.openssh(identity("alice")),
        "XOS_KEY": str(place / "user.key"),
    }


def test_every_function_of_pam_xos_returns_every_code_that_it_may(
    place: Path, built: tuple[Path, list[str]], daemon: Amsd, table: Path, va: Va, tmp_path: Path
) -> None:
    out, before = built
    stranger = Va(tmp_path / "stranger")
    env = pam_environment(place, out, daemon, table, va) | {
        "XOS_EXPIRED": va.openssh(identity("alice"), at=time.time() - 7200),
        "XOS_FOREIGN": stranger.openssh(identity("alice")),
        "XOS_OTHER": va.openssh(identity("bob")),
        "XOS_JUNK": encoded(b"\0\0\0\x20" + b"x" * 600),
    }
    judge([*before, str(out / "wrapped")], env)


def test_wherever_memory_runs_out_nobody_gets_in_and_no_session_stays_on_record(
    place: Path, built: tuple[Path, list[str]], daemon: Amsd, table: Path, va: Va
) -> None:
    out, before = built
    skeleton = place / "skeleton"
    (skeleton / "below").mkdir(parents=True, exist_ok=True)
    (skeleton / "below" / "file").write_text("hello\n")
    env = pam_environment(place, out, daemon, table, va, whole=True) | {"XOS_HOMES": str(daemon.homes)}
    if not before:  # valgrind does not know pidfd_open, by which a helper is waited for
        env["XOS_SLICED"] = va.openssh(identity("alice", "demo", "users", "guests"))

    def told(event: str) -> int:
        return daemon.log.read_text().count(event)

    left = told("session.opened") - told("session.closed")
    judge([*before, str(out / "memory")], env)
    until(lambda: told("session.opened") - told("session.closed") == left)


def test_libnss_xos_behind_libc_is_right_and_stays_in_its_room(
    place: Path, built: tuple[Path, list[str]], table: Path
) -> None:
    out, before = built
    judge([*before, str(out / "nss")], environment(place, out, table, "libnss_wrapper.so"))
