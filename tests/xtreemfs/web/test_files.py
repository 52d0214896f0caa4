# SPDX-License-Identifier: BSD-3-Clause
"""Anybody's HTTP client lists directories and reads files by their path, with its user's rights; judged by curl."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import random
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from support.daemons import eventually
from support.filegrid import FileGrid, file_grid
from xos.xtreemfs.api import Access, Claim, Open, Policy, Striping, Update
from xos.xtreemfs.client.volume import VolumeClient, opened_volume

pytestmark = pytest.mark.timeout(90)  # real daemons, on a machine that may be busy

ALICE = Claim("alice@demo", ("users@demo",), "users@demo")
CONTENT = random.Random(3).randbytes(9_000_001)


class Answer(msgspec.Struct):
    status: int
    body: bytes
    headers: dict[str, str]
    connections: int
    exit: int

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> Any:
        return self.json["code"]


class Curl:
    """curl with a user's certificate, or none."""

    def __init__(self, grid: FileGrid, user: str | None) -> None:
        self._grid, self._out = grid, grid.place / f"out-{user}"
        home = grid.home_of(user or "alice")
        self._options = ["--cacert", str(home / "ca.pem")]
        if user is not None:
            self._options += ["--cert", str(home / "user.pem"), "--key", str(home / "user.key")]

    async def __call__(self, path: str, *options: str) -> Answer:
        head, out = self._out.with_suffix(".head"), self._out
        for one in (head, out):
            one.unlink(missing_ok=True)
        command = ["curl", "-s", "--max-time", "60", "--path-as-is", *self._options, "-o", str(out), "-D", str(head)]
        process = await asyncio.create_subprocess_exec(
            *command, "-w", "%{http_code} %{num_connects}\n", *options,
            f"https://127.0.0.1:{self._grid.core.https}{path}", stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, _ = await process.communicate()
        statuses = [line.split() for line in said.splitlines()]
        lines = head.read_text().splitlines() if head.exists() else []
        headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
        body = out.read_bytes() if out.exists() else b""
        assert process.returncode is not None
        connections = sum(int(line[1]) for line in statuses)
        return Answer(int(statuses[-1][0]), body, headers, connections, process.returncode)


@contextlib.asynccontextmanager
async def client(grid: FileGrid, volume: str) -> AsyncIterator[VolumeClient]:
    bus = grid.async_bus()
    try:
        async with opened_volume(bus, volume, client="a test") as made:
            yield made
    finally:
        bus.close()


async def _placed(volume: VolumeClient) -> bool:
    """Whether the MRC has heard of OSDs enough."""
    wanted = Open(Access.WRITE, create=True, mode=0o600)
    try:
        async with await volume.open_name(volume.root, b"probe", wanted, ALICE) as made:
            await made.write(0, b"x")
    except OSError as error:
        assert error.errno == errno.ENOSPC, error  # noqa: PT017
        return False
    await volume.unlink(volume.root, b"probe", ALICE)
    return True


async def _fill(grid: FileGrid, name: str) -> None:
    async with client(grid, name) as volume:
        for _ in eventually(30.0):
            if await _placed(volume):
                break
        home = await volume.create(volume.root, b"alice", stat.S_IFDIR | 0o755, 0, None, ALICE)
        for file, mode in ((b"data.bin", 0o644), (b"secret", 0o600), (b"a b:\xff", 0o644), (b"page.html", 0o644)):
            wanted = Open(Access.WRITE, create=True, mode=mode)
            async with await volume.open_name(home.id, file, wanted, ALICE) as made:
                await made.write(0, CONTENT if file == b"data.bin" else b"hidden" if file == b"secret" else b"<b>")
        await volume.create(home.id, b"link", stat.S_IFLNK | 0o777, 0, b"data.bin", ALICE)
        await volume.create(home.id, b"loop", stat.S_IFLNK | 0o777, 0, b"loop", ALICE)
        await volume.create(home.id, b"fifo", stat.S_IFIFO | 0o644, 0, None, ALICE)


@pytest.fixture(scope="module")
def grid() -> Iterator[FileGrid]:
    striped = Policy(Striping(size=64 << 10, width=3))
    copies = Policy(update=Update.QUORUM, replicas=3)
    with file_grid(3) as made:
        for volume, policy in (("plain", None), ("striped", striped), ("copies", copies)):
            made.make_volume(volume, policy, 0o1777)
            asyncio.run(_fill(made, volume))
        yield made


@pytest.fixture
def alice(grid: FileGrid) -> Curl:
    return Curl(grid, "alice")


@pytest.mark.parametrize("volume", ["plain", "striped", "copies"])
async def test_a_file_is_read_by_its_path_whole_in_parts_and_through_a_link(alice: Curl, volume: str) -> None:
    path = f"/Files/{volume}/alice/data.bin"
    answer = await alice(path)
    assert (answer.status, answer.body == CONTENT) == (200, True)
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert (await alice(f"/Files/{volume}/alice/link")).body == CONTENT
    part = await alice(path, "-r", "5000000-5100000")
    assert (part.status, part.body) == (206, CONTENT[5_000_000:5_100_001])
    assert part.headers["content-range"] == f"bytes 5000000-5100000/{len(CONTENT)}"
    assert (await alice(path, "-r", "-10")).body == CONTENT[-10:]
    assert (await alice(path, "-r", "9000000-")).body == CONTENT[-1:]
    beyond = await alice(path, "-r", "9000001-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")
    head = await alice(path, "-I")
    assert (head.status, head.headers["content-length"]) == (200, str(len(CONTENT)))


async def test_a_download_that_broke_off_goes_on_and_what_is_known_is_not_sent_again(alice: Curl) -> None:
    path = "/Files/plain/alice/data.bin"
    first = await alice(path, "-I")
    tag, since = first.headers["etag"], first.headers["last-modified"]
    for condition in (f"If-None-Match: {tag}", f"If-Modified-Since: {since}"):
        again = await alice(path, "-H", condition)
        assert (again.status, again.body) == (304, b"")
    assert (await alice(path, "-H", 'If-None-Match: "other"', "-r", "0-0")).status == 206
    assert (await alice(path, "-H", f"If-Range: {tag}", "-r", "0-0")).status == 206
    assert (await alice(path, "-H", 'If-Range: "other"', "-r", "0-0")).body == CONTENT
    assert (await alice(path, "-H", 'If-Match: "other"')).code == "xtreemfs.not-as-expected"


async def test_several_requests_go_over_one_connection(alice: Curl, grid: FileGrid) -> None:
    more = f"https://127.0.0.1:{grid.core.https}/Files/plain/alice/link"
    answer = await alice("/Files/plain/alice/data.bin", "--next", "-s", *alice._options, "-o", "/dev/null",
                         "-w", "%{http_code} %{num_connects}\n", more)  # fmt: skip
    assert (answer.status, answer.connections) == (200, 1)


async def test_a_directory_is_listed_for_programs_and_for_people(alice: Curl) -> None:
    listing = await alice("/Files/plain/alice/")
    entries = {one["name"]: one for one in listing.json["entries"]}
    assert listing.json["path"] == "plain/alice"
    assert set(entries) == {"data.bin", "secret", "a b:\\xff", "page.html", "link", "loop", "fifo"}
    assert entries["data.bin"]["size"] == len(CONTENT)
    assert (entries["secret"]["owner"], entries["secret"]["mode"]) == ("alice@demo", 0o600)
    assert (await alice("/Files/plain/alice/" + entries["a b:\\xff"]["href"])).body == b"<b>"
    moved = await alice("/Files/plain/alice")
    assert (moved.status, moved.headers["location"]) == (308, "/files/plain/alice/")
    assert (await alice("/Files/plain/alice", "-L")).json == listing.json
    html = await alice("/Files/plain/alice/", "-H", "Accept: text/html,*/*")
    assert html.headers["content-type"] == "text/html; charset=utf-8"
    assert b'<a href="data.bin">data.bin</a>' in html.body
    volumes = await alice("/Files/")
    assert {one["href"] for one in volumes.json["entries"]} >= {"plain/", "striped/", "copies/"}


async def test_a_file_in_a_browser_runs_nothing(alice: Curl) -> None:
    page = await alice("/Files/plain/alice/page.html")
    assert page.headers["content-type"] == "text/html"
    assert page.headers["content-security-policy"].startswith("sandbox;")
    assert page.headers["x-content-type-options"] == "nosniff"


async def test_rights_are_those_of_the_user(grid: FileGrid, alice: Curl) -> None:
    assert (await alice("/Files/plain/alice/secret")).body == b"hidden"
    bob = Curl(grid, "bob")
    refused = await bob("/Files/plain/alice/secret")
    assert (refused.status, refused.code) == (403, "xtreemfs.denied")
    assert (await bob("/Files/plain/alice/data.bin")).body == CONTENT
    assert (await bob("/Files/plain/alice/new", "-T", "/dev/null")).status == 403
    assert (await bob("/Files/plain/alice/data.bin", "-X", "DELETE")).status == 403
    nobody = await Curl(grid, None)("/Files/plain/alice/data.bin")
    assert (nobody.status, nobody.code) == (401, "dixi.no-certificate")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/Files/plain/alice/none", 404, "xtreemfs.no-path"),
        ("/Files/plain/alice/data.bin/x", 404, "xtreemfs.no-path"),
        ("/Files/none/x", 404, "xtreemfs.unknown-volume"),
        ("/Files/plain/alice/loop", 400, "xtreemfs.bad-path"),
        ("/Files/plain/alice/fifo", 409, "xtreemfs.in-the-way"),
        ("/Files/plain/" + "n" * 300, 400, "xtreemfs.bad-path"),
        ("/Files/plain/..%2f..%2fetc", 400, "xtreemfs.bad-path"),
        ("/Files/plain/%00", 400, "xtreemfs.bad-path"),
    ],
)
async def test_what_cannot_be_read_is_told_clearly(alice: Curl, path: str, status: int, code: str) -> None:
    answer = await alice(path)
    assert (answer.status, answer.code) == (status, code)


