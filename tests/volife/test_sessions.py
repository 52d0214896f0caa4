# SPDX-License-Identifier: BSD-3-Clause
"""Sessions: who has one, how long, and what ends it."""

from __future__ import annotations

import pytest

from support.dixi import Grid, make_grid
from xos.volife.errors import SessionOver, TooManySessions
from xos.volife.grid import UserGrid
from xos.volife.sessions import MOST_OF_ONE, MOST_VISITORS, Session, Sessions


class Watch:
    """A clock, and grids that tell whether they were closed."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.closed = 0

    def grid(self) -> UserGrid:
        watch = self

        class Fake:
            def close(self) -> None:
                watch.closed += 1

            def tend(self, now: float) -> None:
                """Nothing is open."""

        return Fake()  # type: ignore[return-value]


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def grid() -> Grid:
    return make_grid()


@pytest.fixture
def sessions(grid: Grid, watch: Watch) -> Sessions:
    watch.now = grid.user.identity.not_before + 600.0
    return Sessions(grid.trust, lambda: watch.now, idle_s=600, longest_s=1800, most=100)


def _enter(sessions: Sessions, watch: Watch, grid: Grid, name: str = "alice") -> tuple[Session, str, str]:
    visitor, planted = sessions.visit()
    session, token = sessions.sign_in(visitor, grid.make_user(name), watch.grid(), "password")
    return session, token, planted


def test_signing_in_gives_a_new_token_and_the_one_before_is_worth_nothing(
    sessions: Sessions, watch: Watch, grid: Grid
) -> None:
    session, token, planted = _enter(sessions, watch, grid)
    assert token != planted
    assert sessions.find(planted) is None
    assert sessions.find(token) is session


@pytest.mark.parametrize("token", ["", "x", "\ud800", "0" * 100_000])
def test_a_token_that_was_never_given_out_is_nobodys(token: str, sessions: Sessions) -> None:
    assert sessions.find(token) is None


def test_an_idle_session_ends_and_says_why(sessions: Sessions, watch: Watch, grid: Grid) -> None:
    _, token, _ = _enter(sessions, watch, grid)
    watch.now += 601
    with pytest.raises(SessionOver, match="nothing was done"):
        sessions.find(token)
    assert sessions.find(token) is None, "told once"
    assert watch.closed == 1, "its connections are closed"


def test_what_programs_in_the_page_ask_does_not_keep_a_session(sessions: Sessions, watch: Watch, grid: Grid) -> None:
    _, token, _ = _enter(sessions, watch, grid)
    watch.now += 500
    assert sessions.find(token, touch=False) is not None
    watch.now += 500
    with pytest.raises(SessionOver):
        sessions.find(token)


def test_a_busy_session_ends_at_its_full_length(sessions: Sessions, watch: Watch, grid: Grid) -> None:
    _, token, _ = _enter(sessions, watch, grid)
    for _ in range(6):
        watch.now += 300
        assert sessions.find(token) is not None
    watch.now += 1
    with pytest.raises(SessionOver, match="full length"):
        sessions.find(token)


def test_a_session_does_not_outlive_its_certificate(grid: Grid, watch: Watch) -> None:
    sessions = Sessions(grid.trust, lambda: watch.now, idle_s=1e9, longest_s=1e9, most=10)
    watch.now = grid.user.identity.not_before + 600.0
    session, _, _ = _enter(sessions, watch, grid)
    assert session.person is not None
    assert session.until == session.person.identity.not_after


def test_a_session_ends_when_its_certificate_is_revoked(sessions: Sessions, watch: Watch, grid: Grid) -> None:
    session, token, _ = _enter(sessions, watch, grid)
    assert session.person is not None
    assert sessions.good(session)
    grid.trust.set_crl(grid.ca.crl([(session.person.identity.serial, int(watch.now))], 1, 3600))
    assert not sessions.good(session)
    with pytest.raises(SessionOver, match="revoked"):
        sessions.find(token)


def test_sweeping_ends_what_is_over_and_nothing_else(sessions: Sessions, watch: Watch, grid: Grid) -> None:
    _enter(sessions, watch, grid)
    watch.now += 400
    _, token, _ = _enter(sessions, watch, grid, "bob")
    watch.now += 300
    sessions.sweep(0.0)
    assert sessions.people == 1
    assert sessions.find(token) is not None


def test_one_user_has_so_many_sessions_and_the_oldest_makes_room(sessions: Sessions, watch: Watch, grid: Grid) -> None:
    tokens = []
    for _ in range(MOST_OF_ONE + 1):
        watch.now += 1
        tokens.append(_enter(sessions, watch, grid)[1])
    assert sessions.people == MOST_OF_ONE
    assert sessions.find(tokens[0]) is None
    assert sessions.find(tokens[1]) is not None


def test_when_all_places_are_taken_the_next_is_told_so_and_nobody_is_thrown_out(grid: Grid, watch: Watch) -> None:
    sessions = Sessions(grid.trust, lambda: watch.now, idle_s=600, longest_s=1800, most=1)
    watch.now = grid.user.identity.not_before + 600.0
    _, token, _ = _enter(sessions, watch, grid)
    with pytest.raises(TooManySessions):
        _enter(sessions, watch, grid, "bob")
    assert sessions.find(token) is not None


def test_visitors_are_bounded_and_forgotten(sessions: Sessions, watch: Watch) -> None:
    _, first = sessions.visit()
    for _ in range(MOST_VISITORS):
        _, last = sessions.visit()
    assert sessions.find(first) is None
    assert sessions.find(last) is not None
    watch.now += 3600
    sessions.sweep(0.0)
    assert sessions.find(last) is None


def test_no_token_is_kept_as_it_is(sessions: Sessions, watch: Watch, grid: Grid) -> None:
    session, token, _ = _enter(sessions, watch, grid)
    assert token not in repr([*sessions._people.items(), session])
    assert token.encode() != session.digest
