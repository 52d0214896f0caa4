# SPDX-License-Identifier: BSD-3-Clause
"""A PKCS#11 token of our own: SoftHSM, a real library with its objects in files, which can be taken away."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "2468-ca"


class SoftToken:
    """A token called ``vo-ca`` below a directory; `SOFTHSM2_CONF` names it for this process and its children."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pin_file = directory / "pin"
        (directory / "tokens").mkdir()
        conf = directory / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {directory}/tokens\nobjectstore.backend = file\n")
        self.env = {**os.environ, "SOFTHSM2_CONF": str(conf)}
        self.util("--init-token", "--free", "--label", "vo-ca", "--so-pin", "so-1357", "--pin", PIN)
        self.tell_pin(PIN)

    @property
    def uri(self) -> str:
        return f"pkcs11:token=vo-ca;object=ca?module-path={MODULE}&pin-source=file:{self.pin_file}"

    def util(self, *args: str) -> str:
        """What ``softhsm2-util`` says."""
        return subprocess.run(
            ["softhsm2-util", *args], env=self.env, check=True, capture_output=True, text=True, timeout=15
        ).stdout

    def tell_pin(self, pin: str) -> None:
        self.pin_file.write_text(f"{pin}\n")
        self.pin_file.chmod(0o600)

    def take_out(self) -> None:
        (self.directory / "tokens").rename(self.directory / "elsewhere")

    def put_in(self) -> None:
        (self.directory / "elsewhere").rename(self.directory / "tokens")


@pytest.fixture
def token(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> SoftToken:
    """An empty token. Skips where SoftHSM or PyKCS11 is not installed."""
    pytest.importorskip("PyKCS11", reason="python3-pykcs11 is not here")
    if not Path(MODULE).exists() or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM is not here")
    made = SoftToken(tmp_path_factory.mktemp("token"))
    monkeypatch.setenv("SOFTHSM2_CONF", made.env["SOFTHSM2_CONF"])
    return made
