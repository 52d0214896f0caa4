# SPDX-License-Identifier: BSD-3-Clause
"""Values as people write and read them, and as they travel, by a `ServiceDescription` alone.

On the wire a struct is an array without names; people write and read JSON objects with names. Nothing here needs the
service's Python types, so a console can use services of which only the description is known.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from xos.dixi.description import FieldDescription, Form, ServiceDescription, Type

_CHECKS: Mapping[Form, tuple[type, ...]] = {
    Form.NONE: (type(None),),
    Form.BOOL: (bool,),
    Form.INT: (int,),
    Form.FLOAT: (float, int),
    Form.STRING: (str,),
}
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


class BadValue(ValueError):
    """Raised when a value is not of its type; the text says where."""


class Values:
    """Converts values of the types that one description knows."""

    def __init__(self, description: ServiceDescription) -> None:
        self._description = description

    def from_word(self, kind: Type, word: str, path: Callable[[str], Path]) -> Any:
        """The wire value of one word of a command line.

        Structs, lists, tuples and maps are JSON or ``@FILE`` with JSON; bytes are text or ``@FILE``. *path* makes the
        name of such a file absolute. Raises `BadValue`.
        """
        match kind.form:
            case Form.OPTIONAL:
                return self.from_word(kind.of[0], word, path)
            case Form.STRING:
                return word
            case Form.BYTES:
                return _read(path(word[1:])) if word.startswith("@") else word.encode(errors="surrogateescape")
            case Form.BOOL:
                return _bool(word)
            case Form.INT | Form.FLOAT:
                return _number(word, kind.form)
            case Form.ENUM:
                return self._member(kind.name, word)
            case _:
                text = _read(path(word[1:])) if word.startswith("@") else word
                try:
                    plain = msgspec.json.decode(text)
                except msgspec.DecodeError as error:
                    raise BadValue(f"not JSON ({error}); wanted is {kind}") from error
                return self.to_wire(kind, plain)

    def to_wire(self, kind: Type, value: Any, at: str = "") -> Any:
        """The wire value of what JSON was decoded to; *at* says where in the whole. Raises `BadValue`."""
        match kind.form:
            case Form.OPTIONAL:
                return None if value is None else self.to_wire(kind.of[0], value, at)
            case Form.STRUCT:
                return self._struct_to_wire(kind.name, value, at)
            case Form.ENUM:
                return self._member(kind.name, value, at)
            case Form.LIST:
                return [self.to_wire(kind.of[0], item, f"{at}[{i}]") for i, item in enumerate(_list(value, at))]
            case Form.TUPLE:
                if len(_list(value, at)) != len(kind.of):
                    raise BadValue(f"{_where(at)}{len(kind.of)} values are wanted")
                return [self.to_wire(t, v, f"{at}[{i}]") for i, (t, v) in enumerate(zip(kind.of, value, strict=True))]
            case Form.MAP:
                if not isinstance(value, dict):
                    raise BadValue(f"{_where(at)}an object is wanted")
                return {_key(kind.of[0], k, at): self.to_wire(kind.of[1], v, f"{at}.{k}") for k, v in value.items()}
            case Form.BYTES:
                return _base64(value, at)
            case form:
                if not isinstance(value, _CHECKS[form]) or (isinstance(value, bool) and form is not Form.BOOL):
                    raise BadValue(f"{_where(at)}{form} is wanted, not {msgspec.json.encode(value).decode()}")
                return value

    def default(self, field: FieldDescription) -> Any:
        """The wire value of a default."""
        if field.default is None:
            raise BadValue(f"{field.name} must be given")
        return self._default_to_wire(field.type, msgspec.json.decode(field.default))

    def to_plain(self, kind: Type, value: Any) -> Any:
        """A wire value with names: structs are dicts; bytes stay bytes. What does not fit its type is left as it is."""
        match kind.form, value:
            case Form.OPTIONAL, None:
                return None
            case Form.OPTIONAL, _:
                return self.to_plain(kind.of[0], value)
            case Form.STRUCT, list() | tuple():
                # A newer service may send more fields than its description had, an older one fewer.
                fields = self._description.struct(kind.name).fields
                return {f.name: self.to_plain(f.type, v) for f, v in zip(fields, value, strict=False)}
            case Form.LIST, list() | tuple():
                return [self.to_plain(kind.of[0], item) for item in value]
            case Form.TUPLE, list() | tuple():
                return [self.to_plain(t, v) for t, v in zip(kind.of, value, strict=False)]
            case Form.MAP, dict():
                return {k: self.to_plain(kind.of[1], v) for k, v in value.items()}
        return value

    def choices(self, kind: Type) -> tuple[str, ...]:
        """The words that a value can be, if they can be listed."""
        if kind.form is Form.OPTIONAL:
            return self.choices(kind.of[0])
        if kind.form is Form.BOOL:
            return "true", "false"
        if kind.form is Form.ENUM:
            return tuple(str(value) for value in self._members(kind.name))
        return ()

    def _member(self, name: str, value: Any, at: str = "") -> Any:
        members = self._members(name)
        for member in members:
            if str(value) == str(member):
                return member
        raise BadValue(f"{_where(at)}{value!r} is not one of {', '.join(map(str, members))}")

    def _members(self, name: str) -> list[str | int]:
        return [msgspec.json.decode(member.value) for member in self._description.enum(name).members]

    def _struct_to_wire(self, name: str, value: Any, at: str) -> list[Any]:
        if not isinstance(value, dict):
            raise BadValue(f"{_where(at)}an object is wanted, {name}")
        fields = self._description.struct(name).fields
        unknown = value.keys() - {f.name for f in fields}
        if unknown:
            raise BadValue(f"{_where(at)}{name} has no field {', '.join(sorted(unknown))}")
        wire = []
        for field in fields:
            inner = f"{at}.{field.name}" if at else field.name
            if field.name in value:
                wire.append(self.to_wire(field.type, value[field.name], inner))
            elif field.default is not None:
                wire.append(self.default(field))
            else:
                raise BadValue(f"{inner} must be given")
        return wire

    def _default_to_wire(self, kind: Type, value: Any) -> Any:
        """Defaults are JSON of the wire form already; only bytes are not."""
        match kind.form:
            case Form.OPTIONAL:
                return None if value is None else self._default_to_wire(kind.of[0], value)
            case Form.BYTES:
                return _base64(value, "")
            case Form.LIST:
                return [self._default_to_wire(kind.of[0], item) for item in value]
            case Form.STRUCT:
                fields = self._description.struct(kind.name).fields
                return [self._default_to_wire(f.type, v) for f, v in zip(fields, value, strict=False)]
            case _:
                return value


def _where(at: str) -> str:
    return f"{at.lstrip('.')}: " if at else ""


def _list(value: Any, at: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadValue(f"{_where(at)}a list is wanted")
    return value


def _key(kind: Type, key: str, at: str) -> str | int:
    return key if kind.form is Form.STRING else int(_number(key, Form.INT, at))


def _bool(word: str) -> bool:
    if word.lower() in _TRUE | _FALSE:
        return word.lower() in _TRUE
    raise BadValue(f"{word!r} is neither true nor false")


def _number(word: str, form: Form, at: str = "") -> int | float:
    try:
        return int(word) if form is Form.INT else float(word)
    except ValueError as error:
        raise BadValue(f"{_where(at)}{word!r} is no {form}") from error


def _base64(value: Any, at: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise BadValue(f"{_where(at)}base64 is wanted") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadValue(f"cannot read {path}: {error.strerror}") from error
