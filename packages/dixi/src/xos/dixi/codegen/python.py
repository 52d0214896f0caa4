# SPDX-License-Identifier: BSD-3-Clause
"""Python clients: for each service ``NameAsync`` (asyncio) and ``NameXati`` (blocking)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from xos.dixi.codegen.buffer import Buffer
from xos.dixi.description import (
    FieldDescription,
    Form,
    MethodDescription,
    ServiceDescription,
    Type,
    named_types,
)

_SCALARS: Mapping[Form, str] = {
    Form.NONE: "None",
    Form.BOOL: "bool",
    Form.INT: "int",
    Form.FLOAT: "float",
    Form.STRING: "str",
    Form.BYTES: "bytes",
}


class Flavour(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between the asyncio and the blocking client."""

    suffix: str
    base: str
    iterator: str
    define: str
    wait: str


ASYNC = Flavour(suffix="Async", base="AsyncStub", iterator="AsyncIterator", define="async def", wait="await ")
BLOCKING = Flavour(suffix="Xati", base="BlockingStub", iterator="Iterator", define="def", wait="")


def render(services: Sequence[ServiceDescription]) -> str:
    """The text of ``xati.py`` for services that are defined in one module."""
    out = Buffer()
    package = services[0].package
    out.add(
        "# SPDX-License-Identifier: BSD-3-Clause",
        f"# Made by dixi-gen from {package}; do not edit: change that module and run `make gen`.",
        f'"""XATI: clients in Python for the services of {package}."""',
        "",
        "from __future__ import annotations",
        "",
    )
    _imports(out, services)
    for service in services:
        for flavour in (ASYNC, BLOCKING):
            out.add("", "")
            _client(out, service, flavour)
    return out.text


def _imports(out: Buffer, services: Sequence[ServiceDescription]) -> None:
    if any(method.streams for service in services for method in service.methods):
        out.add("from collections.abc import AsyncIterator, Iterator", "")
    modules: dict[str, set[str]] = {"xos.dixi.stubs": {ASYNC.base, BLOCKING.base}}
    for service in services:
        homes = {s.name: s.package for s in service.structs} | {e.name: e.package for e in service.enums}
        for name in _names_used(service):
            modules.setdefault(homes[name], set()).add(name)
    for module in sorted(modules):
        names = sorted(modules[module], key=lambda name: (not name.isupper(), name))
        line = f"from {module} import {', '.join(names)}"
        if out.fits(line):
            out.add(line)
        else:
            out.add(f"from {module} import (", *(f"    {name}," for name in names), ")")


def _names_used(service: ServiceDescription) -> Iterable[str]:
    for method in service.methods:
        yield from named_types(method.result)
        for param in method.params:
            yield from named_types(param.type)
            if param.default is not None:
                yield from _names_in_default(param.type, msgspec.json.decode(param.default), service)


def _client(out: Buffer, service: ServiceDescription, flavour: Flavour) -> None:
    out.add(f"class {service.name}{flavour.suffix}({flavour.base}):")
    with out.indented():
        _docstring(out, service.doc or f"The service {service.name}.")
        out.add("", f'service = "{service.name}"')
        for method in service.methods:
            out.add("")
            _method(out, service, method, flavour)


def _method(out: Buffer, service: ServiceDescription, method: MethodDescription, flavour: Flavour) -> None:
    result = annotation(method.result)
    params = ["self", *(_parameter(p, service) for p in method.params), "*", "deadline: float | None = None"]
    define, returns = flavour.define, result
    if method.streams:
        define, returns = "def", f"{flavour.iterator}[{result}]"
    out.add_call(f"{define} {method.name}", params, f" -> {returns}:")
    args = ", ".join(p.name for p in method.params) + ("," if len(method.params) == 1 else "")
    items = [f'"{service.name}.{method.name}"', f"({args})", result, "deadline=deadline"]
    if method.idempotent and not method.streams:
        items.append("retry=True")
    with out.indented():
        _docstring(out, method.doc)
        if method.streams:
            out.add_call("return self._caller.stream", items, "")
        elif method.result.form is Form.NONE:
            out.add_call(f"{flavour.wait}self._caller.call", items, "")
        else:
            out.add_call(f"result: {result} = {flavour.wait}self._caller.call", items, "")
            out.add("return result")


def _docstring(out: Buffer, doc: str) -> None:
    lines = doc.replace("\\", "\\\\").replace('"""', '\\"\\"\\"').splitlines()
    if not lines:
        return
    if len(lines) == 1:
        out.add(f'"""{lines[0]}"""')
    else:
        out.add(f'"""{lines[0]}', *lines[1:], '"""')


def annotation(kind: Type) -> str:
    """A type as Python spells it."""
    inner = [annotation(t) for t in kind.of]
    match kind.form:
        case Form.LIST:
            return f"tuple[{inner[0]}, ...]" if kind.immutable else f"list[{inner[0]}]"
        case Form.TUPLE:
            return f"tuple[{', '.join(inner) or '()'}]"
        case Form.MAP:
            return f"dict[{', '.join(inner)}]"
        case Form.OPTIONAL:
            return f"{inner[0]} | None"
        case Form.STRUCT | Form.ENUM:
            return kind.name
        case scalar:
            return _SCALARS[scalar]


def _parameter(param: FieldDescription, service: ServiceDescription) -> str:
    text = f"{param.name}: {annotation(param.type)}"
    if param.default is None:
        return text
    return f"{text} = {literal(param.type, msgspec.json.decode(param.default), service)}"


def literal(kind: Type, value: Any, service: ServiceDescription) -> str:
    """A default value, decoded from JSON, as Python source."""
    match kind.form:
        case Form.OPTIONAL:
            return "None" if value is None else literal(kind.of[0], value, service)
        case Form.ENUM:
            member = next(m.name for m in service.enum(kind.name).members if msgspec.json.decode(m.value) == value)
            return f"{kind.name}.{member}"
        case Form.STRUCT:
            fields = service.struct(kind.name).fields
            return f"{kind.name}({', '.join(literal(f.type, v, service) for f, v in zip(fields, value, strict=False))})"
        case Form.LIST | Form.TUPLE:
            types = kind.of if kind.form is Form.TUPLE else kind.of * len(value)
            items = [literal(t, v, service) for t, v in zip(types, value, strict=True)]
            return _sequence(items, mutable=kind.form is Form.LIST and not kind.immutable)
        case Form.MAP:
            key, item = kind.of
            pairs = (
                (msgspec.convert(k, int, strict=False) if key.form is Form.INT else k, v) for k, v in value.items()
            )
            return f"{{{', '.join(f'{literal(key, k, service)}: {literal(item, v, service)}' for k, v in pairs)}}}"
        case Form.FLOAT:
            return repr(float(value))
        case Form.BYTES:
            return _quoted(msgspec.convert(value, bytes))
        case _:
            return _quoted(value) if isinstance(value, str) else repr(value)


def _sequence(items: list[str], *, mutable: bool) -> str:
    if mutable:
        return f"[{', '.join(items)}]"
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def _quoted(text: str | bytes) -> str:
    source = repr(text)
    return source.replace("'", '"') if '"' not in source and source.count("'") == 2 else source


def _names_in_default(kind: Type, value: Any, service: ServiceDescription) -> Iterable[str]:
    if kind.form is Form.STRUCT:
        for field, item in zip(service.struct(kind.name).fields, value, strict=False):
            yield from named_types(field.type)
            yield from _names_in_default(field.type, item, service)
