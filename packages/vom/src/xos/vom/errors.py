# SPDX-License-Identifier: BSD-3-Clause
"""The errors of VO management. Each class is one sentence: when it is raised."""

from __future__ import annotations

from xos.common.errors import XosError


class VomError(XosError):
    """Root of what XVOMS, CDA and RCA raise."""

    code = "vom.error"


class BadRequest(VomError):
    """Raised when an argument can never be right, whoever calls."""

    code = "vom.bad-request"
    template = "{what}: {detail}"
    http_status = 400
    exit_status = 2


class BadName(BadRequest):
    """Raised when a name is not one that XVOMS, certificates and accounts can all carry."""

    code = "vom.bad-name"
    template = "{what} {name!r} is not a name"
    hint = "{rule}"


class Forbidden(VomError):
    """Raised when the policy table does not allow the caller this act."""

    code = "vom.forbidden"
    template = "{caller} may not {act}"
    hint = "Allowed: {allowed}."
    http_status = 403


# --- the VO database -------------------------------------------------------------------------------------------------


class UnknownVO(VomError):
    """Raised when no VO has that name, or the caller may not know of it."""

    code = "vom.unknown-vo"
    template = "no VO {vo}"
    hint = "`xos-vo list` shows the VOs that you may see."
    http_status = 404


class UnknownUser(VomError):
    """Raised when the VO has no such member."""

    code = "vom.unknown-user"
    template = "no user {user} in VO {vo}"
    hint = "`xos-vo list-users {vo}` shows its members."
    http_status = 404


class VOExists(VomError):
    """Raised when another VO has that name already."""

    code = "vom.vo-exists"
    template = "VO {vo} exists already, with another description"
    hint = "Choose another name."
    http_status = 409


class UserExists(VomError):
    """Raised when another user has that name in the VO already."""

    code = "vom.user-exists"
    template = "user {user} of VO {vo} exists already, with another {differs}"
    hint = "`xos-vo show {vo} {user}` shows it; `xos-vo set-password {vo} {user}` changes the password."
    http_status = 409


class ChangedMeanwhile(VomError):
    """Raised when a change was made from a version that is no longer the present one: nothing is lost, nothing done."""

    code = "vom.changed-meanwhile"
    template = "{what} was changed meanwhile: version {version}, not {given}"
    hint = "Look at it again, then repeat the change."
    http_status = 409


class VODissolved(VomError):
    """Raised when a VO of that name was dissolved: its name is not given to another."""

    code = "vom.dissolved"
    template = "VO {vo} was dissolved"
    hint = "Choose another name; `xos-vo archive {vo}` shows what is left."
    http_status = 410


class UnknownArchive(VomError):
    """Raised when no VO of that name was ever dissolved."""

    code = "vom.unknown-archive"
    template = "no archive of a VO {vo}"
    hint = "`xos-vo archives` lists them."
    http_status = 404


class InUse(VomError):
    """Raised when a group or role cannot be removed since it is still in use."""

    code = "vom.still-used"
    template = "the {what} {name} of VO {vo} {detail}"
    hint = "`xos-vo list-users {vo} --{what} {name}` shows who has it."
    http_status = 409


class UnsupportedByVO(VomError):
    """Raised when a member shall have an attribute or capability that the VO does not support."""

    code = "vom.unsupported"
    template = "VO {vo} does not support the {what} {name}"
    hint = "A VOManager can add it: `xos-vo change {vo} --{option}`."
    http_status = 409


class LastManager(VomError):
    """Raised when a change would leave a VO that its members manage without a manager."""

    code = "vom.last-manager"
    template = "{user} is the last VOManager of VO {vo}"
    hint = "Give another member the role VOManager first."
    http_status = 409


class BadImport(VomError):
    """Raised when a list of members cannot be taken in whole: nothing of it was."""

    code = "vom.bad-import"
    template = "{count} of the lines cannot be taken in, so none was: {lines}"
    hint = "Correct the lines and import the whole list again; `xos-vo import --dry-run` names every bad one."
    http_status = 400
    exit_status = 2


class IdentityTaken(VomError):
    """Raised when an identity elsewhere is linked to another person already."""

    code = "vom.identity-taken"
    template = "{backend} identity {subject} belongs to somebody else"
    hint = "Unlink it there first: `xos-vo unlink VO USER {backend} {subject}`."
    http_status = 409


# --- registration ----------------------------------------------------------------------------------------------------


class UnknownRequest(VomError):
    """Raised when there is no such request for membership."""

    code = "vom.unknown-request"
    template = "no such request for membership"
    hint = "`xos-vo requests VO` lists those that wait."
    http_status = 404