async def test_what_is_put_takes_the_place_of_what_was_there_at_once(alice: Curl, tmp_path: Path) -> None:
    path = f"/Files/copies/alice/{quote('neu & alt')}"
    (tmp_path / "one").write_bytes(CONTENT)
    made = await alice(path, "-T", str(tmp_path / "one"))
    assert made.status == 201, made.body
    assert hashlib.sha256((await alice(path)).body).digest() == hashlib.sha256(CONTENT).digest()
    assert (await alice(path, "-H", "If-None-Match: *", "-T", str(tmp_path / "one"))).status == 412
    assert (await alice(path, "-H", f"If-Match: {made.headers['etag']}", "-d", "short", "-X", "PUT")).status == 204
    assert (await alice(path)).body == b"short"
    assert (await alice(path, "-H", f"If-Match: {made.headers['etag']}", "-d", "old", "-X", "PUT")).status == 412
    assert (await alice("/Files/copies/alice/", "-d", "x", "-X", "PUT")).status == 400
    assert (await alice("/Files/copies/alice", "-d", "x", "-X", "PUT")).code == "xtreemfs.in-the-way"
    assert (await alice("/Files/copies/alice/", "-X", "DELETE")).code == "xtreemfs.in-the-way"
    assert (await alice(path, "-X", "DELETE")).status == 204
    assert (await alice(path)).status == 404
    assert (await alice("/Files/copies/", "-X", "DELETE")).status == 400
    assert (await alice(path, "-X", "PATCH")).code == "dixi.not-allowed"


async def test_an_upload_that_breaks_off_leaves_nothing(alice: Curl, grid: FileGrid, tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(bytes(50_000_000))
    async with client(grid, "plain") as volume:
        home = (await volume.resolve("/alice")).id
        before = len(await volume.readdir(home, 0, 100))
        slow = ("--limit-rate", "1M", "--max-time", "1", "-T", str(tmp_path / "long"))
        assert (await alice("/Files/plain/alice/broken", *slow)).exit == 28
        for _ in eventually(30.0):
            if len(await volume.readdir(home, 0, 100)) == before:
                break
    assert (await alice("/Files/plain/alice/broken")).status == 404


async def test_what_files_answer_is_described(alice: Curl) -> None:
    paths = (await alice("/openapi.json")).json["paths"]
    assert {"get", "head", "put", "delete"} <= set(paths["/Files/{volume}/{path}"])
    assert (await alice("/Files/ping")).json["service"] == "Files"
    lines = await alice("/Files/entries?volume=plain&path=/alice")
    assert msgspec.json.decode(lines.body.splitlines()[0])["name"] == "data.bin"
