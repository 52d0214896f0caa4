# SPDX-License-Identifier: BSD-3-Clause
"""Whatever comes in, there is an answer: a value that keeps the rules, or one of our errors."""

from __future__ import annotations

import contextlib
import functools
import string
from typing import Any, Literal

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xos.common import attributes
from xos.common.attributes import ATTRIBUTES, read_utf8_string, write_utf8_string
from xos.common.certificate import (
    Authority,
    BadCertificate,
    BadCsr,
    BadRevocations,
    CertificateError,
    check_csr,
    load_certificate,
    make_csr,
    make_key,
    parse_identity,
    verify,
)
from xos.common.config import ConfigError, parse
from xos.common.errors import BadSignature
from xos.common.identity import Identity, Kind
from xos.common.signing import sign, verify_signed
from xos.common.tls import Credential, Trust

pytestmark = pytest.mark.fuzz

NAME = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
CAPITAL_NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)


def names(of: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(of, max_size=6, unique=True).map(tuple)


@functools.cache
def ca() -> Authority:
    return Authority.create("fuzz")


@functools.cache
def csr() -> x509.CertificateSigningRequest:
    return check_csr(make_csr(make_key(), "x"))


@functools.cache
def alice() -> Credential:
    key = make_key()
    identity = Identity(Kind.USER, "alice", vo="demo", group="users", groups=("a.b",), roles=("VOAdmin",))
    return Credential(ca().issue_user(make_csr(key, "x"), identity, 3600), key)


def with_extensions(extensions: list[tuple[x509.ObjectIdentifier, bool, bytes]]) -> bytes:
    """A certificate that our CA really signed, with these extensions."""
    sample = load_certificate(alice().certificate)
    builder = x509.CertificateBuilder(
        sample.issuer,
        sample.subject,
        sample.public_key(),
        7,
        sample.not_valid_before_utc.replace(tzinfo=None),
        sample.not_valid_after_utc.replace(tzinfo=None),
        [x509.Extension(oid, critical, x509.UnrecognizedExtension(oid, value)) for oid, critical, value in extensions],
    )
    return builder.sign(ca().key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


Edits = list[tuple[str, int, int]]
EDITS = st.lists(
    st.tuples(st.sampled_from(["set", "flip", "cut", "put"]), st.integers(0, 1 << 20), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


def mutated(original: bytes, edits: Edits) -> bytes:
    """*original* with a few bytes changed, cut out, or put in."""
    data = bytearray(original)
    for what, where, value in edits:
        at = where % (len(data) or 1)
        match what:
            case "put":
                data[at:at] = bytes([value]) * (1 + value % 12)
            case "cut":
                del data[at : at + 1 + value % 40]
            case "set" if data:
                data[at] = value
            case "flip" if data:
                data[at] ^= 1 << value % 8
            case _:
                continue
    return bytes(data)


def keeps_the_rules(identity: Identity) -> bool:
    every = (identity.name, identity.vo, identity.group, *identity.groups, *identity.roles, *identity.vos)
    letters = set(string.ascii_letters + string.digits + "._-")
    named = all(set(name) <= letters and len(name) <= 64 for name in every)
    shaped = bool(identity.vo and identity.group) if identity.kind is Kind.USER else not identity.vo
    return named and shaped and bool(identity.name) and 0 < identity.serial < 1 << 63


# --- the certificate ---


@given(NAME, NAME, CAPITAL_NAME, names(CAPITAL_NAME), names(CAPITAL_NAME), names(NAME))
def test_every_user_that_can_be_named_is_read_back(
    name: str, vo: str, group: str, groups: tuple[str, ...], roles: tuple[str, ...], vos: tuple[str, ...]
) -> None:
    wanted = Identity(Kind.USER, name, vo=vo, group=group, groups=groups, roles=roles, vos=vos)
    found = parse_identity(ca().issue_user(csr(), wanted, 60))
    assert msgspec.structs.replace(found, serial=0, not_before=0, not_after=0, fingerprint="") == wanted


@given(NAME, names(NAME))
def test_every_machine_that_can_be_named_is_read_back(name: str, roles: tuple[str, ...]) -> None:
    found = parse_identity(ca().issue_machine(csr(), name, roles, [], 60))
    assert (found.kind, found.name, found.roles) == (Kind.MACHINE, name, roles)


@settings(max_examples=500)
@given(st.binary(max_size=300) | st.text(max_size=300).map(write_utf8_string))
def test_der_strings_are_read_in_one_form_only(der: bytes) -> None:
    with contextlib.suppress(BadCertificate):
        assert write_utf8_string(read_utf8_string(der)) == der


VALUE = (
    st.binary(max_size=40)
    | st.text(string.ascii_letters + ",.-\0\n", max_size=40).map(write_utf8_string)
    | st.sampled_from([write_utf8_string("users"), write_utf8_string("demo"), b"\x0c\x82\xff\xff", b"\x0c\x84"])
)
OID = st.sampled_from([*ATTRIBUTES, x509.ObjectIdentifier("1.34.5.0.14.77"), x509.ObjectIdentifier("2.5.29.19")])


@settings(max_examples=300)
@given(st.lists(st.tuples(OID, st.booleans(), VALUE), max_size=8, unique_by=lambda one: one[0]))
def test_any_extensions_give_an_identity_by_the_rules_or_bad_certificate(
    extensions: list[tuple[x509.ObjectIdentifier, bool, bytes]],
) -> None:
    try:
        identity = parse_identity(with_extensions(extensions))
    except BadCertificate:
        return
    assert keeps_the_rules(identity)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(list(ATTRIBUTES)), VALUE, max_size=3))
def test_a_user_with_some_attributes_spoiled_is_read_by_the_rules_or_refused(
    spoiled: dict[x509.ObjectIdentifier, bytes],
) -> None:
    good = {attributes.USER_ID: "alice", attributes.PRIMARY_VO: "demo", attributes.PRIMARY_GROUP: "users"}
    values = {oid: write_utf8_string(text) for oid, text in good.items()} | spoiled
    try:
        identity = parse_identity(with_extensions([(oid, False, value) for oid, value in values.items()]))
    except BadCertificate:
        return
    assert keeps_the_rules(identity)


def signed_content(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).tbs_certificate_bytes


@settings(max_examples=500)
@given(EDITS)
def test_no_mutation_of_a_certificate_is_believed(edits: Edits) -> None:
    original = alice().certificate
    der = mutated(original, edits)
    assume(der != original)
    try:
        verify(der, ca().certificate, None, alice().identity.not_before + 1)
    except CertificateError:
        pass
    else:
        # A BIT STRING may count zero bits at the signature's end as unused: other bytes, the same signed content.
        assert signed_content(der) == signed_content(original)
    with contextlib.suppress(BadCertificate):
        assert keeps_the_rules(parse_identity(der))


@settings(max_examples=300)
@given(EDITS)
def test_any_request_is_taken_or_a_bad_request(edits: Edits) -> None:
    der = mutated(make_csr(alice().key, "alice"), edits)
    with contextlib.suppress(BadCsr):
        assert list(check_csr(der).attributes) == []


@settings(max_examples=300)
@given(EDITS)
def test_no_mutation_of_a_revocation_list_is_believed(edits: Edits) -> None:
    original = ca().crl([(1, 1), (2, 2)], 5, at=1_700_000_000)
    der = mutated(original, edits)
    assume(der != original)
    trust = Trust([ca().der])
    try:
        trust.set_crl(der)
    except BadRevocations:
        assert trust.crl_number == -1
    else:  # as above: the signature's unused bits
        changed, kept = x509.load_der_x509_crl(der), x509.load_der_x509_crl(original)
        assert changed.tbs_certlist_bytes == kept.tbs_certlist_bytes


@given(EDITS, st.binary(max_size=80))
def test_no_mutation_of_a_signed_document_is_believed(edits: Edits, signature: bytes) -> None:
    trust, at = Trust([ca().der]), alice().identity.not_before + 1
    signed = sign(b"some job or other", alice(), purpose="job")
    payload = mutated(signed.payload, edits)
    assume(payload != signed.payload)
    with pytest.raises(BadSignature):
        verify_signed(msgspec.structs.replace(signed, payload=payload), trust, purpose="job", at=at)
    with pytest.raises(BadSignature):
        verify_signed(msgspec.structs.replace(signed, signature=signature), trust, purpose="job", at=at)


# --- the configuration ---


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    a: int
    b: tuple[str, ...] = ()
    open: dict[str, Any] = {}


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    a: Literal["x", "y"] = "x"
    one: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: dict[str, Inner] = {}


SYNTAX = 'a one many named b open . [ ] [[ ]] { } = , " \' """ # 1 -inf 1979-05-27 "x" \\ \\u0041 é true'
PIECES = st.sampled_from([*SYNTAX.split(), "\n", "\r\n", " ", "\x00", "a = 1\n", "[one]\n"])


def check_configuration(text: str) -> None:
    problem: ConfigError | None = None
    try:
        assert isinstance(parse(text, Outer, file="f.toml"), Outer)
    except ConfigError as error:
        problem = error
    if problem is not None:
        line = problem.data["line"]
        assert isinstance(line, int)
        assert 1 <= line <= text.count("\n") + 1
        assert problem.data["key"]


@settings(max_examples=500)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_any_text_is_a_configuration_or_an_error_with_a_line(text: str) -> None:
    check_configuration(text)


GOOD = """
a = "y"
[one]
a = 1
b = ["p", "q"]
[[many]]
a = 2
[named."n n"]
a = 3
open = { x = [ { y = 1 } ] }
"""


@settings(max_examples=500)
@given(EDITS)
def test_any_mutation_of_a_configuration_is_read_or_named(edits: Edits) -> None:
    check_configuration(mutated(GOOD.encode(), edits).decode("utf-8", "replace"))
