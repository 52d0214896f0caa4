# SPDX-License-Identifier: BSD-3-Clause
"""Reference pages in Markdown, one for each service."""

from __future__ import annotations

import re
from collections.abc import Iterable

from xos.dixi.codegen.buffer import Buffer
from xos.dixi.description import (
    EnumDescription,
    FieldDescription,
    Form,
    MethodDescription,
    ServiceDescription,
    StructDescription,
    Type,
    named_types,
)


def render(service: ServiceDescription) -> str:
    """The text of ``SERVICE.md``."""
    out = Buffer()
    out.add(
        f"<!-- Made by dixi-gen from {service.package}; do not edit: change that module and run `make gen`. -->",
        "",
        f"# {service.name}",
        "",
        _prose(service.doc),
        "",
        f"Interface version {service.version}, defined in `{service.package}`. "
        "Like every service it also answers `ping`, `info`, `stats` and `describe`.",
        "",
    )
    _contents(out, service)
    for method in service.methods:
        _method(out, service, method)
    if service.structs:
        out.add("## Structs", "", "On the wire a struct is an array of its fields in this order.", "")
    for struct in service.structs:
        _struct(out, struct)
    if service.enums:
        out.add("## Enums", "")
    for enum in service.enums:
        _enum(out, enum)
    return out.text.rstrip("\n") + "\n"


def render_index(services: Iterable[ServiceDescription]) -> str:
    """The text of ``README.md`` beside the pages."""
    out = Buffer()
    out.add(
        "<!-- Made by dixi-gen; do not edit: run `make gen`. -->",
        "",
        "# Services",
        "",
        "| service | what it does | defined in |",
        "|---|---|---|",
    )
    for s in services:
        out.add(f"| [{s.name}]({s.name}.md) | {_first_line(s.doc)} | `{s.package}` |")
    return out.text


def _contents(out: Buffer, service: ServiceDescription) -> None:
    out.add("| method | what it does |", "|---|---|")
    for method in service.methods:
        out.add(f"| [`{method.name}`](#{method.name}) | {_first_line(method.doc)} |")
    out.add("")


def _method(out: Buffer, service: ServiceDescription, method: MethodDescription) -> None:
    result = str(method.result) if method.result.form is not Form.NONE else ""
    arrow = f" → {'stream of ' if method.streams else ''}{result}" if result else ""
    out.add(f"## {method.name}", "", "```", f"{method.name}({', '.join(p.name for p in method.params)}){arrow}", "```")
    out.add("", _prose(method.doc), "")
    if method.params:
        _fields(out, method.params)
    notes = _notes(method)
    if notes:
        out.add(*(f"- {note}" for note in notes), "")
    out.add("```sh", _example(service, method), "```", "")


def _notes(method: MethodDescription) -> list[str]:
    notes = []
    if method.waits and not method.streams:
        notes.append("Answers when it has happened, which may take long: give a deadline if you cannot wait.")
    if method.reads:
        notes.append("Changes nothing.")
    elif method.idempotent:
        notes.append("Done twice is done once: clients repeat it by themselves when a connection is lost.")
    if method.allow:
        notes.append(f"Hears callers of the kind {', '.join(method.allow)}.")
    return notes


def _example(service: ServiceDescription, method: MethodDescription) -> str:
    wanted = (p for p in method.params if p.default is None)
    return " ".join(
        [
            "xconsole",
            service.name,
            method.name,
            *(f"--{p.name.replace('_', '-')} {_placeholder(p.type)}" for p in wanted),
        ]
    )


def _placeholder(kind: Type) -> str:
    match kind.form:
        case Form.STRUCT:
            return "'{…}'"
        case Form.LIST | Form.TUPLE:
            return "'[…]'"
        case Form.BYTES:
            return "@FILE"
        case _:
            return str(kind.form).upper()


def _struct(out: Buffer, struct: StructDescription) -> None:
    out.add(f"### {struct.name}", "", _prose(struct.doc), "")
    _fields(out, struct.fields)


def _fields(out: Buffer, fields: Iterable[FieldDescription]) -> None:
    out.add("| | name | type | default | |", "|---|---|---|---|---|")
    for position, field in enumerate(fields):
        default = "" if field.default is None else f"`{field.default}`"
        out.add(f"| {position} | `{field.name}` | {_linked(field.type)} | {default} | {_cell(field.doc)} |")
    out.add("")


def _enum(out: Buffer, enum: EnumDescription) -> None:
    out.add(f"### {enum.name}", "", _prose(enum.doc), "", "| value | |", "|---|---|")
    out.add(*(f"| `{member.value}` | {_cell(member.doc)} |" for member in enum.members), "")


def _linked(kind: Type) -> str:
    text = str(kind)
    for name in sorted(set(named_types(kind))):
        text = re.sub(rf"\b{name}\b", f"[{name}](#{name.lower()})", text)
    return text


def _prose(doc: str) -> str:
    return doc.replace("``", "`")


def _cell(doc: str) -> str:
    return " ".join(_prose(doc).split()).replace("|", "\\|")


def _first_line(doc: str) -> str:
    return _cell(doc.partition("\n")[0])
