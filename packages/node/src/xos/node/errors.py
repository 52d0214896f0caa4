# SPDX-License-Identifier: BSD-3-Clause
"""The errors of account mapping. Each class is one sentence: when it is raised."""

from __future__ import annotations

from xos.common.errors import XosError


class NodeError(XosError):
    """Root of what the account mapping service raises."""

    code = "node.error"


class BadMessage(NodeError):
    """Raised when a message on the socket breaks the rules of `xos.node.message`."""

    code = "node.bad-message"
    template = "the message cannot be read: {detail}"
    hint = "Programs of another release may still be running here: restart them."


class NotAllowed(NodeError):
    """Raised when a caller asks for what its local account may not."""

    code = "node.not-allowed"
    template = "user {uid} of this machine may not ask to {op}"
    hint = "Ask as root."


class NotReachable(NodeError):
    """Raised by clients when xos-amsd does not answer in time."""

    code = "node.amsd-away"
    template = "the account mapping service does not answer at {path}: {detail}"
    hint = "systemctl status xos-amsd.socket xos-amsd"


class UnknownVo(NodeError):
    """Raised when this node does not serve the VO of a certificate."""

    code = "node.unknown-vo"
    template = "this machine does not serve the VO {vo}"
    hint = "The administrator adds a VO in /etc/xos/node.toml."


class UnknownAccount(NodeError):
    """Raised when no account has that name here."""

    code = "node.unknown-account"
    template = "no VO account {name} on this machine"
    hint = "xos-map list shows those that there are."


class WrongName(NodeError):
    """Raised when a certificate is good, but not for the account that was asked for."""

    code = "node.wrong-name"
    template = "the certificate is {identity}'s: log in as {wanted}, not as {name}"
    hint = "ssh {wanted}@HOST"


class TryAgain(NodeError):
    """Raised when the number that the login began with was given to another account meanwhile."""

    code = "node.try-again"
    template = "the account of {name} was being made just now"
    hint = "Log in once more."
    retry_after_ms = 0


class RangeFull(NodeError):
    """Raised when every number of a VO's range is an account's, or may still own something."""

    code = "node.range-full"
    template = "no account for {name}: all {count} numbers of VO {vo} on this machine are in use ({first} to {last})"
    hint = "The administrator retires accounts (xos-map retire) or widens the range in /etc/xos/node.toml."


class OutsideRange(NodeError):
    """Raised when an account has a number that the configured range does not hold any more."""

    code = "node.outside-range"
    template = "the account {name} has the number {uid}, outside of {first} to {last}"
    hint = "The administrator takes it into the range again in /etc/xos/node.toml, or retires it (xos-map retire)."


class OtherAuthority(NodeError):
    """Raised when a VO of the same name, but of another CA, wants accounts of the former one's members."""

    code = "node.other-authority"
    template = "the account {name} was made for a VO {vo} of another certification authority"
    hint = "If the VO was founded anew: xos-map retire --vo {vo}, and remove what the old accounts own."


class OpensshCertificateRefused(NodeError):
    """Raised when an OpenSSH certificate is not good, or does not fit the XOS-Certificate that it carries."""

    code = "node.ssh-certificate"
    template = "the OpenSSH certificate is refused: {detail}"
    hint = "Get a new one: run get-xos-cert."


class NoCertificate(NodeError):
    """Raised when a session begins and nobody has shown an XOS-Certificate."""

    code = "node.no-certificate"
    template = "{name} showed no XOS-Certificate"
    hint = "Get one with get-xos-cert; log in with ssh-xos, which shows it."


class PolicyRefused(NodeError):
    """Raised when this machine's own policy says no; `rules` names the policies that decided."""

    code = "node.policy"
    template = "this machine's policy does not let {identity} {what}: {rules}"
    hint = "Ask the machine's administrator; xos-map policy explain shows which rule it was."


class StateBroken(NodeError):
    """Raised when the accounts on disk cannot be used; nothing is guessed."""

    code = "node.state-broken"
    template = "the accounts in {path} cannot be used: {detail}"
    hint = "Restore the file from a backup; accounts given out anew could get the files of others."


class BadRequest(NodeError):
    """Raised when a command is asked for something that makes no sense."""

    code = "node.bad-request"
    template = "{detail}"
    hint = "See xos-map --help."
    exit_status = 2
