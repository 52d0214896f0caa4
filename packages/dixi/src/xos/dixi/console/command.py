# SPDX-License-Identifier: BSD-3-Clause
"""The command: asks the service what it offers, reads the arguments by that, calls, shows the answer."""

from __future__ import annotations

import argparse
import contextlib
import difflib
from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

from xos.common.errors import XosError
from xos.dixi.builtin import BUILTINS
from xos.dixi.commands import Command, Session, add_json, parse_with
from xos.dixi.console.catalogue import installed, standard
from xos.dixi.console.output import Printer
from xos.dixi.console.shell import shell
from xos.dixi.description import FieldDescription, Form, MethodDescription, ServiceDescription
from xos.dixi.values import BadValue, Values

VALUED = ("--node", "--deadline", "--print-completion")
OWN = ("--json", "--node", "--deadline")


class UnknownName(XosError):
    """Raised when a service has no such method."""

    code = "console.unknown-name"
    template = "{service} has no method {method}{nearest}"
    hint = "xconsole {service} lists them."
    exit_status = 2


class BadArgument(XosError):
    """Raised when an argument's value is not of its type."""

    code = "console.bad-argument"
    template = "--{option}: {detail}"
    hint = "xconsole {service} {method} --help shows the types."
    exit_status = 2


class _Parser(argparse.ArgumentParser):
    """Own options end at the first word: what follows belongs to the method, whose options are not known yet."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        args = list(args or ())
        end = 0
        while end < len(args) and args[end].startswith("-") and args[end] != "--complete":
            end += 2 if args[end] in VALUED else 1
        parsed = super().parse_args(args[:end], namespace)
        parsed.words = args[end:]
        return parsed


def parser() -> argparse.ArgumentParser:
    """The command line up to the service's name."""
    p = _Parser(
        prog="xconsole",
        usage="xconsole [--json] [--node NODE] [--deadline SECONDS] [SERVICE [METHOD [--ARGUMENT VALUE …]]]",
        description="Call any method of any service. With SERVICE alone: list its methods. With nothing: a shell.",
        epilog="Values of structs and lists are JSON, or @FILE with JSON. Options of xconsole come before SERVICE; "
        "where the method has no argument of that name, they may follow it too.",
    )
    _add_own(p, OWN)
    p.add_argument("--print-completion", choices=("bash", "zsh", "fish"), help="print a completion script and exit")
    return p


def _add_own(p: argparse.ArgumentParser, which: Sequence[str]) -> None:
    if "--json" in which:
        add_json(p)
    if "--node" in which:
        p.add_argument("--node", metavar="NODE", help="the instance that runs on this node")
    if "--deadline" in which:
        p.add_argument("--deadline", type=float, metavar="SECONDS", help="how long to wait for the answer")


async def run(args: argparse.Namespace, session: Session) -> int:
    """Find out what the service offers, then call it."""
    if args.print_completion:
        from xos.dixi.console.scripts import XCONSOLE

        session.out(XCONSOLE[args.print_completion])
        return 0
    if args.words[:1] == ["--complete"]:
        from xos.dixi.console.completion import complete

        for word in await complete(args.words[1:], session):
            session.out(word)
        return 0
    if not args.words:
        session.err("usage: xconsole SERVICE [METHOD …]")
        return 2
    service, *rest = args.words
    if rest[:1] in (["-h"], ["--help"]):
        rest = []
    description = await describe_service(session, service, args.node, rest)
    if not rest:
        Printer(session).service(description)
        return 0
    return await _call(description, rest[0], rest[1:], args, session)


async def describe_service(session: Session, service: str, node: str | None, rest: Sequence[str]) -> ServiceDescription:
    """What the live service offers; for help, what is installed here will do if it cannot be reached."""
    try:
        caller = session.bus.caller(service, node)
        answer: ServiceDescription = await caller.call(
            f"{service}.describe", (), ServiceDescription, deadline=10.0, retry=True
        )
    except XosError:
        known = next((d for d in installed() if d.name == service), None)
        if known is None or not (not rest or rest[-1] in ("-h", "--help")):
            raise
        return known
    return answer


