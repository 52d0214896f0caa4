# SPDX-License-Identifier: BSD-3-Clause
"""What the agent keeps in memory: the user's certificate and key, and the connections made with them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from xos.common.errors import XosError
from xos.common.identity import Identity
from xos.common.log import get_logger
from xos.common.tls import Credential
from xos.dixi.bus import GridBus
from xos.dixi.client import KeyLocked, NoCredential, load_client, load_credential, make_bus

log = get_logger("xos.agent")

_HELD, _FORGOTTEN = b"held\n", b"forgotten\n"


class AgentLocked(KeyLocked):
    """Raised when the agent has no key because the key's file is encrypted and nobody has given the passphrase."""

    code = "agent.locked"
    template = "xos-agent has no key: {path} is encrypted"
    hint = "Give it the passphrase: xos-agent unlock"


class SharedBus:
    """A bus that outlives a change of credential until the commands that use it have ended."""

    def __init__(self, bus: GridBus) -> None:
        self.bus = bus
        self._users = 0
        self._retired = False

    def take(self) -> None:
        """One more command uses it."""
        self._users += 1

    def leave(self) -> None:
        """One command less uses it."""
        self._users -= 1
        self._close_if_free()

    def retire(self, successor: Credential | None) -> None:
        """No further command will use it; those that do reconnect as *successor*, who is the same user."""
        if successor is not None:
            self.bus.renew(successor)
        self._retired = True
        self._close_if_free()

    def _close_if_free(self) -> None:
        if self._retired and self._users == 0:
            self.bus.close()


class Keeper:
    """Satisfies `xos.dixi.session.AgentKeys`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._credential: Credential | None = None
        self._loaded_from: tuple[int, int] | None = None
        self._shared: SharedBus | None = None

    @property
    def identity(self) -> Identity | None:
        """Whom the agent acts as, if it has a credential; never raises."""
        try:
            return self.credential.identity
        except XosError:
            return None

    @property
    def credential(self) -> Credential:
        """The one in memory; a newer certificate on disk takes its place. Raises `NoCredential`, `AgentLocked`."""
        stamp = _stamp(self.home / "user.pem")
        if stamp is not None and stamp != self._loaded_from:
            self._reload(stamp)
        if self._credential is None:
            raise NoCredential(home=str(self.home))
        return self._credential

    def store(self, credential: Credential) -> None:
        """See `AgentKeys.store`."""
        self._use(credential)
        self._loaded_from = _stamp(self.home / "user.pem")
        log.info("credential.stored", user=str(credential.identity), not_after=credential.identity.not_after)

    def forget(self) -> None:
        """See `AgentKeys.forget`. What is in files stays there, and is not read again before it changes."""
        self._use(None)
        self._loaded_from = _stamp(self.home / "user.pem")

    def unlock(self, passphrase: bytes | None) -> Identity:
        """Load the credential from its files. Raises `NoCredential`, `WrongPassphrase` and other certificate errors."""
        if passphrase is None:
            self.store(load_credential(self.home))
        else:
            self.store(Credential.load(self.home / "user.pem", self.home / "user.key", passphrase))
        return self.credential.identity

    def freeze(self) -> bytes:
        """What is in memory, for `thaw` in a process that takes this one's place."""
        if self._credential is not None:
            return _HELD + self._credential.pem()
        return _FORGOTTEN if self._loaded_from is not None else b""

    def thaw(self, state: bytes) -> None:
        """Go on with what `freeze` gave. Raises `BadKey`, `BadCertificate`."""
        if state.startswith(_HELD):
            self.store(Credential.from_pem(state[len(_HELD) :]))
        elif state == _FORGOTTEN:
            self.forget()

    def shared_bus(self) -> SharedBus:
        """The bus to be used now. Raises `NoCredential`, `AgentLocked`, `ConfigError`, `ConfigMissing`."""
        credential = self.credential
        if self._shared is None:
            config, trust = load_client(self.home)
            self._shared = SharedBus(make_bus(config, trust, credential))
        return self._shared

    def tend(self, now: float) -> None:
        """Called every few seconds with the loop's time: notice dead peers."""
        if self._shared is not None:
            self._shared.bus.tend(now)

    def close(self) -> None:
        """Close the connections and drop the key."""
        self._use(None)

    def _reload(self, stamp: tuple[int, int]) -> None:
        """A command outside the agent has written a new certificate, or the agent has just begun."""
        try:
            found = load_credential(self.home)
        except XosError as error:
            held = self._credential
            if held is not None and held.identity.not_after > time.time():
                return  # what is in memory still serves
            if isinstance(error, KeyLocked):
                raise AgentLocked(path=str(self.home / "user.key")) from error
            raise
        self._use(found)
        self._loaded_from = stamp

    def _use(self, credential: Credential | None) -> None:
        before, self._credential = self._credential, credential
        if self._shared is not None:
            same = before is not None and credential is not None and _user(before) == _user(credential)
            self._shared.retire(credential if same else None)
            self._shared = None


class RunTies:
    """Satisfies `xos.dixi.session.Ties` for one run of a command inside the agent."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._shared: SharedBus | None = None

    @property
    def credential(self) -> Credential:
        """See `Ties.credential`."""
        return self._keeper.credential

    @property
    def bus(self) -> GridBus:
        """See `Ties.bus`; the same one for the whole run."""
        if self._shared is None:
            self._shared = self._keeper.shared_bus()
            self._shared.take()
        return self._shared.bus

    def close(self) -> None:
        """The run has ended."""
        if self._shared is not None:
            self._shared.leave()
            self._shared = None


def _user(credential: Credential) -> tuple[str, str]:
    return credential.identity.vo, credential.identity.name


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 -- the file and its age in one call
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
