# SPDX-License-Identifier: BSD-3-Clause
"""The one error hierarchy: each class has a stable code that survives the wire.

An error is raised from data (``raise UnknownKey(file=…, key=…, line=…)``); its text is built once from the
class's ``template``, its next step from ``hint``. `to_fault` and `from_fault` carry it between processes: a
client that knows the code gets the same class back, any other gets `RemoteError` with the same code and text.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class Fault(msgspec.Struct, array_like=True, frozen=True):
    """An error on the wire. Positional: new fields only at the end."""

    code: str
    message: str
    hint: str = ""
    data: dict[str, str | int | float | bool | None] = {}
    retry_after_ms: int | None = None
    """Not None: the same call may succeed after that many milliseconds (overload, draining, lost connection)."""


_by_code: dict[str, type[XosError]] = {}


class XosError(Exception):
    """Root of every error that a user or another service may see.

    Subclasses set `code` (``room.slug``, never reused), `template` and `hint` (`str.format` over the data),
    `http_status` (what the gateway answers) and `exit_status` (what a command exits with).
    """

    code: ClassVar[str] = "xos.error"
    template: ClassVar[str] = "{detail}"
    hint: ClassVar[str] = ""
    http_status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1
    retry_after_ms: int | None = None

    def __init__(self, **data: str | int | float | bool | None) -> None:
        self.data = data
        self.message = self.template.format_map(_Shown(data))
        self.next_step = self.hint.format_map(_Shown(data))
        super().__init__(self.message)

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            known = _by_code.setdefault(cls.code, cls)
            if known is not cls and known.__qualname__ != cls.__qualname__:
                raise TypeError(f"error code {cls.code!r} of {cls.__qualname__} is {known.__qualname__}'s")

    def to_fault(self) -> Fault:
        """The wire form of this error."""
        return Fault(self.code, self.message, self.next_step, dict(self.data), self.retry_after_ms)


class RemoteError(XosError):
    """Raised when a peer answers with a code that this process does not know; `fault` keeps it whole."""

    code = "xos.remote"

    def __init__(self, fault: Fault) -> None:
        super().__init__(detail=fault.message)
        self.fault = fault
        self.message, self.next_step = fault.message, fault.hint
        self.data = fault.data

    def to_fault(self) -> Fault:
        """The fault as it came: a relay changes nothing."""
        return self.fault


class InternalError(XosError):
    """Raised when our own code failed: the caller gets an incident number, the journal gets the traceback."""

    code = "xos.internal"
    template = "internal error (incident {incident})"
    hint = "The journal of the node holds the details under this incident number."


class _Shown(dict[str, object]):
    """Formats a missing value as ``?`` and cuts a hostile one, so that building an error never fails."""

    def __missing__(self, key: str) -> str:
        return "?"

    def __getitem__(self, key: str) -> object:
        value = super().__getitem__(key)
        if isinstance(value, str) and len(value) > _LONGEST:
            return value[:_LONGEST] + "…"
        return value


_LONGEST = 500


def from_fault(fault: Fault) -> XosError:
    """The error that `fault` stands for: of the class registered for its code, else a `RemoteError`."""
    cls = _by_code.get(fault.code)
    if cls is None or cls is RemoteError:
        return RemoteError(fault)
    error = cls.__new__(cls)
    Exception.__init__(error, fault.message)
    error.data, error.message, error.next_step = dict(fault.data), fault.message, fault.hint
    error.retry_after_ms = fault.retry_after_ms
    return error
