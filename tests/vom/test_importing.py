# SPDX-License-Identifier: BSD-3-Clause
"""Lists of members: read whole or not at all, each bad line named."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xos.common.identity import ANONYMOUS
from xos.vom import importing
from xos.vom.api import User, VOChange
from xos.vom.dates import last_moment
from xos.vom.errors import BadImport, BadRequest, Forbidden
from xos.vom.fields import new_user
from xos.vom.importing import Fields

from .conftest import PASSWORD, CoreMachine, acting

HASH = "$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHRzYWx0$" + "A" * 43


@pytest.fixture
def machine(either_machine: CoreMachine) -> CoreMachine:
    """Every test here runs on SQLite and on PostgreSQL."""
    return either_machine


def make(fields: Fields) -> User:
    one = {name: values[0] for name, values in fields.items()}
    return new_user("demo", one["name"], one.get("group", "users"), fields.get("groups", ()), (), 0.0)


GOOD = """name,group,groups,roles,full_name,email,expires,identity,password
alice,physics,atlas;cms,Operator,"Alice, of course",alice@example.org,2099-09-30,oidc:1234,
bob,,,,Bob,,,,"{hash}"

carol,,,,,,,,
"""
LDIF = """version: 1
# people of the institute
dn: uid=alice,ou=people,dc=example,dc=org
objectClass: person
uid: alice
cn:: {name}
mail: alice@example.org
xosPrimaryGroup: physics
xosGroup: atlas
xosGroup: c
 ms
xosRole: Operator
xosExpires: 2099-09-30
xosIdentity: oidc:1234

dn: uid=bob,ou=people,dc=example,dc=org
uid: bob
cn: Bob
userPassword: {{ARGON2}}{hash}

