# SPDX-License-Identifier: BSD-3-Clause
"""VO users log in with stock ssh to stock sshd. Everything is real: sshd, PAM, NSS, xos-amsd, the kernel's keyrings."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.machine import PORT, Machine
from support.node import Va, identity
from xos.common import ssh
from xos.common.authority import Authority
from xos.common.certificate import make_csr, make_key
from xos.common.tls import Credential, Trust
from xos.vom.cli import _ssh_config

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def alice(node: Machine) -> Path:
    return node.identity_files(node.credential("alice"), "alice")


@pytest.fixture(scope="module")
def carol(node: Machine) -> Path:
    return node.identity_files(node.credential("carol"), "carol")


@pytest.fixture(scope="module")
def root_key(node: Machine) -> Path:
    """The key of local root, who has never heard of a VO."""
    key = node.directory / "root_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, timeout=15)
    place = node.path("/root/.ssh")
    place.mkdir(mode=0o700, exist_ok=True)
    (place / "authorized_keys").write_bytes(key.with_suffix(".pub").read_bytes())
    return key


def _refused(node: Machine, key: Path, user: str, *argv: str) -> str:
    done = node.ssh(key, user, *(argv or ("true",)), check=False)
    assert done.returncode != 0
    return done.stderr


def test_a_vo_user_is_a_user_of_the_machine(node: Machine, alice: Path) -> None:
    said = node.ssh(alice, "alice.demo", "id; pwd; stat -c %a .; echo $XOS_USER $XOS_VO; ls -a").stdout.splitlines()
    assert "(alice.demo)" in said[0]
    assert "(alice@demo)" in said[0]
    assert "(users.demo)" in said[0]
    assert said[1:4] == ["/var/lib/xos/home/alice.demo", "700", "alice demo"]
    assert ".bashrc" in said[4:]


def test_id_of_a_user_who_never_logged_in_shows_names_for_all_numbers(node: Machine) -> None:
    said = node.run("id", "never.demo")
    (uid,) = {*re.findall(r"=(\d+)", said.stdout)}
    assert said.stdout.strip() == f"uid={uid}(never.demo) gid={uid}(never@demo) groups={uid}(never@demo)"


@pytest.mark.skipif(shutil.which("userdbctl") is None, reason="systemd-userdbd is not installed")
def test_systemds_user_database_knows_vo_users_and_groups(node: Machine, alice: Path) -> None:
    uid = int(node.ssh(alice, "alice.demo", "id -u").stdout)
    for key in ("alice.demo", str(uid)):
        said = json.loads(node.run("userdbctl", "--output=json", "user", key).stdout)
        assert (said["userName"], said["uid"], said["gid"]) == ("alice.demo", uid, uid)
        assert (said["homeDirectory"], said["shell"]) == ("/var/lib/xos/home/alice.demo", "/bin/bash")
    assert '"groupName" : "users.demo"' in node.run("userdbctl", "--output=json", "group", "users.demo").stdout


def test_the_session_holds_the_certificate_in_the_kernel_and_cannot_change_it(node: Machine, alice: Path) -> None:
    script = "k=$(keyctl search @s user xos:alice.demo) && keyctl pipe $k | sha256sum; keyctl update $k forged"
    said = node.ssh(alice, "alice.demo", script, check=False)
    der = ssh.parse((alice.parent / "alice-cert.pub").read_text()).extensions[ssh.CARRIED.encode()]
    assert said.stdout.split()[0] == hashlib.sha256(der).hexdigest()
    assert "Permission denied" in said.stderr


def test_the_credential_vanishes_when_the_certificate_expires(node: Machine) -> None:
    key = node.identity_files(node.credential("dave", lifetime_s=4), "dave")
    gone = "n=0; while keyctl search @s user xos:dave.demo && [ $n -lt 80 ]; do n=$((n+1)); sleep 0.1; done"
    said = node.ssh(key, "dave.demo", f"(keyctl show; {gone}; echo after; keyctl show) 2>&1").stdout
    before, after = said.split("after")
    assert "xos:dave.demo" in before
    assert "xos:dave.demo" not in after


def test_a_login_with_a_renewed_certificate_renews_the_credential_of_running_sessions(
    node: Machine,
) -> None:
    short = node.identity_files(node.credential("frank", lifetime_s=50), "frank-short")
    other = node.identity_files(node.va.credential(identity("frank", "demo", "users", "physics")), "frank-other")
    renewed = node.identity_files(node.credential("frank"), "frank-renewed")
    show = "k=$(keyctl search @s user xos:frank.demo); keyctl pipe $k | sha256sum; grep $(printf %08x $k) /proc/keys"
    script = f"{show}; touch here; n=0; until [ -e go ] || [ $n -gt 200 ]; do n=$((n+1)); sleep 0.05; done; {show}"
    once_there = f"n=0; until [ -e here ] || [ $n -gt 200 ]; do n=$((n+1)); sleep 0.05; done; {show}"
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        running = threads.submit(node.ssh, short, "frank.demo", script, check=False)
        another = node.ssh(other, "frank.demo", once_there).stdout.splitlines()
        last = node.ssh(renewed, "frank.demo", f"{once_there}; touch go").stdout.splitlines()
        before, its_end, after, new_end = running.result().stdout.splitlines()
    assert after == last[0]
    assert after not in {before, another[0]}
    assert its_end.split()[0] == new_end.split()[0], "the same key"
    assert re.fullmatch(r"\d+s", its_end.split()[3])
    assert re.fullmatch(r"59m|1h", new_end.split()[3]), new_end


def test_a_key_that_somebody_made_up_is_neither_shown_to_the_daemon_nor_renewed(node: Machine) -> None:
    gina, hugo = (node.identity_files(node.credential(name), name) for name in ("gina", "hugo"))
    victim = node.identity_files(node.credential("gina", lifetime_s=50), "gina-short")
    forged = (  # a key of hugo's that everybody may see, and whose name goes on with a line of /proc/keys about gina's
        "k=$(printf %08x $(keyctl add user mine own @s)); "
        'n=$(printf "x\\n$k I--Q---     1 perm 3f010000     0     0 user      xos:gina.demo: 800"); '
        'id=$(keyctl add user "$n" junk @u); keyctl setperm $id 0x3f3f3f3f; keyctl setperm 0x$k 0x3f3f3f3f; '
        "touch made; n=0; until [ -e go ] || [ $n -gt 200 ]; do n=$((n+1)); sleep 0.05; done; "
        "keyctl print 0x$k; keyctl unlink $id @u"
    )
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        running = threads.submit(node.ssh, hugo, "hugo.demo", forged, check=False)
        made = node.path("/var/lib/xos/home/hugo.demo/made")
        deadline = time.monotonic() + 10
        while not made.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert made.exists()
        assert "xos:gina.demo: 800" in node.run("cat", "/proc/keys").stdout, "the line is there to be believed"
        node.ssh(victim, "gina.demo", "true")
        assert node.ssh(gina, "gina.demo", "true").returncode == 0
        (made.parent / "go").touch()
        assert running.result().stdout.strip() == "own"


def test_a_suspended_user_is_refused_at_the_next_login(node: Machine) -> None:
    credential = node.credential("erin")
    key = node.identity_files(credential, "erin")
    node.ssh(key, "erin.demo", "true")
    node.va.revoke(credential.identity.serial)
    assert "Permission denied" in _refused(node, key, "erin.demo")
    assert "cert.revoked" in node.log("sshd.log")


def test_an_expired_certificate_is_refused(node: Machine) -> None:
    key = node.identity_files(node.credential("alice", at=time.time() - 7200, lifetime_s=60), "old")
    assert "Permission denied" in _refused(node, key, "alice.demo")


def test_another_vos_certificate_for_the_same_name_is_refused(node: Machine) -> None:
    stranger, key = Authority.create("test VO CA"), make_key()
    der = stranger.issue_user(make_csr(key, "alice"), identity("alice"), lifetime_s=600)
    path = node.identity_files(Credential(der, key), "foreign")
    path.with_name("foreign-cert.pub").write_text(ssh.certify_user(stranger, der))
    assert "Permission denied" in _refused(node, path, "alice.demo")


@pytest.mark.parametrize("name", ["carol.demo", "root", "bob", "alice.other", "alice.demo.demo", "xos"])
def test_a_certificate_opens_no_other_account(node: Machine, alice: Path, name: str) -> None:
    assert "Permission denied" in _refused(node, alice, name)


def test_a_plain_key_lets_no_vo_user_in_even_where_authorized_keys_names_it(
    node: Machine, carol: Path, root_key: Path
) -> None:
    node.ssh(
        carol,
        "carol.demo",
        f"mkdir -m 700 .ssh; echo '{root_key.with_suffix('.pub').read_text()}' > .ssh/authorized_keys",
    )
    said = node.ssh(root_key, "carol.demo", "echo in", check=False)
    assert said.returncode != 0
    assert "in" not in said.stdout.split()
    assert "showed no XOS-Certificate" in said.stdout


def test_vo_users_are_kept_apart(node: Machine, alice: Path, carol: Path) -> None:
    node.ssh(alice, "alice.demo", "echo secret > mine; chmod 644 mine")
    hold = node.start(
        "ssh", *node.ssh_options(alice), "-p", str(PORT), "alice.demo@127.0.0.1", "sleep 30", log="hold.log"
    )
    try:
        script = (
            "for i in $(seq 100); do p=$(pgrep -u alice.demo sleep) && break; sleep 0.1; done; "
            "cat /var/lib/xos/home/alice.demo/mine; kill -9 $p; keyctl search @s user xos:alice.demo; echo $p"
        )
        said = node.ssh(carol, "carol.demo", script, check=False)
        assert said.stdout.split()[-1].isdigit()
        assert "secret" not in said.stdout
        assert said.stderr.count("not permitted") >= 1
        assert hold.poll() is None
    finally:
        hold.kill()


def test_files_are_copied_by_scp_sftp_and_rsync(node: Machine, alice: Path) -> None:
    (node.directory / "sent").write_text("cargo\n")
    options, home = node.ssh_options(alice), "/var/lib/xos/home/alice.demo"
    to = "alice.demo@127.0.0.1"
    node.run("scp", "-q", *options, "-P", str(PORT), str(node.directory / "sent"), f"{to}:by-scp")
    node.run("sftp", "-q", *options, "-P", str(PORT), "-b", "-", to, stdin=f"put {node.directory / 'sent'} by-sftp\n")
    shell = " ".join(["ssh", *options, "-p", str(PORT)])
    node.run("rsync", "-e", shell, str(node.directory / "sent"), f"{to}:by-rsync")
    for name in ("by-scp", "by-sftp", "by-rsync"):
        file = node.path(f"{home}/{name}")
        assert file.read_text() == "cargo\n"
        assert file.stat().st_uid >= 1_900_000_000


def test_root_becomes_a_vo_user_and_a_vo_user_themself_again_but_nobody_else(
    node: Machine, alice: Path, carol: Path
) -> None:
    node.ssh(alice, "alice.demo", "true")
    assert node.run("su", "-", "alice.demo", "-c", "id -un").stdout.strip() == "alice.demo"
    again = node.ssh(alice, "alice.demo", "su alice.demo -c 'id -un' </dev/null", check=False)
    assert again.stdout.strip() == "alice.demo", again.stderr
    other = node.ssh(carol, "carol.demo", "su alice.demo -c 'id -un' </dev/null", check=False)
    assert "alice.demo" not in other.stdout


def test_a_certificate_of_many_groups_still_fits(node: Machine) -> None:
    groups = tuple(f"group{number:03}{'x' * 40}" for number in range(60))
    key = node.identity_files(node.va.credential(identity("grace", "demo", "users", *groups)), "grace")
    assert "grace.demo" in node.ssh(key, "grace.demo", "id -un").stdout


def _serve(node: Machine, text: str) -> None:
    """Let xos-amsd go by another node.toml."""
    node.path("/etc/xos/node.toml").write_text(text)
    seen = node.log("amsd.log").count("event=reloaded")
    os.kill(node.amsd_pid(), signal.SIGHUP)
    for _ in range(200):
        if node.log("amsd.log").count("event=reloaded") > seen:
            return
        time.sleep(0.05)
    raise AssertionError(node.log("amsd.log"))


def test_an_account_of_the_machines_own_may_be_a_vo_users_but_never_roots(node: Machine) -> None:
    node.path("/home/bob").mkdir(parents=True, exist_ok=True)
    one = node.path("/etc/xos/node.toml").read_text()
    keys = {name: node.identity_files(node.credential(name), name) for name in ("robert", "eve")}
    _serve(node, f'{one}[overrides]\n"robert@demo" = "bob"\n')
    try:
        assert node.ssh(keys["robert"], "bob", "id -un").stdout.strip() == "bob"
        assert "Permission denied" in _refused(node, keys["eve"], "bob")
        assert "Permission denied" in _refused(node, keys["robert"], "root")
    finally:
        _serve(node, one)
    assert "Permission denied" in _refused(node, keys["robert"], "bob")


def test_a_session_has_the_limits_that_this_machine_sets(node: Machine, alice: Path) -> None:
    one = node.path("/etc/xos/node.toml").read_text()
    _serve(node, f'[limits]\nnofile = "200:300"\ncore = "0"\n{one}')
    try:
        said = node.ssh(alice, "alice.demo", "ulimit -Sn; ulimit -Hn; ulimit -Hc").stdout.split()
        assert said == ["200", "300", "0"]
    finally:
        _serve(node, one)


def test_two_vos_may_have_a_user_of_the_same_name_and_a_vo_that_is_dissolved_lets_nobody_in(
    node: Machine, alice: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    atlas = Va(tmp_path_factory.mktemp("atlas") / "trust")
    config, keys = node.path("/etc/xos/node.toml"), node.path("/var/lib/xos-ssh/user_ca_keys")
    one, trusted = config.read_text(), keys.read_text()
    ranges = "uids = [1800000000, 1800000099]\ngids = [1800000100, 1800000199]\n"

    credential = atlas.credential(identity("alice", "atlas"))
    key = node.identity_files(credential, "alice-of-atlas")
    key.with_name("alice-of-atlas-cert.pub").write_text(ssh.certify_user(atlas.authority, credential.certificate))
    keys.write_text(trusted + ssh.trusted_ca_keys(Trust([atlas.authority.der])))
    _serve(node, f'{one}[vos.atlas]\ntrust = "{atlas.directory}"\n{ranges}')
    try:
        assert node.ssh(key, "alice.atlas", "id -un; pwd").stdout.split() == [
            "alice.atlas",
            "/var/lib/xos/home/alice.atlas",
        ]
        assert node.ssh(alice, "alice.demo", "id -un").stdout.strip() == "alice.demo"
        assert "Permission denied" in _refused(node, key, "alice.demo")
        assert "Permission denied" in _refused(node, alice, "alice.atlas")
        forger = atlas.credential(identity("alice", "demo"))  # atlas's CA says that it is demo's
        forged = node.identity_files(forger, "forged")
        forged.with_name("forged-cert.pub").write_text(ssh.certify_user(atlas.authority, forger.certificate))
        assert "Permission denied" in _refused(node, forged, "alice.demo")
    finally:
        _serve(node, one)
    assert _refused(node, key, "alice.atlas")
    keys.write_text(trusted)


@pytest.mark.parametrize("passphrase", [None, b"open sesame"])
def test_the_configuration_that_ssh_xos_writes_is_enough_without_an_agent(
    node: Machine, tmp_path_factory: pytest.TempPathFactory, passphrase: bytes | None
) -> None:
    credential, home = node.credential("gwen"), tmp_path_factory.mktemp("home")
    (home / "user.key").touch(mode=0o600)
    (home / "user.key").write_bytes(credential.key_pem(passphrase))
    (home / _ssh_config.CERTIFICATE).write_text(_ssh_of(node, credential))
    (home / "ssh_known_hosts").write_text(ssh.known_hosts(node.trust()))
    (home / "ssh_config").write_text(_ssh_config.text(home, credential, None))
    (home / "answer").write_text(f"#!/bin/sh\necho '{(passphrase or b'').decode()}'\n")
    (home / "answer").chmod(0o700)
    asked = ["env", f"SSH_ASKPASS={home}/answer", "SSH_ASKPASS_REQUIRE=force"]
    argv = [*asked, "ssh", "-F", str(home / "ssh_config"), "-o", "StrictHostKeyChecking=yes", "-p", str(PORT)]
    assert node.run(*argv, "127.0.0.1", "id -un").stdout.strip() == "gwen.demo"


AGENT = """
import asyncio, pathlib, sys
from xos.common.tls import Credential, Trust
from xos.vom.cli import _ssh_config
from xos.dixi.agent.ssh import SshServer

