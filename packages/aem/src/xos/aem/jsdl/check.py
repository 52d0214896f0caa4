# SPDX-License-Identifier: BSD-3-Clause
"""The bounds of each field of a job description, the same for JSDL, TOML and the command line.

Every function returns the value in its normal form or raises a `DescriptionError` without a place, which the
caller adds with `DescriptionError.located`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote, unquote

from xos.aem.jsdl.errors import BadPath, BadValue, Repeated, Unsupported
from xos.aem.jsdl.model import UNITS_MAX, StagedFile
from xos.aem.jsdl.quantities import BYTES_MAX, SECONDS_MAX, whole

DOCUMENT_MAX = 1024 * 1024
"""Bytes of a job description."""
ARGUMENT_MAX = 128 * 1024 - 1
"""Bytes of one argument or ``NAME=value``: Linux's MAX_ARG_STRLEN without the final NUL."""
ARGUMENTS_MAX = 32_768
ENVIRONMENT_MAX = 4_096
FILES_MAX = 1_024
HOSTS_MAX = 10_000
READS_MAX = 256
NOTES_MAX = 256
"""Annotations, or projects."""
RANGES_MAX = 64
"""Parts of a range."""
CORES_MAX = 8_192
"""Linux's largest NR_CPUS."""
COUNT_MAX = 4_194_304
"""Linux's PID_MAX_LIMIT: bounds processes and descriptors."""
DEV_NULL = "/dev/null"
SPACE = " \t\r\n"
"""What XML calls white space."""
STREAMS = ("output", "error")

LIMITS = {
    "cpu_time": (1, SECONDS_MAX),
    "file_size": (0, BYTES_MAX),
    "core_dump": (0, BYTES_MAX),
    "data_segment": (0, BYTES_MAX),
    "locked_memory": (0, BYTES_MAX),
    "open_files": (3, COUNT_MAX),
    "stack": (0, BYTES_MAX),
    "processes": (1, COUNT_MAX),
    "virtual_memory": (0, BYTES_MAX),
}
"""Smallest and largest value of each field of `Limits`."""

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CONTROL = re.compile("[\0-\x1f\x7f]")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,254}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")
_VOLUME_FILE = re.compile(r"xtreemfs://([A-Za-z0-9][A-Za-z0-9._@-]{0,129})/+([^/].*)", re.DOTALL)
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9_]{0,31}")


def text(value: str, limit: int = 16_384) -> str:
    """Text for people, any number of lines."""
    if _NOT_XML.search(value):
        raise BadValue("has a character that XML cannot carry")
    if len(value) > limit:
        raise BadValue(f"has {len(value)} characters, {limit} are allowed")
    return value


def line(value: str, limit: int = 255) -> str:
    """One line for people, without space around it."""
    text(value, limit)
    if _CONTROL.search(value):
        raise BadValue("has a control character; one line is wanted")
    return value.strip(SPACE)


def argument(value: str) -> str:
    """One argument of a program; empty is one too."""
    if _NOT_XML.search(value):
        raise BadValue("has a character that XML cannot carry (a control character, or bytes that are not UTF-8)")
    _fits(value)
    return value


def environment_name(value: str) -> str:
    """The name of an environment variable."""
    if not _ENVIRONMENT_NAME.fullmatch(value):
        raise BadValue(f"“{value[:80]}” is not the name of an environment variable")
    return value


def environment_value(name: str, value: str) -> str:
    """What the variable *name* holds."""
    argument(value)
    _fits(f"{name}={value}")
    return value


