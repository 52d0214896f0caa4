# SPDX-License-Identifier: BSD-3-Clause
"""pam_xos in real PAM, by pamtester: every function, every way to fail, under AddressSanitizer and valgrind too."""

from __future__ import annotations

import base64
import contextlib
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from support.machine import ENVIRONMENT, SECURITY, Machine
from xos.common.tls import Credential
from xos.node.message import encode

from .conftest import build

pytestmark = pytest.mark.timeout(60)
ALL = ("authenticate", "setcred", "acct_mgmt", "open_session", "close_session")
SANITIZED = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"


def configure(node: Machine, service: str, options: str = "", module: str = "pam_xos.so") -> None:
    """A PAM service of which ours is the only module that says no."""
    lines = []
    for kind in ("auth", "account", "session", "password"):
        lines.append(f"{kind} [success=ok ignore=ignore default=die] {module} {options}")
        lines.append(f"{kind} required pam_permit.so")
    node.path(f"/etc/pam.d/{service}").write_text("\n".join(lines) + "\n")


def ask_pam(
    node: Machine, service: str, user: str, *operations: str, items: tuple[str, ...] = (), before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """What pamtester says."""
    told = [part for item in items for part in ("-I", item)]
    return node.run(*before, "pamtester", *told, service, user, *operations, check=False, seconds=40)


@pytest.fixture(scope="module")
def asan(node: Machine, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """What goes before a program so that it can load the module as built with sanitizers, ``pam_xos_asan.so``."""
    built = build(tmp_path_factory.mktemp("asan"), CFLAGS=SANITIZED, CC="gcc")
    shutil.copy(built / "pam_xos.so", node.path(SECURITY / "pam_xos_asan.so"))
    library = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout
    return ("env", f"LD_PRELOAD={library.strip()}", "ASAN_OPTIONS=detect_leaks=0:abort_on_error=1")


@pytest.fixture(scope="module", autouse=True)
def services(node: Machine) -> None:
    configure(node, "xos-plain")
    configure(node, "runuser")


@pytest.fixture(params=["plain", "sanitized"])
def runs(request: pytest.FixtureRequest) -> tuple[str, tuple[str, ...]]:
    """Module and what goes before the program."""
    if request.param == "plain":
        return "pam_xos.so", ()
    return "pam_xos_asan.so", request.getfixturevalue("asan")


# --- who is not ours


@pytest.mark.parametrize(
    "user",
    ["root", "bob", "nobody", "", ".", ".demo", "alice.", "alice.other", "-alice.demo", "alice.demo:x", "Alice.Demo",
     "alice.demo\n", "a" * 300 + ".demo", "../../etc/passwd", "alice.demo;id", "älice.demo", "%s%n.demo"],
)  # fmt: skip
def test_who_is_no_vo_user_is_left_alone_without_asking_anybody(
    node: Machine, runs: tuple[str, tuple[str, ...]], user: str
) -> None:
    module, before = runs
    configure(node, "xos-away", "socket=/nonexistent", module)
    done = ask_pam(node, "xos-away", user, *ALL, before=before)
    assert "ERROR" not in done.stderr, done.stderr
    assert done.returncode == 0, (user, done.stderr, done.stdout)


def test_a_line_of_etc_passwd_as_long_as_a_book_keeps_nobody_out(node: Machine) -> None:
    passwd = node.path("/etc/passwd")
    before = passwd.read_text()
    passwd.write_text(f"long:x:1600:1600:{'x' * 100_000}:/:/bin/sh\n{before}local.demo:x:1601:1601::/:/bin/sh\n")
    try:
        for user in ("bob", "root", "local.demo"):
            assert ask_pam(node, "xos-plain", user, "acct_mgmt").returncode == 0
        configure(node, "xos-away", "socket=/nonexistent")
        assert ask_pam(node, "xos-away", "local.demo", *ALL).returncode == 0
    finally:
        passwd.write_text(before)


# --- authentication


def home(node: Machine, credential: Credential) -> Path:
    """The user's home with their certificate in it; made by a login."""
    key = node.identity_files(credential, "prover")
    name = credential.identity.name
    node.ssh(key, f"{name}.demo", "mkdir -p .xos")
    place = node.path(f"/var/lib/xos/home/{name}.demo/.xos")
    (place / "user.pem").write_bytes(credential.certificate_pem())
    return place


def converse(
    node: Machine, service: str, user: str, prove: Callable[[str], bytes], *, typed: list[str] | None = None
) -> str:
    """Authenticate by a challenge; what was said. *typed*: lines of a certificate."""
    argv = node.command(
        "keyctl", "session", "-", "stdbuf", "-o0", "pamtester", service, user, "authenticate", "acct_mgmt"
    )
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=ENVIRONMENT,
        text=True,
        bufsize=1,
    )
    timer = threading.Timer(20, process.kill)
    timer.start()
    try:
        with process:
            return _talk(process, prove, typed or [])
    finally:
        timer.cancel()


def _talk(process: subprocess.Popen[str], prove: Callable[[str], bytes], typed: list[str]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("".join(f"{line}\n" for line in typed))
    process.stdin.flush()
    said = ""
    while (found := re.search(r"xos-prove (\S+)\n", said)) is None:
        part = process.stdout.readline()
        if part == "":
            return said
        said += part
    process.stdin.write(base64.b64encode(prove(found[1])).decode() + "\n")
    process.stdin.close()
    return said + process.stdout.read()


def signs(credential: Credential) -> Callable[[str], bytes]:
    return lambda challenge: credential.key.sign(challenge.encode(), ec.ECDSA(hashes.SHA256()))


def test_a_file_and_a_proof_of_its_key_authenticate(node: Machine) -> None:
    credential = node.credential("heidi")
    home(node, credential)
    assert "successfully authenticated" in converse(node, "xos-plain", "heidi.demo", signs(credential))


def test_a_certificate_may_be_typed_in(node: Machine) -> None:
    credential = node.credential("ivan")
    node.ssh(node.identity_files(credential, "ivan"), "ivan.demo", "true")
    configure(node, "xos-typed", "file=/nonexistent")
    text = base64.b64encode(credential.certificate).decode()
    lines = [text[at : at + 400] for at in range(0, len(text), 400)]
    said = converse(node, "xos-typed", "ivan.demo", signs(credential), typed=[*lines, ""])
    assert "successfully authenticated" in said


@pytest.mark.parametrize(
    "prove",
    [
        lambda _: b"",
        lambda _: b"garbage",
        lambda challenge: make_other().sign(challenge.encode(), ec.ECDSA(hashes.SHA256())),
    ],
)
def test_without_the_key_the_file_proves_nothing(node: Machine, prove: Callable[[str], bytes]) -> None:
    credential = node.credential("judy")
    home(node, credential)
    said = converse(node, "xos-plain", "judy.demo", prove)
    assert "successfully authenticated" not in said


def make_other() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_an_old_challenge_is_not_answered_twice(node: Machine) -> None:
    credential = node.credential("judy")
    home(node, credential)
    seen: list[str] = []

    def remember(challenge: str) -> bytes:
        seen.append(challenge)
        return signs(credential)(challenge)

    assert "successfully" in converse(node, "xos-plain", "judy.demo", remember)
    assert "successfully" not in converse(node, "xos-plain", "judy.demo", lambda _: signs(credential)(seen[0]))


def test_one_users_certificate_authenticates_no_other(node: Machine) -> None:
    mallory, victim = node.credential("mallory"), node.credential("victor")
    home(node, victim)
    node.path("/var/lib/xos/home/victor.demo/.xos/user.pem").write_bytes(mallory.certificate_pem())
    said = converse(node, "xos-plain", "victor.demo", signs(mallory))
    assert "successfully authenticated" not in said


@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"-----BEGIN CERTIFICATE-----\n", b"x" * 200_000, None])
def test_a_file_that_is_no_certificate_is_passed_over(node: Machine, content: bytes | None) -> None:
    place = home(node, node.credential("oscar")) / "user.pem"
    place.unlink()
    if content is None:
        place.symlink_to("/etc/shadow")
    else:
        place.write_bytes(content)
    done = ask_pam(node, "xos-plain", "oscar.demo", "authenticate")
    assert done.returncode != 0
    assert "xos-prove" not in done.stdout


