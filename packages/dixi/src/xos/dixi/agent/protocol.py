# SPDX-License-Identifier: BSD-3-Clause
"""What travels over the agent's Unix socket: simple enough for a C client without libraries.

A client connects, sends one request and gets up to two answers:

- the request is ``XOS1``, the length of the rest (u32, big-endian), then fields that each end with a NUL byte:
  the command's name, the umask in octal, the working directory, the number of arguments, the arguments, and
  ``NAME=value`` pairs of the environment up to the end. Standard input, output and error travel as SCM_RIGHTS with
  its first byte;
- each answer is two bytes: ``S`` 0 (started), ``R`` n (refused, for the reason n, a `Refusal`: run it yourself, or
  for `Refusal.AGAIN` connect again) or ``E`` n (ended with exit status n). After ``S`` the command may have done
  things: a client that then loses the agent does not repeat;
- while the command runs the client may send ``K`` n: it got signal n. Closing the connection cancels the command too.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping, Sequence

import msgspec

from xos.common.errors import XosError

MAGIC = b"XOS1"
HEADER = struct.Struct(">4sI")
LONGEST = 4 << 20
"""Bytes of a request after its header; Linux lets the arguments of a process be about half of this."""
DESCRIPTORS = 3

STARTED, REFUSED, ENDED, SIGNAL = b"S", b"R", b"E", b"K"

PASSED = frozenset({"TERM", "COLUMNS", "NO_COLOR", "LANG", "TZ", "HOME", "USER", "EDITOR", "PAGER"})
"""Environment variables that are sent, besides those that begin with ``XOS_`` or ``LC_``."""


class Refusal(enum.IntEnum):
    """Why the agent will not run a command; the client runs it in a process of its own."""

    BUSY = 1
    """As many commands run as it admits."""
    STOPPING = 2
    UNKNOWN = 3
    """No such command was installed when it started."""
    AGAIN = 4
    """It is about to start anew with newer code: connect again, it will answer in a moment."""
    OTHER_HOME = 5
    """It serves another ``$XOS_HOME``."""
    MALFORMED = 6
    TERMINAL = 7
    """It would take the terminal over."""


class BadRequest(XosError):
    """Raised when what came over the agent's socket is not a request."""

    code = "agent.bad-request"
    template = "not a request: {detail}"


class Request(msgspec.Struct, frozen=True):
    """A command to run."""

    name: str
    umask: int
    cwd: str
    args: tuple[str, ...]
    env: dict[str, str]


def encode(name: str, args: Sequence[str], cwd: str, umask: int, env: Mapping[str, str]) -> bytes:
    """A request with its header; of *env* only what is `PASSED`. Raises `BadRequest` if it is too long."""
    passed = [f"{k}={v}" for k, v in env.items() if k in PASSED or k.startswith(("XOS_", "LC_"))]
    fields = [name, f"{umask:o}", cwd, str(len(args)), *args, *passed]
    body = b"".join(field.encode(errors="surrogateescape") + b"\0" for field in fields)
    if len(body) > LONGEST:
        raise BadRequest(detail=f"{len(body)} bytes")
    return HEADER.pack(MAGIC, len(body)) + body


def body_length(header: bytes) -> int:
    """How many bytes follow the header. Raises `BadRequest`."""
    magic, length = HEADER.unpack(header)
    if magic != MAGIC or not 0 < length <= LONGEST:
        raise BadRequest(detail="no XOS1 header")
    return int(length)


def decode(body: bytes) -> Request:
    """The request after its header. Raises `BadRequest`."""
    if not body.endswith(b"\0"):
        raise BadRequest(detail="the last field has no end")
    fields = [field.decode(errors="surrogateescape") for field in body[:-1].split(b"\0")]
    try:
        name, umask, cwd, count, *rest = fields
        mask, argc = int(umask, 8), int(count)
    except ValueError as error:
        raise BadRequest(detail="fields are missing or not numbers") from error
    if not (0 <= argc <= len(rest) and 0 <= mask <= 0o777 and cwd.startswith("/")):
        raise BadRequest(detail="a field is out of range")
    env = dict(pair.split("=", 1) for pair in rest[argc:] if "=" in pair)
    return Request(name, mask, cwd, tuple(rest[:argc]), env)


def socket_path(env: Mapping[str, str]) -> str:
    """``$XOS_AGENT_SOCK``, else ``agent.sock`` in ``$XOS_HOME`` (default ``~/.xos``)."""
    if env.get("XOS_AGENT_SOCK"):
        return env["XOS_AGENT_SOCK"]
    return (env.get("XOS_HOME") or env.get("HOME", "/nonexistent") + "/.xos") + "/agent.sock"
