# SPDX-License-Identifier: BSD-3-Clause
"""A machine inside this one, for tests of login: name spaces with an /etc, /run and /var of their own.

The real sshd, PAM, xos-amsd and libnss_xos run in it. Its processes, mounts and network end with it. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from support.node import GIDS, UIDS, Va, identity
from xos.common import ssh
from xos.common.tls import Credential, Trust

TOP = Path(__file__).parents[2]
SECURITY = Path("/usr/lib/x86_64-linux-gnu/security")
COPIED = ("/etc", "/var/lib/pam", "/var/cache/debconf", "/usr/share/pam-configs", str(SECURITY))
EMPTY = ("/run", "/var/lib", "/root", "/var/log")
"""What the tests change, they change in copies or in empty directories mounted there."""
SHELL = "/bin/sh"
PORT = 2222


def possible() -> str | None:
    """Why there can be no such machine here; None when there can."""
    if os.geteuid() != 0:
        return "needs root (name spaces, sshd)"
    for program in ("sshd", "ssh", "ssh-keygen", "pamtester", "keyctl", "unshare", "nsenter", "ip"):
        if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            return f"{program} is not installed (prepare --tests installs it)"
    return None


class Machine:
    """One such machine, with the VO ``demo`` served."""

    def __init__(self, directory: Path, built: Path) -> None:
        """*directory*: where VO users can get to. *built*: ``pam_xos.so``, ``xos-principals``, ``libnss_xos.so.2``."""
        self.directory = directory
        self.va = Va(directory / "trust")
        self._started: list[subprocess.Popen[bytes]] = []
        own = directory / "own"
        script = [f"mkdir -p {own}{path} && cp -a {path}/. {own}{path}/" for path in COPIED]
        script += [f"mount -t tmpfs -o mode=755 tmpfs {path}" for path in EMPTY]
        script += [f"mkdir -p {path} && mount --bind {own}{path} {path}" for path in COPIED]
        layer = "/run/layer"
        script += [
            f"mkdir -p {layer}/upper {layer}/work",
            "mount -t overlay overlay -o "
            f"lowerdir=/usr/libexec,upperdir={layer}/upper,workdir={layer}/work /usr/libexec",
        ]
        script += ["ip link set lo up", "mkdir -p /run/xos /run/sshd", "exec sleep infinity"]
        self._init = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL",  # it ends with us, kill -9 included
             "unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc",
             SHELL, "-ec", "\n".join(script)],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self._pid = self._await_init()
        self._install(built)

    def _await_init(self) -> int:
        """The pid of the machine's first process, once it is ready."""
        for _ in range(200):
            children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text().split()
            if children and Path(f"/proc/{children[0]}/cmdline").read_bytes().startswith(b"sleep"):
                return int(children[0])
            if self._init.poll() is not None:
                raise RuntimeError("the machine did not come up")
            time.sleep(0.05)
        raise TimeoutError("the machine did not come up")

    def _install(self, built: Path) -> None:
        inside = self.path
        shutil.copy(built / "pam_xos.so", inside(SECURITY / "pam_xos.so"))
        inside("/usr/libexec/xos").mkdir(exist_ok=True)
        shutil.copy(built / "xos-principals", inside("/usr/libexec/xos/xos-principals"))
        shutil.copy(built / "libnss_xos.so.2", self.directory / "libnss_xos.so.2")
        inside("/etc/ld.so.conf.d/000-xos.conf").write_text(f"{self.directory}\n")
        self.run("ldconfig")
        self.run("hostname", "node1")
        self.run(str(TOP / "packages/node/libexec/nss-configure"), "add")
        with inside("/etc/passwd").open("a") as passwd:
            passwd.write("xos:x:998:998::/:/usr/sbin/nologin\nbob:x:1500:1500::/home/bob:/bin/sh\n")
        with inside("/etc/group").open("a") as group:
            group.write("xos:x:998:\nbob:x:1500:\n")
        with inside("/etc/shadow").open("a") as shadow:
            shadow.write("xos:*:20000::::::\nbob:*:20000::::::\n")
        inside("/etc/xos").mkdir(exist_ok=True)
        inside("/etc/xos/node.toml").write_text(
            f'[vos.demo]\ntrust = "{self.va.directory}"\nuids = [{UIDS.first}, {UIDS.last}]\n'
            f"gids = [{GIDS.first}, {GIDS.last}]\n"
        )
        inside("/var/lib/xos/home").mkdir(parents=True, exist_ok=True)
        inside("/var/lib/xos-ssh").mkdir(exist_ok=True)

    def path(self, path: Path | str) -> Path:
        """Where a file of the machine is, seen from outside."""
        return Path(f"/proc/{self._pid}/root{path}")

    def command(self, *argv: str) -> list[str]:
        """What runs *argv* in the machine."""
        return [
            "nsenter",
            "--target",
            str(self._pid),
            "--mount",
            "--net",
            "--pid",
            "--ipc",
            "--uts",
            "--wd=/",
            "--",
            *argv,
        ]

    def run(
        self, *argv: str, check: bool = True, stdin: str = "", seconds: float = 18
    ) -> subprocess.CompletedProcess[str]:
        """The result of *argv*, run as root in the machine, in a keyring of its own as any login has."""
        done = subprocess.run(
            self.command("keyctl", "session", "-", *argv) if shutil.which("keyctl") else self.command(*argv),
            input=stdin, capture_output=True, text=True, timeout=seconds, env=ENVIRONMENT,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"{argv} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def start(self, *argv: str, log: str) -> subprocess.Popen[bytes]:
        """A daemon of the machine, its output in ``log`` of the test's directory."""
        with (self.directory / log).open("ab") as output:
            process = subprocess.Popen(
                self.command(*argv), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=ENVIRONMENT
            )
        self._started.append(process)
        return process

    def log(self, log: str) -> str:
        """What a daemon has said."""
        return (self.directory / log).read_text(errors="replace")

    # --- the daemons

    def start_amsd(self) -> subprocess.Popen[bytes]:
        """The real account mapping service, answering when this returns."""
        socket = self.path("/run/xos/amsd.sock")
        socket.unlink(missing_ok=True)  # of the one before
        process = self.start(sys.executable, "-P", "-m", "xos.node.amsd", log="amsd.log")
        _until(lambda: socket.exists() or process.poll() is not None, "xos-amsd")
        assert process.poll() is None, self.log("amsd.log")
        self._amsd = process
        return process

    def amsd_pid(self) -> int:
        """Its pid, seen from outside: the child of the nsenter that started it."""
        return int(Path(f"/proc/{self._amsd.pid}/task/{self._amsd.pid}/children").read_text().split()[0])

    def hang_amsd(self) -> None:
        """Let it stand still."""
        os.kill(self.amsd_pid(), signal.SIGSTOP)

    def wake_amsd(self) -> None:
        """Let it go on; nsenter stood still with it."""
        os.kill(self.amsd_pid(), signal.SIGCONT)
        self._amsd.send_signal(signal.SIGCONT)

    def stop_amsd(self) -> None:
        """End it, as ``systemctl stop`` does."""
        os.kill(self.amsd_pid(), signal.SIGTERM)
        self._amsd.wait(timeout=15)

    def start_sshd(self, *more: str) -> subprocess.Popen[bytes]:
        """sshd with our drop-in, and VO CA and host certificates in their place."""
        trust = self.trust()
        self.path("/var/lib/xos-ssh/user_ca_keys").write_text(ssh.trusted_ca_keys(trust))
        for key in self.path("/etc/ssh").glob("ssh_host_*_key.pub"):
            made = ssh.certify_host(
                self.va.authority, key.read_text(), ["node1", "127.0.0.1"], int(time.time()) + 3600, serial=1
            )
            self.path(f"/var/lib/xos-ssh/{key.stem}-cert.pub").write_text(made)
        dropin = (TOP / "kernel-modules/pam_xos/etc/sshd.conf").read_text()
        if self.run("ssh", "-V").stderr.partition("OpenSSH_")[2].startswith("9.2"):  # of Debian 12: it has no %C
            dropin = dropin.replace(" %C", "")
        self.path("/etc/ssh/sshd_config.d/50-xos.conf").write_text(dropin)
        options = ["-D", "-e", "-p", str(PORT), "-o", "PidFile=none", *more]
        process = self.start("/usr/sbin/sshd", *options, log="sshd.log")
        self.ready("sshd.log", "Server listening")
        assert process.poll() is None, self.log("sshd.log")
        return process

    def ready(self, log: str, says: str) -> None:
        """Wait until a daemon has said so."""
        _until(lambda: says in self.log(log), says)

    def configure_pam(self) -> None:
        """What the package does on Debian."""
        shutil.copy(TOP / "kernel-modules/pam_xos/etc/pam-config", self.path("/usr/share/pam-configs/xos"))
        self.run("pam-auth-update", "--package", "--enable", "xos")

    def trust(self) -> Trust:
        """What the node believes."""
        return Trust([self.va.authority.der])

    # --- users

    def credential(self, name: str = "alice", **options: float) -> Credential:
        """A certificate of *name*."""
        return self.va.credential(identity(name), **options)

    def identity_files(self, credential: Credential, name: str = "id") -> Path:
        """The key in a file with its OpenSSH certificate beside it, as ``ssh -i`` wants them."""
        key = self.directory / name
        key.touch(mode=0o600)
        key.write_bytes(credential.key_pem(None))
        key.with_name(f"{name}-cert.pub").write_text(ssh.certify_user(self.va.authority, credential.certificate))
        (self.directory / "known_hosts").write_text(ssh.known_hosts(self.trust()))
        return key

    def ssh(
        self, key: Path, user: str, *argv: str, options: Sequence[str] = (), check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Stock ssh, with nothing but the identity in *key*."""
        return self.run(
            "ssh", *self.ssh_options(key), *options, "-p", str(PORT), f"{user}@127.0.0.1", *argv, check=check
        )

    def ssh_options(self, key: Path) -> list[str]:
        """For ssh, scp, sftp."""
        return ["-F", "none", "-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
                "-o", f"UserKnownHostsFile={self.directory}/known_hosts", "-o", "GlobalKnownHostsFile=none",
                "-o", "StrictHostKeyChecking=yes"]  # fmt: skip

    def close(self) -> None:
        """End everything."""
        self._init.kill()
        self._init.wait()
        for process in self._started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)


ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def _until(holds: Callable[[], bool], what: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come up")
        time.sleep(0.02)


@contextlib.contextmanager
def machine(built: Path) -> Iterator[Machine]:
    """A machine for the length of a block, in a directory that everybody can get to (pytest's are root's own)."""
    with tempfile.TemporaryDirectory(prefix="xos-machine-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        made = Machine(Path(name), built)
        try:
            yield made
        finally:
            made.close()
