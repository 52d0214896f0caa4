# SPDX-License-Identifier: BSD-3-Clause
"""What VOLife itself refuses; all else is what the services say."""

from __future__ import annotations

from xos.common.errors import XosError


class VolifeError(XosError):
    """Root of the errors of this room."""

    code = "volife.error"


class NoSuchPage(VolifeError):
    """Raised when there is nothing at an address."""

    code = "volife.no-such-page"
    template = "there is no page {path}"
    hint = "Go on from the start page."
    http_status = 404


class SignInFirst(VolifeError):
    """Raised when a page is for people who are signed in."""

    code = "volife.sign-in-first"
    template = "this page needs you to sign in"
    hint = "Sign in, and you come back here."
    http_status = 401


class SessionOver(VolifeError):
    """Raised when a session has ended: by time, or because its certificate is no longer honoured."""

    code = "volife.session-over"
    template = "your session has ended: {detail}"
    hint = "Sign in again."
    http_status = 401


class StaleForm(VolifeError):
    """Raised when a form does not carry the token of the session that it was shown in (CSRF)."""

    code = "volife.stale-form"
    template = "this form was not made for your present session"
    hint = "Nothing was changed. Look at what you entered and send it again."
    http_status = 403


class ForeignRequest(VolifeError):
    """Raised when a browser says that another web site made it send a form."""

    code = "volife.foreign-request"
    template = "another web site made your browser send this"
    hint = "Nothing was changed. If you meant to do this, do it from VOLife's own pages."
    http_status = 403


class TooFast(VolifeError):
    """Raised when one address asks more often than people do, or guesses passwords."""

    code = "volife.too-fast"
    template = "too many {what} from your address"
    hint = "Try again in {seconds} s."
    http_status = 429


class TooManySessions(VolifeError):
    """Raised when no further session can be kept."""

    code = "volife.too-many-sessions"
    template = "VOLife is full"
    hint = "Try again in a few minutes."
    http_status = 503


class TooLarge(VolifeError):
    """Raised when more is sent than any form holds."""

    code = "volife.too-large"
    template = "what you sent is larger than {most_mb} MB"
    hint = "Send it in parts, or use the command `xos-vo`."
    http_status = 413


class BadForm(VolifeError):
    """Raised when what was sent is not a form that can be read."""

    code = "volife.bad-form"
    template = "this form cannot be read: {detail}"
    hint = "Nothing was changed. Send it from VOLife's own pages."
    http_status = 400


class BadField(VolifeError):
    """Raised when a field of a form cannot be what it should be."""

    code = "volife.bad-field"
    template = "{field}: {detail}"
    hint = "Correct it and send the form again."
    http_status = 400


class NotForThisSession(VolifeError):
    """Raised when a certificate that was brought for signing in is not the one asked for."""

    code = "volife.not-for-this-session"
    template = "this certificate cannot sign you in: {detail}"
    hint = "Begin again from the sign-in page."
    http_status = 400


class NotHere(VolifeError):
    """Raised when a page needs a service that the grid does not offer."""

    code = "volife.not-here"
    template = "this grid has no {service}"
    hint = "Whoever runs the core can add it to its configuration."
    http_status = 404
