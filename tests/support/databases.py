# SPDX-License-Identifier: BSD-3-Clause
"""Empty databases of each kind, as fixtures: a file, and a database of a real PostgreSQL server of our own."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa


@contextlib.contextmanager
def server(tools: Path) -> Iterator[str]:
    """A PostgreSQL cluster of our own on a Unix socket; its directory. *tools*: where ``initdb`` and ``pg_ctl`` are."""
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


def installed() -> Path | None:
    """Where the newest PostgreSQL of Debian's packages has its tools."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return found[-1].parent if found else None


@contextlib.contextmanager
def empty(server: str) -> Iterator[str]:
    """The URL of an empty database of *server*."""
    name = f"test_{secrets.token_hex(6)}"
    engine = sa.create_engine(
        f"postgresql+psycopg://postgres@/postgres?host={server}",
        poolclass=sa.pool.NullPool,
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:
        connection.execute(sa.text(f"create database {name}"))
    yield f"postgresql+psycopg://postgres@/{name}?host={server}"
    with engine.connect() as connection:
        connection.execute(sa.text(f"drop database {name} with (force)"))


class Cluster:
    """A PostgreSQL cluster below a directory, on a Unix socket there, which can be stopped and started."""

    def __init__(self, tools: Path, place: str) -> None:
        self.tools, self.place, self.data = tools, place, Path(place) / "data"
        self._user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
        if self._user is not None:
            shutil.chown(place, self._user)
        self._run(tools / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self.place} -c shared_buffers=8MB"
        self._control("-l", Path(self.place) / "log", "-o", options, "start")

    def stop(self) -> None:
        """At once, as in a crash: whatever runs is cut off."""
        self._control("-m", "immediate", "stop")

    def _control(self, *args: str | Path) -> None:
        self._run(self.tools / "pg_ctl", "-D", self.data, "-w", *args)

    def _run(self, *command: str | Path) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=self._user, cwd="/", timeout=18)


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """A started cluster of one's own. Skips when there is none to start."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found:
        pytest.skip("PostgreSQL is not installed under /usr/lib/postgresql")
    with tempfile.TemporaryDirectory(prefix="xos-pg-") as place:
        made = Cluster(found[-1].parent, place)
        made.start()
        try:
            yield made
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):  # a test has stopped it
                made.stop()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL cluster for all tests on a Unix socket; its directory. Skips when there is none to start."""
    with cluster() as made:
        yield made.place


@contextlib.contextmanager
def empty_database(server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of the server whose socket is in that directory."""
    name = f"test_{secrets.token_hex(6)}"
    engine = sa.create_engine(
        f"postgresql+psycopg://postgres@/postgres?host={server}",
        poolclass=sa.pool.NullPool,
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:
        connection.execute(sa.text(f"create database {name}"))
    yield f"postgresql+psycopg://postgres@/{name}?host={server}"
    with engine.connect() as connection:
        connection.execute(sa.text(f"drop database {name} with (force)"))


@pytest.fixture
def postgresql(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    with empty_database(postgresql_server) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Path or URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "store.db")
    return str(request.getfixturevalue("postgresql"))
