# SPDX-License-Identifier: BSD-3-Clause
"""xos-map as administrators call it, against a real daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.amsd import Amsd
from support.node import Va, identity
from xos.node.errors import UnknownAccount, UnknownVo

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may ask to map accounts")
MAP = Path(sys.executable).with_name("xos-map")
RULES = """permit (principal, action, resource);
@id("no-guests") forbid (principal in Group::"demo/guests", action == Action::"login", resource);
"""


@pytest.fixture
def amsd(tmp_path: Path, va: Va) -> Iterator[Amsd]:
    made = Amsd(tmp_path, va.directory)
    made.start()
    yield made
    made.kill()


def call(amsd: Amsd, *words: str, status: int = 0) -> str:
    environment = {"PATH": os.environ["PATH"], "XOS_NO_AGENT": "1", "HOME": "/nonexistent"}
    done = subprocess.run([MAP, "--socket", amsd.socket, *words], capture_output=True, text=True, env=environment)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_accounts_are_listed_shown_and_retired(amsd: Amsd, va: Va) -> None:
    assert "no accounts" in call(amsd, "list")
    for name in ("alice", "bob"):
        amsd.ask(op="map", certificate=va.xos(identity(name, "demo", "users", "physics")))
    lines = call(amsd, "list").splitlines()
    assert lines[0].split() == ["UID", "NAME", "IDENTITY", "STATE", "LAST", "USED", "GROUPS"]
    assert {line.split()[1] for line in lines[1:]} == {"alice.demo", "bob.demo"}
    (alice,) = [each for each in json.loads(call(amsd, "list", "--json")) if each["owner"] == "alice"]
    assert "alice@demo" in call(amsd, "show", str(alice["uid"]))
    assert "users, physics" in call(amsd, "show", "alice.demo")
    told = call(amsd, "retire", "alice.demo")
    assert f"{alice['uid']} stays taken" in told
    assert "no VO account carol.demo" in call(amsd, "retire", "bob.demo", "carol.demo", status=1)
    assert "name accounts, or a VO" in call(amsd, "retire", status=2)
    assert json.loads(call(amsd, "status", "--json"))["active"] == "1"
    assert "bob.demo is retired" in call(amsd, "retire", "--vo", "demo")


def test_logins_are_listed_with_their_ends(amsd: Amsd, va: Va) -> None:
    assert "Nobody is on record" in call(amsd, "logins")
    ask = {"op": "open", "service": "sshd", "rhost": "10.0.0.7"}
    for name in ("alice", "bob"):
        session = amsd.ask(**ask, user=f"{name}.demo", certificate=va.xos(identity(name)))["session"]
    amsd.ask(op="close", session=session)
    lines = call(amsd, "logins").splitlines()
    assert lines[0].split() == ["NAME", "BY", "FROM", "BEGAN", "ENDED"]
    assert [line.split()[0] for line in lines[1:]] == ["bob.demo", "alice.demo"]
    assert lines[2].endswith("goes on")
    assert len(call(amsd, "logins", "-n", "1").splitlines()) == 2
    (only,) = json.loads(call(amsd, "logins", "bob.demo", "--json"))
    assert (only["rhost"], only["open"]) == ("10.0.0.7", False)


def test_a_vo_is_served_from_then_on(amsd: Amsd, va: Va) -> None:
    told = call(amsd, "serve", "atlas", "--trust", str(va.directory), "--config", str(amsd.config))
    assert "as USER.atlas" in told
    assert amsd.ask(op="lookup", name="alice.atlas")["name"] == "alice.atlas"
    assert "atlas" in call(amsd, "status")
    assert "Names are like" in call(amsd, "serve", "At las", "--config", str(amsd.config), status=78)


def test_a_policy_is_checked_and_explained_before_it_is_in_force(amsd: Amsd, tmp_path: Path) -> None:
    draft = tmp_path / "draft.cedar"
    draft.write_text(RULES)
    assert "2 rules" in call(amsd, "policy", "check", "--file", str(draft))
    explain = ("policy", "explain", "eve@demo", "--file", str(draft))
    assert "denied by rule draft.cedar/no-guests" in call(amsd, *explain, "--group", "guests", status=1)
    assert "allowed" in call(amsd, *explain)
    assert json.loads(call(amsd, *explain, "--group", "guests", "--action", "runJob", "--json"))["allowed"]
    draft.write_text("permit (principal")
    assert "draft.cedar" in call(amsd, "policy", "check", "--file", str(draft), status=2)
    assert "is not USER@VO" in call(amsd, "policy", "explain", "eve", "--file", str(draft), status=2)


def test_a_daemon_that_is_away_is_told_with_what_to_do(amsd: Amsd) -> None:
    amsd.kill()
    assert "systemctl status xos-amsd" in call(amsd, "list", status=1)


def test_a_vo_that_is_over_is_served_no_more_even_after_a_restart_unless_another_ca_founds_it_anew(
    amsd: Amsd, va: Va
) -> None:
    call(amsd, "serve", "atlas", "--trust", str(va.directory), "--config", str(amsd.config))
    for vo in ("demo", "atlas"):
        amsd.ask(op="map", certificate=va.xos(identity("alice", vo)))
    gone = json.loads(amsd.ask(op="withdraw", vo="demo")["accounts"])
    assert [(each["name"], each["state"]) for each in gone] == [("alice.demo", "quarantined")]
    assert amsd.ask(op="withdraw", vo="demo")["accounts"] == "[]"
    for _ in range(2):
        with pytest.raises(UnknownVo):
            amsd.ask(op="map", certificate=va.xos(identity("alice")))
        with pytest.raises(UnknownAccount):
            amsd.ask(op="lookup", name="alice.demo")
        assert amsd.ask(op="lookup", name="alice.atlas")["name"] == "alice.atlas"
        assert "Dissolved   demo: not served" in call(amsd, "status")
        amsd.end(signal.SIGKILL)
        amsd.start()
    anew = Va(va.directory.with_name("anew"))
    (va.directory / "ca.pem").write_bytes(anew.authority.certificate_pem())
    (va.directory / "crl.der").unlink(missing_ok=True)
    amsd.ask(op="reload")
    assert amsd.ask(op="lookup", name="bob.demo")["name"] == "bob.demo"


def test_a_list_of_vos_that_are_over_which_cannot_be_read_stops_the_daemon_with_its_name(amsd: Amsd) -> None:
    amsd.end()
    (amsd.state / "withdrawn.json").write_text("[")
    done = subprocess.run(
        [MAP.with_name("xos-amsd"), "--config", amsd.config, "--state", amsd.state, "--socket", amsd.socket],
        capture_output=True,
        text=True,
        timeout=15,
    )
    assert done.returncode != 0
    assert "withdrawn.json" in done.stderr