dn: uid=carol,ou=people
uid: carol
"""


async def imported(machine: CoreMachine, text: str, form: str) -> None:
    with acting(machine.identity):
        await machine.xvoms.create_vo("demo")
        done = await machine.xvoms.import_users("demo", text, form, dry_run=True)
        assert (done.added, done.invitations) == (3, ())
        assert await machine.xvoms.list_users("demo") == []
        done = await machine.xvoms.import_users("demo", text, form)
        again = await machine.xvoms.import_users("demo", text, form)
        users = {user.name: user for user in await machine.xvoms.list_users("demo")}
        linked = await machine.xvoms.list_identities("demo", "alice")
    assert (done.added, done.unchanged, [one.name for one in done.invitations]) == (3, 0, ["carol"])
    assert (again.added, again.unchanged, again.invitations) == (0, 3, ())
    alice = users["alice"]
    assert (alice.group, alice.groups, alice.roles) == ("physics", ("atlas", "cms"), ("Operator",))
    assert (alice.email, alice.expires) == ("alice@example.org", last_moment("2099-09-30"))
    assert [(one.backend, one.subject) for one in linked] == [("oidc", "1234")]
    with acting(ANONYMOUS):
        await machine.registration.accept("demo", "carol", done.invitations[0].code, PASSWORD)
    assert (await machine.get("carol")).identity.group == "users"


async def test_csv_is_taken_in_once(machine: CoreMachine) -> None:
    await imported(machine, GOOD.format(hash=HASH), "csv")


async def test_ldif_is_taken_in_once(machine: CoreMachine) -> None:
    name = base64.b64encode("Alice Élégante".encode()).decode()
    await imported(machine, LDIF.format(name=name, hash=HASH), "ldif")


async def test_one_bad_line_and_nothing_is_taken_in_and_each_bad_line_is_named(machine: CoreMachine) -> None:
    text = "name,roles,email\n" + "".join(f"user{i},,\n" for i in range(50))
    text += "Alice,,\nuser3,,\nbob,VOCreator;x y,\ncarol,,nobody\n<b>,,\n"
    with acting(machine.identity):
        await machine.xvoms.create_vo("demo")
        with pytest.raises(BadImport) as caught:
            await machine.xvoms.import_users("demo", text)
        told = (await machine.xvoms.import_users("demo", text, dry_run=True)).problems
        assert [one.line for one in told] == [52, 53, 54, 55, 56]
        assert await machine.xvoms.list_users("demo") == []
        assert await machine.xvoms.list_groups("demo") == []
    said = caught.value.message
    for line in ("line 52:", "line 53: user3 is in line 5 already", "line 54:", "line 55:", "line 56:"):
        assert line in said
    assert caught.value.data["count"] == 5


async def test_a_member_who_is_there_otherwise_is_told_by_line(machine: CoreMachine) -> None:
    await machine.add("alice", roles=("Operator",))
    await machine.add("bob")
    with acting(machine.identity):
        await machine.xvoms.link_identity("demo", "bob", "oidc", "1")
        with pytest.raises(BadImport, match="line 2: alice is a member already, with another set of roles"):
            await machine.xvoms.import_users("demo", "name\nalice\n")
        with pytest.raises(BadImport, match="line 2: oidc identity 1 belongs to somebody else"):
            await machine.xvoms.import_users("demo", "name,identity\ncarol,oidc:1\n")
        with pytest.raises(BadImport, match="line 3: its identity is that of line 2 too"):
            await machine.xvoms.import_users("demo", "name,identity\ncarol,oidc:2\ndave,oidc:2\n")


async def test_an_import_gives_no_role_that_the_caller_may_not_give(machine: CoreMachine) -> None:
    await machine.add("adam", roles=("VOAdmin",))
    with acting((await machine.get("adam")).identity), pytest.raises(Forbidden):
        await machine.xvoms.import_users("demo", "name,roles\nbob,VOManager\n")


async def test_capabilities_must_be_supported(machine: CoreMachine) -> None:
    with acting(machine.identity):
        await machine.xvoms.create_vo("demo")
        with pytest.raises(BadImport, match="does not support the capability big-jobs"):
            await machine.xvoms.import_users("demo", "name,capabilities\nbob,big-jobs\n")
        await machine.xvoms.change_vo("demo", VOChange(capabilities=("big-jobs",)))
        assert (await machine.xvoms.import_users("demo", "name,capabilities\nbob,big-jobs\n")).added == 1


async def test_ten_thousand_members_come_in_at_once_and_are_listed_fast(machine: CoreMachine) -> None:
    text = "name,groups,roles,full_name,email\n" + "".join(
        f"user{i:05},g{i % 40};h{i % 7},r{i % 5},User Number {i},user{i}@example.org\n" for i in range(10_000)
    )
    with acting(machine.identity):
        await machine.xvoms.create_vo("demo")
        started = time.process_time()
        assert (await machine.xvoms.import_users("demo", text)).added == 10_000
        spent = time.process_time() - started
        page = await machine.xvoms.list_users("demo", "user05000", 100)
        assert [user.name for user in page[:2]] == ["user05001", "user05002"]
        assert (await machine.xvoms.vo_info("demo")).users == 10_000
    assert spent < 15, f"{spent:.1f} s of CPU"


BAD = {
    "empty": ("", "there is no member"),
    "only names of columns": ("name\n", "there is no member"),
    "unknown column": ("name,colour\nalice,red\n", "no such column: 'colour'"),
    "column twice": ("name,name\nalice,bob\n", "a column twice"),
    "no name": ("email\na@b\n", "none called name"),
    "too few cells": ("name,email\nalice\n", "line 2: 1 columns, not 2"),
    "open quote": ('name,email\n"alice,\n', "not CSV"),
    "a NUL": ("name\nal\0ice\n", "line 2"),
    "a clear password": ("name,password\nalice,secret123\n", "not an argon2id hash"),
    "a bad date": ("name,expires\nalice,30.9.2027\n", "is not a date"),
    "a bad identity": ("name,identity\nalice,1234\n", "BACKEND:SUBJECT"),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD.keys())
def test_bad_csv_is_told(text: str, said: str) -> None:
    _, problems = importing.read(text, "csv", make_any)
    assert said in f"line {problems[0].line}: {problems[0].detail}"


def make_any(fields: Fields) -> User:
    last_moment("".join(fields.get("expires", ())))
    return make(fields)


BAD_LDIF = {
    "two uids": ("uid: a\nuid: b\n", "one value only"),
    "no uid": ("dn: x\ncn: y\n", "name: is missing"),
    "a change": ("dn: x\nchangetype: delete\nuid: a\n", "only entries that add"),
    "not base64": ("uid: a\ncn:: !!\n", "not base64"),
    "a file": ("uid: a\njpegPhoto:< file:///etc/shadow\n", "files and URLs are not read"),
    "no colon": ("uid: a\nhello\n", "neither NAME: VALUE"),
}


@pytest.mark.parametrize(("text", "said"), BAD_LDIF.values(), ids=BAD_LDIF.keys())
def test_bad_ldif_is_told(text: str, said: str) -> None:
    _, problems = importing.read(text, "ldif", make)
    assert said in problems[0].detail


def test_a_list_that_is_too_long_or_of_no_known_form_is_not_read() -> None:
    with pytest.raises(BadRequest):
        importing.read("x" * (importing.LARGEST + 1), "csv", make)
    with pytest.raises(BadRequest):
        importing.read("name\n" + "".join(f"u{i}\n" for i in range(importing.MOST_LINES + 1)), "csv", make)
    with pytest.raises(BadRequest, match="csv, ldif"):
        importing.read("", "xml", make)


def test_an_error_names_the_first_lines_and_counts_the_rest() -> None:
    _, problems = importing.read("name\n" + "A B\n" * 200, "csv", make)
    with pytest.raises(BadImport) as caught:
        importing.refuse(problems)
    assert "line 2: " in caught.value.message
    assert "and 192 more" in caught.value.message


@pytest.mark.fuzz
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.one_of(st.text(), st.from_regex(r"(name|uid|email|,|:|;|\n| |\"|[a-z]){0,60}", fullmatch=True)))
@pytest.mark.parametrize("form", ["csv", "ldif"])
def test_whatever_is_in_a_list_it_is_read_or_refused_with_lines(form: str, text: str) -> None:
    rows, problems = importing.read(text, form, make)
    assert rows or problems
    assert all(row.user.name and row.line > 0 for row in rows)
    assert all(one.line > 0 and one.detail for one in problems)
