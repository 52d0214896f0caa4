# SPDX-License-Identifier: BSD-3-Clause
"""What can go wrong between a caller and a service."""

from __future__ import annotations

from xos.common.errors import XosError


class DixiError(XosError):
    """Root of the framework's errors."""

    code = "dixi.error"


class BadFrame(DixiError):
    """Raised when bytes on a connection are not a DIXI frame; the connection is closed after saying so."""

    code = "dixi.bad-frame"
    template = "not a DIXI frame: {detail}"
    hint = "Check that both sides speak DIXI and that nothing in between changes the bytes."
    http_status = 400


class BadArguments(DixiError):
    """Raised when a call's arguments are not of the method's types."""

    code = "dixi.bad-arguments"
    template = "{method}: {detail}"
    hint = "`xconsole {service} --help` shows the methods and their arguments."
    http_status = 400
    exit_status = 2


class UnknownService(DixiError):
    """Raised when no node that is up offers the service."""

    code = "dixi.unknown-service"
    template = "no service {service} is known{where}"
    hint = "`xconsole Directory nodes` lists the nodes that are up and their services."
    http_status = 404
    retry_after_ms = 1000


class UnknownMethod(DixiError):
    """Raised when a service has no such method."""

    code = "dixi.unknown-method"
    template = "service {service} has no method {method}"
    hint = "`xconsole {service} describe` lists its methods."
    http_status = 404


class NotAllowed(DixiError):
    """Raised when this kind of caller is not heard by the method."""

    code = "dixi.not-allowed"
    template = "{caller} may not call {method}: it hears {allowed}"
    http_status = 403


class NoCertificate(DixiError):
    """Raised when a caller without an XOS-Certificate calls what needs one."""

    code = "dixi.no-certificate"
    template = "{method} needs an XOS-Certificate"
    hint = "Get one with `get-xos-cert` and show it (curl: --cert and --key)."
    http_status = 401


class Overloaded(DixiError):
    """Raised at once when a stage's queue is full, instead of letting the caller wait without end."""

    code = "dixi.overloaded"
    template = "service {service} is overloaded ({queued} calls wait)"
    hint = "Try again after the time given, with a growing delay."
    http_status = 503


class Draining(DixiError):
    """Raised when the daemon is shutting down and takes no new calls."""

    code = "dixi.draining"
    template = "{node} is shutting down"
    hint = "Try again in a moment."
    http_status = 503
    retry_after_ms = 500


class DeadlineExceeded(DixiError):
    """Raised when the answer did not come in the time given; the service has been told to stop."""

    code = "dixi.deadline"
    template = "{method} did not answer in time"
    hint = "The service may be busy; `xconsole SERVICE stats` tells. A longer deadline may help."
    http_status = 504


class ConnectionLost(DixiError):
    """Raised when the connection went away under a call: whether the call was carried out is not known."""

    code = "dixi.connection-lost"
    template = "the connection to {address} was lost: {detail}"
    hint = "The call may or may not have been carried out."
    http_status = 502
    retry_after_ms = 200


class NotConnected(DixiError):
    """Raised when no connection could be made in the time given: the call was surely not carried out."""

    code = "dixi.not-connected"
    template = "cannot reach {address}: {detail}"
    hint = "Is the daemon up? On its machine: `systemctl status xos-dixid`, or `xos-setup local status`."
    http_status = 502
    retry_after_ms = 500


class WrongPeer(DixiError):
    """Raised when the machine that answers is not the one that was meant."""

    code = "dixi.wrong-peer"
    template = "{address} is {found}, not {wanted}"
    hint = "Its machine certificate names another node; check the addresses in the Directory."
    http_status = 502


class AddressTaken(DixiError):
    """Raised when a listener's address cannot be had."""

    code = "dixi.address"
    template = "cannot listen at {address}: {detail}"
    hint = "Another program may hold the port (`ss -ltnp`); change `address` in the listener's configuration."


class BadService(DixiError):
    """Raised when a class is not a usable service: what its author must change."""

    code = "dixi.bad-service"
    template = "{service}: {detail}"
