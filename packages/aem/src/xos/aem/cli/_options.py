# SPDX-License-Identifier: BSD-3-Clause
"""Values from the command line, checked as those in a job description are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from xos.aem.jsdl import DescriptionError

T = TypeVar("T")
V = TypeVar("V")


def option(name: str, rule: Callable[[V], T], value: V) -> T:
    """*value* in its normal form; a `DescriptionError` names the option *name*."""
    try:
        return rule(value)
    except DescriptionError as e:
        raise e.located(name, None) from None