class RequestDecided(VomError):
    """Raised when a request for membership was decided otherwise already, or is too old."""

    code = "vom.request-decided"
    template = "the request of {name} is {state} already"
    hint = "The person can ask again."
    http_status = 409


class NameTaken(VomError):
    """Raised when somebody asks for a name that a member, or another who asks, has already."""

    code = "vom.name-taken"
    template = "the name {name} is taken in VO {vo}"
    hint = "Choose another name."
    http_status = 409


class TooManyRequests(VomError):
    """Raised when too many requests for membership come from one address, or wait in one VO."""

    code = "vom.too-many-requests"
    template = "too many requests for membership {where}"
    hint = "Try again in {seconds} s."
    http_status = 429


class BadInvitation(VomError):
    """Raised when an invitation is wrong, used, or too old; which of these is not told."""

    code = "vom.bad-invitation"
    template = "this invitation is not good (any more)"
    hint = "An administrator of the VO makes a new one: `xos-vo invite VO USER`."
    http_status = 401


class WeakPassword(VomError):
    """Raised when a new password is too short, too long or the user's own name."""

    code = "vom.weak-password"
    template = "this password will not do: {detail}"
    http_status = 400
    exit_status = 2


# --- getting a certificate -------------------------------------------------------------------------------------------


class BadCredentials(VomError):
    """Raised when VO, user and password do not belong together; which of them is wrong is not told."""

    code = "vom.bad-credentials"
    template = "wrong VO, user or password"
    hint = "Check all three: the answer does not say which is wrong."
    http_status = 401


class DelegationShown(VomError):
    """Raised when a certificate is wanted by showing a delegation: who was trusted for hours must not be for longer."""

    code = "vom.delegation-shown"
    template = "no certificate is issued for a delegation of {user}"
    hint = "The user delegates anew, or gets a certificate with get-xos-cert."
    http_status = 403


class PasswordNeeded(VomError):
    """Raised when a certificate is wanted with neither a password nor a valid certificate shown."""

    code = "vom.password-needed"
    template = "a password, or a certificate of {user}@{vo} that is still valid, is needed"
    hint = "Run get-xos-cert without --renew."
    http_status = 401


class TooManyAttempts(VomError):
    """Raised when passwords were tried too often: nothing is checked until the time given has passed."""

    code = "vom.too-many-attempts"
    template = "too many wrong passwords"
    hint = "Try again in {seconds} s."
    http_status = 429


class PasswordsBusy(VomError):
    """Raised at once when so many passwords wait to be checked that this one would wait too long."""

    code = "vom.passwords-busy"
    template = "{waiting} passwords wait to be checked"
    hint = "Try again in a moment."
    http_status = 503
    retry_after_ms = 1000


class Suspended(VomError):
    """Raised when a suspended user asks for a certificate."""

    code = "vom.suspended"
    template = "{user}@{vo} is suspended"
    hint = "An administrator of the VO can `xos-vo resume {vo} {user}`."
    http_status = 403


class MembershipOver(VomError):
    """Raised when a user asks for a certificate whose membership has an end, and that is past."""

    code = "vom.membership-over"
    template = "the membership of {user}@{vo} is over"
    hint = "An administrator of the VO can prolong it: `xos-vo change-user {vo} {user} --expires DATE`."
    http_status = 403


class UnknownBackend(VomError):
    """Raised when the CDA does not offer that way to prove who one is."""

    code = "vom.unknown-backend"
    template = "this CDA does not know {backend}"
    hint = "It knows: {known}."
    http_status = 404


class BackendAway(VomError):
    """Raised when what a back-end of the CDA asks is away or not set up right; nobody is let in or turned down."""

    code = "vom.backend-away"
    template = "{backend} cannot tell who you are at present: {detail}"
    hint = "Try again in a moment, or another way: {known}."
    http_status = 503


class LoginPending(VomError):
    """Raised while the person has not finished the login at the OpenID provider."""

    code = "vom.login-pending"
    template = "the login is not finished"
    hint = "Open the page that was named, then try again."
    http_status = 428


class LoginOver(VomError):
    """Raised when a login at an OpenID provider was refused, has taken too long, or was never begun here."""

    code = "vom.login-over"
    template = "this login is over: {detail}"
    hint = "Begin a new one."
    http_status = 401


class NotLinked(VomError):
    """Raised when a person has proved who they are elsewhere, and that identity is no member's of the VO."""

    code = "vom.not-linked"
    template = "{backend} identity {subject} is not {user}@{vo}"
    hint = "An administrator of the VO can link it: `xos-vo link {vo} {user} {backend} {subject}`."
    http_status = 403


class NotAMember(VomError):
    """Raised when a certificate is wanted with a group or role that the user does not have."""

    code = "vom.not-a-member"
    template = "{user}@{vo} does not have the {what} {name}"
    hint = "`xos-vo show {vo} {user}` shows groups and roles; a renewed certificate has no more than the one shown."
    http_status = 403


