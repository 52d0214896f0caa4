# SPDX-License-Identifier: BSD-3-Clause
"""A join word says what was put into it, or that it is none."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.vom.api import JoinToken
from xos.vom.errors import BadJoinWord
from xos.vom.word import LONGEST, PREFIX, of_token, read

TOKEN = JoinToken("T" * 32, "node1", 0, "ab" * 32)
WORD = of_token(TOKEN, front_door="10.0.0.1:6730", directory="10.0.0.1:6740")


def test_what_was_put_into_a_word_comes_out_of_it() -> None:
    word = read(WORD)
    assert (word.node, word.front_door, word.directory) == ("node1", "10.0.0.1:6730", "10.0.0.1:6740")
    assert word.as_token == TOKEN


def test_a_word_that_a_terminal_broke_into_lines_is_the_same() -> None:
    assert read(f"  {WORD[:60]}\r\n {WORD[60:]}\n") == read(WORD)


@pytest.mark.parametrize("at", range(len(PREFIX), len(WORD), 7))
def test_a_word_that_was_cut_or_mistyped_is_told(at: int) -> None:
    for wrong in (WORD[:at], WORD[:at] + ("A" if WORD[at] != "A" else "B") + WORD[at + 1 :]):
        with pytest.raises(BadJoinWord):
            read(wrong)


@given(st.one_of(st.text(max_size=80), st.binary(max_size=80).map(lambda b: base64.urlsafe_b64encode(b).decode())))
def test_whatever_else_is_given_is_no_word(text: str) -> None:
    for wrong in (text, PREFIX + text, PREFIX + "A" * LONGEST):
        with pytest.raises(BadJoinWord):
            read(wrong)
