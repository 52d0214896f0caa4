# SPDX-License-Identifier: BSD-3-Clause
"""What a service offers, said independently of any programming language.

Everything else is made from a `ServiceDescription`: the XATI clients, the console, the reference pages, the OpenAPI
document, and later C and Java clients. It travels itself: each service answers the call ``describe`` with it, so
that a console can use services that this installation has never heard of.

On the wire a struct is an array of its fields in the order given here; fields are only ever added at the end, with
a default. A reader takes missing fields at the end as their defaults and passes over fields it does not know.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator
from typing import TypeVar

import msgspec


class Form(enum.StrEnum):
    """The forms that a value takes on the wire (msgpack, or JSON at the gateway)."""

    NONE = "none"
    BOOL = "bool"
    INT = "int"
    """Signed, 64 bits."""
    FLOAT = "float"
    """IEEE 754 double."""
    STRING = "string"
    """UTF-8."""
    BYTES = "bytes"
    """msgpack bin; base64 in JSON."""
    LIST = "list"
    """Any number of ``of[0]``."""
    TUPLE = "tuple"
    """Exactly one value of each of ``of``."""
    MAP = "map"
    """``of[0]`` (string or int) to ``of[1]``."""
    OPTIONAL = "optional"
    """``of[0]`` or none."""
    STRUCT = "struct"
    """The struct `Type.name`: an array of its fields."""
    ENUM = "enum"
    """The enum `Type.name`: one of its members' values."""


class Type(msgspec.Struct, array_like=True, frozen=True):
    """The type of a parameter, a result or a field."""

    form: Form
    name: str = ""
    """Of the struct or enum."""
    of: tuple[Type, ...] = ()
    """What it is made of."""
    immutable: bool = False
    """Python spells this list ``tuple[T, ...]``; for other languages there is no difference."""

    def __str__(self) -> str:
        inner = [*map(str, self.of)]
        match self.form:
            case Form.OPTIONAL:
                return f"{inner[0]} or none"
            case Form.LIST:
                return f"list of {inner[0]}"
            case Form.TUPLE:
                return f"({', '.join(inner)})"
            case Form.MAP:
                return f"map of {inner[0]} to {inner[1]}"
            case _:
                return self.name or str(self.form)


class FieldDescription(msgspec.Struct, array_like=True, frozen=True):
    """One parameter of a method, or one field of a struct."""

    name: str
    type: Type
    doc: str = ""
    default: str | None = None
    """JSON of the default value; None: a value must be given."""


class StructDescription(msgspec.Struct, array_like=True, frozen=True):
    """A struct: its fields by position."""

    name: str
    doc: str
    fields: tuple[FieldDescription, ...]
    package: str = ""
    """Where it is defined, for example ``xos.aem.api``."""


class MemberDescription(msgspec.Struct, array_like=True, frozen=True):
    """One value of an enum."""

    name: str
    value: str
    """JSON of it: a string in quotation marks, or a number."""
    doc: str = ""


class EnumDescription(msgspec.Struct, array_like=True, frozen=True):
    """An enum; its values are all strings or all numbers."""

    name: str
    doc: str
    members: tuple[MemberDescription, ...]
    package: str = ""


class MethodDescription(msgspec.Struct, array_like=True, frozen=True):
    """A call, or a stream of results."""

    name: str
    doc: str
    params: tuple[FieldDescription, ...]
    result: Type
    """What a call answers, or each item of a stream."""
    streams: bool = False
    waits: bool = False
    """Answers when something has happened, which may take long."""
    idempotent: bool = False
    """Done twice is done once: a client may repeat it when a connection is lost."""
    allow: tuple[str, ...] = ()
    """Kinds of caller that are heard: ``user``, ``machine``, ``anonymous``."""
    reads: bool = False
    """Changes nothing; at the HTTP gateway it answers GET too."""


class ServiceDescription(msgspec.Struct, array_like=True, frozen=True):
    """A service interface and every struct and enum that it needs."""

    name: str
    doc: str
    methods: tuple[MethodDescription, ...]
    structs: tuple[StructDescription, ...] = ()
    """A struct comes after those it is made of."""
    enums: tuple[EnumDescription, ...] = ()
    package: str = ""
    version: str = "1"
    """Rises when the interface breaks; additions do not change it."""

    def method(self, name: str) -> MethodDescription | None:
        """The method of that name."""
        return next((m for m in self.methods if m.name == name), None)

    def struct(self, name: str) -> StructDescription:
        """The struct of that name; `KeyError` if the description is not whole."""
        return _named(self.structs, name)

    def enum(self, name: str) -> EnumDescription:
        """The enum of that name; `KeyError` if the description is not whole."""
        return _named(self.enums, name)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that are the same exactly when the description is the same."""
        return hashlib.sha256(msgspec.msgpack.encode(self)).hexdigest()[:16]


_D = TypeVar("_D", StructDescription, EnumDescription)


def _named(items: tuple[_D, ...], name: str) -> _D:
    for item in items:
        if item.name == name:
            return item
    raise KeyError(name)


def named_types(kind: Type) -> Iterator[str]:
    """The structs and enums that a type names itself, not those within them."""
    if kind.name:
        yield kind.name
    for inner in kind.of:
        yield from named_types(inner)
