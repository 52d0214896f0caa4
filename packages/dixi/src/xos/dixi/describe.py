# SPDX-License-Identifier: BSD-3-Clause
"""From a decorated class (see `xos.dixi.api`) to its `ServiceDescription`."""

from __future__ import annotations

import enum
import inspect
import keyword
import re
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from xos.dixi.attributes import attribute_docs
from xos.dixi.builtin import BUILTINS
from xos.dixi.description import (
    EnumDescription,
    FieldDescription,
    Form,
    MemberDescription,
    MethodDescription,
    ServiceDescription,
    StructDescription,
    Type,
)
from xos.dixi.dispatch import Signature, signatures
from xos.dixi.errors import BadService


def describe(cls: type) -> ServiceDescription:
    """The description of the interface that *cls* is or implements. Raises `BadService`."""
    interface = interface_of(cls)
    walk = _Walk(interface.__name__)
    methods = tuple(_method(s, walk) for s in signatures(interface).values())
    return ServiceDescription(
        name=interface.__name__,
        doc=inspect.getdoc(interface) or "",
        methods=methods,
        structs=tuple(walk.structs.values()),
        enums=tuple(walk.enums.values()),
        package=home_of(interface),
        version=str(getattr(interface, "__dixi_version__", "1")),
    )


def interface_of(cls: type) -> type:
    """The class under ``@service`` that *cls* is or implements. Raises `BadService`."""
    for base in cls.__mro__:
        if "__dixi_service__" in vars(base):
            return base
    raise BadService(service=cls.__qualname__, detail="neither it nor a base class is decorated with @service")


def services_in(module: types.ModuleType) -> list[type]:
    """The service interfaces that a module (or the package that it is) offers, in the order they are written."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type) and "__dixi_service__" in vars(value) and home_of(value) == module.__name__
    ]


def home_of(cls: type) -> str:
    """The module that others import *cls* from: where it is defined, or the package above that re-exports it."""
    home = cls.__module__
    while getattr(sys.modules.get(above := home.rpartition(".")[0]), cls.__name__, None) is cls:
        home = above
    return home


_TAKEN = frozenset({"bool", "int", "float", "str", "bytes", "list", "tuple", "dict", "service", *BUILTINS})
"""Names that a method may not have: a Python client could no longer reach the type or the framework's own call."""


def _method(signature: Signature, walk: _Walk) -> MethodDescription:
    if (
        (signature.name in _TAKEN and walk.service != "Standard")
        or signature.name.startswith("_")
        or keyword.iskeyword(signature.name)
    ):
        raise walk.wrong(signature.name, "a method cannot have this name")
    marks = signature.marks
    return MethodDescription(
        name=signature.name,
        doc=signature.doc,
        params=tuple(_parameter(p, signature, walk) for p in signature.parameters),
        result=walk.form_of(signature.result, signature.name),
        streams=marks.streams,
        waits=marks.waits,
        idempotent=marks.idempotent,
        allow=tuple(sorted(marks.allow)),
        reads=marks.reads,
    )


def _parameter(parameter: inspect.Parameter, signature: Signature, walk: _Walk) -> FieldDescription:
    name, where = parameter.name, f"{signature.name}, parameter {parameter.name}"
    if name == "deadline" or keyword.iskeyword(name):
        raise walk.wrong(where, "a parameter cannot have this name")
    if isinstance(parameter.default, list | dict):
        raise walk.wrong(where, "a default that can change is shared by all calls; declare tuple[…] and give ()")
    kind = signature.types[name]
    return walk.field(name, kind, parameter.default, _parameter_doc(name, kind, signature.doc), where)


def _parameter_doc(name: str, kind: Any, doc: str) -> str:
    """``Annotated[T, Meta(description=…)]``, else the clause of the method's docstring that begins ``*name*``."""
    for extra in getattr(kind, "__metadata__", ()):
        if isinstance(extra, msgspec.Meta) and extra.description:
            return extra.description
    for clause in re.split(r"(?<=[.;])\s+", " ".join(doc.split())):
        if clause.startswith(f"*{name}*"):
            return clause.removeprefix(f"*{name}*").lstrip(":, ").rstrip(".;")
    return ""


