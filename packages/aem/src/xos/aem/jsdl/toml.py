# SPDX-License-Identifier: BSD-3-Clause
"""The friendlier way to write a job: TOML that says the same as JSDL (docs/jobs.md describes every key)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from xos.aem.jsdl import check
from xos.aem.jsdl.errors import BadValue, DescriptionError, DocumentTooLarge, Missing, NotWellFormed, UnknownElement
from xos.aem.jsdl.model import NO_LIMITS, Creation, JobDescription, Limits, StagedFile
from xos.aem.jsdl.quantities import duration, size, whole
from xos.common import config
from xos.common.errors import ConfigError
from xos.common.toml_lines import Key, key_lines

T = TypeVar("T")
Amount = int | str
"""A number, or text with a unit: ``2G``, ``10m``."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    source: str = msgspec.field(default="", name="from")
    """Staging in: a file of the machine that submits, relative to the job file; else `name` itself."""
    create: Creation = Creation.OVERWRITE
    delete: bool = False


class _Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    memory: Amount | None = None
    cpu_time: Amount | None = None
    file_size: Amount | None = None
    core_dump: Amount | None = None
    data_segment: Amount | None = None
    locked_memory: Amount | None = None
    open_files: int | None = None
    stack: Amount | None = None
    processes: int | None = None
    virtual_memory: Amount | None = None


class _Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    executable: str
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    name: str = ""
    description: str = ""
    annotations: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    application: str = ""
    application_version: str = ""
    input: str = ""
    output: str = ""
    error: str = ""
    directory: str = ""
    time: Amount | None = None
    units: int = 1
    cores: int = 1
    memory: Amount | None = None
    architecture: str = ""
    operating_system: str = ""
    hosts: tuple[str, ...] = ()
    stage_in: tuple[str | _File, ...] = ()
    stage_out: tuple[str | _File, ...] = ()
    reads: tuple[str, ...] = ()
    limits: _Limits = _Limits()


def from_toml(document: bytes) -> JobDescription:
    """The job that a TOML document describes.

    Raises a `DescriptionError` (a `JsdlError`) with key and line; never anything else.
    """
    if len(document) > check.DOCUMENT_MAX:
        raise DocumentTooLarge(f"{len(document)} bytes, {check.DOCUMENT_MAX} are allowed")
    try:
        text = document.decode()
    except UnicodeDecodeError as e:
        raise NotWellFormed("not UTF-8", line=document.count(b"\n", 0, e.start) + 1) from None
    try:
        job = config.parse(text, _Job, file="job")
    except ConfigError as e:
        raise _translated(e) from None
    try:
        return _described(job)
    except DescriptionError as e:
        key = str(e.data["path"])
        raise e.located(key, _line_of(text, key)) from None


def _translated(error: ConfigError) -> DescriptionError:
    key, line, detail = str(error.data["key"]), int(error.data["line"] or 1), str(error.data["detail"])
    if key == "(syntax)":
        return NotWellFormed(f"not TOML: {detail[:200]}", line=line)
    if detail == "unknown key":
        return UnknownElement(f"no such key. {error.data['advice']}", path=key, line=line)
    if detail == "missing":
        return Missing("is missing", path=key, line=line)
    return BadValue(detail[:1].lower() + detail[1:300], path=key, line=line)


def _line_of(text: str, key: str) -> int:
    """The line of *key* (``limits.memory``, ``stage_in[0].from``), or of the nearest thing around it that has one."""
    lines = {_dotted(path): line for path, line in key_lines(text).items()}
    while key and key not in lines:
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return lines.get(key, 1)


