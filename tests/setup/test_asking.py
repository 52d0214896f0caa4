# SPDX-License-Identifier: BSD-3-Clause
"""What is not answered is asked for, until it will do."""

from __future__ import annotations

import io

import pytest

from xos.setup.asking import Asking, NobodyThere, NotConfirmed
from xos.setup.node.answers import Answers, Client, Core, Resource, Web
from xos.setup.node.ask import complete

from .test_answers import WORD


class Screen(io.StringIO):
    """A terminal: what is typed comes from a text."""

    def isatty(self) -> bool:
        return True


def asking(*lines: str) -> tuple[Asking, Screen]:
    """Somebody who types these lines, and the screen they see."""
    out = Screen()
    return Asking(Screen("".join(f"{line}\n" for line in lines)), out), out


def test_a_core_is_asked_for_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["short", "long enough", "different", "long enough", "long enough"])
    monkeypatch.setattr("xos.setup.asking.getpass.getpass", lambda *_: next(typed))
    asker, out = asking("-", "core1", "nonsense", "192.0.2.9", "127.0.0.1", "demo", "carol", "yes")
    made = complete(Answers(role="core"), asker)
    assert (made.hostname, made.address) == ("core1", "127.0.0.1")
    assert made.core == Core(vo="demo", administrator="carol", administrator_password="long enough")
    for told in ("That will not do: small", "not an IP address", "does not have that", "8 to 200", "not the same"):
        assert told in out.getvalue()


def test_what_is_answered_already_is_offered() -> None:
    asker, out = asking("", "", "", "", "yes")
    given = Answers(role="core", hostname="core1", address="127.0.0.1", core=Core(vo="demo", nodes=("n",)))
    assert complete(given, asker) == given
    assert "Host name [core1]" in out.getvalue()


def test_a_resource_node_is_asked_for_the_word_and_told_whose_it_is() -> None:
    asker, out = asking("xos1-", WORD, "many", "4", "UPPER", "demo other", "yes")
    assert complete(Answers(role="resource"), asker).resource == Resource(token=WORD, slots=4, vos=("demo", "other"))
    assert "node1" in out.getvalue()
    assert "10.0.0.1:6740" in out.getvalue()


def test_a_client_is_asked_for_the_core_and_its_ca() -> None:
    asker, _ = asking("core1", "xyz", "ab" * 32)
    assert complete(Answers(role="client"), asker).client == Client(core="core1", ca_fingerprint="ab" * 32)


def test_the_page_is_asked_for_the_word_and_what_people_type() -> None:
    asker, out = asking(WORD, "http://vo.example.org", "https://vo.example.org", "yes")
    assert complete(Answers(role="web"), asker).web == Web(token=WORD, url="https://vo.example.org")
    assert "That will not do: https://" in out.getvalue()


def test_anything_but_yes_does_nothing() -> None:
    asker, _ = asking("core1", "127.0.0.1", "", "y")
    with pytest.raises(NotConfirmed):
        complete(Answers(role="core"), asker)


@pytest.mark.parametrize("lines", [(), ("",) * 100, ("!",) * 100])
def test_what_answers_for_ever_wrongly_is_no_person(lines: tuple[str, ...]) -> None:
    asker, _ = asking(*lines)
    with pytest.raises(NobodyThere):
        complete(Answers(role="resource"), asker)


def test_nothing_is_coloured_unless_a_terminal_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    asker, out = asking("1")
    assert asker.choice("Which", [("a", "first"), ("b", "second")]) == "a"
    assert "\033" not in out.getvalue()
