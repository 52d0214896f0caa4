# SPDX-License-Identifier: BSD-3-Clause
"""A VO CA with its holders, and databases, for the tests of the ground room."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings

from xos.common.certificate import Authority, make_csr, make_key
from xos.common.identity import Identity, Kind
from xos.common.tls import Credential, Trust

# A busy machine is no reason to call an example slow; pytest has its own time limit.
settings.register_profile("xos", deadline=None)
settings.load_profile("xos")

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


# --- databases ---


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL cluster of our own on a Unix socket; its directory. Skips when there is none to start."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found:
        pytest.skip("PostgreSQL is not installed under /usr/lib/postgresql")
    tools = found[-1].parent
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    with tempfile.TemporaryDirectory(prefix="xos-pg-") as name:
        if user is not None:
            shutil.chown(name, user)

        def run(*command: str | Path) -> None:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=user, cwd="/", timeout=18)

        data = Path(name) / "data"
        run(tools / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        options = f"-c listen_addresses= -c unix_socket_directories={name} -c shared_buffers=8MB"
        run(tools / "pg_ctl", "-D", data, "-w", "-l", Path(name) / "log", "-o", options, "start")
        try:
            yield name
        finally:
            run(tools / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


@pytest.fixture
def postgresql(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    name = f"test_{secrets.token_hex(6)}"
    engine = sa.create_engine(
        f"postgresql+psycopg://postgres@/postgres?host={postgresql_server}",
        poolclass=sa.pool.NullPool,
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:
        connection.execute(sa.text(f"create database {name}"))
    yield f"postgresql+psycopg://postgres@/{name}?host={postgresql_server}"
    with engine.connect() as connection:
        connection.execute(sa.text(f"drop database {name} with (force)"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Path or URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    return str(request.getfixturevalue("postgresql"))
