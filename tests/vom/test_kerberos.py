# SPDX-License-Identifier: BSD-3-Clause
"""Logging in by Kerberos with a real KDC, where python3-gssapi and krb5-kdc are there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import free_port
from xos.common.certificate import make_csr, make_key
from xos.common.identity import ANONYMOUS
from xos.vom.api import CertificateWish
from xos.vom.backends.kerberos import KerberosBackend, KerberosSettings
from xos.vom.errors import BackendAway, BadCredentials, BadRequest, NotLinked
from xos.vom.tickets import token_for

from .conftest import CoreMachine, acting

SERVICE = "xos/core.test@XOS.TEST"
KRB5 = """
[libdefaults]
default_realm = XOS.TEST
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
[realms]
XOS.TEST = {{
  kdc = 127.0.0.1:{port}
}}
"""
KDC = """
[realms]
XOS.TEST = {{
  database_name = {root}/principal
  key_stash_file = {root}/stash
  kdc_ports = {port}
  kdc_tcp_ports = {port}
}}
"""


@pytest.fixture
def realm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A realm XOS.TEST with alice (whose tickets are at hand) and the CDA's service; the CDA's keytab."""
    pytest.importorskip("gssapi", reason="python3-gssapi is not here")
    tools = {
        name: shutil.which(name, path="/usr/sbin:/usr/bin")
        for name in ("krb5kdc", "kdb5_util", "kadmin.local", "kinit")
    }
    if not all(tools.values()):
        pytest.skip("no KDC here: krb5-kdc, krb5-admin-server, krb5-user")
    port = free_port()
    (tmp_path / "krb5.conf").write_text(KRB5.format(port=port))
    (tmp_path / "kdc.conf").write_text(KDC.format(root=tmp_path, port=port))
    monkeypatch.setenv("KRB5_CONFIG", str(tmp_path / "krb5.conf"))
    monkeypatch.setenv("KRB5_KDC_PROFILE", str(tmp_path / "kdc.conf"))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path}/tickets")
    monkeypatch.setenv("KRB5RCACHENAME", f"dfl:{tmp_path}/replays")
    keytabs = {"alice": tmp_path / "alice.keytab", SERVICE: tmp_path / "cda.keytab"}
    run(tools["kdb5_util"], "create", "-s", "-P", "master", "-r", "XOS.TEST")
    for principal, keytab in keytabs.items():
        run(tools["kadmin.local"], "-q", f"addprinc -randkey {principal}")
        run(tools["kadmin.local"], "-q", f"ktadd -k {keytab} {principal}")
    daemon = subprocess.Popen(
        [str(tools["krb5kdc"]), "-n"], env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until_open(port)
        run(tools["kinit"], "-k", "-t", str(keytabs["alice"]), "alice")
        yield keytabs[SERVICE]
    finally:
        daemon.terminate()
        daemon.wait(10)


def run(*command: str | None) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=15)
    assert done.returncode == 0, done.stderr


def until_open(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, "the KDC does not listen"
        else:
            return


def believes(machine: CoreMachine, keytab: str) -> None:
    """Let the CDA of *machine* offer Kerberos."""
    wanted = KerberosSettings(service=SERVICE, keytab=keytab)
    machine.cda._backends["kerberos"] = KerberosBackend(machine.core, wanted)


def wish(proof: bytes) -> CertificateWish:
    return CertificateWish("demo", "alice", make_csr(make_key(), "alice"), backend="kerberos", proof=proof)


async def test_a_ticket_is_a_certificate_for_who_is_linked_and_no_token_counts_twice(
    machine: CoreMachine, realm: Path
) -> None:
    machine.cda._backends["kerberos"] = KerberosBackend(
        machine.core, KerberosSettings(service=SERVICE, keytab=str(realm))
    )
    await machine.add("alice")
    token = token_for(SERVICE)
    with acting(ANONYMOUS), pytest.raises(NotLinked, match="alice@XOS.TEST"):
        await machine.cda.issue(wish(token))
    with acting(machine.identity):
        await machine.xvoms.link_identity("demo", "alice", "kerberos", "alice@XOS.TEST")
    with acting(ANONYMOUS):
        issued = await machine.cda.issue(wish(token_for(SERVICE)))
        for bad in (token, b"x" * 100, token[:-20]):
            with pytest.raises(BadCredentials):
                await machine.cda.issue(wish(bad))
        for none in (b"", b"x" * 100_000):
            with pytest.raises(BadRequest):
                await machine.cda.issue(wish(none))
    assert machine.trust.identify(issued.certificate).name == "alice"


async def test_without_a_keytab_kerberos_is_away_and_nobody_is_turned_down(machine: CoreMachine, realm: Path) -> None:
    token = token_for(SERVICE)
    machine.cda._backends["kerberos"] = KerberosBackend(
        machine.core, KerberosSettings(service=SERVICE, keytab="/missing")
    )
    await machine.add("alice")
    with acting(ANONYMOUS), pytest.raises(BackendAway):
        await machine.cda.issue(wish(token))
    assert realm.exists()
