# SPDX-License-Identifier: BSD-3-Clause
"""The commands as users call them, each in a process of its own, against a real daemon."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from support.daemons import free_port
from xos.common.certificate import make_csr, make_key
from xos.common.files import write_atomically
from xos.common.tls import Credential, Trust
from xos.vom.api import Issued
from xos.vom.founding import found
from xos.vom.word import read

from .conftest import CHEAP, PASSWORD

READY_SECONDS = 45.0
DAEMON = """
node = "core"
data = "data"
[tls]
certificate = "machine.pem"
key = "machine.key"
trust = "trust"
[[listen]]
address = "127.0.0.1:{dixi}"
[[listen]]
address = "127.0.0.1:{front}"
anonymous = true
services = ["CDA", "RCA", "Registration"]
[[listen]]
transport = "https"
address = "127.0.0.1:{https}"
[services.Directory]
[services.XVOMS]
[services.CDA]
[services.RCA]
[services.Registration]
[services.Audit]
"""
CLIENT = """
ca = "ca.pem"
[directory]
address = "127.0.0.1:{dixi}"
front_door = "127.0.0.1:{front}"
"""


def founded_core(directory: Path, key: ec.EllipticCurvePrivateKey) -> tuple[Issued, bytes]:
    """`found`, in an event loop that leaves the tests' own alone."""
    with ThreadPoolExecutor(1) as thread:
        work = found(directory, "core", make_csr(key, "core"), addresses=("127.0.0.1",))
        return thread.submit(asyncio.run, work).result()


class Core:
    """A core machine with its daemon, and homes of its users."""

    def __init__(self, root: Path, database: str = "") -> None:
        """*database*: a URL; empty: a file."""
        self.root = root
        self.ports = {name: free_port() for name in ("dixi", "front", "https")}
        vom = root / "data" / "vom"
        vom.mkdir(parents=True)
        (vom / "vom.toml").write_text((f'database = "{database}"\n' if database else "") + CHEAP)
        key = make_key()
        issued, crl = founded_core(vom, key)
        self.credential = Credential(issued.certificate, key)
        self.trust = Trust([issued.ca], crl)
        (root / "trust").mkdir()
        write_atomically(root / "trust" / "ca.pem", self.trust.ca_pem(), 0o644)
        write_atomically(root / "machine.pem", self.credential.certificate_pem(), 0o644)
        write_atomically(root / "machine.key", self.credential.key_pem(None))
        (root / "dixid.toml").write_text(DAEMON.format(**self.ports))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        ready = self.root / "ready"
        ready.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, (self.root / "log").open("ab") as log:
            notify.bind(str(ready))
            notify.settimeout(READY_SECONDS)
            command = [sys.executable, "-m", "xos.dixi.dixid", "--config", str(self.root / "dixid.toml")]
            environment = {**os.environ, "NOTIFY_SOCKET": str(ready)}
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            try:
                assert notify.recv(4096).startswith(b"READY=1")
            except TimeoutError as error:
                raise AssertionError((self.root / "log").read_text()) from error

    def end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(10)
            self.process = None

    def home(self, name: str, credential: Credential | None = None) -> Path:
        """The ``XOS_HOME`` of somebody."""
        home = self.root / "homes" / name
        home.mkdir(parents=True, exist_ok=True)
        (home / "client.toml").write_text(CLIENT.format(**self.ports))
        write_atomically(home / "ca.pem", self.trust.ca_pem(), 0o644)
        if credential is not None:
            write_atomically(home / "user.pem", credential.certificate_pem(), 0o644)
            write_atomically(home / "user.key", credential.key_pem(None))
        return home


class Done:
    """What a command left behind."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.status = process.returncode
        self.out = process.stdout
        self.err = process.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(home: Path, *command: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Done:
    """Run a command as the user of *home*, without a terminal."""
    environment = {**os.environ, "XOS_HOME": str(home), "XOS_NO_AGENT": "1", **(env or {})}
    argv = [sys.executable, "-m", "xos.dixi", *command]
    return Done(
        subprocess.run(argv, input=stdin, env=environment, cwd=home, capture_output=True, text=True, timeout=15)
    )


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    made = Core(tmp_path_factory.mktemp("core"))
    made.start()
    yield made
    made.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def admin(core: Core) -> Path:
    """The home of whoever has the core machine's own certificate; VO demo has alice, its VOAdmin, and bob."""
    home = core.home("admin", core.credential)
    assert run(home, "xos-vo", "create", "demo", "-d", "for trying out").status == 0
    for name, *more in (("alice", "-r", "VOAdmin", "-G", "atlas,cms"), ("bob",)):
        done = run(home, "xos-vo", "add-user", "demo", name, *more, stdin=PASSWORD + "\n")
        assert done.status == 0, done.err
    return home


