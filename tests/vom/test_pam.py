# SPDX-License-Identifier: BSD-3-Clause
"""Logging in by PAM: the real libpam with modules of pam_wrapper, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xos.common.certificate import make_csr, make_key
from xos.common.identity import ANONYMOUS
from xos.vom.api import CertificateWish
from xos.vom.backends.pam import PAM_SUCCESS, WRONG, PamBackend, PamSettings
from xos.vom.errors import BackendAway, BadCredentials, PasswordNeeded, TooManyAttempts

from .conftest import CoreMachine, acting

CHILD = """
import ctypes.util, os
# ctypes asks the library for its functions, so that the wrapper must be the library.
ctypes.util.find_library = lambda _: os.environ["LD_PRELOAD"]
from xos.vom.backends.pam import Libpam
pam = Libpam()
for account, password in (("alice", "open-sesame"), ("alice", "wrong"), ("bob", "open-sesame"), ("alice", "")):
    print(pam.check("xos-cda", account, password))
"""


def wrapper() -> tuple[Path, Path] | None:
    """pam_wrapper's library and its module that knows passwords from a file."""
    for found in Path("/usr/lib").glob("*/libpam_wrapper.so"):
        module = found.parent / "pam_wrapper" / "pam_matrix.so"
        if module.exists():
            return found, module
    return None


def test_libpam_says_yes_to_the_right_password_only(tmp_path: Path) -> None:
    there = wrapper()
    if there is None:
        pytest.skip("pam_wrapper is not here: libpam-wrapper")
    library, module = there
    (tmp_path / "passwords").write_text("alice:open-sesame:xos-cda\n")
    services = tmp_path / "services"
    services.mkdir()
    rule = f"required {module} passdb={tmp_path}/passwords"
    (services / "xos-cda").write_text(f"auth {rule}\naccount {rule}\n")
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "PAM_WRAPPER": "1",
        "PAM_WRAPPER_SERVICE_DIR": str(services),
    }
    done = subprocess.run(
        [sys.executable, "-c", CHILD], env=environment, capture_output=True, text=True, timeout=15, cwd=tmp_path
    )
    said = [int(word) for word in done.stdout.split()]
    assert len(said) == 4, done.stderr
    assert said[0] == PAM_SUCCESS
    assert all(status in WRONG for status in said[1:])


def wish(password: str | None) -> CertificateWish:
    return CertificateWish("demo", "alice", make_csr(make_key(), "alice"), password, backend="pam")


async def test_the_account_that_alice_is_linked_to_is_asked_and_guesses_are_counted(
    machine: CoreMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = PamBackend(machine.core, PamSettings())
    machine.cda._backends["pam"] = backend
    asked: list[str] = []

    def check(service: str, account: str, password: str) -> int:  # the host's PAM knows no alice
        asked.append(f"{service} {account}")
        return PAM_SUCCESS if password == "open sesame" else 7

    monkeypatch.setattr(backend._pam, "check", check)
    await machine.add("alice")
    with acting(ANONYMOUS):
        with pytest.raises(PasswordNeeded):
            await machine.cda.issue(wish(None))
        with pytest.raises(BadCredentials):
            await machine.cda.issue(wish("wrong"))
    with acting(machine.identity):
        await machine.xvoms.link_identity("demo", "alice", "pam", "aexample")
    with acting(ANONYMOUS):
        issued = await machine.cda.issue(wish("open sesame"))
        with pytest.raises(TooManyAttempts):  # noqa: PT012 -- after how many is not promised
            for _ in range(10):
                with pytest.raises(BadCredentials):
                    await machine.cda.issue(wish("wrong"))
    assert machine.trust.identify(issued.certificate).name == "alice"
    assert asked[:2] == ["xos-cda -", "xos-cda aexample"]
    await backend.close()


async def test_a_pam_that_is_broken_is_away(machine: CoreMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = PamBackend(machine.core, PamSettings())
    machine.cda._backends["pam"] = backend
    monkeypatch.setattr(backend._pam, "check", lambda *_: 9)  # PAM_AUTHINFO_UNAVAIL
    await machine.add("alice")
    with acting(ANONYMOUS), pytest.raises(BackendAway):
        await machine.cda.issue(wish("open sesame"))
    await backend.close()
