# SPDX-License-Identifier: BSD-3-Clause
"""Texts are collected for translators, and a catalogue is used when it is there."""

from __future__ import annotations

from xos.volife.catalogue import POT, pot, texts


def test_the_catalogue_is_fresh() -> None:
    assert POT.read_text() == pot(), "python -m xos.volife.catalogue"


def test_texts_of_templates_and_of_code_are_collected_with_their_places() -> None:
    found = texts()
    assert found["Sign in with your certificate",] == ["templates/sign_in.html"]
    assert found["Your password is changed.",] == ["pages/me.py"]
    assert ("%(num)s member", "%(num)s members") in found
