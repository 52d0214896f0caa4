# SPDX-License-Identifier: BSD-3-Clause
"""Twins of wire types whose fields have names in JSON.

On our own wire a struct is an array, so that other languages need no names. A person with ``curl`` wants names: for
each struct type this makes one with the same fields that is a JSON object, and refuses fields it does not know.
"""

from __future__ import annotations

import functools
import operator
import types
import typing
from typing import Any

import msgspec

_twins: dict[type, Any] = {}


def twin(kind: Any) -> Any:
    """The type that stands for *kind* in JSON."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _twins.get(kind) or _struct(kind)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if not args:
        return kind
    twinned = tuple(arg if arg is Ellipsis else twin(arg) for arg in args)
    if origin in (typing.Union, types.UnionType):
        return functools.reduce(operator.or_, twinned)
    if origin is typing.Annotated:
        return typing.Annotated[(twinned[0], *args[1:])]
    if origin is typing.Literal:
        return kind
    return origin[twinned]


def _struct(kind: type[msgspec.Struct]) -> Any:
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        if field.default is not msgspec.NODEFAULT:
            given = _plain(field.default)
            fields.append((field.name, twin(field.type), msgspec.field(default=given)))
        elif field.default_factory is not msgspec.NODEFAULT:
            fields.append((field.name, twin(field.type), msgspec.field(default_factory=field.default_factory)))
        else:
            fields.append((field.name, twin(field.type)))
    made = msgspec.defstruct(kind.__name__, fields, frozen=True, forbid_unknown_fields=True, kw_only=True)
    made.__doc__ = kind.__doc__
    _twins[kind] = made
    return made


def _plain(default: Any) -> Any:
    return to_named(default, type(default)) if isinstance(default, msgspec.Struct) else default


def to_named(value: Any, kind: Any) -> Any:
    """*value* of the wire type *kind*, as its twin."""
    return msgspec.convert(value, twin(kind), from_attributes=True)


def from_named(value: Any, kind: Any) -> Any:
    """The wire value that the twin *value* stands for."""
    return msgspec.convert(value, kind, from_attributes=True)
