# SPDX-License-Identifier: BSD-3-Clause
"""The file system on the page, with the real services behind it."""

from __future__ import annotations

import pytest

from support.daemons import eventually
from support.site import FILES
from xos.volife import charts
from xos.xtreemfs.api import Access, Ask, Open, Policy, Quota, ServiceRecord
from xos.xtreemfs.client.volume import opened_volume
from xos.xtreemfs.dir import store as kept
from xos.xtreemfs.dir.service import DirService
from xos.xtreemfs.xati import DIRAsync, MRCAsync

from .conftest import Browser, World

pytestmark = pytest.mark.timeout(60)  # a whole core in one process, on a machine that may be busy


@pytest.fixture
def more() -> tuple[str, ...]:
    return FILES


@pytest.fixture
async def manager(world: World) -> Browser:
    """The browser of a manager of a VO that has a volume with a file on it."""
    bus = world.daemon.bus
    await MRCAsync(bus).make_volume("data", 0o755, Policy(), 1 << 20, Ask())
    await MRCAsync(bus).set_quota("data", Quota("user", "vera@demo", 2 << 20), Ask())
    for _ in eventually(30.0):
        if await DIRAsync(bus).volumes():
            break
    async with opened_volume(bus, "data") as volume:
        wanted = Open(Access.WRITE, create=True)
        async with await volume.open_name(volume.root, b"file", wanted) as file:
            await file.write(0, bytes(512 << 10))
    await world.user("vera", "VOManager")
    return await world.signed_in("vera")


async def test_volumes_are_shown_with_what_they_hold_and_may(manager: Browser) -> None:
    words = await shown(manager, "/vo/demo/files", "512 KiB / 1 MiB")  # the DIR hears of volumes behind
    for text in ("data root@core", "on one OSD", "1 / 1 OSDs online", "DIR core", "MRC core", "core – "):
        assert text in words, text
    volume = (await manager.get("/vo/demo/files/volumes/data")).words
    for text in ("512 KiB / 1 MiB", "vera@demo", "0 B / 2 MiB", "mount.xtreemfs data"):
        assert text in volume, text


async def shown(browser: Browser, path: str, text: str) -> str:
    """The words of a page, as soon as it says *text*."""
    words = ""
    for _ in eventually(30.0):
        words = (await browser.get(path)).words
        if text in words:
            break
    return words


@pytest.mark.parametrize(
    ("kind", "texts"), [("DIR", ("volumes",)), ("MRC", ("begin",)), ("OSD", ("shares of files", "of its disk in use"))]
)
async def test_each_service_has_its_page(manager: Browser, kind: str, texts: tuple[str, ...]) -> None:
    words = await shown(manager, f"/vo/demo/files/services/{kind}/core", "calls since it started")
    for text in (f"{kind} core", "Version", *texts):
        assert text in words, text


async def test_a_service_that_does_not_answer_is_shown_with_what_to_do(manager: Browser, world: World) -> None:
    registered = ServiceRecord("OSD", "node7", 1 << 40, 1 << 39)
    registry = next(service for service, _ in world.daemon._services if isinstance(service, DirService))
    await (await registry._opening).write(lambda db: kept.enter(db, registered, []))
    words = (await manager.get("/vo/demo/files/services/OSD/node7")).words
    assert "systemctl status dixid@resource" in words
    assert "If it does not come back, remove it." in words
    await DIRAsync(world.daemon.bus).suspect("OSD", "node7")
    assert "512 GiB" in await shown(manager, "/vo/demo/files", "OSD node7 is suspect")


async def test_an_osd_that_serves_other_vos_too_is_not_this_vos_to_drain(manager: Browser) -> None:
    await manager.get("/vo/demo/files/services/OSD/core")
    page = await manager.get("/vo/demo/files/services/OSD/core")
    assert "xtfs_chstatus core draining" in page.words
    assert "Drain it" not in page.words
    refused = await manager.post("/vo/demo/files/services/OSD/core", action="draining")
    assert (refused.status, "Permission denied" in refused.words) == (409, True)


@pytest.mark.parametrize(
    "path", ["services/OSD/node9", "services/JobManager/core", "services/%00/core", "volumes/none", "volumes/%ff"]
)
async def test_what_is_not_there_is_told(manager: Browser, path: str) -> None:
    assert (await manager.get(f"/vo/demo/files/{path}")).status in (404, 409)


def test_levels_are_drawn_to_one_scale() -> None:
    drawn = str(charts.levels("disks", [("node1", 1.0, 4.0), ("<b>", 9.0, 2.0), ("node3", 0.0, 0.0)], "GiB"))
    assert 'class="whole" x="110.0" y="12.0" width="180.0"' in drawn
    assert 'class="bar" x="110.0" y="12.0" width="45.0"' in drawn
    assert "&lt;b&gt;" in drawn
    assert "9 / 2 GiB" in drawn
