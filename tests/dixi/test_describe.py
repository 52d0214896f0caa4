# SPDX-License-Identifier: BSD-3-Clause
"""What a description says of a service class."""

from __future__ import annotations

import types
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec
import pytest

from support import greeter
from support.greeter import Greeter, GreeterService
from xos.common.identity import Kind
from xos.dixi.api import call, service, stream
from xos.dixi.attributes import attribute_docs
from xos.dixi.describe import describe, services_in
from xos.dixi.description import Form, MethodDescription, ServiceDescription, Type, named_types
from xos.dixi.errors import BadService
from xos.dixi.standard import Standard


@pytest.fixture(scope="module")
def described() -> ServiceDescription:
    return describe(Greeter)


def method(description: ServiceDescription, name: str) -> MethodDescription:
    found = description.method(name)
    assert found is not None
    return found


def test_methods_stand_in_the_order_they_are_written(described: ServiceDescription) -> None:
    assert [m.name for m in described.methods] == ["greet", "greet_all", "names", "youngest", "reset", "count"]


def test_an_implementation_is_described_as_its_interface(described: ServiceDescription) -> None:
    assert describe(GreeterService) == described


def test_every_python_type_has_a_form(described: ServiceDescription) -> None:
    spelled = {f"{m.name}.{p.name}": str(p.type) for m in described.methods for p in m.params}
    assert spelled == {
        "greet.person": "Person",
        "greet.tone": "Tone",
        "greet.level": "Level",
        "greet_all.people": "list of Person",
        "greet_all.first": "Person",
        "greet_all.suffixes": "list of string",
        "greet_all.span": "(int, float)",
        "greet_all.sizes": "float",
        "names.seal": "bytes",
        "youngest.limit": "int or none",
        "count.upto": "int",
        "count.step": "int",
    }
    results = {m.name: str(m.result) for m in described.methods}
    assert results["names"] == "map of string to int"
    assert results["youngest"] == "Person or none"
    assert results["reset"] == "none"
    assert results["count"] == "Greeting"


def test_defaults_are_json_and_their_absence_means_required(described: ServiceDescription) -> None:
    defaults = {p.name: p.default for p in method(described, "greet_all").params}
    assert defaults == {
        "people": None,
        "first": '["nobody",0,[]]',
        "suffixes": '["!","\\""]',
        "span": "[1,2.5]",
        "sizes": "1",
    }
    assert [p.default for p in method(described, "greet").params] == [None, '"plain"', "1"]
    assert method(described, "youngest").params[0].default == "null"


def test_flags_follow_the_decorators(described: ServiceDescription) -> None:
    greet, names, count = (method(described, name) for name in ("greet", "names", "count"))
    assert (greet.idempotent, greet.waits, greet.streams) == (True, False, False)
    assert (names.waits, names.allow) == (True, ("machine",))
    assert (count.streams, count.reads) == (True, True)


def test_docs_of_parameters_come_from_the_docstring_or_the_annotation(described: ServiceDescription) -> None:
    assert [p.doc for p in method(described, "greet").params] == ["", "says how it sounds", "how loud it is"]
    assert method(described, "greet_all").params[4].doc == "how large"


def test_structs_keep_the_order_of_their_fields_and_the_strings_under_them(described: ServiceDescription) -> None:
    person = described.struct("Person")
    assert [(f.name, str(f.type), f.default) for f in person.fields] == [
        ("name", "string", None),
        ("age", "int or none", "null"),
        ("friends", "list of Person", "[]"),
    ]
    assert person.fields[1].doc == "Years."
    assert person.package == "support.greeter"


def test_a_struct_comes_after_those_it_is_made_of(described: ServiceDescription) -> None:
    order = [s.name for s in described.structs]
    assert order.index("Person") < order.index("Greeting")


def test_enums_list_their_values(described: ServiceDescription) -> None:
    tone, level = described.enum("Tone"), described.enum("Level")
    assert [(m.name, m.value, m.doc) for m in tone.members] == [
        ("PLAIN", '"plain"', ""),
        ("WARM", '"warm"', "With an exclamation mark."),
    ]
    assert [m.value for m in level.members] == ["1", "2"]


def test_a_description_travels_in_both_codecs(described: ServiceDescription) -> None:
    packed = msgspec.msgpack.decode(msgspec.msgpack.encode(described), type=ServiceDescription)
    text = msgspec.json.decode(msgspec.json.encode(described), type=ServiceDescription)
    assert packed == text == described


