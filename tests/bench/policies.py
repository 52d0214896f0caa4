# SPDX-License-Identifier: BSD-3-Clause
"""Two hundred rules, the same for both sides: over groups, nodes and jobs, of which some fit and most do not."""

from __future__ import annotations

RULES = 200


def text(count: int = RULES) -> str:
    """A document of *count* rules that forbid; none of them forbids a job of one core."""
    rules = (
        f'@id("rule-{i}") forbid (principal in Group::"demo/team{i % 50}", action == Action::"runJob", resource)\n'
        f"when {{ context.cores > {1 + i % 8} && resource.memory < {1 << 40} && context.used.cpuSeconds >= 0 }}\n"
        f'unless {{ principal.roles.contains("Operator{i}") }};\n'
        for i in range(count)
    )
    return "".join(rules)
