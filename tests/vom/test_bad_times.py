# SPDX-License-Identifier: BSD-3-Clause
"""Clocks that disagree, tokens and certificates that are shown again or too late, a CA key that cannot be read."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from xos.common import ssh
from xos.common.authority import BACKDATED_S
from xos.common.certificate import (
    CertificateExpired,
    CertificateNotYetValid,
    make_csr,
    make_key,
    parse_identity,
)
from xos.common.errors import CertificateRevoked
from xos.common.identity import ANONYMOUS
from xos.vom.core import VomCore
from xos.vom.errors import AuthorityUnreadable, BadRequest, TokenExpired, TokenUsed

from .conftest import CoreMachine, acting, founded


@pytest.mark.parametrize("behind", [0, 60, BACKDATED_S - 5])
async def test_a_certificate_is_good_at_once_for_whose_clock_is_up_to_five_minutes_behind(
    machine: CoreMachine, behind: float
) -> None:
    await machine.add("alice")
    alice = await machine.get("alice")
    at = time.time() - behind
    assert machine.trust.identify(alice.certificate, at=at).name == "alice"
    renewed = await machine.renew(alice)
    assert ssh.verify_user(renewed.ssh, machine.trust, at=at)[0].name == "alice"


async def test_a_clock_further_behind_is_told_from_when_the_certificate_holds(machine: CoreMachine) -> None:
    await machine.add("alice")
    alice = await machine.get("alice")
    with pytest.raises(CertificateNotYetValid, match="UTC"):
        machine.trust.identify(alice.certificate, at=time.time() - BACKDATED_S - 60)


@pytest.mark.parametrize("skew", [-240.0, 240.0])
async def test_a_cda_whose_clock_is_minutes_off_issues_what_others_take_and_never_for_longer(
    machine: CoreMachine, clock: Callable[[float], None], skew: float
) -> None:
    await machine.add("alice")
    clock(skew)
    alice = await machine.get("alice", hours=1.0)
    assert machine.trust.identify(alice.certificate, at=time.time()).name == "alice"
    lifetime = alice.identity.not_after - alice.identity.not_before
    assert lifetime == 3600 + BACKDATED_S


async def test_a_certificate_about_to_end_by_either_clock_delegates_nothing(
    machine: CoreMachine, clock: Callable[[float], None]
) -> None:
    await machine.add("alice")
    alice = await machine.get("alice", hours=0.1)
    clock(400)
    with acting(alice.identity), pytest.raises(BadRequest):
        await machine.cda.delegate(make_csr(make_key(), "alice"))
    with pytest.raises(CertificateExpired):
        machine.trust.identify(alice.certificate, at=machine.core.now())


async def test_a_join_token_that_is_replayed_or_late_lets_nobody_in(
    machine: CoreMachine, clock: Callable[[float], None]
) -> None:
    with acting(machine.identity):
        used, late = await machine.rca.create_token("node1"), await machine.rca.create_token("node2", 5.0)
    with acting(ANONYMOUS):
        await machine.rca.join(used.token, "node1", make_csr(make_key(), "node1"))
        with pytest.raises(TokenUsed):
            await machine.rca.join(used.token, "node1", make_csr(make_key(), "node1"))
        clock(5 * 60 + 1)
        with pytest.raises(TokenExpired):
            await machine.rca.join(late.token, "node2", make_csr(make_key(), "node2"))


async def test_a_certificate_from_before_a_suspension_is_replayed_in_vain(machine: CoreMachine) -> None:
    await machine.add("alice")
    alice = await machine.get("alice")
    await machine.suspend("alice")
    with acting(alice.identity), pytest.raises(CertificateRevoked):
        machine.trust.identify(alice.certificate)


async def test_a_ca_key_that_cannot_be_read_stops_the_start_and_nothing_that_runs(tmp_path: Path) -> None:
    machine = await founded(tmp_path)
    await machine.start()
    await machine.add("alice")
    key = tmp_path / "vom" / "ca" / "ca.key"
    kept = key.read_bytes()
    key.write_bytes(b"damaged")
    alice = await machine.get("alice")  # the key is in memory: whoever has been let in goes on
    await machine.suspend("alice")
    assert machine.core.crl.number > 1
    await machine.stop()
    for damage in (b"damaged", b"", kept[: len(kept) // 2]):
        key.write_bytes(damage)
        with pytest.raises(AuthorityUnreadable, match=r"ca\.key"):
            await VomCore.open(tmp_path / "vom")
    key.write_bytes(kept)
    core = await VomCore.open(tmp_path / "vom")
    assert core.authority.der
    assert parse_identity(alice.certificate).name == "alice"
    await core.close()
