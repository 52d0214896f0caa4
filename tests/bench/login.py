# SPDX-License-Identifier: BSD-3-Clause
"""Machines to log in to: one with our package, one without. Both sides are measured by the same loops."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.serialization import SSHCertificateBuilder, SSHCertificateType

from bench.model import CannotRun, Measure, Sample
from bench.resources import Resources
from support.machine import PORT, Machine, machine, possible
from xos.common import ssh
from xos.common.certificate import key_pem, make_key

LOGINS, STACKS = 20, 60


def built(resources: Resources) -> Path:
    """Our C programs."""
    out = resources.build / "login"
    for module in ("pam_xos", "nss_xos"):
        source = resources.root / "kernel-modules" / module
        subprocess.run(["make", "-s", "-C", source, f"OUT={out}"], check=True)
    return out


@contextlib.contextmanager
def ours(resources: Resources) -> Iterator[tuple[Machine, Path]]:
    """The machine with everything of ours, and alice's key; she has logged in before."""
    with _machine(resources) as made:
        config = made.path("/etc/xos/node.toml")
        config.write_text('shell = "/bin/sh"\n' + config.read_text())  # as bob's
        made.start_amsd()
        made.configure_pam()
        made.start_sshd()
        key = made.identity_files(made.credential("alice"), "alice")
        made.ssh(key, "alice.demo", "true")
        _services(made, "pam_xos.so")
        yield made, key


@contextlib.contextmanager
def plain(resources: Resources) -> Iterator[tuple[Machine, Path]]:
    """The machine as Debian makes it, whose sshd trusts the same CA, and the key of its local user bob."""
    with _machine(resources) as made:
        shutil.copy("/etc/nsswitch.conf", made.path("/etc/nsswitch.conf"))
        made.path("/home/bob").mkdir(parents=True, exist_ok=True)
        made.start_sshd()
        key = _user_certificate(made)
        _services(made, "pam_permit.so")
        made.path("/etc/ssh/sshd_config.d/50-xos.conf").write_text(
            "TrustedUserCAKeys /var/lib/xos-ssh/user_ca_keys\n"
            + "".join(f"HostCertificate {path}\n" for path in ("/var/lib/xos-ssh/ssh_host_ed25519_key-cert.pub",))
        )
        made.start("/usr/sbin/sshd", "-D", "-e", "-p", str(PORT + 1), "-o", "PidFile=none", log="plain.log")
        made.ready("plain.log", "Server listening")
        yield made, key


@contextlib.contextmanager
def _machine(resources: Resources) -> Iterator[Machine]:
    why = possible()
    if why is not None:
        raise CannotRun(why)
    with machine(built(resources)) as made:
        yield made


def _services(made: Machine, module: str) -> None:
    """The service ``runuser`` with one module: root vouches there, so a session opens without a certificate."""
    lines = [f"{kind} required {module}" for kind in ("auth", "account", "session", "password")]
    made.path("/etc/pam.d/runuser").write_text("\n".join(lines) + "\n")


def _user_certificate(made: Machine) -> Path:
    key = make_key()
    builder = (
        SSHCertificateBuilder().public_key(key.public_key()).type(SSHCertificateType.USER).key_id(b"bob")
        .valid_principals([b"bob"]).valid_after(int(time.time()) - 60).valid_before(int(time.time()) + 36_000)
        .add_extension(b"permit-pty", b"")
    )  # fmt: skip
    path = made.directory / "bob"
    path.touch(mode=0o600)
    path.write_bytes(key_pem(key))
    path.with_name("bob-cert.pub").write_text(builder.sign(made.va.authority.key).public_bytes().decode())
    (made.directory / "known_hosts").write_text(ssh.known_hosts(made.trust()))
    return path


def logins(made: Machine, key: Path, user: str, port: int, count: int) -> Measure:
    """Milliseconds of one ``ssh HOST true``: the median of *count*, one after another."""
    return _median(made, ["ssh", *made.ssh_options(key), "-p", str(port), f"{user}@127.0.0.1", "true"], count)


def stacks(made: Machine, user: str, count: int) -> Measure:
    """Milliseconds of one pamtester that opens a session and closes it: the median of *count*."""
    return _median(made, ["pamtester", "runuser", user, "acct_mgmt", "open_session", "close_session"], count)


TIMER = """
import statistics, subprocess, sys, time
took = []
for _ in range(int(sys.argv[1])):
    began = time.perf_counter()
    subprocess.run(sys.argv[2:], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    took.append(time.perf_counter() - began)
print(statistics.median(took) * 1000)
"""


def _median(made: Machine, argv: list[str], count: int) -> Measure:
    def once() -> Sample:
        done = made.run(sys.executable, "-c", TIMER, str(count), *argv, seconds=600)
        return Sample(float(done.stdout.splitlines()[-1]))

    return once
