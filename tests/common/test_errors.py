# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import re

import msgspec
import pytest

from xos.common import errors
from xos.common.errors import Fault, InternalError, RemoteError, XosError, from_fault


def every_error() -> list[type[XosError]]:
    found = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, XosError)]
    assert len(found) > 25
    return found


@pytest.mark.parametrize("cls", every_error(), ids=lambda cls: cls.code)
def test_each_class_says_when_it_is_raised_and_has_a_code_of_its_own(cls: type[XosError]) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z-]+", cls.code)
    assert [other for other in every_error() if other.code == cls.code] == [cls]
    assert (cls.__doc__ or "").startswith(("Raised when", "Root of"))
    assert (cls.__doc__ or "").startswith("Root of") or cls is RemoteError or cls.hint


OWN_ARGUMENTS = {RemoteError, errors.ConfigError, errors.PolicyInvalid}
"""Classes that are not made from any data whatever."""


def test_a_policy_that_is_invalid_survives_the_wire() -> None:
    error = errors.PolicyInvalid(document="node-policy.cedar", line=3, column=7, detail="why")
    again = from_fault(msgspec.msgpack.decode(msgspec.msgpack.encode(error.to_fault()), type=Fault))
    assert type(again) is errors.PolicyInvalid
    assert (again.message, again.next_step, again.data) == (error.message, error.next_step, error.data)


@pytest.mark.parametrize("cls", [cls for cls in every_error() if cls not in OWN_ARGUMENTS], ids=lambda cls: cls.code)
def test_each_class_survives_the_wire(cls: type[XosError]) -> None:
    error = cls(name="alice", detail="why", serial=7)
    error.retry_after_ms = 100
    again = from_fault(msgspec.msgpack.decode(msgspec.msgpack.encode(error.to_fault()), type=Fault))
    assert type(again) is cls
    assert (again.message, again.next_step, again.data) == (error.message, error.next_step, error.data)
    assert again.retry_after_ms == 100
    assert str(again) == str(error)


def test_an_unknown_code_is_kept_whole() -> None:
    fault = Fault("future.thing", "what it says", "what to do", {"a": 1}, 50)
    error = from_fault(fault)
    assert type(error) is RemoteError
    assert (str(error), error.message, error.next_step) == ("what it says", "what it says", "what to do")
    assert error.to_fault() is fault


def test_a_peer_cannot_make_us_build_the_relay_class() -> None:
    assert type(from_fault(Fault("xos.remote", "m"))) is RemoteError


def test_missing_and_hostile_data_never_fail() -> None:
    assert str(InternalError()) == "internal error (incident ?)"
    error = InternalError(incident="{0.__class__}" + "x" * 10_000)
    assert "{0.__class__}" in error.message
    assert len(error.message) < 600


def test_two_classes_cannot_share_a_code() -> None:
    with pytest.raises(TypeError, match="error code 'xos.internal'"):
        type("Impostor", (XosError,), {"code": "xos.internal"})