async def main(pem, path):
    await SshServer(pathlib.Path(path), lambda: Credential.from_pem(pathlib.Path(pem).read_bytes())).start()
    print("ready", flush=True)
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


def test_the_key_stays_in_the_agent_and_the_agent_may_be_forwarded(node: Machine) -> None:
    credential = node.credential("frank")
    node.identity_files(credential, "frank")
    pem, sock = node.directory / "frank.pem", node.directory / "frank.sock"
    pem.touch(mode=0o600)
    pem.write_bytes(Credential(credential.certificate, credential.key, ssh=_ssh_of(node, credential)).pem())
    agent = node.start(sys.executable, "-P", "-c", AGENT, str(pem), str(sock), log="agent.log")
    node.ready("agent.log", "ready")
    options = ["-F", "none", "-o", f"IdentityAgent={sock}", "-o", f"UserKnownHostsFile={node.directory}/known_hosts"]
    options += ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-p", str(PORT)]
    hop = "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -p 2222 frank.demo@127.0.0.1 id -un"
    try:
        assert node.run("ssh", *options, "frank.demo@127.0.0.1", "id -un").stdout.strip() == "frank.demo"
        forwarded = node.run("ssh", "-A", *options, "frank.demo@127.0.0.1", f"ssh-add -L; {hop}").stdout
        assert forwarded.splitlines()[0].startswith("ecdsa-sha2-nistp256-cert-v01@openssh.com ")
        assert forwarded.splitlines()[-1] == "frank.demo"
    finally:
        agent.kill()


