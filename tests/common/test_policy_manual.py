# SPDX-License-Identifier: BSD-3-Clause
"""The rules in the manual are right."""

from __future__ import annotations

import re
from pathlib import Path

from xos.common.policy import PolicySet

MANUAL = Path(__file__).parents[2] / "docs/policies.md"


def test_every_rule_of_the_manual_is_right() -> None:
    blocks = re.findall(r"```cedar\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    rules = [rule for n, text in enumerate(blocks) for rule in PolicySet.parse({f"block{n}": text}).rules]
    assert len(rules) == 5
    assert all("/line " not in rule.name for rule in rules)
