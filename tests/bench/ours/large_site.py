# SPDX-License-Identifier: BSD-3-Clause
"""A core with its web page in this process, with a VO of 10,000 members or of ten: DATABASE SIZE DIRECTORY.

DATABASE is ``sqlite`` or ``postgresql``, SIZE ``large`` or ``small``. Requests: ``{"do": "pages", "calls" or
"decisions", "count": N}``; the answer has the median of the slowest, in ms, and DIRECTORY gets all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec
import uvloop

from support import databases
from support.large import FULL, Size, fill, fill_jobs, machine, member
from support.site import Browser, World, configuration, found_core, running
from xos.common.policy import JobContext, NodeAttributes
from xos.dixi.bus import GridBus
from xos.dixi.configuration import ServiceSettings
from xos.dixi.directory import DirectoryService, NodeRecord
from xos.dixi.transports import Endpoint
from xos.volife.grid import UserGrid
from xos.vom.api import By, JobQuestion, Period
from xos.vom.xati import RegistrationAsync, VOPSAsync

SMALL = Size(10, 1, 3, 1, 10, 10, 10, 10, 1)
VO = "demo"
PAGES = (
    "members",
    "members?after=user05000",
    "members?search=Number+77",
    "members?group=team7&role=Operator",
    "groups",
    "requests",
    "resources",
    "resources?after=node0500",
    "policies",
    "policies-decisions",
    "usage",
    "usage?days=365&by=resource",
    "audit",
    "audit?target=user00003",
    "jobs",
)
Work = Callable[[], Awaitable[object]]


class Site:
    """A running core, its manager's browser, and the manager's own connections."""

    def __init__(self, world: World, browser: Browser) -> None:
        self.world, self._browser = world, browser
        (session,) = world.site.sessions._people.values()
        self._grid: UserGrid = session.person.grid
        self._vops = VOPSAsync(GridBus(Endpoint(world.site.host.trust, world.daemon.credential), world.site.finder))
        """Called as the core machine, over TLS as from another one."""
        self._certificate: bytes = session.person.credential.certificate

    def work(self, what: str) -> Mapping[str, Work]:
        """What *what* means, by name."""
        if what == "pages":
            return {path: partial(self._look, f"/vo/{VO}/{path}") for path in PAGES}
        if what == "calls":
            return self._calls()
        question = JobQuestion(self._certificate, bytes(32), JobContext(), (NodeAttributes(machine(0)),))
        return {"decide_job": lambda: self._vops.decide_job(question)}

    async def _look(self, path: str) -> None:
        answer = await self._browser.get(path)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}: {answer.words[:300]}")

    def _calls(self) -> Mapping[str, Work]:
        grid, registration = self._grid, RegistrationAsync(self._grid)
        return {
            "list_vos": grid.xvoms.list_vos,
            "list_users": lambda: grid.xvoms.list_users(VO),
            "list_groups": lambda: grid.xvoms.list_groups(VO),
            "list_roles": lambda: grid.xvoms.list_roles(VO),
            "memberships": grid.xvoms.memberships,
            "list_requests": lambda: registration.list_requests(VO),
            "open_vos": registration.open_vos,
            "list_resources": lambda: grid.rca.list_resources(VO),
            "policies": lambda: grid.vops.policies(VO),
            "history": lambda: grid.vops.history(VO, limit=1000),
            "requests": lambda: grid.vops.requests(VO, limit=1000),
            "report by user": lambda: grid.accounting.report(VO, By.USER),
            "report by day": lambda: grid.accounting.report(VO, By.VO, period=Period.DAY),
            "records": lambda: grid.accounting.records(VO),
            "quotas": lambda: grid.accounting.quotas(VO),
            "trail": lambda: grid.audit.trail(VO, limit=1000),
            "list_jobs": lambda: grid.jobs.list_jobs(True, 1000, VO),
        }


@contextlib.asynccontextmanager
async def site(database: str, size: Size, directory: Path) -> AsyncIterator[Site]:
    """The site over *database* (a URL; empty: a file)."""
    await found_core(directory, database)
    await fill(directory / "data" / "vom", VO, size)
    jobs = directory / "jobs.sqlite"
    await fill_jobs(jobs, VO, "mia", size)
    config = configuration(directory, {})
    aem = {"JobManager": ServiceSettings(settings={"database": str(jobs)}), "JobDirectory": ServiceSettings()}
    async with running(msgspec.structs.replace(config, services={**config.services, **aem})) as world, _silent() as at:
        directories = [one for one, _ in world.daemon._services if isinstance(one, DirectoryService)]
        for i in range(size.machines):
            # As many machines fit no one: these are up, listen, and never say a word, the worst that a page can meet.
            record = NodeRecord(machine(i), at, ("ResourceManager",), ("resource",))
            directories[0]._records[record.node] = record
            directories[0]._until[record.node] = time.monotonic() + 1e6
        world.site.look(await directories[0].nodes())
        await world.user("mia", "VOManager", "ResourceAdmin")
        yield Site(world, await world.signed_in("mia"))


@contextlib.asynccontextmanager
async def _silent() -> AsyncIterator[str]:
    """Where somebody listens and never says a word."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(4096):
                continue
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()


async def measure(work: Mapping[str, Work], count: int) -> dict[str, list[float]]:
    """How long each takes, in ms, *count* times."""
    took: dict[str, list[float]] = {}
    for name, one in work.items():
        for _ in range(count):
            began = time.perf_counter()
            await one()
            took.setdefault(name, []).append((time.perf_counter() - began) * 1000)
    return took


def told(took: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median and 95th percentile of each."""
    return {
        name: {
            "median": round(statistics.median(all_), 2),
            "p95": round(sorted(all_)[min(len(all_) - 1, int(0.95 * len(all_)))], 2),
        }
        for name, all_ in took.items()
    }


@contextlib.contextmanager
def database(kind: str) -> Iterator[str]:
    """The URL of an empty one; empty for a file."""
    if kind == "sqlite":
        yield ""
        return
    tools = databases.installed()
    if tools is None:
        raise RuntimeError("PostgreSQL is not installed under /usr/lib/postgresql")
    with databases.server(tools) as server, databases.empty(server) as url:
        yield url


async def main(kind: str, size: str, results: Path) -> None:
    """Answer requests until the input ends."""
    assert member(5000) in PAGES[1]
    with database(kind) as url, tempfile.TemporaryDirectory(prefix="xos-large-") as directory:
        async with site(url, FULL if size == "large" else SMALL, Path(directory)) as made:
            print(json.dumps({"ready": True}), flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                request = json.loads(line)
                found = told(await measure(made.work(request["do"]), request["count"]))
                (results / f"{size}-{kind}-{request['do']}.json").write_text(json.dumps(found, indent=1) + "\n")
                slowest = max(found, key=lambda name: found[name]["median"])
                print(json.dumps({"ms": found[slowest]["median"], "slowest": slowest}), flush=True)


if __name__ == "__main__":
    try:
        uvloop.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
    except RuntimeError as error:
        print(json.dumps({"error": str(error)}), flush=True)
