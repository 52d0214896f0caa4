# SPDX-License-Identifier: BSD-3-Clause
"""The verbs: who may ask, which certificates are believed, what is answered."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from support.node import Va, encoded, identity, openssh
from xos.common.authority import Authority
from xos.common.errors import (
    BadSignature,
    CertificateError,
    CertificateExpired,
    CertificateForeign,
    CertificateRevoked,
    XosError,
)
from xos.node.accounts import Accounts
from xos.node.config import NodeConfig
from xos.node.errors import (
    BadMessage,
    NoCertificate,
    NotAllowed,
    PolicyRefused,
    TryAgain,
    UnknownAccount,
    UnknownVo,
    WrongName,
)
from xos.node.promised import MOST
from xos.node.service import Peer, Service
from xos.node.sessions import Sessions

ROOT = Peer(0, 1)
HELPER = Peer(999, 1)
ANYBODY = Peer(1000, 1)
FORBID_GUESTS = """
permit (principal, action, resource);
@id("no-guests") forbid (principal in Group::"demo/guests", action == Action::"login", resource);
"""


@pytest.fixture
def sessions(state: Path) -> Iterator[Sessions]:
    made = Sessions(state)
    yield made
    made.close()


@pytest.fixture
def service(accounts: Accounts, sessions: Sessions) -> Service:
    return Service(accounts, sessions, helpers=frozenset({HELPER.uid}))


async def held(service: Service, name: str) -> str:
    """The number that sshd holds before it has seen a key."""
    return (await service.answer({"op": "lookup", "name": name}, ANYBODY))["id"]


async def login(service: Service, va: Va, name: str = "alice", user: str = "alice.demo") -> dict[str, str]:
    ask = {"op": "authorize", "user": user, "uid": await held(service, user), "certificate": va.openssh(identity(name))}
    return await service.answer(ask, HELPER)


async def test_a_login_goes_by_the_number_that_was_looked_up(service: Service, va: Va) -> None:
    uid = await held(service, "alice.demo")
    answer = await login(service, va)
    assert (answer["principals"], answer["uid"]) == ("alice@demo", uid)
    found = await service.answer({"op": "lookup", "uid": uid}, ANYBODY)
    assert (found["name"], found["home"], found["shell"]) == (
        "alice.demo",
        "/var/lib/xos/home/alice.demo",
        "/bin/bash",
    )
    gid = found["gids"]
    assert (await service.answer({"op": "lookup", "gid": gid}, ANYBODY))["name"] == "users.demo"


async def test_the_number_that_a_name_was_told_leads_back_to_it_until_somebody_has_it(
    service: Service, accounts: Accounts
) -> None:
    async def name_of(kind: str, number: str) -> str:
        return (await service.answer({"op": "lookup", kind: number}, ANYBODY))["name"]

    with pytest.raises(UnknownAccount):
        await name_of("uid", "1900000033")
    uid = await held(service, "ghost.demo")
    assert (await name_of("uid", uid), await name_of("gid", uid)) == ("ghost.demo", "ghost@demo")
    assert accounts.all() == []
    # Somebody else gets that number: theirs is the name from then on.
    taken = await accounts.commit(identity("alice"), "a" * 64)
    accounts._by_uid[int(uid)] = msgspec.structs.replace(taken, uid=int(uid))
    assert await name_of("uid", uid) == "alice.demo"
    assert await held(service, "ghost.demo") != uid


async def test_few_names_are_remembered_however_many_are_asked_for(service: Service) -> None:
    for n in range(2 * MOST):
        await held(service, f"u{n}.demo")
    assert len(service._promised._names) <= MOST


async def test_a_number_that_is_not_the_accounts_is_refused_and_nothing_is_made(
    service: Service, va: Va, accounts: Accounts
) -> None:
    ask = {"op": "authorize", "user": "alice.demo", "uid": "1900000098", "certificate": va.openssh(identity("alice"))}
    with pytest.raises(TryAgain):
        await service.answer(ask, HELPER)
    assert accounts.all() == []


async def test_a_certificate_opens_its_own_account_only(service: Service, va: Va) -> None:
    with pytest.raises(WrongName, match="log in as bob.demo, not as alice.demo"):
        await login(service, va, name="bob", user="alice.demo")
    for user in ("root", "alice", "", "alice.demo\n", "a" * 300):
        ask = {"op": "authorize", "user": user, "uid": "0", "certificate": va.openssh(identity("alice"))}
        with pytest.raises(WrongName):
            await service.answer(ask, HELPER)


async def test_what_is_wrong_with_a_certificate_is_told(service: Service, va: Va, tmp_path: Path) -> None:
    async def refused(certificate: str, error: type[XosError], op: str = "open") -> None:
        with pytest.raises(error):
            await service.answer({"op": op, "service": "sshd", "user": "alice.demo", "certificate": certificate}, ROOT)

    alice = identity("alice")
    stranger = Va(tmp_path / "other-trust")
    await refused(va.xos(alice, at=time.time() - 7200), CertificateExpired)
    await refused(va.openssh(alice, at=time.time() - 7200), CertificateExpired)
    await refused(stranger.xos(alice), CertificateForeign)
    await refused(stranger.openssh(alice), CertificateError)
    await refused(va.xos(identity("alice", "elsewhere")), UnknownVo)
    await refused("!!!", BadMessage)
    await refused("", UnknownAccount)
    for junk in (b"\0", b"\0" * 60_000, b"0" * 60_000, os.urandom(1000), b"\0\0\0\x20" + b"x" * 32):
        await refused(encoded(junk), CertificateError)


async def test_an_openssh_certificate_that_carries_somebody_elses_is_refused(service: Service, va: Va) -> None:
    forger = Authority.create("forger")
    alice = va.credential(identity("alice"))
    with pytest.raises(CertificateForeign):
        await service.answer(
            {"op": "open", "service": "sshd", "user": "alice.demo", "certificate": encoded(openssh(forger, alice))},
            ROOT,
        )


async def test_a_revoked_certificate_is_refused_as_soon_as_the_list_is_there(service: Service, va: Va) -> None:
    alice = va.credential(identity("alice"))
    ask = {"op": "account", "service": "sshd", "user": "alice.demo", "certificate": encoded(alice.certificate)}
    assert (await service.answer(ask, ROOT))["expires"] == str(alice.identity.not_after)
    va.revoke(alice.identity.serial)
    with pytest.raises(CertificateRevoked):
        await service.answer(ask, ROOT)
    (va.directory / "crl.der").write_bytes(b"garbage")
    with pytest.raises(CertificateRevoked):
        await service.answer(ask, ROOT)


async def test_a_session_gets_its_account_credential_and_limits(
    service: Service, va: Va, config: NodeConfig, accounts: Accounts, sessions: Sessions
) -> None:
    config = msgspec.structs.replace(config, limits={"nofile": "64:128"}, slice={"MemoryMax": "4G"})
    accounts.configure(config, local_ids=frozenset())
    service.configure(config)
    certificate = va.xos(identity("alice"))
    ask = {"op": "open", "service": "login", "user": "alice.demo", "tty": "tty1", "certificate": certificate}
    answer = await service.answer(ask, ROOT)
    assert answer["name"] == "alice.demo"
    assert answer["uid"] == answer["gid"]
    assert answer["keyring"] == certificate
    assert answer["limit.nofile"] == "64:128"
    assert answer["slice.MemoryMax"] == "4G"
    assert answer["env.XOS_USER"] == "alice"
    assert int(answer["expires"]) > time.time()
    assert [(each.uid, each.tty, each.open) for each in sessions.latest()] == [(int(answer["uid"]), "tty1", True)]
    await service.answer({"op": "close", "session": answer["session"]}, ROOT)
    await service.answer({"op": "close", "session": answer["session"]}, ROOT)
    await service.answer({"op": "close", "session": "never opened"}, ROOT)
    assert [each.open for each in sessions.latest()] == [False]


async def test_a_renewed_certificate_takes_the_place_of_the_same_holders_that_ends_earlier(
    service: Service, va: Va, tmp_path: Path
) -> None:
    held = [
        va.xos(identity("alice"), lifetime_s=100),
        va.xos(identity("alice", "demo", "users", "physics"), lifetime_s=100),
        va.xos(identity("alice"), at=time.time() - 7200, lifetime_s=60),
        va.xos(identity("alice"), lifetime_s=9000),
        va.xos(identity("alice", roles=("VOAdmin",)), lifetime_s=100),
        va.xos(identity("bob"), lifetime_s=100),
        encoded(b"junk"),
        Va(tmp_path / "namesake").xos(identity("alice"), lifetime_s=100),
    ]
    ask = {"op": "open", "service": "login", "user": "alice.demo", "certificate": va.xos(identity("alice"))}
    assert (await service.answer(ask, ROOT))["renews"] == ""
    ask |= {f"held.{place}": each for place, each in enumerate(held)}
    assert (await service.answer(ask, ROOT))["renews"] == "0,2"


async def test_the_user_manager_beside_a_login_is_no_login(service: Service, va: Va, sessions: Sessions) -> None:
    await login(service, va)
    told = await service.answer({"op": "open", "service": "systemd-user", "user": "alice.demo"}, ROOT)
    assert sessions.latest() == []
    assert await service.answer({"op": "close", "session": told["session"]}, ROOT) == {"ok": "1"}


async def test_without_a_certificate_only_root_becomes_somebody_who_was_here(service: Service, va: Va) -> None:
    su = {"op": "open", "service": "su", "user": "alice.demo"}
    with pytest.raises(UnknownAccount):
        await service.answer(su, ROOT)
    await login(service, va)
    assert "keyring" not in await service.answer(su, ROOT)
    with pytest.raises(NoCertificate):
        await service.answer({**su, "service": "sshd"}, ROOT)


async def test_whoever_shows_a_certificate_proves_that_the_key_is_theirs(service: Service, va: Va) -> None:
    alice = va.credential(identity("alice"))
    challenge = "xos-login:node1:alice.demo:0123456789abcdef"

    async def judged(proof: bytes, challenge: str = challenge) -> None:
        ask = {"op": "account", "service": "login", "user": "alice.demo", "certificate": encoded(alice.certificate)}
        await service.answer({**ask, "challenge": challenge, "proof": encoded(proof)}, ROOT)

    sha256 = ec.ECDSA(hashes.SHA256())
    right = alice.key.sign(challenge.encode(), sha256)
    await judged(right)
    other = va.credential(identity("alice")).key.sign(challenge.encode(), sha256)
    for wrong in (b"", b"x", right[:-1], other, alice.key.sign(b"something else", sha256)):
        with pytest.raises(BadSignature):
            await judged(wrong)
    for text in ("a document", "xos-login:node1:bob.demo:0123456789abcdef", ""):
        with pytest.raises(BadSignature):
            await judged(alice.key.sign(text.encode(), sha256), text)


@pytest.mark.parametrize("op", ["open", "close", "account", "map", "list", "retire", "scan", "status", "authorize"])
async def test_only_root_may_do_more_than_look_up(service: Service, op: str) -> None:
    with pytest.raises(NotAllowed):
        await service.answer({"op": op}, ANYBODY)


async def test_an_unknown_verb_or_a_missing_field_is_told(service: Service) -> None:
    for ask in (
        {},
        {"op": "dance"},
        {"op": "lookup"},
        {"op": "lookup", "uid": "-1"},
        {"op": "lookup", "gid": "1" * 99},
    ):
        with pytest.raises(BadMessage):
            await service.answer(ask, ROOT)


async def test_a_job_runs_under_the_account_of_whoever_signed_it(service: Service, va: Va) -> None:
    uid = (await login(service, va))["uid"]
    answer = await service.answer({"op": "map", "certificate": va.xos(identity("alice", "demo", "users", "x"))}, ROOT)
    assert (answer["uid"], answer["gid"], answer["name"]) == (uid, uid, "alice.demo")
    assert len(answer["gids"].split(",")) == 2


# --- policy


async def test_the_nodes_policy_is_asked_and_says_which_rule(service: Service, va: Va, config: NodeConfig) -> None:
    config.policy.write_text(FORBID_GUESTS)
    await login(service, va)
    eve = identity("eve", "demo", "guests")
    ask = {"op": "authorize", "user": "eve.demo", "uid": "1", "certificate": va.openssh(eve)}
    with pytest.raises(PolicyRefused, match=r"node-policy.cedar/no-guests"):
        await service.answer(ask, HELPER)
    answer = await service.answer({"op": "map", "certificate": va.xos(eve)}, ROOT)  # jobs she may run
    assert answer["name"] == "eve.demo"


async def test_a_wrong_policy_leaves_the_one_before_in_force(service: Service, va: Va, config: NodeConfig) -> None:
    config.policy.write_text(FORBID_GUESTS)
    await login(service, va)
    config.policy.write_text("permit (principal, action, resource) when { nonsense")
    ask = {
        "op": "account",
        "service": "sshd",
        "user": "eve.demo",
        "certificate": va.xos(identity("eve", "demo", "guests")),
    }
    with pytest.raises(PolicyRefused, match="no-guests"):
        await service.answer(ask, ROOT)
    await login(service, va)
    assert "node-policy.cedar" in (await service.answer({"op": "status"}, ROOT))["policy"]


async def test_a_policy_that_was_never_right_lets_nobody_in(service: Service, va: Va, config: NodeConfig) -> None:
    config.policy.write_text("allow everybody;")
    with pytest.raises(PolicyRefused, match="its policy file is wrong"):
        await login(service, va)


# --- overrides


async def test_an_override_leads_to_the_machines_own_account_and_to_none_else(
    service: Service, va: Va, config: NodeConfig, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pwd

    entry = pwd.struct_passwd(("carol", "x", 1234, 1234, "", "/home/carol", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwnam", lambda _: entry)
    config = msgspec.structs.replace(config, overrides={"carol@demo": "carol"})
    accounts.configure(config, local_ids=frozenset())
    service.configure(config)
    ask = {"op": "authorize", "user": "carol", "uid": "1234", "certificate": va.openssh(identity("carol"))}
    assert (await service.answer(ask, HELPER))["uid"] == "1234"
    with pytest.raises(TryAgain):
        await service.answer({**ask, "uid": "1235"}, HELPER)
    with pytest.raises(WrongName):
        await service.answer({**ask, "user": "carol.demo"}, HELPER)
    with pytest.raises(WrongName):
        await service.answer({**ask, "certificate": va.openssh(identity("alice"))}, HELPER)
    assert accounts.all() == []


async def test_lists_come_in_pages(service: Service, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xos.node.service.PAGE", 3)
    for n in range(7):
        await accounts.commit(identity(f"u{n}"), "a" * 64)
    seen: list[str] = []
    ask = {"op": "list"}
    while True:
        answer = await service.answer(ask, ROOT)
        seen += [each["name"] for each in msgspec.json.decode(answer["accounts"])]
        if "next" not in answer:
            break
        ask = {"op": "list", "after": answer["next"]}
    assert sorted(seen) == [f"u{n}.demo" for n in range(7)]
