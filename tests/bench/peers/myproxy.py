# SPDX-License-Identifier: BSD-3-Clause
"""MyProxy as an online CA: a real myproxy-server held to one core, asked by myproxy-logon with a certificate."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.cpu import Meter, per
from bench.model import CannotRun, Measure, Sample
from bench.resources import Resources

SERVER = "/usr/sbin/myproxy-server"
CONF = """\
accepted_credentials "*"
authorized_retrievers "*"
default_retrievers "*"
trusted_retrievers "/O=Bench/CN=alice"
default_trusted_retrievers "/O=Bench/CN=alice"
authorized_key_retrievers "none"
allow_self_authorization true
certificate_issuer_cert {place}/ca.pem
certificate_issuer_key {place}/ca.key
certificate_serialfile {place}/serial
certificate_out_dir {place}/store
certificate_mapapp {place}/mapapp
"""
POLICY = """\
access_id_CA X509 '/O=Bench/CN=CA'
pos_rights globus CA:sign
cond_subjects globus '"/O=Bench/*"'
"""
SECONDS = 60.0


class Server:
    """A running server and what its clients need."""

    def __init__(self, meter: Meter, place: Path) -> None:
        self.meter, self.place = meter, place
        self.port = _free_port()
        self._numbers = itertools.count()
        _certificates(place)
        command = [SERVER, "-c", str(place / "conf"), "-s", str(place / "store"), "-p", str(self.port)]
        command += ["-l", "127.0.0.1", "-P", str(place / "pid")]
        subprocess.run(
            meter.wrap(["taskset", "--cpu-list", "0", *command]), env=self._env("host"), check=True, timeout=SECONDS
        )

    def logons(self, count: int, at_once: int) -> float:
        """Wall seconds for *count* certificates. Raises `CannotRun` when one is not given."""
        begun = time.perf_counter()
        running: list[subprocess.Popen[bytes]] = []
        for _ in range(count):
            if len(running) == at_once:
                self._end(running.pop(0))
            running.append(self._logon())
        for each in running:
            self._end(each)
        return time.perf_counter() - begun

    def _logon(self) -> subprocess.Popen[bytes]:
        out = self.place / f"out-{next(self._numbers)}.pem"
        command = ["myproxy-logon", "-s", "127.0.0.1", "-p", str(self.port), "-l", "alice", "-n", "-t", "1", "-o"]
        return subprocess.Popen(
            self.meter.wrap([*command, str(out)]),
            env={**self._env("user"), "MYPROXY_SERVER_DN": "/O=Bench/CN=localhost"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        _, said = process.communicate(timeout=SECONDS)
        if process.returncode != 0:
            raise CannotRun(f"myproxy-logon: {said.decode(errors='replace').strip()[-200:]}")

    def _env(self, who: str) -> dict[str, str]:
        own = {"X509_CERT_DIR": "trust", "X509_USER_CERT": f"{who}.pem", "X509_USER_KEY": f"{who}.key"}
        return {**os.environ, **{name: str(self.place / file) for name, file in own.items()}}


def issue(resources: Resources, *, count: int, at_once: int = 4) -> Measure:
    """Certificates a second."""
    server = resources.get("myproxy", _start)
    many = resources.scaled(count, 8)

    def measure() -> Sample:
        before = server.meter.seconds()
        wall = server.logons(many, at_once)
        return Sample(many / wall, per(before, server.meter.seconds(), many))

    return measure


@contextlib.contextmanager
def _start() -> Iterator[Server]:
    if not Path(SERVER).exists() or shutil.which("myproxy-logon") is None:
        raise CannotRun("myproxy and myproxy-server are not here: tests/bench/install-peers myproxy")
    with tempfile.TemporaryDirectory(prefix="xos-myproxy-") as place, Meter("myproxy") as meter:
        server = Server(meter, Path(place))
        try:
            yield server
        finally:
            with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
                os.kill(int((Path(place) / "pid").read_text()), 15)


def _certificates(place: Path) -> None:
    """A CA of RSA 2048, as MyProxy's guide has it; the server's certificate and a user's."""

    def openssl(*args: str) -> str:
        done = subprocess.run(
            ["openssl", *args], cwd=place, check=True, capture_output=True, text=True, timeout=SECONDS
        )
        return done.stdout

    for name in ("trust", "store"):
        (place / name).mkdir(mode=0o700)
    extensions = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    new = ("req", "-newkey", "rsa:2048", "-nodes", "-keyout")
    openssl(*new, "ca.key", "-x509", "-out", "ca.pem", "-days", "30", "-subj", "/O=Bench/CN=CA", *extensions)
    for name, common in (("host", "localhost"), ("user", "alice")):
        openssl(*new, f"{name}.key", "-out", f"{name}.csr", "-subj", f"/O=Bench/CN={common}")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "20", "-out", f"{name}.pem")
        openssl("x509", "-req", "-in", f"{name}.csr", *signed)
        (place / f"{name}.key").chmod(0o600)
    number = openssl("x509", "-hash", "-noout", "-in", "ca.pem").strip()
    (place / "trust" / f"{number}.0").write_bytes((place / "ca.pem").read_bytes())
    (place / "trust" / f"{number}.signing_policy").write_text(POLICY)
    (place / "serial").write_text("1000\n")
    (place / "mapapp").write_text('#!/bin/sh\necho "/O=Bench/CN=$1"\n')
    (place / "mapapp").chmod(0o755)
    (place / "conf").write_text(CONF.format(place=place))
    for name in ("ca.key", "conf"):
        (place / name).chmod(0o600)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
