# SPDX-License-Identifier: BSD-3-Clause
"""A large VO: it comes in one go, and what a page shows does not grow with it. How long pages take: ``make bench``."""

from __future__ import annotations

import csv
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.large import Size, fill

from .conftest import World, configuration, running

MEMBERS = 10_000
LINES = "name,group,full_name,roles\n" + "".join(
    f"user{i:05},group{i % 50},Person Number {i},{'Operator' if i % 7 == 0 else ''}\n" for i in range(MEMBERS)
)
SIZE = Size(members=1500, machines=300, policies=200, requests=300, acts=1500, records=3000, decisions=300, quotas=50)
LISTINGS = {
    "/vo/demo/members": 100,
    "/vo/demo/members?search=Person": 100,
    "/vo/demo/requests": 100,
    "/vo/demo/resources": 100,
    "/vo/demo/policies": 200,
    "/vo/demo/policies-decisions": 50,
    "/vo/demo/usage?days=365": 150,
    "/vo/demo/usage?days=365&by=resource": 150,
    "/vo/demo/audit": 100,
}
"""How many rows each page shows at most; that of usage has a table of quotas too."""


@pytest.fixture
async def large(founded: Path, tmp_path: Path) -> AsyncIterator[World]:
    shutil.copytree(founded, tmp_path, dirs_exist_ok=True)
    await fill(tmp_path / "data" / "vom", "demo", SIZE)
    async with running(configuration(tmp_path, {})) as made:
        yield made


@pytest.mark.timeout(120)
async def test_a_vo_with_ten_thousand_members_is_imported_in_one_go(world: World) -> None:
    await world.user("mia", "VOManager")
    browser = await world.signed_in("mia")
    await browser.get("/vo/demo/members-import")
    answer = await browser.post("/vo/demo/members-import", None, action="import", form="csv", text=LINES)
    assert f"{MEMBERS} members are added" in answer.words.replace("\N{NARROW NO-BREAK SPACE}", "")


@pytest.mark.timeout(60)
async def test_each_listing_shows_a_bounded_number_of_rows_and_leads_on_to_the_rest(large: World) -> None:
    await large.user("mia", "VOManager", "ResourceAdmin")
    browser = await large.signed_in("mia")
    for path, most in LISTINGS.items():
        answer = await browser.get(path)
        assert answer.status == 200, path
        shown = answer.text.count("<tr>") - answer.text.count("<thead>") or answer.text.count('class="card"')
        assert shown <= most, f"{path} shows {shown} rows"
        assert "/policies" in path or 'class="pager"' in answer.text or "Older" in answer.text, path


@pytest.mark.timeout(60)
async def test_what_is_downloaded_is_all_there_is_each_line_once(large: World) -> None:
    await large.user("mia", "VOManager")
    browser = await large.signed_in("mia")
    acts = [*csv.DictReader((await browser.get("/vo/demo/audit.csv")).text.splitlines())]
    assert [int(act["number"]) for act in acts] == list(range(len(acts), 0, -1))
    assert len(acts) >= SIZE.acts
    assert {act["act"] for act in acts} >= {"user-added", "vo-created"}
    records = [*csv.DictReader((await browser.get("/vo/demo/usage-records.csv?days=365")).text.splitlines())]
    assert len({record["record_id"] for record in records}) == len(records) == SIZE.records
    sums = [*csv.DictReader((await browser.get("/vo/demo/usage.csv?days=365")).text.splitlines())]
    assert sum(int(line["units"]) for line in sums) == SIZE.records
    assert len({(line["period"], line["subject"]) for line in sums}) == len(sums)
