# SPDX-License-Identifier: BSD-3-Clause
"""From a command line of ``xsub`` to a job description and the files that travel with it."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from xos.aem.api import InputFile
from xos.aem.cli._files import read, read_input
from xos.aem.cli._options import option
from xos.aem.cli.errors import BadUsage
from xos.aem.errors import OrderTooLarge
from xos.aem.jsdl import JobDescription, StagedFile, check, from_toml, parse, to_jsdl
from xos.aem.jsdl.quantities import duration, size, whole
from xos.dixi.session import Session

ORDER_MAX = 4 * 1024 * 1024
"""Bytes of an order that every Job Manager takes (its setting ``order_bytes``), signature and description included."""
ROOM = 64 * 1024
"""Bytes of it that are not files or description."""
DESCRIPTIONS = (".jsdl", ".toml")
STDIN = "stdin"
"""Name under which the user's standard input travels."""
LARGE = "Small files travel with the job; keep large ones in a file system that the nodes mount."


class Draft(NamedTuple):
    """What is to be signed."""

    job: JobDescription
    document: bytes
    """JSDL: as the user wrote it when nothing was changed by options, else written from `job`."""
    files: tuple[InputFile, ...]


async def draft(args: argparse.Namespace, session: Session) -> Draft:
    """The job that the command line means, its files read.

    Raises `DescriptionError`, `BadUsage`, `CannotRead`, `OrderTooLarge`.
    """
    file, command = _meant(args)
    if bool(command) == bool(file):
        detail = "give a program or a job description" + (", not both" if command else "")
        raise BadUsage(detail=detail, advice="xsub --help says how.")
    if file == "-" == args.input:
        raise BadUsage(detail="-f - and --input - cannot both be standard input", advice="")
    written = b""
    if file:
        base, job, written = await _described(file, session)
    else:
        base, job = session.cwd, _program(command, session)
    changed = with_options(job, args, session)
    files = await _Packer(base, session, stdin=args.input == "-").pack(changed)
    document = written if written and changed == job else to_jsdl(changed)
    total = len(document) + sum(len(file.content) for file in files)
    if total > ORDER_MAX - ROOM:
        raise OrderTooLarge(size=total + ROOM, limit=ORDER_MAX)
    return Draft(changed, document, files)


def _meant(args: argparse.Namespace) -> tuple[str | None, list[str]]:
    """The job description, the program and its arguments: a lone ``x.jsdl`` is the former, after ``--`` the latter."""
    if args.command[:1] == ["--"]:
        return args.file, args.command[1:]
    if args.file is None and len(args.command) == 1 and args.command[0].endswith(DESCRIPTIONS):
        return args.command[0], []
    return args.file, args.command


async def _described(name: str, session: Session) -> tuple[Path, JobDescription, bytes]:
    """Where its relative names are, the job, and its JSDL if it was that."""
    if name == "-":
        base, document = session.cwd, await read_input(session.stdin, check.DOCUMENT_MAX)
    else:
        path = session.path(name)
        base, (document, _) = path.parent, await read(path, check.DOCUMENT_MAX)
    if document.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"<", b"\xff\xfe", b"\xfe\xff")):
        return base, parse(document), document
    return base, from_toml(document), b""


def _program(command: list[str], session: Session) -> JobDescription:
    """A relative path is a file of the user's: it travels, and is run from the unit's own directory."""
    program, *arguments = command
    here = session.path(program)
    staged: tuple[StagedFile, ...] = ()
    if "/" in program and not program.startswith(("/", "~/")):
        name = option("PROGRAM", check.file_name, here.name)
        staged = (StagedFile(name, uri=option("PROGRAM", check.file_uri, str(here))),)
        program = f"./{name}"
    return JobDescription(
        executable=option("PROGRAM", check.executable, program),
        arguments=tuple(option(f"argument {i}", check.argument, a) for i, a in enumerate(arguments, 1)),
        name=here.name[:255] if here.name.isprintable() else "",
        stage_in=staged,
    )


