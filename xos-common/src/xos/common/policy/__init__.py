# SPDX-License-Identifier: BSD-3-Clause
"""Policies in Cedar: who may do what, of a VO and of a node, in one language and against one schema.

policies = PolicySet.parse({"node-policy.cedar": text})       # checked against the schema: PolicyInvalid says where
decision = policies.decide(Request(alice, Action.LOGIN, node, LoginContext(service="sshd", time=Time.at(now))))
decision.allowed, decision.reasons                            # False, ("node-policy.cedar/no-guests",)
"""

from xos.common.policy.engine import Decision, PolicySet, Rule
from xos.common.policy.request import (
    Action,
    AdministrationContext,
    JobContext,
    LoginContext,
    NodeAttributes,
    Request,
    Time,
    Used,
    VoAttributes,
)
from xos.common.policy.syntax import MAX_BYTES, schema_text

__all__ = [
    "MAX_BYTES",
    "Action",
    "AdministrationContext",
    "Decision",
    "JobContext",
    "LoginContext",
    "NodeAttributes",
    "PolicySet",
    "Request",
    "Rule",
    "Time",
    "Used",
    "VoAttributes",
    "schema_text",
]