# --- commands --------------------------------------------------------------------------------------------------------


class PassphraseNeeded(VomError):
    """Raised when a key is to be written to a file and there is no passphrase to encrypt it with."""

    code = "vom.passphrase-needed"
    template = "the key of the new certificate needs a passphrase, and none was given"
    hint = "Start xos-agent, which keeps keys in memory only, or give --passphrase-file, or --no-passphrase."
    exit_status = 2


class NoSshCertificate(VomError):
    """Raised when a user has an XOS-Certificate that no OpenSSH certificate came with."""

    code = "vom.no-ssh-certificate"
    template = "the certificate of {name} has no OpenSSH certificate beside it"
    hint = "It may say too much to fit into one: get one with fewer roles, get-xos-cert --role ROLE --renew."
    exit_status = 77


class NothingToRenew(VomError):
    """Raised when the certificate at hand cannot be exchanged for a new one."""

    code = "vom.nothing-to-renew"
    template = "cannot renew: {detail}"
    hint = "Get a certificate by password: get-xos-cert VO USER."


class NotTheSame(VomError):
    """Raised when what was typed twice differs."""

    code = "vom.not-the-same"
    template = "the two {what} are not the same"
    exit_status = 2


class UnusableFile(VomError):
    """Raised when a file that an option names cannot be read or written."""

    code = "vom.unusable-file"
    template = "{file}: {detail}"
    exit_status = 2


# --- machines --------------------------------------------------------------------------------------------------------


class UnknownToken(VomError):
    """Raised when a join token was never given out (or so long ago that it is forgotten)."""

    code = "vom.token-unknown"
    template = "this join token is not known"
    hint = "Make one on the core: `xos-node token {node}`."
    http_status = 401


class BadJoinWord(VomError):
    """Raised when what should be a join word is none, or only a part of one; nothing has been sent."""

    code = "vom.bad-join-word"
    template = "this is not a join word: {detail}"
    hint = "Copy the whole of what `xos-node token NODE` printed on the core; it is one word."
    http_status = 400
    exit_status = 2


class TokenExpired(VomError):
    """Raised when a join token's time is over."""

    code = "vom.token-expired"
    template = "this join token has expired"
    hint = "Make a new one on the core: `xos-node token {node}`."
    http_status = 401


class TokenUsed(VomError):
    """Raised when a join token was used already, with another key."""

    code = "vom.token-used"
    template = "this join token was used already"
    hint = "If that was not you, somebody else has joined as {node}: look at once. Else make a new token."
    http_status = 409


class TokenForeign(VomError):
    """Raised when a join token was made for another node."""

    code = "vom.token-foreign"
    template = "this join token is not for {node}"
    hint = "A token is good for the one node it was made for: `xos-node token {node}`."
    http_status = 403


class UnknownMachine(VomError):
    """Raised when a machine that never joined here wants its certificate renewed."""

    code = "vom.unknown-machine"
    template = "{node} has not joined"
    hint = "Join with a token: `xos-node token {node}` on the core."
    http_status = 404


class MachinePending(VomError):
    """Raised when a machine that waits for approval is used as if it were a part of the grid."""

    code = "vom.machine-pending"
    template = "{node} waits for approval"
    hint = "On the core: `xos-resource approve {node}`."
    http_status = 409


class MachineKnown(VomError):
    """Raised when a machine asks to join by the name of one that is part of the grid, or that another key asked for."""

    code = "vom.machine-known"
    template = "{node} is {state} already, with another key"
    hint = "Use another name, or a join token for that name: `xos-node token {node}`."
    http_status = 409


class Withdrawn(VomError):
    """Raised when a machine that was taken out of the grid wants a certificate."""

    code = "vom.withdrawn"
    template = "{node} was taken out of the grid"
    hint = "`xos-node token {node}` on the core lets it in again."
    http_status = 403


# --- the authority ---------------------------------------------------------------------------------------------------


class AuthorityUnreadable(VomError):
    """Raised when the VO CA's key or certificate cannot be loaded."""

    code = "vom.authority-unreadable"
    template = "{file}: {detail}"
    hint = "The key needs its passphrase, from the systemd credential `vom-ca-passphrase` or from `passphrase_file`."


class AuthorityExposed(VomError):
    """Raised when others than the owner could read the VO CA's key or passphrase."""

    code = "vom.authority-exposed"
    template = "{file} may be read by others (mode {mode})"
    hint = "chmod 600 {file}; if others had access, treat the key as stolen."


