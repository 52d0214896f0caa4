# SPDX-License-Identifier: BSD-3-Clause
"""From a service object to a table of methods that a frame, a local call or an HTTP request can be run on."""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import msgspec

from xos.common.identity import Identity, Kind
from xos.dixi.api import Marks
from xos.dixi.errors import BadArguments, BadService, NoCertificate, NotAllowed, UnknownMethod, UnknownService
from xos.dixi.named import from_named, twin
from xos.dixi.pages import Pages
from xos.dixi.stage import Stage


class Signature(msgspec.Struct, frozen=True):
    """A method as its declaration types it."""

    name: str
    marks: Marks
    parameters: tuple[inspect.Parameter, ...]
    types: dict[str, Any]
    result: Any
    """The result's type; of a stream, its items'."""
    doc: str


def service_name(cls: type) -> str:
    """The wire name of a service class: that of the interface it declares or implements. Raises `BadService`."""
    name = getattr(cls, "__dixi_service__", None)
    if not isinstance(name, str):
        raise BadService(service=cls.__qualname__, detail="neither it nor a base class is decorated with @service")
    return name


def signatures(cls: type) -> dict[str, Signature]:
    """The decorated methods of *cls* and its bases, in the order of their declaration. Raises `BadService`."""
    service_name(cls)
    found: dict[str, Signature] = {}
    for base in reversed(cls.__mro__):
        for name, fn in vars(base).items():
            marks = getattr(fn, "__dixi__", None)
            if isinstance(marks, Marks):
                found[name] = _signature(cls, name, fn, marks)
    return found


def _signature(cls: type, name: str, fn: Any, marks: Marks) -> Signature:
    try:
        types = typing.get_type_hints(fn, include_extras=True)
    except NameError as error:
        raise BadService(service=cls.__qualname__, detail=f"{name}: {error}") from error
    parameters = tuple(inspect.signature(fn).parameters.values())[1:]
    for parameter in parameters:
        if parameter.name not in types or parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            detail = f"{name}: parameter {parameter.name} must be an ordinary one with a type"
            raise BadService(service=cls.__qualname__, detail=detail)
    if "return" not in types:
        raise BadService(service=cls.__qualname__, detail=f"{name} does not say what it returns")
    result = types["return"]
    if marks.plain and not marks.idempotent:
        raise BadService(service=cls.__qualname__, detail=f"{name} is plain, so it must be idempotent")
    if marks.streams:
        if typing.get_origin(result) is not AsyncIterator:
            raise BadService(service=cls.__qualname__, detail=f"{name} is a @stream: it must return AsyncIterator[…]")
        (result,) = typing.get_args(result)
    return Signature(name, marks, parameters, types, result, inspect.getdoc(fn) or "")