def _dotted(path: Key) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _described(job: _Job) -> JobDescription:
    output = _at("output", _stream, job.output)
    error = _at("error", _stream, job.error)
    memory = None if job.memory is None else _at("memory", size, job.memory)
    limit = memory if job.limits.memory is None else _at("limits.memory", size, job.limits.memory)
    leaving = [_leaving(f"stage_out[{i}]", file) for i, file in enumerate(job.stage_out)]
    arriving = [_arriving(f"stage_in[{i}]", file) for i, file in enumerate(job.stage_in)]
    _at("arguments", lambda count: check.at_most(count, check.ARGUMENTS_MAX, "arguments"), len(job.arguments))
    _at("environment", lambda count: check.at_most(count, check.ENVIRONMENT_MAX, "variables"), len(job.environment))
    for key, notes in (("annotations", job.annotations), ("projects", job.projects)):
        _at(key, lambda count: check.at_most(count, check.NOTES_MAX, "entries"), len(notes))
    _at("reads", lambda count: check.at_most(count, check.READS_MAX, "files"), len(job.reads))
    _at("hosts", lambda count: check.at_most(count, check.HOSTS_MAX, "hosts"), len(job.hosts))
    return JobDescription(
        executable=_at("executable", check.executable, job.executable),
        arguments=tuple(_at(f"arguments[{i}]", check.argument, a) for i, a in enumerate(job.arguments)),
        environment=tuple(_at(f"environment.{name}", _variable, (name, v)) for name, v in job.environment.items()),
        name=_at("name", check.line, job.name),
        description=_at("description", _block, job.description),
        annotations=tuple(_at("annotations", _block, a) for a in job.annotations),
        projects=tuple(_at("projects", _block, p) for p in job.projects),
        application=_at("application", check.line, job.application),
        application_version=_at("application_version", check.line, job.application_version),
        input=_at("input", _stream, job.input),
        output=output,
        error=error,
        working_directory=_at("directory", check.directory, job.directory),
        wall_time=None if job.time is None else _at("time", duration, job.time),
        memory_limit=limit,
        limits=_limits(job.limits),
        stage_in=_at("stage_in", check.staged_in, arriving),
        stage_out=_at("stage_out", lambda f: check.staged_out(f, output=output, error=error), leaving),
        total_resource_count=_at("units", check.units, job.units),
        cores=_at("cores", lambda n: whole(n, 1, check.CORES_MAX), job.cores),
        memory=memory or 0,
        architecture=_at("architecture", check.architecture, job.architecture),
        operating_system=_at("operating_system", check.operating_system, job.operating_system),
        candidate_hosts=tuple(dict.fromkeys(_at(f"hosts[{i}]", check.host, h) for i, h in enumerate(job.hosts))),
        reads=tuple(dict.fromkeys(_at(f"reads[{i}]", check.volume_uri, uri) for i, uri in enumerate(job.reads))),
    )


def _at(key: str, rule: Callable[[Any], T], value: object) -> T:
    try:
        return rule(value)
    except DescriptionError as e:
        raise e.located(key, None) from None


def _stream(value: str) -> str:
    return check.stream_name(value) if value else ""


def _block(value: str) -> str:
    return check.text(value).strip(check.SPACE)


def _variable(item: tuple[str, str]) -> tuple[str, str]:
    name, value = item
    return check.environment_name(name), check.environment_value(name, value)


def _arriving(key: str, file: str | _File) -> StagedFile:
    if isinstance(file, str):
        file = _File(name=file)
    name = _at(key, check.file_name, file.name)
    uri = "" if not file.source else _at(f"{key}.from", check.file_uri, file.source)
    return StagedFile(name, file.create, file.delete, uri)


def _leaving(key: str, file: str | _File) -> StagedFile:
    if isinstance(file, str):
        file = _File(name=file)
    if file.source:
        raise BadValue("only files that are staged in come from somewhere", path=f"{key}.from")
    return StagedFile(_at(key, check.file_name, file.name), file.create, file.delete)


def _limits(limits: _Limits) -> Limits:
    if limits == _Limits():
        return NO_LIMITS
    values: dict[str, int | None] = {}
    for field in msgspec.structs.fields(Limits):
        value = getattr(limits, field.name)
        if value is not None:
            values[field.name] = _at(f"limits.{field.name}", _amount_of(field.name), value)
    return Limits(**values)


def _amount_of(name: str) -> Callable[[Amount], int]:
    low, high = check.LIMITS[name]
    if name == "cpu_time":
        return duration
    return lambda value: whole(value if isinstance(value, int) else size(value), low, high)
