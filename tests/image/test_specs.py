# SPDX-License-Identifier: BSD-3-Clause
"""What rpm says of a spec is checked before anything is built."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from xos.image.errors import BadSpec
from xos.image.rpms.specs import decode

GOOD: dict[str, Any] = {
    "path": "/specs/one.spec",
    "name": "one",
    "version": "1",
    "packages": ["one"],
    "provides": ["one"],
    "build_requires": [],
    "sources": ["src"],
    "changelog": True,
}


def read(**changed: Any) -> object:
    return decode(msgspec.json.encode([GOOD | changed]), Path("/here/specs"))


def test_a_good_spec_is_named_by_its_place_here() -> None:
    (spec,) = decode(msgspec.json.encode([GOOD]), Path("/here/specs"))
    assert spec.file == Path("/here/specs/one.spec")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"error": "line 3: Unknown tag: Nmae: one"}, "line 3: Unknown tag"),
        ({"name": "two"}, "wants to be in two.spec"),
        ({"sources": []}, "xos_sources"),
        ({"changelog": False}, "%changelog"),
    ],
)
def test_a_bad_spec_is_told_with_its_file(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(BadSpec) as error:
        read(**changed)
    assert error.value.message.startswith("/here/specs/one.spec: ")
    assert told in error.value.message