@pytest.fixture
def alice(core: Core, admin: Path, tmp_path: Path) -> Path:  # noqa: ARG001 -- makes alice
    """A fresh home of alice's, with her certificate and an unencrypted key."""
    home = core.home(f"alice-{tmp_path.name}")
    done = run(home, "get-xos-cert", "demo", "alice", "--no-passphrase", stdin=PASSWORD + "\n")
    assert done.status == 0, done.err
    return home


pytestmark = pytest.mark.scenario


def test_a_certificate_got_by_password_is_written_with_its_key_for_the_owner_only(alice: Path) -> None:
    assert (alice / "user.key").stat().st_mode & 0o777 == 0o600
    credential = Credential.load(alice / "user.pem", alice / "user.key")
    assert str(credential.identity) == "alice@demo"
    assert credential.identity.roles == ("VOAdmin",)


def test_the_password_may_come_from_a_file_and_the_key_be_encrypted(core: Core, admin: Path) -> None:
    del admin
    home = core.home("encrypted")
    (home / "password").write_text(PASSWORD + "\n")
    (home / "passphrase").write_text("open sesame\n")
    files = ("--password-file", "password", "--passphrase-file", "passphrase")
    done = run(home, "get-xos-cert", "demo", "alice", *files, "--json")
    assert done.status == 0, done.err
    assert done.json["key"] == str(home / "user.key")
    assert b"ENCRYPTED" in (home / "user.key").read_bytes()
    assert Credential.load(home / "user.pem", home / "user.key", b"open sesame").identity.name == "alice"


def test_password_and_passphrase_may_both_come_from_standard_input(core: Core, admin: Path) -> None:
    del admin
    home = core.home("piped")
    done = run(home, "get-xos-cert", "demo", "alice", stdin=f"{PASSWORD}\nopen sesame\n")
    assert done.status == 0, done.err
    assert Credential.load(home / "user.pem", home / "user.key", b"open sesame").identity.name == "alice"


def test_without_a_passphrase_no_key_is_written_and_the_hint_says_what_to_do(core: Core, admin: Path) -> None:
    del admin
    home = core.home("nokey")
    done = run(home, "get-xos-cert", "demo", "alice", stdin=PASSWORD + "\n")
    assert done.status == 2
    assert "--no-passphrase" in done.err
    assert not (home / "user.key").exists()


def test_a_wrong_password_is_one_line_and_a_hint(core: Core, admin: Path) -> None:
    del admin
    home = core.home("wrong")
    done = run(home, "get-xos-cert", "demo", "bob", "--no-passphrase", stdin="not the password\n")
    assert done.status == 1
    assert done.err.splitlines()[0] == "get-xos-cert: wrong VO, user or password"
    assert "Traceback" not in done.err
    asked = run(home, "get-xos-cert", "demo", "bob", "--no-passphrase", "--json", stdin="not the password\n")
    assert json.loads(asked.err)["error"]["code"] == "vom.bad-credentials"


def test_no_password_is_an_error_not_a_hang(core: Core, admin: Path) -> None:
    del admin
    done = run(core.home("silent"), "get-xos-cert", "demo", "alice")
    assert done.status == 1
    assert "standard input" in done.err


def test_renewing_keeps_the_key_and_narrow_roles(alice: Path) -> None:
    narrow = run(alice, "get-xos-cert", "--renew", "--no-roles", "--hours", "1", "--json")
    assert narrow.status == 0, narrow.err
    assert narrow.json["roles"] == []
    before = Credential.load(alice / "user.pem", alice / "user.key").identity
    again = run(alice, "get-xos-cert", "--renew", "--json")
    assert again.status == 0, again.err
    after = Credential.load(alice / "user.pem", alice / "user.key").identity
    assert after.serial != before.serial
    assert after.roles == ()
    assert abs((after.not_after - after.not_before) - (before.not_after - before.not_before)) <= 2


