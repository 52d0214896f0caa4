# SPDX-License-Identifier: BSD-3-Clause
"""A VO CA with its holders, and databases, for the tests of the ground room."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import settings

from support.databases import database, postgresql, postgresql_server
from xos.common.certificate import Authority, make_csr, make_key
from xos.common.identity import Identity, Kind
from xos.common.tls import Credential, Trust

# A busy machine is no reason to call an example slow; pytest has its own time limit.
settings.register_profile("xos", deadline=None)
settings.load_profile("xos")

__all__ = ["database", "postgresql", "postgresql_server"]  # fixtures

ALICE = Identity(
    Kind.USER, "alice", vo="demo", group="users", groups=("physics.atlas", "Ops"), roles=("VOAdmin",), vos=("other",)
)


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.create("demo VO CA")


@pytest.fixture(scope="session")
def stranger() -> Authority:
    """Another VO's CA, of the same name."""
    return Authority.create("demo VO CA")


@pytest.fixture
def trust(authority: Authority) -> Trust:
    return Trust([authority.der])


@pytest.fixture(scope="session")
def issue(authority: Authority) -> Callable[..., Credential]:
    """``issue()``: alice; ``issue("node1")``: a machine; *at* moves the moment of issue, *ca* the issuer."""

    def _issue(
        node: str | None = None,
        *,
        at: float | None = None,
        ca: Authority = authority,
        identity: Identity = ALICE,
        lifetime_s: float = 3600,
    ) -> Credential:
        key = make_key()
        if node is None:
            return Credential(ca.issue_user(make_csr(key, "x"), identity, lifetime_s, at=at), key)
        der = ca.issue_machine(make_csr(key, "x"), node, ["resource"], ["127.0.0.1"], lifetime_s, at=at)
        return Credential(der, key)

    return _issue


@pytest.fixture
def alice(issue: Callable[..., Credential]) -> Credential:
    return issue()


@pytest.fixture
def node(issue: Callable[..., Credential]) -> Credential:
    return issue("node1")


@pytest.fixture
def now() -> float:
    return time.time()
