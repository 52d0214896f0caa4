# SPDX-License-Identifier: BSD-3-Clause
"""The VO CA on disk: made once, kept encrypted, never replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from xos.common.certificate import Authority, make_csr, make_key
from xos.vom.authority import SYSTEMD_CREDENTIAL, load_or_create
from xos.vom.core import VomCore
from xos.vom.errors import AuthorityExposed, AuthorityUnreadable, VomInUse
from xos.vom.founding import found


def _load(directory: Path, env: dict[str, str] | None = None) -> Authority:
    return load_or_create(
        directory, name="Test CA", years=1, passphrase_file=directory / "ca.passphrase", env=env or {}
    )


def test_the_ca_is_made_on_first_use_and_is_the_same_ever_after(tmp_path: Path) -> None:
    assert _load(tmp_path).der == _load(tmp_path).der


def test_key_and_passphrase_are_for_the_owner_only_and_the_key_is_encrypted(tmp_path: Path) -> None:
    _load(tmp_path)
    assert (tmp_path / "ca" / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ca.passphrase").stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED PRIVATE KEY" in (tmp_path / "ca" / "ca.key").read_bytes()


def test_a_systemd_credential_takes_the_place_of_the_file(tmp_path: Path) -> None:
    given = tmp_path / "credentials"
    given.mkdir()
    (given / SYSTEMD_CREDENTIAL).write_text("from the TPM\n")
    env = {"CREDENTIALS_DIRECTORY": str(given)}
    made = _load(tmp_path, env)
    assert not (tmp_path / "ca.passphrase").exists()
    assert _load(tmp_path, env).der == made.der
    (given / SYSTEMD_CREDENTIAL).write_text("another\n")
    with pytest.raises(AuthorityUnreadable, match="passphrase"):
        _load(tmp_path, env)


@pytest.mark.parametrize("file", ["ca/ca.key", "ca.passphrase"])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, file: str) -> None:
    _load(tmp_path)
    (tmp_path / file).chmod(0o640)
    with pytest.raises(AuthorityExposed) as caught:
        _load(tmp_path)
    assert caught.value.data["mode"] == "640"


@pytest.mark.parametrize("file", ["ca/ca.key", "ca/ca.pem", "ca.passphrase"])
def test_a_damaged_or_lost_file_is_an_error_and_never_a_new_ca(tmp_path: Path, file: str) -> None:
    _load(tmp_path)
    (tmp_path / file).write_bytes(b"\n")
    with pytest.raises(AuthorityUnreadable):
        _load(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(AuthorityUnreadable):
        _load(tmp_path)
    assert not (tmp_path / file).exists()


def test_the_key_of_another_ca_is_refused(tmp_path: Path) -> None:
    _load(tmp_path)
    passphrase = (tmp_path / "ca.passphrase").read_bytes().strip()
    (tmp_path / "ca" / "ca.key").write_bytes(Authority.create("Other", 1).key_pem(passphrase))
    with pytest.raises(AuthorityUnreadable):
        _load(tmp_path)


def test_a_crash_while_the_ca_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_: Path, target: Path) -> None:
        raise KeyboardInterrupt(str(target))

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        _load(tmp_path)
    monkeypatch.undo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["ca.passphrase"]
    assert _load(tmp_path).der


async def test_a_database_without_its_ca_gets_no_new_one(tmp_path: Path) -> None:
    await found(tmp_path, "core", make_csr(make_key(), "core"))
    (tmp_path / "ca").rename(tmp_path / "elsewhere")
    with pytest.raises(AuthorityUnreadable, match="its CA is gone"):
        await VomCore.open(tmp_path)


async def test_a_directory_is_opened_by_one_process_at_a_time(tmp_path: Path) -> None:
    core = await VomCore.open(tmp_path)
    try:
        with pytest.raises(VomInUse):
            await VomCore.open(tmp_path)
    finally:
        await core.close()
    await (await VomCore.open(tmp_path)).close()
