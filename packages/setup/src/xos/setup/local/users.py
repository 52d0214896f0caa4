# SPDX-License-Identifier: BSD-3-Clause
"""The users of a local grid: their ``XOS_HOME`` directories, their agents, and where their jobs work."""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
import shutil
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path

import msgspec

from xos.common.files import write_atomically
from xos.common.tls import Credential
from xos.setup.errors import NotOurs
from xos.setup.local import plan, processes
from xos.setup.local.plan import NodePlan
from xos.setup.local.processes import Process

LONGEST_SOCKET = 100
"""Bytes of a Unix socket's path that are safe to use (108, unix(7))."""
LOCAL_WORK = Path("/var/lib/xos/local-work")
_UCRED = struct.Struct("3i")


def make_home(home: Path, core: NodePlan, credential: Credential | None = None) -> None:
    """Make an ``XOS_HOME``: configuration, the VO CA's certificate, and (if given) certificate and key."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(home / "client.toml", plan.client_toml(core).encode(), 0o644)
    write_atomically(home / "ca.pem", (core.trust / "ca.pem").read_bytes(), 0o644)
    if credential is not None:
        write_atomically(home / "user.key", credential.key_pem(None), 0o600)
        write_atomically(home / "user.pem", credential.certificate_pem(), 0o644)


def password(home: Path) -> str:
    """The password kept in *home*, mode 0600; a random one is made when there is none."""
    path = home / "password"
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(18).encode() + b"\n", 0o600)
    return path.read_text().strip()


def agent_socket(home: Path) -> Path:
    """Where the agent of *home* listens: there, or in a directory of its own if that path is too long for a socket."""
    usual = home / "agent.sock"
    if len(os.fsencode(usual)) <= LONGEST_SOCKET:
        return usual
    runtime = os.environ.get("XDG_RUNTIME_DIR") or ("/run" if os.geteuid() == 0 else "/tmp")  # noqa: S108 -- see below
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path(runtime) / f"xos-{os.geteuid()}-{name}" / "agent.sock"


def make_socket_directory(home: Path) -> None:
    """Make the directory of `agent_socket`. Raises `NotOurs` if somebody else was there first."""
    place = agent_socket(home).parent
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise NotOurs(path=str(place))


def forget_socket_directory(home: Path) -> None:
    """Remove it, if it is not in *home* itself."""
    place = agent_socket(home).parent
    if place != home and place.exists():
        shutil.rmtree(place)


def agent_of(home: Path) -> Process | None:
    """The agent that answers for *home*, whoever started it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        try:
            link.connect(str(agent_socket(home)))
        except OSError:
            return None
        # The process that began to listen; an agent that put itself into the background is another one by now.
        pid, _, _ = _UCRED.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return processes.identify(pid) or _agent_that_says_so(home)


def _agent_that_says_so(home: Path) -> Process | None:
    argv = [sys.executable, "-P", "-m", "xos.dixi", "xos-agent", "status", "--json"]
    env = {**os.environ, **environment(home)}
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
    try:
        return processes.identify(msgspec.json.decode(done.stdout, type=AgentStatus).pid)
    except msgspec.DecodeError:
        return None


class AgentStatus(msgspec.Struct, frozen=True):
    """Of ``xos-agent status --json``, what we need."""

    pid: int
    not_after: int | None = None
    """Unix seconds: end of the certificate; None without one."""
    stale: bool = False
    """Our code has changed since it started."""


def environment(home: Path) -> dict[str, str]:
    """What makes a shell act as the user of *home*."""
    return {"XOS_HOME": str(home), "XOS_AGENT_SOCK": str(agent_socket(home))}


def env_script(home: Path, programs: Path) -> str:
    """For ``. FILE`` in a shell: be the user of *home*, with our commands on PATH."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment(home).items()]
    path = shlex.quote(str(programs))
    return "\n".join([*lines, f'case ":$PATH:" in *:{path}:*) ;; *) PATH={path}:$PATH ;; esac', ""])


def work_directory(root: Path) -> Path:
    """Where job units work when they run under accounts of their own, which must be able to get there.

    In the grid's root if everybody may pass through the directories above it, else (in a home directory, say) a
    place of this root's own below ``/var/lib/xos``.
    """
    if all(stat.S_IMODE(above.stat().st_mode) & stat.S_IXOTH for above in (root, *root.parents)):
        return root / "work"
    return LOCAL_WORK / hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
