# SPDX-License-Identifier: BSD-3-Clause
"""Twins of wire types whose fields have names in JSON.

On our own wire a struct is an array, so that other languages need no names. A person with ``curl`` wants names: for
each struct type this makes one with the same fields that is a JSON object, and refuses fields it does not know.
"""

from __future__ import annotations

import re
import types
import typing
from typing import Any

import msgspec

_twins: dict[type, Any] = {}
_making: set[type] = set()


def twin(kind: Any) -> Any:
    """The type that stands for *kind* in JSON."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _twins.get(kind) or _struct(kind)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if not args or origin is typing.Literal:
        return kind
    twinned = tuple(arg if arg is Ellipsis else twin(arg) for arg in args)
    if origin in (typing.Union, types.UnionType):
        return typing.Union[twinned]  # noqa: UP007 -- the members are known only now
    if origin is typing.Annotated:
        return typing.Annotated[(twinned[0], *args[1:])]
    return origin[twinned]


def _struct(kind: type[msgspec.Struct]) -> Any:
    reference = _reference(kind)
    if kind in _making:  # a struct that holds itself: msgspec looks the name up in this module when it needs it
        return typing.ForwardRef(reference)
    _making.add(kind)
    try:
        fields = [_field(field) for field in msgspec.structs.fields(kind)]
    finally:
        _making.discard(kind)
    made = msgspec.defstruct(
        kind.__name__, fields, frozen=True, forbid_unknown_fields=True, kw_only=True, module=__name__
    )
    made.__doc__ = kind.__doc__
    _twins[kind] = globals()[reference] = made
    return made


def _reference(kind: type) -> str:
    return "_twin_" + re.sub(r"\W", "_", f"{kind.__module__}.{kind.__qualname__}")


def _field(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return (field.name, twin(field.type), msgspec.field(default=_plain(field.default)))
    if field.default_factory is not msgspec.NODEFAULT:
        return (field.name, twin(field.type), msgspec.field(default_factory=field.default_factory))
    return (field.name, twin(field.type))


def _plain(default: Any) -> Any:
    return to_named(default, type(default)) if isinstance(default, msgspec.Struct) else default


def to_named(value: Any, kind: Any) -> Any:
    """*value* of the wire type *kind*, as its twin."""
    return msgspec.convert(value, twin(kind), from_attributes=True)


def from_named(value: Any, kind: Any) -> Any:
    """The wire value that the twin *value* stands for."""
    return msgspec.convert(value, kind, from_attributes=True)