def file_name(value: str) -> str:
    """A file below the unit's working directory, in normal form."""
    _plain_path(value)
    if value.startswith("/"):
        raise BadPath(f"“{value[:80]}” is absolute")
    parts = [part for part in value.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadPath(f"“{value[:80]}” leads out of the working directory")
    if not parts or value.endswith("/"):
        raise BadPath(f"“{value[:80]}” names no file")
    if any(len(part.encode()) > 255 for part in parts):
        raise BadPath("a part of the name is longer than 255 bytes")
    return "/".join(parts)


def stream_name(value: str) -> str:
    """Where standard input, output or error is: a file of the job, or ``/dev/null``."""
    if value.startswith("/") and value != DEV_NULL:
        raise Unsupported(f"an absolute name here, other than {DEV_NULL}")
    return value if value == DEV_NULL else file_name(value)


def directory(value: str) -> str:
    """A working directory below the unit's own; empty for that one itself."""
    if value.startswith("/"):
        raise Unsupported("an absolute working directory: each unit has a fresh one of its own")
    stripped = value.rstrip("/")
    return "" if stripped in ("", ".") else file_name(stripped)


def source_uri(value: str) -> str:
    """From where the client takes a file: ``file:`` and a path, absolute or relative to the job description."""
    text(value, 4_096)
    if not value.startswith("file:"):
        raise Unsupported(f"fetching from “{value[:80]}”: only file: (on the machine that submits) is")
    if value.startswith("file://") and not value.startswith("file:///"):
        raise Unsupported("a file: URI of another machine")
    if not uri_file(value).strip("/"):
        raise BadValue("names no file")
    if "\0" in uri_file(value):
        raise BadPath("has a NUL byte")
    return value


def file_uri(name: str) -> str:
    """The ``file:`` URI (RFC 8089) of a file name; a relative one stays relative, which the RFC lacks and we allow."""
    _plain_path(name)
    return source_uri(("file://" if name.startswith("/") else "file:") + quote(name))


def uri_file(uri: str) -> str:
    """The file name in a `source_uri`; may be relative."""
    return unquote(uri.removeprefix("file:").removeprefix("//"))


def volume_uri(value: str) -> str:
    """A file of a volume."""
    volume_file(value)
    return value


def volume_file(uri: str) -> tuple[str, str]:
    """Volume and path, which begins with no slash, of ``xtreemfs://VOLUME/PATH``."""
    found = _VOLUME_FILE.fullmatch(uri)
    if found is None:
        raise BadValue(f"“{uri[:80]}” is not xtreemfs://VOLUME/PATH")
    _plain_path(found[2])
    return found[1], found[2]


def executable(value: str) -> str:
    """A program: absolute, relative with a slash, or a bare name."""
    _plain_path(value)
    if not value.startswith("/") and ".." in value.split("/"):
        raise BadPath(f"“{value[:80]}” leads out of the working directory")
    if value.endswith("/") or value in (".", ".."):
        raise BadValue(f"“{value[:80]}” names no program")
    return value


def host(value: str) -> str:
    """The name of a node."""
    if not _HOST.fullmatch(value):
        raise BadValue(f"“{value[:80]}” is not a node's name")
    return value


def architecture(value: str) -> str:
    """A machine name as ``uname -m`` has it; empty is any."""
    if value and not _ARCHITECTURE.fullmatch(value):
        raise BadValue(f"“{value[:80]}” is not a machine name such as x86_64 or aarch64")
    return value


def operating_system(value: str) -> str:
    """LINUX, or empty for any."""
    if value not in ("", "LINUX"):
        raise Unsupported(f"operating system “{value[:80]}”: every node runs LINUX")
    return value


def units(value: int) -> int:
    """How many units a job has."""
    return whole(value, 1, UNITS_MAX)


def at_most(count: int, limit: int, what: str) -> None:
    """Bound the length of a list."""
    if count > limit:
        raise BadValue(f"{count} {what}, {limit} are allowed")


def staged_in(files: Sequence[StagedFile]) -> tuple[StagedFile, ...]:
    """Every file has a place of its own."""
    at_most(len(files), FILES_MAX, "files staged in")
    names = {file.name for file in files}
    if len(names) != len(files):
        raise Repeated("two files staged in have the same name")
    for name in names:
        parts = name.split("/")
        if any("/".join(parts[:n]) in names for n in range(1, len(parts))):
            raise BadPath(f"“{name[:80]}” lies inside a name that is itself a staged file")
    return tuple(files)


def staged_out(files: Sequence[StagedFile], *, output: str, error: str) -> tuple[StagedFile, ...]:
    """Every file can be asked for by its name, which is none of the streams'."""
    at_most(len(files), FILES_MAX, "files staged out")
    if len({file.name for file in files}) != len(files):
        raise Repeated("two files staged out have the same name")
    for file, stream, own in ((f, s, o) for f in files for s, o in zip(STREAMS, (output, error), strict=True)):
        if file.name == stream and file.name != own:
            raise Unsupported(f"staging out a file called “{stream}” that is not the job's standard {stream}")
    return tuple(files)


def _fits(value: str) -> None:
    if len(value) * 4 > ARGUMENT_MAX and len(value.encode()) > ARGUMENT_MAX:
        raise BadValue(f"is longer than {ARGUMENT_MAX} bytes, the kernel's bound for one argument")


def _plain_path(value: str) -> None:
    if not value:
        raise BadValue("is empty")
    if _CONTROL.search(value) or _NOT_XML.search(value):
        raise BadPath("has a control character, or bytes that are not UTF-8")
    if value != value.strip(SPACE):
        raise BadPath(f"“{value[:80]}” has space around it")
    if len(value.encode()) > 4_095:
        raise BadPath("is longer than 4095 bytes")
