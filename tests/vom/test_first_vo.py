# SPDX-License-Identifier: BSD-3-Clause
"""The chapter "Run your first VO", typed line by line against a real daemon; and the page "Who may do what"."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from xos.vom import roles_page
from xos.vom.policy import Standing

from .conftest import PASSWORD
from .test_commands import Core, Done, run

DOCS = Path(__file__).parents[2] / "docs"
CHAPTER = DOCS / "first-vo.md"
PROMPT = re.compile(r"(\w+)[#$] (.+)")
ASKS = (("xos-vo", "add-user"), ("xos-vo", "ask"), ("get-xos-cert",))
"""Commands that ask for a password."""
LIST = "name,groups,full_name,email\n" + "".join(
    f"user{i},detectors,User {i},user{i}@institute.example\n" for i in range(30)
)
SAYS = {
    "xos-vo open": "physics",
    "xos-vo requests physics": "Alice Example",
    "view-xos-cert": "detectors.atlas",
    "xos-vo import physics members.csv --dry-run": "30 users would be new in physics",
    "xos-vo import physics members.csv": "30 users are new in physics",
    "xos-vo list-users physics --search institute.example": "user29",
    "xos-vo show physics alice": "institute=INRIA",
    "xos-resource show core": "rennes",
    "xos-vo identities physics alice": "248289761001",
    "xos-vo archives": "carl@physics",
    "xos-vo archive physics": '"user29"',
}


@pytest.fixture(params=["sqlite", "postgresql"])
def core(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Core]:
    made = Core(tmp_path, "" if request.param == "sqlite" else str(request.getfixturevalue("postgresql")))
    made.home("core", made.credential)
    made.start()
    yield made
    made.end(signal.SIGTERM)


def lines() -> list[tuple[str, str]]:
    """Who types what, in the order of the chapter."""
    blocks = re.findall(r"```console\n(.*?)```", CHAPTER.read_text(encoding="utf-8"), re.DOTALL)
    found = [PROMPT.fullmatch(line) for block in blocks for line in block.splitlines()]
    assert all(found)
    return [(match[1], match[2]) for match in found if match]


def typed(home: Path, line: str, request: str) -> Done:
    words = shlex.split(line.replace("REQUEST", request))
    if tuple(words[: 1 if words[0] == "get-xos-cert" else 2]) in ASKS:
        words += ["--password-file", str(home / "password")]
    return run(home, *words)


@pytest.mark.timeout(180)
def test_the_chapter_is_true(core: Core) -> None:
    request, said = "", {}
    for who, line in lines():
        home = core.home(who)
        (home / "password").write_text(PASSWORD)
        (home / "members.csv").write_text(LIST)
        done = typed(home, line, request)
        assert done.status == 0, f"{who}: {line}\n{done.err}"
        said[line] = done.out
        if line.startswith("xos-vo ask"):
            request = done.out.strip()
    for line, text in SAYS.items():
        assert text in said[line], line
    late = run(core.home("alice"), "xos-vo", "memberships")
    assert late.status != 0
    assert "revoked" in late.err


def test_the_page_is_made_from_the_table() -> None:
    made = (DOCS / "who-may-do-what.md").read_text(encoding="utf-8")
    assert made == roles_page.page(), "python -m xos.vom.roles_page > docs/who-may-do-what.md"
    assert {standing for standing, _ in roles_page.COLUMNS} == set(Standing)
