# SPDX-License-Identifier: BSD-3-Clause
"""By PAM: the password of an account on the core's own host, wherever that comes from (LDAP, Kerberos, SSSD, …).

libpam by ctypes: five functions, and no package that Debian 12 and 13 both have. Modules may block, so each check has a
thread; those that take too long are given up, and no more than a few are under way.
"""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import msgspec
import sqlalchemy as sa
from msgspec import Meta

from xos.dixi.api import current_call
from xos.vom import accounts, members
from xos.vom.api import CertificateWish
from xos.vom.backends import Elsewhere
from xos.vom.core import VomCore
from xos.vom.errors import BackendAway, PasswordNeeded, PasswordsBusy
from xos.vom.gate import check_length

PAM_SUCCESS = 0
PAM_CONV_ERR = 19
PAM_PROMPT_ECHO_OFF = 1
PAM_SILENT = 0x8000
WRONG = frozenset({6, 7, 8, 10, 11, 13})
"""PAM_PERM_DENIED, PAM_AUTH_ERR, PAM_CRED_INSUFFICIENT, PAM_USER_UNKNOWN, PAM_MAXTRIES, PAM_ACCT_EXPIRED."""
SECONDS = 15.0
MOST_MESSAGES = 32


class PamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[services.CDA.settings.pam]``."""

    service: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")] = "xos-cda"
    """The file in ``/etc/pam.d``."""
    at_once: Annotated[int, Meta(ge=1, le=64)] = 4


class _Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class _Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


_CONVERSE = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(_Message)),
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_void_p,
)


class _Conversation(ctypes.Structure):
    _fields_ = (("converse", _CONVERSE), ("data", ctypes.c_void_p))


class Libpam:
    """The functions of libpam that a check needs. Raises `OSError` when the host has none."""

    def __init__(self) -> None:
        pam = ctypes.CDLL(ctypes.util.find_library("pam") or "libpam.so.0")
        libc = ctypes.CDLL(None)
        handle, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
        self._start = pam.pam_start
        self._start.argtypes = (text, text, ctypes.POINTER(_Conversation), ctypes.POINTER(handle))
        self._end, self._authenticate, self._account = pam.pam_end, pam.pam_authenticate, pam.pam_acct_mgmt
        for function in (self._end, self._authenticate, self._account):
            function.argtypes = (handle, number)
        self._calloc, self._strdup = libc.calloc, libc.strdup
        self._calloc.argtypes, self._calloc.restype = (ctypes.c_size_t, ctypes.c_size_t), ctypes.c_void_p
        self._strdup.argtypes, self._strdup.restype = (text,), ctypes.c_void_p

    def check(self, service: str, account: str, password: str) -> int:
        """PAM's answer to *password* for *account*: authentication, then whether the account may be used. Blocks."""
        converse = _CONVERSE(self._answering(password.encode()))
        conversation, handle = _Conversation(converse, None), ctypes.c_void_p()
        status = int(self._start(service.encode(), account.encode(), ctypes.byref(conversation), ctypes.byref(handle)))
        if status != PAM_SUCCESS:
            return status
        status = int(self._authenticate(handle, PAM_SILENT))
        if status == PAM_SUCCESS:
            status = int(self._account(handle, PAM_SILENT))
        self._end(handle, status)
        return status

    def _answering(self, password: bytes) -> Callable[..., int]:
        """Answers each question without echo with *password*; libpam frees the answers."""

        def converse(count: int, messages: object, answers: object, _: object) -> int:
            if not 0 < count <= MOST_MESSAGES:
                return PAM_CONV_ERR
            block = self._calloc(count, ctypes.sizeof(_Response))
            if not block:
                return PAM_CONV_ERR
            made = (_Response * count).from_address(block)
            for i in range(count):
                if messages[i].contents.style == PAM_PROMPT_ECHO_OFF:  # type: ignore[index]
                    made[i].text = self._strdup(password)
            answers[0] = block  # type: ignore[index]
            return PAM_SUCCESS

        return converse


class PamBackend(Elsewhere):
    """The host's PAM."""

    name = "pam"
    description = "the password of your account at the site of the core"
    needs = "password"

    def __init__(self, core: VomCore, settings: PamSettings) -> None:
        super().__init__(core)
        self._settings = settings
        self._pool = ThreadPoolExecutor(settings.at_once, thread_name_prefix="pam")
        self._pending = 0
        try:
            self._pam = Libpam()
        except (OSError, AttributeError) as error:
            raise BackendAway(backend="PAM", detail=str(error), known="a password") from error

    async def close(self) -> None:
        """See `Prover.close`. A module that hangs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def subject(self, wish: CertificateWish) -> str:
        """See `Elsewhere.subject`: the account that the member is linked to. Raises `BadCredentials`, `BackendAway`."""
        password = wish.password
        if not password:
            raise PasswordNeeded(vo=wish.vo, user=wish.user)
        check_length(password)
        account = await self.core.store.read(lambda connection: _account_of(connection, wish))
        # Nobody's password is asked for a user without an account: takes as long, and is wrong.
        asked = account or "-"
        await self.core.gate.judge(
            f"pam {wish.user}@{wish.vo}", current_call().address, lambda: self._right(asked, password)
        )
        return account

    async def _right(self, account: str, password: str) -> bool:
        if self._pending >= 4 * self._settings.at_once:
            raise PasswordsBusy(waiting=self._pending)
        if "\0" in password:
            return False
        loop = asyncio.get_running_loop()
        self._pending += 1
        work = loop.run_in_executor(self._pool, self._pam.check, self._settings.service, account, password)
        work.add_done_callback(self._done)
        try:
            status = await asyncio.wait_for(asyncio.shield(work), SECONDS)
        except TimeoutError as error:
            raise BackendAway(backend="PAM", detail=f"no answer for {SECONDS:.0f} s", known="a password") from error
        if status not in WRONG and status != PAM_SUCCESS:
            raise BackendAway(backend="PAM", detail=f"status {status}", known="a password")
        return status == PAM_SUCCESS

    def _done(self, _: object) -> None:
        self._pending -= 1


def _account_of(connection: sa.Connection, wish: CertificateWish) -> str:
    member = members.find_member(connection, wish.vo, wish.user)
    if member is None:
        return ""
    linked = accounts.list_identities(connection, member.account)
    return next((one.subject for one in linked if one.backend == PamBackend.name), "")