class Method:
    """One method of one hosted service object, ready to be run."""

    __slots__ = (
        "_by_position",
        "_named",
        "_positional",
        "allow",
        "at_once",
        "fn",
        "name",
        "service",
        "signature",
        "stage",
        "streams",
        "waits",
    )

    def __init__(self, service: str, signature: Signature, fn: Any, stage: Stage) -> None:
        self.service = service
        self.name = f"{service}.{signature.name}"
        self.signature = signature
        self.fn = fn
        twin = getattr(fn, "__dixi_at_once__", None)
        self.at_once = None if twin is None else twin.__get__(fn.__self__)
        """See `xos.dixi.api.at_once`."""
        self.stage = stage
        self.allow = signature.marks.allow
        self.streams = signature.marks.streams
        self.waits = signature.marks.waits
        # A struct without field names on the wire: trailing arguments with defaults may be left out,
        # and those that a newer client adds at the end are passed over.
        fields = [_field(p, signature.types[p.name]) for p in signature.parameters]
        positional = msgspec.defstruct(f"{service}_{signature.name}", fields, array_like=True)
        self._by_position = msgspec.msgpack.Decoder(positional)
        self._positional = positional
        self._named: Any = None

    def decode(self, args: msgspec.Raw) -> tuple[Any, ...]:
        """The arguments in a frame. Raises `BadArguments`."""
        try:
            return msgspec.structs.astuple(self._by_position.decode(args))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadArguments(method=self.name, service=self.service, detail=str(error)) from error

    @property
    def named(self) -> Any:
        """The arguments as a struct type with names, for JSON; made when first asked for."""
        if self._named is None:
            self._named = twin(self._positional)
        return self._named

    def decode_json(self, body: bytes) -> tuple[Any, ...]:
        """The arguments in a JSON object, by name. Raises `BadArguments`."""
        try:
            return self._from_named(msgspec.json.decode(body or b"{}", type=self.named))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadArguments(method=self.name, service=self.service, detail=str(error)) from error

    def decode_query(self, query: Mapping[str, str | bytes]) -> tuple[Any, ...]:
        """The arguments in a URL's query, all of them text but a raw body. Raises `BadArguments`."""
        try:
            return self._from_named(msgspec.convert(dict(query), self.named, strict=False))
        except (msgspec.ValidationError, RecursionError) as error:
            raise BadArguments(method=self.name, service=self.service, detail=str(error)) from error

    def _from_named(self, named: Any) -> tuple[Any, ...]:
        return msgspec.structs.astuple(from_named(named, self._positional))

    def complete(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """*args* of a local call, with the defaults of those left out. Raises `BadArguments`."""
        missing = self.signature.parameters[len(args) :]
        if not missing and len(args) == len(self.signature.parameters):
            return args
        if any(p.default is p.empty for p in missing) or len(args) > len(self.signature.parameters):
            detail = f"{len(args)} arguments for {len(self.signature.parameters)} parameters"
            raise BadArguments(method=self.name, service=self.service, detail=detail)
        return args + tuple(p.default for p in missing)

    def admit(self, caller: Identity) -> None:
        """Whether this kind of caller is heard. Raises `NoCertificate` or `NotAllowed`."""
        if caller.kind not in self.allow:
            if caller.kind is Kind.ANONYMOUS:
                raise NoCertificate(method=self.name)
            allowed = ", ".join(sorted(f"{kind.value}s" for kind in self.allow))
            raise NotAllowed(method=self.name, caller=str(caller), allowed=allowed)


def _field(parameter: inspect.Parameter, kind: Any) -> tuple[str, Any] | tuple[str, Any, Any]:
    if parameter.default is parameter.empty:
        return (parameter.name, kind)
    return (parameter.name, kind, parameter.default)


class Dispatcher:
    """Method name to `Method`; immutable once built, so that every listener and connection may share it."""

    def __init__(self, methods: Mapping[str, Method] | None = None, pages: Mapping[str, Pages] | None = None) -> None:
        self._methods = dict(methods or {})
        self._pages = dict(pages or {})

    def add(self, service: object, stage: Stage, *, name: str | None = None) -> None:
        """Offer the methods of *service*, each call of which passes through *stage*.

        *name*: under another name than its own (so the standard calls are added to every service).
        """
        name = name or service_name(type(service))
        for signature in signatures(type(service)).values():
            method = Method(name, signature, getattr(service, signature.name), stage)
            self._methods[method.name] = method
        if isinstance(service, Pages):
            self._pages[name] = service

    def only(self, services: frozenset[str]) -> Dispatcher:
        """A dispatcher that knows just these services."""
        return Dispatcher(
            {name: method for name, method in self._methods.items() if method.service in services},
            {name: pages for name, pages in self._pages.items() if name in services},
        )

    @property
    def plain(self) -> Dispatcher:
        """One that knows just the methods that may be called unencrypted, see `xos.dixi.api.call`."""
        return Dispatcher({name: method for name, method in self._methods.items() if method.signature.marks.plain})

    def find(self, name: str) -> Method:
        """The method *name* (``Service.method``). Raises `UnknownService` or `UnknownMethod`."""
        method = self._methods.get(name)
        if method is not None:
            return method
        service, _, bare = name.partition(".")
        if any(m.service == service for m in self._methods.values()):
            raise UnknownMethod(service=service, method=bare)
        raise UnknownService(service=service, where=" here")

    @property
    def pages(self) -> Mapping[str, Pages]:
        """The services that answer HTTP themselves, by name."""
        return self._pages

    def __contains__(self, name: str) -> bool:
        return name in self._methods

    @property
    def services(self) -> tuple[str, ...]:
        """Names of the services offered."""
        return tuple(dict.fromkeys(method.service for method in self._methods.values()))

    def __iter__(self) -> Iterator[Method]:
        return iter(self._methods.values())
