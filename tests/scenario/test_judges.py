# SPDX-License-Identifier: BSD-3-Clause
"""What `curl` and `openssl` say, who were not written by us."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from support.localgrid import Grid, User


def curl(grid: Grid, path: str, *options: str) -> tuple[int, str, str]:
    """Exit status, HTTP status and body of one request to the core's gateway."""
    ca = grid.local.core.trust / "ca.pem"
    url = grid.gateway("core") + path
    done = subprocess.run(
        ["curl", "--silent", "--cacert", str(ca), "--write-out", "\n%{http_code}", *options, url],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    body, _, status = done.stdout.rpartition("\n")
    return done.returncode, status, body


def as_user(user: User) -> tuple[str, ...]:
    return ("--cert", str(user.home / "user.pem"), "--key", str(user.home / "user.key"))


def test_curl_lists_alices_jobs_with_her_certificate(grid: Grid, alice: User) -> None:
    job = alice.submit("true")
    alice.run("xwait", job)
    code, status, body = curl(grid, "/JobManager/list_jobs", *as_user(alice), "--json", "{}")
    assert (code, status) == (0, "200"), body
    assert [(found["job_id"], found["state"]) for found in json.loads(body)] == [(job, "DONE")]


def test_curl_is_refused_without_a_certificate(grid: Grid) -> None:
    code, status, body = curl(grid, "/JobManager/list_jobs", "--json", "{}")
    assert code != 0 or status == "401"
    assert "demo-" not in body


def test_curl_sees_nobody_elses_jobs(grid: Grid, alice: User) -> None:
    alice.submit("true")
    code, status, body = curl(grid, "/JobManager/list_jobs", *as_user(grid.user("bob")), "--json", "{}")
    assert (code, status, json.loads(body)) == (0, "200", [])


def test_openssl_verifies_alices_certificate(grid: Grid, alice: User) -> None:
    ca = grid.local.core.trust / "ca.pem"
    done = subprocess.run(
        [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            "sslclient",
            "-CAfile",
            str(ca),
            str(alice.home / "user.pem"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip().endswith(": OK"), done.stderr


def test_openssl_shows_the_vo_attributes(alice: User) -> None:
    shown = subprocess.run(
        ["openssl", "x509", "-in", str(alice.home / "user.pem"), "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for oid, value in (("1", "demo"), ("3", "alice"), ("4", "users")):
        at = next(i for i, line in enumerate(shown) if line.strip().startswith(f"1.34.5.0.14.{oid}:"))
        assert shown[at + 1].strip().endswith(value)


def test_openssl_verifies_every_machine(grid: Grid) -> None:
    ca = str(grid.local.core.trust / "ca.pem")
    for node in grid.local.nodes:
        for purpose in ("sslserver", "sslclient"):
            words = ["openssl", "verify", "-purpose", purpose, "-verify_ip", node.address, "-CAfile", ca]
            done = subprocess.run([*words, str(node.certificate)], capture_output=True, text=True, check=False)
            assert done.stdout.strip().endswith(": OK"), done.stderr


def test_prometheus_finds_the_stages(grid: Grid, alice: User) -> None:
    code, status, body = curl(grid, "/metrics", *as_user(alice))
    assert (code, status) == (0, "200")
    assert any("JobManager" in line for line in body.splitlines() if not line.startswith("#"))


def test_keys_are_private_wherever_the_grid_keeps_them(grid: Grid, alice: User) -> None:  # noqa: ARG001 -- she has one
    keys = [path for path in grid.root.rglob("*") if path.is_file() and b"PRIVATE KEY" in _head(path)]
    assert len(keys) >= len(grid.local.nodes) + 2
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)