def _ssh_of(node: Machine, credential: Credential) -> str:
    return ssh.certify_user(node.va.authority, credential.certificate)


class TestWithoutTheDaemon:
    """Last: they stop xos-amsd."""

    @pytest.fixture(autouse=True)
    def _daemon(self, node: Machine) -> Iterator[None]:
        yield
        node.path("/run/xos/amsd.sock").unlink(missing_ok=True)
        node.start_amsd()

    def test_root_logs_in_and_becomes_root_with_amsd_stopped_and_its_table_deleted(
        self, node: Machine, root_key: Path, alice: Path
    ) -> None:
        node.stop_amsd()
        node.path("/var/lib/xos-accounts/table").unlink()
        began = time.monotonic()
        assert node.ssh(root_key, "root", "id -un").stdout.strip() == "root"
        assert node.run("su", "-", "root", "-c", "id -un").stdout.strip() == "root"
        assert node.run("pamtester", "-I", "rhost=here", "login", "bob", "acct_mgmt").returncode == 0
        assert time.monotonic() - began < 40
        assert _refused(node, alice, "alice.demo")

    def test_a_hung_daemon_delays_nobody_but_vo_users_and_those_not_for_ever(
        self, node: Machine, root_key: Path, alice: Path
    ) -> None:
        node.hang_amsd()
        try:
            began = time.monotonic()
            assert node.ssh(root_key, "root", "id -un").stdout.strip() == "root"
            assert time.monotonic() - began < 40
            assert _refused(node, alice, "alice.demo")
        finally:
            node.wake_amsd()
            node.stop_amsd()


def test_pam_is_as_it_was_after_the_module_is_taken_out(node: Machine) -> None:
    """The very last: what the package does when it is removed."""
    node.run("pam-auth-update", "--package", "--remove", "xos")
    for name in ("common-auth", "common-account", "common-session", "common-session-noninteractive", "common-password"):
        assert node.path(f"/etc/pam.d/{name}").read_text() == Path(f"/etc/pam.d/{name}").read_text()