async def _call(
    description: ServiceDescription, name: str, words: Sequence[str], args: argparse.Namespace, session: Session
) -> int:
    described = standard() if name in BUILTINS else description
    method = described.method(name) or described.method(name.replace("-", "_"))
    if method is None:
        raise UnknownName(service=description.name, method=name, nearest=_nearest(description, name))
    parsed = parse_with(method_parser(description.name, method), words, session)
    if isinstance(parsed, int):
        return parsed
    values = Values(described)
    wire = arguments(description.name, method, parsed, values, session)
    node = args.node or getattr(parsed, "node", None)
    deadline = args.deadline if args.deadline is not None else getattr(parsed, "deadline", None)
    session.json = bool(args.json or getattr(parsed, "json", False))
    caller, wire_name = session.bus.caller(description.name, node), f"{description.name}.{method.name}"
    printer = Printer(session)
    if method.streams:
        stream = cast("AsyncGenerator[Any, None]", caller.stream(wire_name, wire, Any, deadline=deadline))
        async with contextlib.aclosing(stream) as items:
            async for item in items:
                printer.item(values.to_plain(method.result, item))
                await session.drain()
        return 0
    answer = await caller.call(wire_name, wire, Any, deadline=deadline, retry=method.idempotent)
    printer.result(values.to_plain(method.result, answer))
    return 0


def _nearest(description: ServiceDescription, name: str) -> str:
    names = [*(m.name for m in description.methods), *BUILTINS]
    found = difflib.get_close_matches(name.replace("-", "_"), names, 1)
    return f"; did you mean {found[0]}?" if found else ""


def option(name: str) -> str:
    """A parameter's name as an option has it, without the dashes."""
    return name.replace("_", "-")


def method_parser(service: str, method: MethodDescription) -> argparse.ArgumentParser:
    """The command line after SERVICE METHOD."""
    p = argparse.ArgumentParser(
        prog=f"xconsole {service} {method.name}",
        description=method.doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for param in method.params:
        names = sorted({f"--{option(param.name)}", f"--{param.name}"})
        repeated: Any = {"action": "append"} if param.type.form is Form.LIST else {}
        p.add_argument(
            *names,
            dest=f"argument_{param.name}",
            required=param.default is None,
            metavar=_metavar(param),
            help=_help(param),
            **repeated,
        )
    _add_own(p, [name for name in OWN if not any(f"--{param.name}" == name for param in method.params)])
    return p


def _metavar(param: FieldDescription) -> str:
    kind = param.type.of[0] if param.type.form is Form.OPTIONAL else param.type
    match kind.form:
        case Form.STRUCT | Form.TUPLE | Form.MAP:
            return "JSON"
        case Form.LIST:
            return "VALUE" if not kind.of[0].of and kind.of[0].form is not Form.STRUCT else "JSON"
        case _:
            return str(kind.form).upper()


def _help(param: FieldDescription) -> str:
    default = "" if param.default is None else f"default {param.default}"
    text = "; ".join(part for part in (param.doc, str(param.type), default) if part)
    return text.replace("%", "%%")


def arguments(
    service: str, method: MethodDescription, parsed: argparse.Namespace, values: Values, session: Session
) -> tuple[Any, ...]:
    """The wire values of a call, by position; defaults at the end are left to the service. Raises `BadArgument`."""
    given = [getattr(parsed, f"argument_{param.name}") for param in method.params]
    while given and given[-1] is None:
        given.pop()
    wire = []
    for param, words in zip(method.params, given, strict=False):
        try:
            if words is None:
                wire.append(values.default(param))
            elif isinstance(words, list):
                wire.append(_list(param, words, values, session))
            else:
                wire.append(values.from_word(param.type, words, session.path))
        except BadValue as error:
            raise BadArgument(
                option=option(param.name), detail=str(error), service=service, method=method.name
            ) from error
    return tuple(wire)


def _list(param: FieldDescription, words: list[str], values: Values, session: Session) -> list[Any]:
    """``--x '["a", "b"]'``, or the option once for each item."""
    if len(words) == 1 and words[0].startswith(("[", "@")):
        whole: list[Any] = values.from_word(param.type, words[0], session.path)
        return whole
    return [values.from_word(param.type.of[0], word, session.path) for word in words]


COMMAND = Command(name="xconsole", parser=parser, run=run, shell=shell)
