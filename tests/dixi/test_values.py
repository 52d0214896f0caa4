# SPDX-License-Identifier: BSD-3-Clause
"""Values between people and the wire, by description alone."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.greeter import Greeter, Greeting, Level, Person, Tone
from xos.dixi.describe import describe
from xos.dixi.description import FieldDescription, Form, Type
from xos.dixi.values import BadValue, Values

DESCRIPTION = describe(Greeter)
VALUES = Values(DESCRIPTION)
PERSON = Type(Form.STRUCT, "Person")
TONE = Type(Form.ENUM, "Tone")


def scalar(form: Form) -> Type:
    return Type(form)


@pytest.mark.parametrize(
    ("kind", "word", "wire"),
    [
        (scalar(Form.STRING), "[1]", "[1]"),
        (scalar(Form.STRING), "@file", "@file"),
        (scalar(Form.INT), "-7", -7),
        (scalar(Form.FLOAT), "2.5", 2.5),
        (scalar(Form.BOOL), "Yes", True),
        (scalar(Form.BOOL), "0", False),
        (scalar(Form.BYTES), "ü", "ü".encode()),
        (TONE, "warm", "warm"),
        (Type(Form.ENUM, "Level"), "2", 2),
        (Type(Form.OPTIONAL, of=(scalar(Form.INT),)), "3", 3),
        (PERSON, '{"name": "ada"}', ["ada", None, []]),
        (PERSON, '{"name": "ada", "friends": [{"name": "bob", "age": 3}]}', ["ada", None, [["bob", 3, []]]]),
        (Type(Form.LIST, of=(TONE,)), '["plain", "warm"]', ["plain", "warm"]),
        (Type(Form.TUPLE, of=(scalar(Form.INT), scalar(Form.STRING))), '[1, "a"]', [1, "a"]),
        (Type(Form.MAP, of=(scalar(Form.INT), scalar(Form.BYTES))), '{"1": "AP8="}', {1: b"\x00\xff"}),
        (Type(Form.OPTIONAL, of=(PERSON,)), "null", None),
    ],
)
def test_words_become_wire_values(kind: Type, word: str, wire: Any) -> None:
    if kind.form is Form.OPTIONAL and word == "null":
        assert VALUES.to_wire(kind, None) is wire
    else:
        assert VALUES.from_word(kind, word, Path) == wire


@pytest.mark.parametrize(
    ("kind", "word", "says"),
    [
        (scalar(Form.INT), "1.5", "'1.5' is no int"),
        (scalar(Form.FLOAT), "x", "'x' is no float"),
        (scalar(Form.BOOL), "maybe", "'maybe' is neither true nor false"),
        (scalar(Form.BYTES), "@/nowhere/x", "cannot read /nowhere/x: No such file or directory"),
        (TONE, "loud", "'loud' is not one of plain, warm"),
        (PERSON, "{", "not JSON .*; wanted is Person"),
        (PERSON, "[]", "an object is wanted, Person"),
        (PERSON, '{"nam": 1}', "Person has no field nam"),
        (PERSON, "{}", "name must be given"),
        (PERSON, '{"name": 1}', "name: string is wanted, not 1"),
        (PERSON, '{"name": "a", "age": true}', "age: int is wanted, not true"),
        (PERSON, '{"name": "a", "friends": {}}', "friends: a list is wanted"),
        (PERSON, '{"name": "a", "friends": [{"name": "b"}, {}]}', r"friends\[1\].name must be given"),
        (Type(Form.TUPLE, of=(scalar(Form.INT),)), "[1, 2]", "1 values are wanted"),
        (Type(Form.MAP, of=(scalar(Form.STRING), scalar(Form.INT))), "[]", "an object is wanted"),
        (Type(Form.LIST, of=(scalar(Form.BYTES),)), '["no!"]', r"\[0\]: base64 is wanted"),
    ],
)
def test_a_wrong_value_is_told_with_its_place(kind: Type, word: str, says: str) -> None:
    with pytest.raises(BadValue, match=says):
        VALUES.from_word(kind, word, Path)


def test_a_value_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"name": "ada"}')
    (tmp_path / "seal").write_bytes(b"\xff\x00")
    assert VALUES.from_word(PERSON, "@p.json", tmp_path.__truediv__) == ["ada", None, []]
    assert VALUES.from_word(scalar(Form.BYTES), "@seal", tmp_path.__truediv__) == b"\xff\x00"


def test_results_get_their_names_back() -> None:
    greeting = Greeting("hi", Person("ada", 36, (Person("bob"),)), Tone.WARM, b"\x00")
    wire = msgspec.msgpack.decode(msgspec.msgpack.encode(greeting))
    assert VALUES.to_plain(Type(Form.STRUCT, "Greeting"), wire) == {
        "text": "hi",
        "to": {"name": "ada", "age": 36, "friends": [{"name": "bob", "age": None, "friends": []}]},
        "tone": "warm",
        "seal": b"\x00",
    }


def test_fields_that_the_description_does_not_know_are_passed_over() -> None:
    assert VALUES.to_plain(PERSON, ["ada", 1, [], "new field"]) == {"name": "ada", "age": 1, "friends": []}
    assert VALUES.to_plain(PERSON, ["ada"]) == {"name": "ada"}


def test_what_does_not_fit_is_shown_as_it_is() -> None:
    assert VALUES.to_plain(PERSON, 7) == 7


def test_choices_are_those_of_enums_and_truth_values() -> None:
    assert VALUES.choices(TONE) == ("plain", "warm")
    assert VALUES.choices(Type(Form.OPTIONAL, of=(scalar(Form.BOOL),))) == ("true", "false")
    assert VALUES.choices(PERSON) == ()


def test_defaults_are_wire_values() -> None:
    by_name = {p.name: p for m in DESCRIPTION.methods for p in m.params}
    assert VALUES.default(by_name["seal"]) == b"\x00\xff"
    assert VALUES.default(by_name["first"]) == ["nobody", 0, []]
    assert VALUES.default(by_name["tone"]) == "plain"
    assert VALUES.default(by_name["limit"]) is None
    with pytest.raises(BadValue, match="must be given"):
        VALUES.default(FieldDescription("x", PERSON))


persons = st.recursive(
    st.builds(Person, st.text(), st.none() | st.integers(-(2**63), 2**63 - 1)),
    lambda inner: st.builds(Person, st.text(), st.none(), st.lists(inner, max_size=3).map(tuple)),
    max_leaves=8,
)


@given(st.builds(Greeting, st.text(), persons, st.sampled_from(Tone), st.binary()), st.sampled_from(Level))
def test_names_and_back_change_nothing(greeting: Greeting, level: Level) -> None:
    wire = msgspec.msgpack.decode(msgspec.msgpack.encode([greeting, level]))
    kind = Type(Form.TUPLE, of=(Type(Form.STRUCT, "Greeting"), Type(Form.ENUM, "Level")))
    plain = msgspec.json.decode(msgspec.json.encode(VALUES.to_plain(kind, wire)))
    assert VALUES.to_wire(kind, plain) == wire


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    ),
    st.sampled_from([p.type for m in DESCRIPTION.methods for p in m.params]),
)
def test_anything_is_either_converted_or_refused(value: Any, kind: Type) -> None:
    VALUES.to_plain(kind, value)
    with contextlib.suppress(BadValue):
        msgspec.msgpack.encode(VALUES.to_wire(kind, value))
