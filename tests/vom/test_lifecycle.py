# SPDX-License-Identifier: BSD-3-Clause
"""The life of a VO, from creation to dissolution, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from xos.common.certificate import (
    BadCertificate,
    BadSignature,
    CertificateRevoked,
    load_certificate,
    make_csr,
    make_key,
    parse_identity,
)
from xos.common.identity import Identity, Kind
from xos.common.tls import Credential
from xos.vom import archives, managers
from xos.vom.api import CertificateWish, UserChange, UserState, VOChange
from xos.vom.backends.certificate import FOUNDING_S
from xos.vom.errors import (
    BadCredentials,
    BadName,
    BadRequest,
    ChangedMeanwhile,
    DelegationShown,
    Forbidden,
    IdentityTaken,
    InUse,
    LastManager,
    NotAMember,
    UnknownArchive,
    UnknownUser,
    UnknownVO,
    UnsupportedByVO,
    VODissolved,
    VOExists,
)
from xos.vom.store import ACCOUNTS, CERTIFICATES, GROUPS, METADATA, ROLES, USERS, VOS

from .conftest import PASSWORD, CoreMachine, acting


@pytest.fixture
def machine(either_machine: CoreMachine) -> CoreMachine:
    """Every test here runs on SQLite and on PostgreSQL."""
    return either_machine


async def creator(machine: CoreMachine) -> Credential:
    """carl@demo, who may create VOs."""
    await machine.add("carl", roles=("VOCreator",))
    return await machine.get("carl")


async def count(machine: CoreMachine, table: sa.Table) -> int:
    return int(await machine.core.store.read(lambda c: c.scalar(sa.select(sa.func.count()).select_from(table)) or 0))


# --- creation --------------------------------------------------------------------------------------------------------


async def test_who_creates_a_vo_is_its_manager_by_the_same_password(machine: CoreMachine) -> None:
    carl = await creator(machine)
    with acting(carl.identity):
        vo = await machine.xvoms.create_vo("physics", "of particles")
        assert await machine.xvoms.create_vo("physics", "of particles") == vo
    assert (vo.creator, vo.users) == ("carl@demo", 1)
    in_physics = (await machine.get("carl", vo="physics")).identity
    assert in_physics.roles == ("VOAdmin", "VOManager")
    with acting(in_physics):
        assert [(user.vo, user.name) for user in await machine.xvoms.memberships()] == [
            ("demo", "carl"),
            ("physics", "carl"),
        ]


async def test_a_vo_of_somebody_else_is_not_taken_over_by_creating_it_again(machine: CoreMachine) -> None:
    carl = await creator(machine)
    with acting(machine.identity):
        await machine.xvoms.create_vo("physics")
    with acting(carl.identity), pytest.raises(VOExists):
        await machine.xvoms.create_vo("physics")
    with pytest.raises(BadCredentials):
        await machine.get("carl", vo="physics")


async def test_only_the_core_makes_somebody_a_creator(machine: CoreMachine) -> None:
    await machine.add("dora", roles=("VOManager", "VOAdmin"))
    await machine.add("alice")
    with acting((await machine.get("dora")).identity):
        with pytest.raises(Forbidden):
            await machine.xvoms.change_user("demo", "alice", UserChange(roles=("VOCreator",)))
        with pytest.raises(Forbidden):
            await machine.xvoms.add_user("demo", "eve", PASSWORD, roles=("VOCreator",))
        await machine.xvoms.change_user("demo", "alice", UserChange(roles=("VOManager",)))


async def test_the_managers_certificate_is_the_cas_signs_and_opens_no_door(machine: CoreMachine) -> None:
    with acting(machine.identity):
        vo = await machine.xvoms.create_vo("demo")
    certificate = load_certificate(vo.manager)
    certificate.verify_directly_issued_by(machine.core.authority.certificate)
    with pytest.raises(BadCertificate):
        parse_identity(vo.manager)
    kept = await machine.core.store.read(lambda c: c.scalar(sa.select(VOS.c.manager_key)))
    assert kept is not None
    assert kept.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY")
    manager = await managers.of(machine.core, "demo")
    assert manager.certificate == vo.manager


# --- change ----------------------------------------------------------------------------------------------------------


async def test_of_two_changes_made_from_the_same_version_one_is_refused_and_nothing_is_lost(
    machine: CoreMachine,
) -> None:
    await machine.add("alice")
    with acting(machine.identity):
        vo = await machine.xvoms.vo_info("demo")
        first = await machine.xvoms.change_vo("demo", VOChange(description="first"), vo.version)
        with pytest.raises(ChangedMeanwhile):
            await machine.xvoms.change_vo("demo", VOChange(description="second"), vo.version)
        assert (await machine.xvoms.vo_info("demo")).description == "first"
        assert first.version > vo.version
        alice = await machine.xvoms.user_info("demo", "alice")
        changes = [
            machine.xvoms.change_user("demo", "alice", UserChange(full_name=f"Alice {i}"), alice.version)
            for i in range(8)
        ]
        done = await asyncio.gather(*changes, return_exceptions=True)
        winners = [one for one in done if not isinstance(one, BaseException)]
        assert len(winners) == 1
        assert all(isinstance(one, ChangedMeanwhile) for one in done if isinstance(one, BaseException))
        assert await machine.xvoms.user_info("demo", "alice") == winners[0]


async def test_members_have_only_what_the_vo_supports(machine: CoreMachine) -> None:
    await machine.add("alice")
    xvoms = machine.xvoms
    with acting(machine.identity):
        for change in (UserChange(capabilities=("big-jobs",)), UserChange(attributes=(("institute", "INRIA"),))):
            with pytest.raises(UnsupportedByVO):
                await xvoms.change_user("demo", "alice", change)
        await xvoms.change_vo("demo", VOChange(capabilities=("big-jobs",), attributes=("institute",)))
        changed = await xvoms.change_user(
            "demo", "alice", UserChange(capabilities=("big-jobs",), attributes=(("institute", "INRIA"),))
        )
    assert changed.attributes == (("institute", "INRIA"),)
    who = machine.trust.identify((await machine.get("alice")).certificate)
    assert who.capabilities == ("big-jobs",)
    assert (await machine.get("alice", capabilities=())).identity.capabilities == ()


async def test_what_takes_a_role_away_revokes_and_what_gives_one_does_not(machine: CoreMachine) -> None:
    await machine.add("alice", roles=("Operator",))
    shown = await machine.get("alice")
    with acting(machine.identity):
        await machine.xvoms.change_user("demo", "alice", UserChange(roles=("Operator", "Reader"), full_name="Alice"))
    machine.trust.identify(shown.certificate)
    with acting(machine.identity):
        await machine.xvoms.change_user("demo", "alice", UserChange(roles=("Reader",)))
    with pytest.raises(CertificateRevoked):
        machine.trust.identify(shown.certificate)
    assert (await machine.get("alice")).identity.roles == ("Reader",)


async def test_no_certificate_outlives_the_membership(machine: CoreMachine) -> None:
    await machine.add("alice")
    end = float(int(machine.core.now()) + 3600)
    with acting(machine.identity):
        await machine.xvoms.change_user("demo", "alice", UserChange(expires=end))
    assert (await machine.get("alice", hours=12)).identity.not_after <= end
    machine.core.now = lambda: end + 1
    with pytest.raises(Exception, match="membership of alice@demo is over"):
        await machine.get("alice")


async def test_a_removed_user_is_gone_with_their_certificates(machine: CoreMachine) -> None:
    await machine.add("alice", groups=("atlas",), roles=("Operator",))
    shown = await machine.get("alice")
    with acting(machine.identity):
        for _ in range(2):  # a repetition is no error
            await machine.xvoms.remove_user("demo", "alice")
        with pytest.raises(UnknownUser):
            await machine.xvoms.user_info("demo", "alice")
    with pytest.raises(CertificateRevoked):
        machine.trust.identify(shown.certificate)
    assert await count(machine, ACCOUNTS) == 0


@pytest.mark.parametrize("how", ["suspend", "remove", "strip"])
async def test_the_last_manager_of_a_vo_stays(machine: CoreMachine, how: str) -> None:
    carl = await creator(machine)
    with acting(carl.identity):
        await machine.xvoms.create_vo("physics")
    xvoms = machine.xvoms
    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "suspend": lambda: xvoms.set_user_state("physics", "carl", UserState.SUSPENDED),
        "remove": lambda: xvoms.remove_user("physics", "carl"),
        "strip": lambda: xvoms.change_user("physics", "carl", UserChange(roles=("VOAdmin",))),
    }
    with acting(machine.identity), pytest.raises(LastManager):
        await ways[how]()


async def test_an_administrator_does_not_become_the_manager_by_setting_their_password(machine: CoreMachine) -> None:
    await machine.add("dora", roles=("VOManager",))
    await machine.add("adam", roles=("VOAdmin",))
    xvoms = machine.xvoms
    with acting((await machine.get("adam")).identity):
        for refused in (
            xvoms.set_password("demo", "dora", "a new password"),
            xvoms.set_user_state("demo", "dora", UserState.SUSPENDED),
            xvoms.remove_user("demo", "dora"),
            xvoms.change_user("demo", "dora", UserChange(full_name="x")),
            xvoms.change_user("demo", "adam", UserChange(roles=("VOAdmin", "VOManager"))),
            xvoms.link_identity("demo", "dora", "oidc", "1234"),
            machine.registration.invite("demo", "dora"),
        ):
            with pytest.raises(Forbidden):
                await refused


async def test_an_administrator_of_one_vo_is_nobody_in_another(machine: CoreMachine) -> None:
    carl = await creator(machine)
    await machine.add("adam", roles=("VOAdmin",))
    with acting(carl.identity):
        await machine.xvoms.create_vo("physics")
    with acting((await machine.get("carl", vo="physics")).identity):
        await machine.xvoms.add_user("physics", "eve", PASSWORD, roles=("VOAdmin",))
    # carl is in both; an administrator of physics must not log in as carl@demo.
    with acting((await machine.get("eve", vo="physics")).identity):
        with pytest.raises(Forbidden):
            await machine.xvoms.set_password("physics", "carl", "a new password")
        with pytest.raises(Forbidden):
            await machine.xvoms.list_users("demo")


# --- groups, roles, identities ---------------------------------------------------------------------------------------


async def test_a_group_goes_when_nobody_has_it_and_it_has_no_parts(machine: CoreMachine) -> None:
    await machine.add("alice", group="physics", groups=("physics.atlas",))
    with acting(machine.identity):
        added = await machine.xvoms.add_group("demo", "physics.cms", "the other detector")
        assert (added.name, added.members, added.description) == ("physics.cms", 0, "the other detector")
        for name in ("physics", "physics.atlas"):
            with pytest.raises(InUse):
                await machine.xvoms.remove_group("demo", name)
        await machine.xvoms.change_user("demo", "alice", UserChange(group="users", groups=()))
        with pytest.raises(InUse, match="has parts"):
            await machine.xvoms.remove_group("demo", "physics")
        for name in ("physics.atlas", "physics.cms", "physics", "physics"):
            await machine.xvoms.remove_group("demo", name)
        assert [group.name for group in await machine.xvoms.list_groups("demo")] == ["users"]


async def test_roles_are_listed_described_and_removed(machine: CoreMachine) -> None:
    await machine.add("alice", roles=("Operator",))
    with acting(machine.identity):
        await machine.xvoms.add_role("demo", "Operator", "runs the machines")
        roles = await machine.xvoms.list_roles("demo")
        assert [(role.name, role.members, role.description) for role in roles] == [("Operator", 1, "runs the machines")]
        with pytest.raises(InUse):
            await machine.xvoms.remove_role("demo", "Operator")
        await machine.xvoms.add_role("demo", "Spare")
        await machine.xvoms.remove_role("demo", "Spare")
        assert [role.name for role in await machine.xvoms.list_roles("demo")] == ["Operator"]


async def test_members_are_found_by_a_part_of_name_and_address_by_group_and_by_role(machine: CoreMachine) -> None:
    await machine.add("alice", groups=("atlas",), roles=("Operator",))
    await machine.add("bob", group="atlas")
    await machine.add("carol")
    with acting(machine.identity):
        await machine.xvoms.change_user("demo", "carol", UserChange(full_name="Carol 100%_Real", email="c@Example.org"))

        async def found(search: str = "", group: str = "", role: str = "") -> list[str]:
            return [user.name for user in await machine.xvoms.list_users("demo", "", 100, search, group, role)]

        assert await found(search="LI") == ["alice"]
        assert await found(search="%_r") == ["carol"]
        assert await found(search="example") == ["carol"]
        assert await found(search="'; drop table users; --") == []
        assert await found(group="atlas") == ["alice", "bob"]
        assert await found(role="Operator") == ["alice"]


async def test_an_identity_elsewhere_is_one_persons(machine: CoreMachine) -> None:
    await machine.add("alice")
    await machine.add("bob")
    xvoms = machine.xvoms
    with acting(machine.identity):
        for _ in range(2):
            await xvoms.link_identity("demo", "alice", "oidc", "1234")
        with pytest.raises(IdentityTaken):
            await xvoms.link_identity("demo", "bob", "oidc", "1234")
        assert [(one.backend, one.subject) for one in await xvoms.list_identities("demo", "alice")] == [
            ("oidc", "1234")
        ]
        await xvoms.unlink_identity("demo", "alice", "oidc", "1234")
        await xvoms.link_identity("demo", "bob", "oidc", "1234")
        await xvoms.remove_user("demo", "bob")
        await xvoms.link_identity("demo", "alice", "oidc", "1234")


# --- several VOs -----------------------------------------------------------------------------------------------------


async def in_two_vos(machine: CoreMachine) -> None:
    carl = await creator(machine)
    with acting(carl.identity):
        await machine.xvoms.create_vo("physics")


async def test_a_certificate_names_further_vos_of_the_same_person_and_keeps_them_when_renewed(
    machine: CoreMachine,
) -> None:
    await in_two_vos(machine)
    shown = await machine.get("carl", vos=("physics",))
    assert machine.trust.identify(shown.certificate).vos == ("physics",)
    renewed = parse_identity((await machine.renew(shown)).certificate)
    assert renewed.vos == ("physics",)
    narrow = await machine.get("carl")
    with pytest.raises(NotAMember):
        await machine.renew(narrow, vos=("physics",))
    with pytest.raises(NotAMember):
        await machine.get("carl", vos=("chemistry",))


async def test_who_is_suspended_in_one_vo_loses_the_certificates_that_name_it(machine: CoreMachine) -> None:
    await in_two_vos(machine)
    with acting(machine.identity):
        await machine.xvoms.add_user("physics", "dora", PASSWORD, roles=("VOManager",))
    wide, narrow = await machine.get("carl", vos=("physics",)), await machine.get("carl")
    await machine.suspend("carl", "physics")
    with pytest.raises(CertificateRevoked):
        machine.trust.identify(wide.certificate)
    machine.trust.identify(narrow.certificate)
    with pytest.raises(NotAMember):
        await machine.get("carl", vos=("physics",))


async def test_two_people_of_the_same_name_in_two_vos_are_not_one(machine: CoreMachine) -> None:
    await machine.add("alice")
    await machine.add("alice", vo="other")
    with pytest.raises(NotAMember):
        await machine.get("alice", vos=("other",))


# --- dissolution -----------------------------------------------------------------------------------------------------


async def test_a_dissolved_vo_is_gone_its_certificates_are_refused_and_its_archive_is_signed(
    machine: CoreMachine,
) -> None:
    carl = await creator(machine)
    with acting(carl.identity):
        await machine.xvoms.create_vo("physics", "of particles")
    manager = await machine.get("carl", vo="physics")
    with acting(manager.identity):
        await machine.xvoms.add_user("physics", "alice", PASSWORD, groups=("atlas",), roles=("Operator",))
    alice, wide = await machine.get("alice", vo="physics"), await machine.get("carl", vos=("physics",))
    with acting(manager.identity):
        made = await machine.xvoms.dissolve_vo("physics")
    for gone in (alice, wide, manager):
        with pytest.raises(CertificateRevoked):
            machine.trust.identify(gone.certificate)
    with pytest.raises(BadCredentials):
        await machine.get("alice", vo="physics")
    machine.trust.identify(carl.certificate)  # in demo nothing has changed
    with acting(machine.identity):
        assert await machine.xvoms.dissolve_vo("physics") == made
        with pytest.raises(UnknownVO):
            await machine.xvoms.vo_info("physics")
        with pytest.raises(VODissolved):
            await machine.xvoms.create_vo("physics")
        assert await machine.xvoms.list_archives() == [made]
        content = await machine.xvoms.archive("physics")
        with pytest.raises(UnknownArchive):
            await machine.xvoms.archive("demo")
    said = archives.verify(content, machine.core.authority.certificate)
    assert [user["name"] for user in said["users"]] == ["alice", "carl"]
    assert {one["serial"] for one in said["certificates"]} >= {f"{alice.identity.serial:x}"}
    assert said["by"] == "carl@physics"
    assert PASSWORD.encode() not in content
    assert b"argon2" not in content
    with pytest.raises(BadSignature):
        archives.verify(content.replace(b"alice", b"mbice"), machine.core.authority.certificate)
    with pytest.raises(BadSignature):
        archives.verify(b"{}", machine.core.authority.certificate)


async def test_nothing_of_a_dissolved_vo_is_left_in_the_tables(machine: CoreMachine) -> None:
    await machine.add("alice", groups=("atlas",), roles=("Operator",))
    await machine.get("alice")
    with acting(machine.identity):
        await machine.xvoms.link_identity("demo", "alice", "oidc", "1234")
        await machine.registration.invite("demo", "alice")
        await machine.registration.ask("demo", "bob", "another password")
        await machine.rca.create_token("node9", vo="demo")
        await machine.xvoms.dissolve_vo("demo")
    left = {table.name: await count(machine, table) for table in METADATA.sorted_tables}
    assert {name for name, rows in left.items() if rows} <= {
        "archives",
        "revocations",
        "crl_number",
        "machines",
        "certificates",
    }
    for table in (VOS, USERS, GROUPS, ROLES, ACCOUNTS):
        assert left[table.name] == 0
    by_users = await machine.core.store.read(
        lambda c: c.scalar(sa.select(sa.func.count()).where(CERTIFICATES.c.user_id.is_not(None)))
    )
    assert by_users == 0


async def test_only_manager_and_core_dissolve(machine: CoreMachine) -> None:
    await machine.add("adam", roles=("VOAdmin",))
    with acting((await machine.get("adam")).identity), pytest.raises(Forbidden):
        await machine.xvoms.dissolve_vo("demo")
    with acting(Identity(Kind.MACHINE, "node1", roles=("resource",))), pytest.raises(Forbidden):
        await machine.xvoms.archive("demo")


async def test_every_act_of_the_lifecycle_is_in_the_audit_trail(machine: CoreMachine) -> None:
    await machine.add("alice", roles=("Operator",))
    with acting(machine.identity, address="192.0.2.7"):
        await machine.xvoms.change_vo("demo", VOChange(description="new"))
        await machine.xvoms.change_user("demo", "alice", UserChange(roles=()))
        await machine.xvoms.add_group("demo", "atlas")
        await machine.xvoms.set_user_state("demo", "alice", UserState.SUSPENDED)
        await machine.xvoms.set_user_state("demo", "alice", UserState.SUSPENDED)  # no act: it changes nothing
        await machine.xvoms.remove_user("demo", "alice")
        await machine.xvoms.dissolve_vo("demo")
        entries = await machine.audit.trail(vo="demo")
    acts = [entry.act for entry in reversed(entries)]
    assert acts == [
        "vo-created", "user-added", "vo-changed", "user-changed", "group-added", "user-suspended", "user-removed",
        "vo-dissolved",
    ]  # fmt: skip
    assert {entry.who for entry in entries} == {"core"}
    assert entries[0].origin == "192.0.2.7"


# --- what can never be right -----------------------------------------------------------------------------------------

HOSTILE: dict[str, Any] = {
    "SQL in a group": lambda m: m.xvoms.add_group("demo", "a'; drop table vos; --"),
    "HTML in a role": lambda m: m.xvoms.add_role("demo", "<script>alert(1)</script>"),
    "10 kB group": lambda m: m.xvoms.add_group("demo", "a" * 10_000),
    "a Cyrillic a": lambda m: m.xvoms.add_user("demo", "\u0430lice", PASSWORD),
    "full-width letters": lambda m: m.xvoms.create_vo("\uff44emo"),
    "a role with a zero-width space": lambda m: m.xvoms.change_user(
        "demo", "alice", UserChange(roles=("VO\u200bAdmin",))
    ),
    "an e-mail address without @": lambda m: m.xvoms.change_user("demo", "alice", UserChange(email="nobody")),
    "a full name with an escape": lambda m: m.xvoms.change_user("demo", "alice", UserChange(full_name="\x1b[2J")),
    "a full name that turns the text round": lambda m: m.xvoms.change_user(
        "demo", "alice", UserChange(full_name="\u202eevil")
    ),
    "an end that is no number": lambda m: m.xvoms.change_user("demo", "alice", UserChange(expires=float("nan"))),
    "10,000 attributes": lambda m: m.xvoms.change_vo(
        "demo", VOChange(attributes=tuple(f"a{i}" for i in range(10_000)))
    ),
    "a description of two lines": lambda m: m.xvoms.change_vo("demo", VOChange(description="a\nb")),
    "an identity with a NUL": lambda m: m.xvoms.link_identity("demo", "alice", "oidc", "a\0b"),
    "a 10 kB search": lambda m: m.xvoms.list_users("demo", search="x" * 10_000),
}


@pytest.mark.parametrize("call", HOSTILE.values(), ids=HOSTILE.keys())
async def test_what_can_never_be_right_is_refused_and_changes_nothing(machine: CoreMachine, call: Any) -> None:
    await machine.add("alice")
    with acting(machine.identity):
        before = (await machine.xvoms.vo_info("demo"), await machine.xvoms.list_users("demo"))
        with pytest.raises((BadName, BadRequest)) as caught:
            await call(machine)
        assert len(str(caught.value)) < 1000
        assert (await machine.xvoms.vo_info("demo"), await machine.xvoms.list_users("demo")) == before


def test_archives_of_others_are_not_believed() -> None:
    from xos.common.certificate import Authority

    for content in (
        b"",
        b"null",
        b"[]",
        b'{"payload": 1}',
        b"\xff",
        msgspec.json.encode({"payload": "{}", "signature": "!", "certificate": ""}),
    ):
        with pytest.raises(BadSignature):
            archives.verify(content, Authority.create("other").certificate)


async def test_who_has_just_created_a_vo_needs_no_password_for_it_and_nobody_else_gets_in_by_that(
    machine: CoreMachine, clock: Callable[[float], None]
) -> None:
    carl = await creator(machine)
    await machine.add("dora", roles=("VOManager", "VOAdmin", "VOCreator"))
    dora = await machine.get("dora")
    with acting(carl.identity):
        await machine.xvoms.create_vo("physics")
    with acting(machine.identity):
        await machine.xvoms.add_user("physics", "dora", PASSWORD)
    made = parse_identity((await machine.renew(carl, vo="physics")).certificate)
    assert (str(made), made.roles) == ("carl@physics", ("VOAdmin", "VOManager"))
    for shown, user in ((dora, "dora"), (dora, "carl"), (carl, "dora")):
        with pytest.raises((Forbidden, BadCredentials)):
            await machine.renew(shown, vo="physics", user=user)
    delegated = msgspec.structs.replace(carl.identity, delegated=True)
    with acting(delegated), pytest.raises(DelegationShown):
        await machine.cda.issue(CertificateWish("physics", "carl", make_csr(make_key(), "carl")))
    clock(FOUNDING_S)
    with pytest.raises(Forbidden):
        await machine.renew(carl, vo="physics")