def test_another_user_or_a_machine_cannot_be_renewed_into_being(alice: Path, admin: Path) -> None:
    other = run(alice, "get-xos-cert", "demo", "bob", "--renew")
    assert other.status == 1
    assert "alice@demo" in other.err
    machine = run(admin, "get-xos-cert", "--renew")
    assert machine.status == 1
    assert "machine core" in machine.err


def test_out_writes_what_curl_needs_and_leaves_the_home_alone(core: Core, admin: Path, tmp_path: Path) -> None:
    del admin
    home = core.home("forcurl")
    done = run(
        home, "get-xos-cert", "demo", "alice", "--no-passphrase", "--out", str(tmp_path / "pem"), stdin=PASSWORD + "\n"
    )
    assert done.status == 0, done.err
    assert not (home / "user.pem").exists()
    pem = tmp_path / "pem"
    url = f"https://127.0.0.1:{core.ports['https']}/XVOMS/list_vos"
    curl = ["curl", "-sS", "--fail-with-body", "--cacert", str(pem / "ca.pem"), url]
    shown = subprocess.run(
        [*curl, "--cert", str(pem / "user.pem"), "--key", str(pem / "user.key")], capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)[0]["name"] == "demo"
    assert subprocess.run(curl, capture_output=True).returncode != 0


def test_openssl_verifies_the_certificate_and_shows_its_attributes(core: Core, alice: Path) -> None:
    ca = core.root / "trust" / "ca.pem"
    verify = subprocess.run(
        ["openssl", "verify", "-CAfile", str(ca), str(alice / "user.pem")], capture_output=True, text=True
    )
    assert verify.stdout.strip().endswith(": OK")
    text = subprocess.run(
        ["openssl", "x509", "-in", str(alice / "user.pem"), "-noout", "-text"], capture_output=True, text=True
    ).stdout
    for attribute in ("1.34.5.0.14.1", "1.34.5.0.14.3", "1.34.5.0.14.6"):
        assert attribute in text


def test_a_certificate_is_shown_to_people_and_programs(alice: Path) -> None:
    shown = run(alice, "view-xos-cert")
    assert shown.status == 0, shown.err
    lines = dict(line.split(None, 1) for line in shown.out.splitlines() if not line.startswith(("Further", "Valid")))
    assert (lines["User"], lines["VO"], lines["Roles"], lines["Good"]) == ("alice", "demo", "VOAdmin", "yes")
    told = run(alice, "view-xos-cert", "user.pem", "--json").json
    assert told["attributes"]["GlobalUserID"] == "alice"
    assert told["good"] is True