def test_the_fingerprint_changes_with_anything_in_it(described: ServiceDescription) -> None:
    other = msgspec.structs.replace(described, methods=described.methods[:-1])
    assert other.fingerprint != described.fingerprint == describe(Greeter).fingerprint


def test_services_of_a_module_are_those_it_defines() -> None:
    assert [cls.__name__ for cls in services_in(greeter)] == ["Greeter", "Empty"]


def test_the_standard_calls_can_be_described_though_their_names_are_taken() -> None:
    assert [m.name for m in describe(Standard).methods] == ["ping", "info", "stats", "describe"]


def test_named_types_are_those_a_type_names_itself() -> None:
    inner = Type(Form.LIST, of=(Type(Form.STRUCT, "Person"),))
    assert list(named_types(Type(Form.OPTIONAL, of=(inner,)))) == ["Person"]


def test_attribute_docs_are_empty_without_source() -> None:
    made = types.new_class("Made", (), {}, lambda ns: ns.update(x=1))
    assert attribute_docs(made) == {}


class Named(msgspec.Struct, frozen=True):
    """Not an array."""

    name: str


def declare(name: str, fn: Any) -> type:
    """A service class with the one method *fn*, called *name*."""
    fn.__name__ = name
    return service(types.new_class("Wrong", (), {}, lambda ns: ns.update({name: call(fn)})))


async def plain(self: Any) -> None: ...
async def named(self: Any, x: Named) -> None: ...
async def deadline(self: Any, deadline: float) -> None: ...
async def unwritten(self: Any, x: list[str] = ...) -> None: ...
async def shared(self: Any, x: list[str] = []) -> None: ...  # noqa: B006 -- what is refused
async def wrong(self: Any, x: int = "one") -> None: ...  # type: ignore[assignment]
async def formless(self: Any, x: object) -> None: ...
async def either(self: Any, x: int | str) -> None: ...
async def keys(self: Any, x: dict[float, str]) -> None: ...
async def untyped(self: Any, x) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
async def resultless(self: Any): ...  # type: ignore[no-untyped-def]  # noqa: ANN201
async def variable(self: Any, *x: int) -> None: ...


@pytest.mark.parametrize(
    ("name", "fn", "says"),
    [
        ("ping", plain, "a method cannot have this name"),
        ("list", plain, "a method cannot have this name"),
        ("class", plain, "a method cannot have this name"),
        ("_hidden", plain, "a method cannot have this name"),
        ("named", named, "Named must be declared array_like=True"),
        ("late", deadline, "a parameter cannot have this name"),
        ("unwritten", unwritten, "is not a value of its type"),
        ("shared", shared, "declare tuple"),
        ("wrong", wrong, "is not a value of its type"),
        ("formless", formless, "has no form on the wire"),
        ("either", either, "has no form on the wire"),
        ("keys", keys, "has no form on the wire"),
        ("untyped", untyped, "must be an ordinary one with a type"),
        ("resultless", resultless, "does not say what it returns"),
        ("variable", variable, "must be an ordinary one with a type"),
    ],
)
def test_what_cannot_be_called_from_elsewhere_is_refused_with_its_place(name: str, fn: Any, says: str) -> None:
    with pytest.raises(BadService, match=says) as caught:
        describe(declare(name, fn))
    assert "Wrong" in caught.value.message
    assert name in caught.value.message


def test_two_structs_of_one_name_are_refused() -> None:
    twin = msgspec.defstruct("Person", [("x", int)], array_like=True, module="elsewhere")

    @service
    class Two(Protocol):
        @call
        async def first(self, x: greeter.Person) -> None: ...
        @call
        async def second(self, x: twin) -> None: ...  # type: ignore[valid-type]

    Two.__dict__["second"].__annotations__["x"] = twin
    with pytest.raises(BadService, match="is the name of structs in both support.greeter and elsewhere"):
        describe(Two)


def test_a_class_without_the_decorator_is_no_service() -> None:
    with pytest.raises(BadService, match="is decorated with @service"):
        describe(int)


def test_a_stream_must_return_an_async_iterator() -> None:
    @service
    class Streams(Protocol):
        @stream  # type: ignore[arg-type]
        async def items(self) -> list[int]: ...

    with pytest.raises(BadService, match="AsyncIterator"):
        describe(Streams)
    assert AsyncIterator is not None


def test_kinds_are_said_by_name(described: ServiceDescription) -> None:
    assert method(described, "greet").allow == (Kind.MACHINE, Kind.USER)
