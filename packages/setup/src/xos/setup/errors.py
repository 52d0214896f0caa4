# SPDX-License-Identifier: BSD-3-Clause
"""What can go wrong when a machine becomes a node."""

from __future__ import annotations

from xos.common.errors import XosError


class SetupError(XosError):
    """Raised when this machine cannot be made what was asked; root of the room's branch."""

    code = "setup.error"


class NotApproved(SetupError):
    """Raised when nobody has let in the machine that asked, for as long as it waited; it may go on waiting."""

    code = "setup.not-approved"
    template = "{node} has asked {place}, and nobody has approved it yet"
    hint = "On the core, as root: xos-resource approve {node} --fingerprint {fingerprint}; then the same command again."
    exit_status = 75


class PortTaken(SetupError):
    """Raised when an address that a daemon needs is in use; nothing has been started."""

    code = "setup.port-taken"
    template = "{address} is taken by {holder}"
    hint = "Stop that program, or give the grid other addresses: --network 127.21.0 (make run NETWORK=127.21.0)"


class AddressUnusable(SetupError):
    """Raised when this machine does not let us listen on a loopback address."""

    code = "setup.address-unusable"
    template = "cannot listen on {address}: {detail}"
    hint = "Is the loopback interface up? (ip link set lo up)"


class DiskShort(SetupError):
    """Raised when the grid's root has too little room left to start."""

    code = "setup.disk-short"
    template = "{path} has {free_mb} MB left; a grid needs {needed_mb} MB"
    hint = "Make room, or choose another place with --root"


class DaemonDied(SetupError):
    """Raised when a daemon ended before it was ready."""

    code = "setup.daemon-died"
    template = "{name} ended with {how} before it was ready\n{tail}"
    hint = "The whole journal is in {log}"


class DaemonSlow(SetupError):
    """Raised when a daemon did not say that it is ready in time; it has been stopped."""

    code = "setup.daemon-slow"
    template = "{name} was not ready after {seconds} s (last said: {status})"
    hint = "The journal is in {log}"


class DaemonStuck(SetupError):
    """Raised when a process could not even be killed (it hangs in the kernel)."""

    code = "setup.daemon-stuck"
    template = "process {pid} ({name}) does not end, even when killed"
    hint = "Look at /proc/{pid}/stack; a hanging disk or network file system is the usual cause"


class GridBusy(SetupError):
    """Raised when another xos-setup works on the same grid."""

    code = "setup.busy"
    template = "another xos-setup is working on {root}"
    hint = "Wait for it to end, then try again"


class GridDown(SetupError):
    """Raised when something needs a running grid and there is none."""

    code = "setup.grid-down"
    template = "the grid in {root} is not up"
    hint = "Start it: xos-setup local up --root {root}"


class NotAGrid(SetupError):
    """Raised before anything is removed from a directory that no grid was made in."""

    code = "setup.not-a-grid"
    template = "{root} holds no local grid"


class NoSuchNode(SetupError):
    """Raised when a daemon is named that the grid does not have."""

    code = "setup.no-such-node"
    template = "the grid has no running daemon {name}; it has {known}"
    exit_status = 2


class NotOurs(SetupError):
    """Raised when a directory that must be private belongs to somebody else, or is open to others."""

    code = "setup.not-ours"
    template = "{path} belongs to somebody else, or is open to others"
    hint = "Remove it, or set XDG_RUNTIME_DIR to a directory of your own"


class DemoFailed(SetupError):
    """Raised when a step of the demonstration did not do what it should."""

    code = "setup.demo-failed"
    template = "{step} failed (exit status {status}): {detail}"