_SCALARS: Mapping[Any, Form] = {
    type(None): Form.NONE,
    None: Form.NONE,
    bool: Form.BOOL,
    int: Form.INT,
    float: Form.FLOAT,
    str: Form.STRING,
    bytes: Form.BYTES,
}


class _Walk:
    """Turns Python types into `Type`, collecting the structs and enums met on the way."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.structs: dict[str, StructDescription] = {}
        self.enums: dict[str, EnumDescription] = {}
        self._open: set[object] = set()

    def wrong(self, where: str, detail: str) -> BadService:
        """What the author of the interface must change."""
        return BadService(service=self.service, detail=f"{where}: {detail}")

    def field(self, name: str, kind: Any, default: Any, doc: str, where: str) -> FieldDescription:
        """One parameter or field; *default* is `inspect.Parameter.empty` if it must be given."""
        json = None
        if default is not inspect.Parameter.empty:
            try:
                msgspec.convert(msgspec.to_builtins(default), kind)
                json = msgspec.json.encode(default).decode()
            except (TypeError, msgspec.ValidationError) as error:
                raise self.wrong(where, f"the default {default!r} is not a value of its type") from error
        return FieldDescription(name, self.form_of(kind, where), doc, json)

    def form_of(self, kind: Any, where: str) -> Type:
        """The form of a Python type."""
        if hasattr(kind, "__metadata__"):
            return self.form_of(kind.__origin__, where)
        if kind in _SCALARS:
            return Type(_SCALARS[kind])
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._struct(kind, where)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return self._enum(kind)
        return self._compound(kind, typing.get_origin(kind), typing.get_args(kind), where)

    def _compound(self, kind: Any, origin: Any, args: tuple[Any, ...], where: str) -> Type:
        if origin is list:
            return Type(Form.LIST, of=(self.form_of(args[0], where),))
        if origin is tuple and args[-1:] == (Ellipsis,):
            return Type(Form.LIST, of=(self.form_of(args[0], where),), immutable=True)
        if origin is tuple:
            return Type(Form.TUPLE, of=tuple(self.form_of(a, where) for a in args))
        if origin is dict and args[0] in (str, int):
            return Type(Form.MAP, of=tuple(self.form_of(a, where) for a in args))
        if origin in (typing.Union, types.UnionType) and len(args) == 2 and type(None) in args:
            (inner,) = (a for a in args if a is not type(None))
            return Type(Form.OPTIONAL, of=(self.form_of(inner, where),))
        raise self.wrong(where, f"{kind!r} has no form on the wire")

    def _struct(self, cls: type[msgspec.Struct], where: str) -> Type:
        done = Type(Form.STRUCT, name=cls.__name__)
        if not cls.__struct_config__.array_like:
            raise self.wrong(where, f"{cls.__qualname__} must be declared array_like=True")
        known = self.structs.get(cls.__name__)
        if known is not None and known.package != home_of(cls):
            raise self.wrong(where, f"{cls.__name__} is the name of structs in both {known.package} and {home_of(cls)}")
        if known is not None or cls in self._open:
            return done
        self._open.add(cls)
        docs = attribute_docs(cls)
        fields = tuple(
            self.field(f.name, f.type, _default(f), docs.get(f.name, ""), f"{cls.__name__}.{f.name}")
            for f in msgspec.structs.fields(cls)
        )
        self.structs[cls.__name__] = StructDescription(cls.__name__, inspect.getdoc(cls) or "", fields, home_of(cls))
        return done

    def _enum(self, cls: type[enum.Enum]) -> Type:
        docs = attribute_docs(cls)
        members = tuple(MemberDescription(m.name, msgspec.json.encode(m).decode(), docs.get(m.name, "")) for m in cls)
        self.enums[cls.__name__] = EnumDescription(cls.__name__, inspect.getdoc(cls) or "", members, home_of(cls))
        return Type(Form.ENUM, name=cls.__name__)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is msgspec.NODEFAULT else field.default
