# SPDX-License-Identifier: BSD-3-Clause
"""Who may do what: the whole table, spelled out a second time."""

from __future__ import annotations

import pytest

from xos.common.identity import ANONYMOUS, Identity, Kind
from xos.vom.errors import Forbidden
from xos.vom.policy import ALLOWED, Act, allows, require

CORE = Identity(Kind.MACHINE, "core", roles=("core",))
NODE = Identity(Kind.MACHINE, "node1", roles=("resource",))
ALICE = Identity(Kind.USER, "alice", "demo", "users")
BOB = Identity(Kind.USER, "bob", "demo", "users")
ADMIN = Identity(Kind.USER, "carol", "demo", "users", roles=("VOAdmin",))
MANAGER = Identity(Kind.USER, "dora", "demo", "users", roles=("VOManager",))
RESOURCE_ADMIN = Identity(Kind.USER, "rick", "demo", "users", roles=("ResourceAdmin",))
CREATOR = Identity(Kind.USER, "carl", "other", "users", roles=("VOCreator",))
VO_NODE = Identity(Kind.MACHINE, "node2", roles=("resource",), vos=("demo",))
OTHER_VO_NODE = Identity(Kind.MACHINE, "node3", roles=("resource",), vos=("other",))
OTHER_ADMIN = Identity(Kind.USER, "carol", "other", "users", roles=("VOAdmin",), vos=("demo",))
OTHER_ALICE = Identity(Kind.USER, "alice", "other", "users")
CORE_USER = Identity(Kind.USER, "mallory", "demo", "users", roles=("core",))
EVERYBODY = {
    "core": CORE,
    "node": NODE,
    "alice": ALICE,
    "bob": BOB,
    "admin": ADMIN,
    "manager": MANAGER,
    "resource admin": RESOURCE_ADMIN,
    "creator": CREATOR,
    "VO node": VO_NODE,
    "other VO's node": OTHER_VO_NODE,
    "other admin": OTHER_ADMIN,
    "other alice": OTHER_ALICE,
    "core user": CORE_USER,
    "anonymous": ANONYMOUS,
}
MEMBERS = {"alice", "bob", "admin", "manager", "resource admin", "other admin", "core user"}
USERS = MEMBERS | {"creator", "other alice"}
NODES = {"core", "node", "VO node"}
ADMINS = {"core", "manager", "admin"}
RULERS = {"core", "manager"}
# Towards VO demo and its user alice.
EXPECTED: dict[Act, set[str]] = {
    Act.CREATE_VO: {"core", "creator"},
    Act.SEE_VO: NODES | MEMBERS,
    Act.CHANGE_VO: RULERS,
    Act.DISSOLVE_VO: RULERS,
    Act.SEE_ARCHIVES: {"core"},
    Act.ADD_USER: ADMINS,
    Act.CHANGE_USER: ADMINS,
    Act.REMOVE_USER: ADMINS,
    Act.APPOINT: RULERS,
    Act.APPOINT_CREATOR: {"core"},
    Act.LIST_USERS: ADMINS,
    Act.SEE_USER: ADMINS | {"alice"},
    Act.LIST_GROUPS: {"core"} | MEMBERS,
    Act.CHANGE_GROUPS: ADMINS,
    Act.DECIDE_REQUESTS: ADMINS,
    Act.INVITE: ADMINS,
    Act.SET_STATE: ADMINS,
    Act.SET_PASSWORD: ADMINS | {"alice"},
    Act.RESET_PASSWORD: ADMINS,
    Act.RESET_PERSON: {"core"},
    Act.LINK_IDENTITY: ADMINS,
    Act.RENEW_USER: {"alice"},
    Act.CREATE_TOKEN: {"core"},
    Act.CREATE_VO_TOKEN: RULERS | {"resource admin"},
    Act.RENEW_MACHINE: NODES,
    Act.LIST_RESOURCES: NODES | MEMBERS,
    Act.SEE_MACHINE: NODES | USERS,
    Act.LIST_MACHINES: NODES,
    Act.RULE_MACHINES: {"core"},
    Act.ADD_RESOURCE: {"core"},
    Act.REMOVE_RESOURCE: RULERS | {"resource admin"},
    Act.SEE_POLICIES: {"core"} | MEMBERS,
    Act.CHANGE_POLICIES: ADMINS,
    Act.EXPLAIN: ADMINS | {"alice"},
    Act.SEE_USAGE: ADMINS | {"alice"},
    Act.SET_QUOTA: ADMINS,
    Act.FETCH_USAGE: {"core"},
    Act.SEE_TRAIL: ADMINS,
    Act.SEE_ALL_TRAILS: {"core"},
    Act.SEE_CHAIN: {"core"},
    Act.CERTIFY: ADMINS,
}


def test_every_act_is_in_the_table_and_in_the_expectation() -> None:
    assert set(ALLOWED) == set(Act) == set(EXPECTED)


@pytest.mark.parametrize("act", Act)
@pytest.mark.parametrize("who", EVERYBODY)
def test_the_table_allows_exactly_what_is_expected(act: Act, who: str) -> None:
    assert allows(act, EVERYBODY[who], "demo", "alice") is (who in EXPECTED[act])


@pytest.mark.parametrize("act", Act)
def test_an_anonymous_caller_may_nothing_even_in_a_vo_without_a_name(act: Act) -> None:
    assert not allows(act, ANONYMOUS)
    assert not allows(act, ANONYMOUS, "", "")


def test_a_refusal_names_caller_act_and_who_may() -> None:
    with pytest.raises(Forbidden) as caught:
        require(Act.ADD_USER, BOB, "demo")
    assert caught.value.message == "bob@demo may not add users to this VO"
    assert caught.value.next_step == (
        "Allowed: a VOAdmin of the VO; a VOManager of the VO; the core machine's own certificate."
    )