class BadKeyUri(VomError):
    """Raised when `ca_key` does not name a key in a PKCS#11 token."""

    code = "vom.bad-key-uri"
    template = "ca_key: {detail}"
    hint = "Such as pkcs11:token=vo-ca;object=ca?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/xos/ca.pin"
    exit_status = 2


class AuthorityAway(VomError):
    """Raised when the token that holds the VO CA's key cannot be used now; nothing is signed meanwhile."""

    code = "vom.authority-away"
    template = "{key} cannot be used: {detail}"
    hint = "Look at the token on the core (pkcs11-tool --list-slots). Once it is back, the same call works again."
    http_status = 503


class AuthorityLocked(VomError):
    """Raised when the token that holds the VO CA's key refuses the PIN, or has refused it and it is the same still."""

    code = "vom.authority-locked"
    template = "{key} is locked: {detail}"
    hint = "On the core, write the right PIN into its file (or systemd credential `vom-ca-pin`); it is tried once."
    http_status = 503


class VomInUse(VomError):
    """Raised when another process holds the VO database's directory."""

    code = "vom.in-use"
    template = "{directory} is in use by another process"
    hint = "XVOMS, CDA and RCA share one directory, so one daemon hosts all that use it."


# --- policies, usage, audit ------------------------------------------------------------------------------------------


class UnknownPolicy(VomError):
    """Raised when the VO has no policy document of that name."""

    code = "vom.unknown-policy"
    template = "no policy {name} in VO {vo}"
    hint = "`xos-policy list {vo}` shows those in effect."
    http_status = 404


class PolicyConflict(VomError):
    """Raised when a policy was changed by somebody else since it was read: nothing is lost, nothing overwritten."""

    code = "vom.policy-conflict"
    template = "policy {name} of VO {vo} is at version {version} by now, changed by {by}, not at {expected}"
    hint = "Read it again (`xos-policy show {vo} {name}`), and put your change on top of that."
    http_status = 409


class PolicyLocksOut(VomError):
    """Raised when a change of policies would leave nobody, or not even its author, who may change them back."""

    code = "vom.policy-locks-out"
    template = "with this, {who} could not change the policies of VO {vo} any more: {reason}"
    hint = "Leave the action managePolicies to yourself; the core machine could undo it, but nobody else."
    http_status = 409


class PolicyForbids(VomError):
    """Raised when the VO's own policies do not let an administrator change them."""

    code = "vom.policy-forbids"
    template = "{who} may not change the policies of VO {vo}: {reason}"
    hint = "Another administrator may, or the core machine."
    http_status = 403


class TooManyPolicies(VomError):
    """Raised when a VO has as many policy documents as it may."""

    code = "vom.too-many-policies"
    template = "VO {vo} has {count} policy documents, and may have no more"
    hint = "Put several rules into one document, or remove what is not needed."
    http_status = 409


class BadUsageRecord(VomError):
    """Raised when a usage record is not the calling node's, is not signed as it must be, or makes no sense."""

    code = "vom.bad-usage-record"
    template = "usage record {record}: {detail}"
    http_status = 400


class QuotaConflict(VomError):
    """Raised when a quota was changed by somebody else since it was read."""

    code = "vom.quota-conflict"
    template = "the quota of {subject} in VO {vo} is at version {version} by now, not at {expected}"
    hint = "Look at it (`xos-usage quotas {vo}`) and try again."
    http_status = 409


class ForeignHead(VomError):
    """Raised when a head that is to be certified is not one that this chain has, or not the caller's own signature."""

    code = "vom.foreign-head"
    template = "this head of the chain {log} cannot be certified: {detail}"
    hint = "Fetch the head again. If it was this service's own once, its records were tampered with: xos-audit verify."
    http_status = 409


class Tampered(VomError):
    """Raised when a chain of records is not what was written."""

    code = "vom.tampered"
    template = "the chain {log} of records was tampered with: {faults} faults, the first at entry {number}: {detail}"
    hint = "Keep the database as it is for the auditors, and restore the last good copy beside it to compare."


class CertificateRefused(VomError):
    """Raised when VOPS does not accept the certificate of the user whom it is asked about."""

    code = "vom.certificate-refused"
    template = "{detail}"
    hint = "Submit the job again, with a new certificate: run get-xos-cert."
    http_status = 403


class BadRuling(VomError):
    """Raised when what is shown as a ruling of VOPS is none, or none any more."""

    code = "vom.bad-ruling"
    template = "the ruling of VOPS does not hold: {detail}"
    hint = "The Job Manager must ask VOPS again; if clocks are right and this goes on, look at both."
    http_status = 403


class BadHeadFile(VomError):
    """Raised when a head that was certified from here cannot be read."""

    code = "vom.bad-head-file"
    template = "{file} is not a certified head: {detail}"
    hint = "Restore it from a copy; without it only heads that others have certified can be compared."