def test_a_foreign_certificate_is_shown_with_the_reason_why_it_is_not_good(alice: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    issued, _ = founded_core(other, make_key())
    (alice / "other.der").write_bytes(issued.certificate)
    shown = run(alice, "view-xos-cert", "other.der")
    assert shown.status == 1
    assert "no: the certificate of" in shown.out
    assert "not trusted here" in shown.out


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_said_to_be_none(alice: Path, content: bytes) -> None:
    (alice / "junk").write_bytes(content)
    shown = run(alice, "view-xos-cert", "junk")
    assert shown.status == 1
    assert shown.err.startswith("view-xos-cert: ")
    assert "incident" not in shown.err


def test_a_missing_file_and_a_missing_certificate_are_told(core: Core, alice: Path) -> None:
    assert "No such file" in run(alice, "view-xos-cert", "nowhere").err
    assert "get-xos-cert" in run(core.home("nobody"), "view-xos-cert").err


def test_a_vo_is_listed_and_shown_with_its_users_and_groups(admin: Path) -> None:
    assert run(admin, "xos-vo", "list").out.splitlines()[1].split()[:2] == ["demo", "2"]
    assert run(admin, "xos-vo", "show", "demo", "--json").json["description"] == "for trying out"
    users = {user["name"]: user for user in run(admin, "xos-vo", "list-users", "demo", "--json").json}
    assert users["alice"]["groups"] == ["atlas", "cms"]
    assert users["bob"]["state"] == "active"
    assert "users" in run(admin, "xos-vo", "list-groups", "demo").out
    assert "VOAdmin" in run(admin, "xos-vo", "show", "demo", "alice").out


def test_creating_and_adding_again_is_no_error_but_differently_is(admin: Path) -> None:
    assert run(admin, "xos-vo", "create", "demo", "-d", "for trying out").status == 0
    assert run(admin, "xos-vo", "add-user", "demo", "bob", stdin=PASSWORD + "\n").status == 0
    differs = run(admin, "xos-vo", "add-user", "demo", "bob", "-r", "VOAdmin", stdin=PASSWORD + "\n")
    assert differs.status == 1
    assert "with another set of roles" in differs.err


def test_a_user_without_the_role_is_told_who_may(core: Core, admin: Path) -> None:
    del admin
    home = core.home("bob")
    assert run(home, "get-xos-cert", "demo", "bob", "--no-passphrase", stdin=PASSWORD + "\n").status == 0
    done = run(home, "xos-vo", "list-users", "demo")
    assert done.status == 1
    assert done.err.splitlines() == [
        "xos-vo: bob@demo may not list the users of this VO",
        "        Allowed: a VOAdmin of the VO; a VOManager of the VO; the core machine's own certificate.",
    ]


def test_suspending_takes_effect_on_the_next_call_and_resuming_lets_in_again(core: Core, alice: Path) -> None:
    home = core.home("carol")
    assert run(alice, "xos-vo", "add-user", "demo", "carol", stdin=PASSWORD + "\n").status == 0
    assert run(home, "get-xos-cert", "demo", "carol", "--no-passphrase", stdin=PASSWORD + "\n").status == 0
    assert run(home, "xos-vo", "list").status == 0
    assert run(alice, "xos-vo", "suspend", "demo", "carol").status == 0
    refused = run(home, "xos-vo", "list")
    assert refused.status == 1
    assert "revoked" in refused.err
    again = run(home, "get-xos-cert", "demo", "carol", "--no-passphrase", stdin=PASSWORD + "\n")
    assert again.err.splitlines()[0] == "get-xos-cert: carol@demo is suspended"
    assert run(alice, "xos-vo", "resume", "demo", "carol").status == 0
    assert run(home, "get-xos-cert", "demo", "carol", "--no-passphrase", stdin=PASSWORD + "\n").status == 0
    assert run(home, "xos-vo", "list").status == 0


def test_a_user_changes_the_password(core: Core, alice: Path) -> None:
    home = core.home("dora")
    assert run(alice, "xos-vo", "add-user", "demo", "dora", stdin=PASSWORD + "\n").status == 0
    assert run(home, "get-xos-cert", "demo", "dora", "--no-passphrase", stdin=PASSWORD + "\n").status == 0
    changed = run(home, "xos-vo", "set-password", "demo", "dora", stdin=f"{PASSWORD}\nanother password\n")
    assert changed.status == 0, changed.err
    assert run(home, "get-xos-cert", "demo", "dora", "--no-passphrase", stdin=PASSWORD + "\n").status == 1
    assert run(home, "get-xos-cert", "demo", "dora", "--no-passphrase", stdin="another password\n").status == 0


def test_a_token_is_printed_alone_so_that_it_can_be_piped(admin: Path, alice: Path) -> None:
    made = run(admin, "xos-node", "token", "node1", "--address", "127.0.0.2")
    assert made.status == 0, made.err
    assert len(made.out.split()) == 1
    assert "node1" in made.err
    told = run(admin, "xos-node", "token", "node1", "--json").json
    assert told["node"] == "node1"
    assert len(told["ca_fingerprint"]) == 64
    word = read(told["word"])
    assert (word.node, word.token, word.ca_fingerprint.hex()) == ("node1", told["token"], told["ca_fingerprint"])
    assert word.front_door.startswith("127.0.0.1:")
    refused = run(alice, "xos-node", "token", "node1")
    assert (
        refused.err.splitlines()[0] == "xos-node: alice@demo may not make join tokens for machines that serve every VO"
    )


def test_no_command_takes_a_secret_as_an_argument() -> None:
    from xos.vom.cli import get_xos_cert, xos_node, xos_vo

    for command in (get_xos_cert, xos_node, xos_vo):
        text = command.parser().format_help()
        assert "--password " not in text.replace("--password-file", "")


def test_users_and_suspensions_survive_a_kill_of_the_daemon(core: Core, admin: Path, alice: Path) -> None:
    assert run(alice, "xos-vo", "add-user", "demo", "erin", stdin=PASSWORD + "\n").status == 0
    assert run(alice, "xos-vo", "suspend", "demo", "erin").status == 0
    core.end(signal.SIGKILL)
    core.start()
    assert "suspended" in run(admin, "xos-vo", "show", "demo", "erin").out
    assert run(alice, "get-xos-cert", "--renew").status == 0


@pytest.fixture
def agent(core: Core, admin: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A fresh home whose agent runs, and the environment that leads there."""
    del admin
    place = tmp_path_factory.mktemp("a")
    home = core.home(f"agent-{place.name}")
    env = {"XOS_NO_AGENT": "", "XOS_AGENT_SOCK": str(place / "agent.sock")}
    started = run(home, "xos-agent", "start", env=env)
    assert started.status == 0, started.err
    yield home, env
    assert run(home, "xos-agent", "stop", env=env).status == 0


def test_with_an_agent_the_key_is_in_its_memory_only(agent: tuple[Path, dict[str, str]]) -> None:
    home, env = agent
    got = run(home, "get-xos-cert", "demo", "alice", "--json", stdin=PASSWORD + "\n", env=env)
    assert got.status == 0, got.err
    assert (got.json["agent"], got.json["key"]) == (True, None)
    assert sorted(file.name for file in home.iterdir() if file.name.startswith("user")) == []
    assert run(home, "xos-vo", "list", env=env).status == 0
    assert run(home, "view-xos-cert", "--json", env=env).json["name"] == "alice"
    assert run(home, "xos-vo", "list").status != 0  # without the agent there is nothing


def test_an_agent_renews_with_its_key_and_the_certificate_file_follows(agent: tuple[Path, dict[str, str]]) -> None:
    home, env = agent
    files = ("--passphrase-file", "passphrase")
    (home / "passphrase").write_text("open sesame\n")
    assert run(home, "get-xos-cert", "demo", "alice", *files, stdin=PASSWORD + "\n").status == 0
    assert run(home, "xos-vo", "list", env=env).status != 0  # the agent lacks the passphrase
    unlocked = run(home, "xos-agent", "unlock", stdin="open sesame\n", env=env)
    assert unlocked.status == 0, unlocked.err + (home / "agent.log").read_text()
    before, key = (home / "user.pem").read_bytes(), (home / "user.key").read_bytes()
    renewed = run(home, "get-xos-cert", "--renew", "--json", env=env)
    assert renewed.status == 0, renewed.err
    assert renewed.json["agent"] is True
    assert (home / "user.key").read_bytes() == key
    assert (home / "user.pem").read_bytes() != before
    assert run(home, "xos-vo", "list", env=env).status == 0
    serial = Credential.load(home / "user.pem", home / "user.key", b"open sesame").identity.serial
    assert f"{serial:x}" == renewed.json["serial"]


def _ssh_sees(home: Path, env: Mapping[str, str], config: str) -> str:
    """What stock ssh makes of the configuration."""
    asked = ["ssh", "-G", "-F", config, "node1"]
    done = subprocess.run(
        asked, capture_output=True, text=True, timeout=15, env={**os.environ, **env, "HOME": str(home)}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_stock_ssh_finds_user_key_certificate_and_hosts_in_one_file(alice: Path) -> None:
    done = run(alice, "get-xos-cert", "--ssh-config")
    assert done.out.strip() == str(alice / "ssh_config")
    seen = _ssh_sees(alice, {}, done.out.strip()).splitlines()
    assert "user alice.demo" in seen
    assert f"identityfile {alice}/user.key" in seen
    listed = ["ssh-keygen", "-L", "-f", str(alice / "user.key-cert.pub")]
    shown = subprocess.run(listed, capture_output=True, text=True, timeout=15, check=True).stdout
    assert "alice@demo" in shown
    assert "user certificate" in shown
    assert (alice / "ssh_known_hosts").read_text().startswith("@cert-authority * ecdsa-sha2-nistp256 ")


def test_without_a_certificate_ssh_xos_says_where_to_get_one(core: Core) -> None:
    done = run(core.home("nobody-at-all"), "get-xos-cert", "--ssh-config")
    assert done.status == 77
    assert "get-xos-cert VO USER" in done.err


def test_with_an_agent_ssh_asks_it(agent: tuple[Path, dict[str, str]]) -> None:
    home, env = agent
    assert run(home, "get-xos-cert", "demo", "alice", stdin=PASSWORD + "\n", env=env).status == 0
    config = run(home, "get-xos-cert", "--ssh-config", env=env).out.strip()
    socket = next(
        line.split()[1] for line in _ssh_sees(home, env, config).splitlines() if line.startswith("identityagent")
    )
    listed = subprocess.run(["ssh-add", "-L"], env={**env, "SSH_AUTH_SOCK": socket}, capture_output=True, timeout=15)
    assert listed.stdout.startswith(b"ecdsa-sha2-nistp256-cert-v01@openssh.com ")
    assert not (home / "user.key").exists()


def _ssh_trust(core: Core, keys: Path, out: Path) -> subprocess.CompletedProcess[str]:
    etc = core.root / "etc"
    etc.mkdir(exist_ok=True)
    text = (core.root / "dixid.toml").read_text()
    for name in ("data", "machine.pem", "machine.key", "trust"):
        text = text.replace(f'"{name}"', f'"{core.root / name}"')
    (etc / "core.toml").write_text(text)
    command = [sys.executable, "-m", "xos.setup.ssh_trust", "--no-reload"]
    command += ["--config", str(etc), "--keys", str(keys), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=18)


def test_sshd_gets_the_ca_and_certificates_of_its_keys_and_new_ones_only_when_it_is_time(
    core: Core, tmp_path: Path
) -> None:
    keys, out = tmp_path / "ssh", tmp_path / "out"
    keys.mkdir()

    def make(kind: str) -> None:
        path = keys / f"ssh_host_{kind}_key"
        path.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True, timeout=15)

    make("ed25519")
    make("ecdsa")
    done = _ssh_trust(core, keys, out)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "ssh_host_ecdsa_key-cert.pub", "ssh_host_ed25519_key-cert.pub", "user_ca_keys",
    ]  # fmt: skip
    listed = ["ssh-keygen", "-L", "-f", str(out / "ssh_host_ed25519_key-cert.pub")]
    shown = subprocess.run(listed, capture_output=True, text=True, timeout=15, check=True).stdout
    assert "host certificate" in shown
    assert "core\n" in shown
    assert "127.0.0.1\n" in shown
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert _ssh_trust(core, keys, out).returncode == 0
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    make("ed25519")
    (out / "ssh_host_ecdsa_key-cert.pub").write_text("damaged")
    assert _ssh_trust(core, keys, out).returncode == 0
    now = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert now["user_ca_keys"] == before["user_ca_keys"]
    assert now["ssh_host_ed25519_key-cert.pub"] != before["ssh_host_ed25519_key-cert.pub"]
    assert (out / "ssh_host_ecdsa_key-cert.pub").read_text().startswith("ecdsa-sha2-nistp256-cert-v01@openssh.com ")


def test_a_machine_that_is_no_node_has_no_ssh_trust_and_is_told_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "xos.setup.ssh_trust", "--config", str(tmp_path), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=18)
    assert done.returncode == 1
    assert "has not joined a grid" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_challenge_is_answered_by_a_signature_and_nothing_else_is_signed(alice: Path) -> None:
    challenge = f"xos-login:node1:alice.demo:{'0' * 48}"
    done = run(alice, "xos-prove", challenge)
    assert done.status == 0, done.err
    key = Credential.load(alice / "user.pem", alice / "user.key").key.public_key()
    key.verify(base64.b64decode(done.out.strip(), validate=True), challenge.encode(), ec.ECDSA(hashes.SHA256()))
    for wrong in ("", "hello", "xos-signed-v1", f"{challenge}\n", f"xos-login:a:b:{'0' * 47}"):
        refused = run(alice, "xos-prove", wrong)
        assert refused.status != 0
        assert refused.out == ""