def test_of_a_chain_of_a_hundred_the_first_counts(node: Machine) -> None:
    credential = node.credential("peggy")
    place = home(node, credential)
    (place / "user.pem").write_bytes(credential.certificate_pem() * 100)
    assert "successfully authenticated" in converse(node, "xos-plain", "peggy.demo", signs(credential))


def test_a_password_is_not_changed_here_and_the_user_is_told_where(node: Machine) -> None:
    node.ssh(node.identity_files(node.credential("quinn"), "quinn"), "quinn.demo", "true")
    done = ask_pam(node, "xos-plain", "quinn.demo", "chauthtok")
    assert done.returncode != 0
    assert "xos-vo set-password" in done.stdout + done.stderr


def test_sudo_knows_the_user_by_the_session_and_obeys_sudoers_by_vo_names(node: Machine) -> None:
    node.path("/etc/sudoers.d/vo").write_text("%users.demo ALL=(root) /usr/bin/id\n")
    node.path("/etc/sudoers.d/vo").chmod(0o440)
    key = node.identity_files(node.credential("ruth"), "ruth")
    said = node.ssh(
        key, "ruth.demo", "sudo id -un </dev/null; sudo -l </dev/null; sudo cat /etc/shadow </dev/null", check=False
    )
    assert said.stdout.startswith("root\n"), said.stderr
    assert "(root) /usr/bin/id" in said.stdout
    assert "not allowed" in said.stderr


