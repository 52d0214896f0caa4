# SPDX-License-Identifier: BSD-3-Clause
"""VOs that are over: served no more, though the configuration, which is the administrator's, still names them."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from xos.common.errors import UNDECODABLE
from xos.common.files import write_atomically
from xos.node.config import NodeConfig
from xos.node.errors import StateBroken


class Withdrawn:
    """Kept in the file ``withdrawn.json`` of a directory, each VO with the CA that vouched for it: one that is founded
    under the same name by another CA is another VO."""

    def __init__(self, directory: Path) -> None:
        """Read it. Raises `StateBroken`."""
        self._path, self._adding = directory / "withdrawn.json", threading.Lock()
        try:
            self._kept = msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            self._kept = {}
        except (OSError, *UNDECODABLE) as error:
            raise StateBroken(path=str(self._path), detail=str(error)) from error

    def add(self, vo: str, trust: Path) -> None:
        """From now on *vo*, whose CA is in *trust*, is over; on disk when this returns. Raises `OSError`."""
        with self._adding:
            kept = {**self._kept, vo: _authority(trust)}
            write_atomically(self._path, msgspec.json.encode(kept), 0o600)
            self._kept = kept

    def without(self, config: NodeConfig) -> NodeConfig:
        """*config* without the VOs that are over."""
        kept = self._kept
        over = {vo for vo, served in config.vos.items() if vo in kept and kept[vo] == _authority(served.trust)}
        if not over:
            return config
        return msgspec.structs.replace(
            config,
            vos={vo: served for vo, served in config.vos.items() if vo not in over},
            overrides={who: name for who, name in config.overrides.items() if who.partition("@")[2] not in over},
            groups={name: may for name, may in config.groups.items() if name.partition("/")[0] not in over},
        )

    @property
    def vos(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._kept)


def _authority(trust: Path) -> str:
    """SHA-256 of the CA's public key, hex; empty when there is none."""
    try:
        key = x509.load_pem_x509_certificate((trust / "ca.pem").read_bytes()).public_key()
    except (OSError, ValueError):
        return ""
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()