def with_options(job: JobDescription, args: argparse.Namespace, session: Session) -> JobDescription:
    """*job*, changed as the options say; they win over a job description."""
    given: dict[str, object] = {}
    if args.name is not None:
        given["name"] = option("--name", check.line, args.name)
    if args.env:
        given["environment"] = _environment(job, args.env)
    if args.directory is not None:
        given["working_directory"] = option("--directory", check.directory, args.directory)
    if args.units is not None:
        given["total_resource_count"] = option("--units", check.units, args.units)
    if args.cores is not None:
        given["cores"] = option("--cores", lambda n: whole(n, 1, check.CORES_MAX), args.cores)
    if args.memory is not None:
        given["memory"] = given["memory_limit"] = option("--memory", size, args.memory)
    if args.time is not None:
        given["wall_time"] = option("--time", duration, args.time)
    if args.host:
        given["candidate_hosts"] = tuple(dict.fromkeys(option("--host", check.host, name) for name in args.host))
    if args.arch is not None:
        given["architecture"] = option("--arch", check.architecture, args.arch)
    uris = [option("--reads", check.volume_uri, uri) for uri in args.reads or ()]
    given["reads"] = tuple(dict.fromkeys((*job.reads, *uris)))
    for stream in check.STREAMS:
        if (name := getattr(args, stream)) is not None:
            given[stream] = option(f"--{stream}", check.stream_name, name)
    job = replace(job, **given)
    return _with_files(job, args, session)


def _environment(job: JobDescription, given: list[str]) -> tuple[tuple[str, str], ...]:
    variables = dict(job.environment)
    for item in given:
        name, equals, value = item.partition("=")
        name = option("--env", check.environment_name, name)
        if not equals:
            raise BadUsage(
                detail=f"--env {name}: no value", advice=f'Say --env {name}=VALUE, or --env {name}="${name}".'
            )
        variables[name] = option("--env", partial(check.environment_value, name), value)
    return tuple(variables.items())


def _with_files(job: JobDescription, args: argparse.Namespace, session: Session) -> JobDescription:
    arriving = [*job.stage_in, *(_arriving(item, session) for item in args.stage_in or ())]
    if args.input == "-":
        arriving.append(StagedFile(STDIN))
        job = replace(job, input=STDIN)
    elif args.input is not None and args.input != check.DEV_NULL:
        arriving.append(_arriving(args.input, session, "--input"))
        job = replace(job, input=arriving[-1].name)
    leaving = [*job.stage_out, *(StagedFile(option("-o", check.file_name, name)) for name in args.stage_out or ())]
    return replace(
        job,
        stage_in=option("--stage-in", check.staged_in, tuple(dict.fromkeys(arriving))),
        stage_out=option("-o", lambda files: check.staged_out(files, output=job.output, error=job.error), leaving),
    )


def _arriving(item: str, session: Session, name_of: str = "--stage-in") -> StagedFile:
    """``FILE`` or ``FILE:NAME``; a colon in an existing file's name is part of it."""
    source, colon, name = item.rpartition(":")
    path = session.path(item)
    if colon and source and not path.exists():
        path = session.path(source)
    else:
        name = path.name
    uri = option(name_of, check.file_uri, str(path))
    return StagedFile(option(name_of, check.file_name, name), uri=uri)


class _Packer:
    """Reads the files of a job, no more bytes of them all than an order holds."""

    def __init__(self, base: Path, session: Session, *, stdin: bool) -> None:
        self._base, self._session, self._stdin = base, session, stdin
        self._left = ORDER_MAX - ROOM

    async def pack(self, job: JobDescription) -> tuple[InputFile, ...]:
        return tuple([await self._one(file) for file in job.stage_in])

    async def _one(self, file: StagedFile) -> InputFile:
        if self._stdin and file == StagedFile(STDIN):
            content, executable = await read_input(self._session.stdin, self._left, LARGE), False
        else:
            path = self._base / (check.uri_file(file.uri) if file.uri else file.name)
            content, executable = await read(path, self._left, LARGE)
        self._left -= len(content)
        return InputFile(file.name, content, executable)