# --- a daemon that is mad


class Mad:
    """Answers every datagram with the same bytes, or not at all."""

    def __init__(self, path: Path, says: bytes | None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(str(path))
        self._socket.listen(8)
        self._says = says
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self._socket.accept()
                with conn:
                    conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                    conn.recv(1 << 18)
                    if self._says is None:
                        time.sleep(2)
                    elif self._says:
                        conn.send(self._says)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(timeout=5)


@pytest.fixture
def mad(node: Machine, tmp_path: Path) -> Iterator[Callable[[bytes | None], str]]:
    """Start one; the options that lead to it."""
    made: list[Mad] = []
    path = node.directory / f"{tmp_path.name[-20:]}.sock"

    def start(says: bytes | None) -> str:
        path.unlink(missing_ok=True)  # of the one before
        made.append(Mad(path, says))
        return f"socket={path} timeout=1"

    yield start
    for each in made:
        each.close()
    path.unlink(missing_ok=True)


GARBAGE = {
    "nothing": b"",
    "silence": None,
    "no message": b"ok",
    "no nul": b"ok=1\0uid=0",
    "no name": b"=1\0",
    "too long": b"ok=1\0x=" + b"y" * 190_000 + b"\0" + b"z=" + b"y" * 9000 + b"\0",
    "binary": bytes(range(256)),
    "no ok": b"uid=1900000000\0",
    "root": encode({"ok": "1", "uid": "0", "gid": "0", "name": "root"}),
    "another": encode({"ok": "1", "uid": "1900000098"}),
    "no number": encode({"ok": "1", "uid": "-1"}),
    "large": encode({"ok": "1", "uid": "99999999999999999999999"}),
    "refusal that paints": b"error=x\0message=\x1b]0;evil\x07\r\n" + b"long " * 5000 + b"\0hint=%s%n%s\0",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_a_mad_daemon_lets_nobody_in_and_breaks_nothing(
    node: Machine, runs: tuple[str, tuple[str, ...]], mad: Callable[[bytes | None], str], what: str
) -> None:
    node.ssh(node.identity_files(node.credential("sybil"), "sybil"), "sybil.demo", "true")
    module, before = runs
    configure(node, "xos-mad", mad(GARBAGE[what]), module)
    began = time.monotonic()
    done = ask_pam(node, "xos-mad", "sybil.demo", "open_session", before=before)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "AddressSanitizer" not in done.stderr
    assert "runtime error" not in done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    assert time.monotonic() - began < 30


def test_what_a_right_answer_asks_for_that_cannot_be_is_passed_over(
    node: Machine, runs: tuple[str, tuple[str, ...]], mad: Callable[[bytes | None], str]
) -> None:
    node.ssh(node.identity_files(node.credential("trent"), "trent"), "trent.demo", "true")
    uid = node.run("id", "-u", "trent.demo").stdout.strip()
    answer = {
        "ok": "1", "uid": uid, "expires": str(int(time.time()) + 60), "keyring": "not base64!", "session": "x",
        "env.LD_PRELOAD": "/tmp/evil.so", "env.PATH": "/tmp", "env.lower": "x", "env.": "x", "env.GOOD": "yes",
        "limit.nofile": "100:50", "limit.nproc": "many", "limit.": "", "limit." + "x" * 50: "1", "limit.core": "0",
        "limit.memory_max": "1G",
    }  # fmt: skip
    module, before = runs
    configure(node, "xos-odd", mad(encode(answer)), module)
    done = ask_pam(node, "xos-odd", "trent.demo", "open_session", "close_session", before=before)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "AddressSanitizer" not in done.stderr


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_valgrind_finds_no_leak_and_no_wrong_access(node: Machine) -> None:
    key = node.identity_files(node.credential("ursula"), "ursula")
    node.ssh(key, "ursula.demo", "true")
    judged = ("valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite")
    done = ask_pam(node, "runuser", "ursula.demo", "acct_mgmt", "open_session", "close_session", before=judged)
    assert done.returncode == 0, done.stderr


def test_the_end_of_a_session_is_put_on_record_though_nobody_waits_for_it(node: Machine) -> None:
    node.ssh(node.identity_files(node.credential("zoe"), "zoe"), "zoe.demo", "true")
    uid = node.run("id", "-u", "zoe.demo").stdout.strip()

    def told(event: str) -> int:
        return sum(event in line and uid in line for line in node.log("amsd.log").splitlines())

    opened, closed = told("session.opened"), told("session.closed")
    assert ask_pam(node, "runuser", "zoe.demo", "open_session", "close_session").returncode == 0
    assert told("session.opened") == opened + 1
    deadline = time.monotonic() + 15
    while told("session.closed") <= closed:
        assert time.monotonic() < deadline, node.log("amsd.log")[-2000:]
        time.sleep(0.02)


# --- homes


def test_a_home_is_not_made_where_others_could_put_something_in_its_way(node: Machine) -> None:
    homes = node.path("/var/lib/xos/home")
    key = node.identity_files(node.credential("walter"), "walter")
    homes.chmod(0o777)
    try:
        assert node.ssh(key, "walter.demo", "true", check=False).returncode != 0
    finally:
        homes.chmod(0o755)
    assert not (homes / "walter.demo").exists()
    (homes / "walter.demo").symlink_to("/root")
    assert node.ssh(key, "walter.demo", "true", check=False).returncode != 0
    (homes / "walter.demo").unlink()
    (homes / "walter.demo").mkdir()
    assert node.ssh(key, "walter.demo", "true", check=False).returncode != 0
    (homes / "walter.demo").rmdir()
    assert node.ssh(key, "walter.demo", "pwd").stdout.strip() == "/var/lib/xos/home/walter.demo"
    assert [path.name for path in homes.iterdir() if path.name.startswith(".")] == []


def test_a_helper_mounts_a_home_or_leaves_it_to_us_and_one_that_fails_keeps_nobody_out(node: Machine) -> None:
    helper = node.path("/usr/libexec/xos/home-volume")
    key = node.identity_files(node.credential("xena"), "xena")
    told = "/var/lib/xos/told"
    try:
        for status in (3, 1, 0):
            helper.write_text(f'#!/bin/sh\necho "$@" >{told}; env >>{told}; keyctl show @s >>{told}; exit {status}\n')
            helper.chmod(0o755)
            assert node.ssh(key, "xena.demo", "pwd").stdout.strip() == "/var/lib/xos/home/xena.demo"
            uid = node.run("id", "-u", "xena.demo").stdout.strip()
            lines = node.path(told).read_text().splitlines()
            assert lines[0] == f"xena.demo {uid} {uid} /var/lib/xos/home/xena.demo"
            assert not any(line.startswith("SSH_") for line in lines)
            assert any(line.endswith("user: xos:xena.demo") for line in lines)
            said = ask_pam(node, "runuser", "xena.demo", "open_session")
            assert ("cannot be mounted" in said.stdout + said.stderr) == (status == 3)
        helper.write_text("#!/bin/sh\nexec sleep 60\n")
        began = time.monotonic()
        assert ask_pam(node, "runuser", "xena.demo", "open_session").returncode == 0
        assert 14 < time.monotonic() - began < 40
    finally:
        helper.unlink()


# --- the slice that all sessions of a user are in


def test_systemd_is_told_the_limits_of_the_users_slice_and_who_cannot_be_limited_stays_out(
    node: Machine, runs: tuple[str, tuple[str, ...]], mad: Callable[[bytes | None], str]
) -> None:
    node.ssh(node.identity_files(node.credential("yves"), "yves"), "yves.demo", "true")
    uid = node.run("id", "-u", "yves.demo").stdout.strip()
    right = {"ok": "1", "uid": uid, "slice.MemoryMax": "1G", "slice.CPUQuota": "150%"}
    endless = {"ok": "1", "uid": uid, **{f"slice.N{n}": "1" for n in range(17)}}
    told = node.directory / "told-systemctl"
    program = node.directory / "systemctl"
    module, before = runs
    for answer, status, comes_in in ((right, 0, True), (right, 1, False), (endless, 0, False)):
        told.unlink(missing_ok=True)
        program.write_text(f'#!/bin/sh\necho "$@" >{told}\nexit {status}\n')
        program.chmod(0o755)
        options = f"{mad(encode(answer))} systemctl={program}"
        configure(node, "xos-slice", options, module)
        done = ask_pam(node, "xos-slice", "yves.demo", "open_session", before=before)
        assert (done.returncode == 0) == comes_in, done.stdout + done.stderr
        assert comes_in or "limits of your session" in done.stdout + done.stderr
        if answer is right:
            set_ = f"set-property --runtime -- user-{uid}.slice MemoryMax=1G CPUQuota=150%"
            assert told.read_text().strip() == set_
        else:
            assert not told.exists()
    configure(node, "xos-slice", f"{mad(encode(right))} systemctl=/nonexistent", module)
    assert ask_pam(node, "xos-slice", "yves.demo", "open_session", before=before).returncode != 0


# --- configuration


def test_a_module_that_is_not_there_locks_nobody_out(node: Machine) -> None:
    there, away = node.path(SECURITY / "pam_xos.so"), node.path(SECURITY / "pam_xos.away")
    there.rename(away)
    try:
        assert node.run("su", "-", "root", "-c", "id -un").stdout.strip() == "root"
        assert ask_pam(node, "login", "bob", "acct_mgmt").returncode == 0
    finally:
        away.rename(there)
