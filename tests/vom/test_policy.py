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
OTHER_ADMIN = Identity(Kind.USER, "carol", "other", "users", roles=("VOAdmin",), vos=("demo",))
OTHER_ALICE = Identity(Kind.USER, "alice", "other", "users")
CORE_USER = Identity(Kind.USER, "mallory", "demo", "users", roles=("core",))
EVERYBODY = {
    "core": CORE,
    "node": NODE,
    "alice": ALICE,
    "bob": BOB,
    "admin": ADMIN,
    "other admin": OTHER_ADMIN,
    "other alice": OTHER_ALICE,
    "core user": CORE_USER,
    "anonymous": ANONYMOUS,
}
MEMBERS = {"alice", "bob", "admin", "other admin", "core user"}
# Towards VO demo and its user alice.
EXPECTED: dict[Act, set[str]] = {
    Act.CREATE_VO: {"core"},
    Act.SEE_VO: {"core", "node"} | MEMBERS,
    Act.ADD_USER: {"core", "admin"},
    Act.LIST_USERS: {"core", "admin"},
    Act.SEE_USER: {"core", "admin", "alice"},
    Act.LIST_GROUPS: {"core"} | MEMBERS,
    Act.SET_STATE: {"core", "admin"},
    Act.SET_PASSWORD: {"core", "admin", "alice"},
    Act.RESET_PASSWORD: {"core", "admin"},
    Act.RENEW_USER: {"alice"},
    Act.CREATE_TOKEN: {"core"},
    Act.RENEW_MACHINE: {"core", "node"},
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
    assert caught.value.next_step == "Allowed: a VOAdmin of the VO; the core machine's own certificate."
