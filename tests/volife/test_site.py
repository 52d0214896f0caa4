# SPDX-License-Identifier: BSD-3-Clause
"""The site as browsers and attackers meet it, over real TLS, with real services behind it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import csv
import io
import re
import ssl

import msgspec
import pytest

from xos.common.certificate import make_csr, make_key
from xos.volife import server, service
from xos.volife.limits import GUESSES
from xos.vom.api import CertificateWish, UserState
from xos.vom.xati import CDAAsync

from .conftest import PASSWORD, World

EVIL = "\"><script>alert(1)</script>'; DROP TABLE members; --"


async def test_who_is_not_signed_in_is_sent_to_sign_in_and_comes_back_after_it(world: World) -> None:
    await world.user("alice")
    browser = world.browser()
    answer = await browser.get("/vo/demo/groups?x=1")
    assert answer.url.startswith("/sign-in?next=")
    came = await browser.sign_in("alice", next="/vo/demo/groups")
    assert came.url == "/vo/demo/groups"
    assert "users" in came.words


async def test_a_wrong_password_says_so_keeps_what_was_typed_and_signs_nobody_in(world: World) -> None:
    await world.user("alice")
    browser = world.browser()
    answer = await browser.sign_in("alice", "wrong password")
    assert answer.status == 401
    assert "Wrong VO, user or password" in answer.words
    assert 'value="alice"' in answer.text
    assert "wrong password" not in answer.text
    assert (await browser.get("/")).url.startswith("/sign-in")


async def test_a_session_planted_before_is_worth_nothing_after_signing_in(world: World) -> None:
    await world.user("alice")
    browser = world.browser()
    await browser.get("/sign-in")
    planted = browser.cookie
    await browser.sign_in("alice")
    assert browser.cookie != planted
    other = world.browser()
    answer = await other.get("/", headers={"Cookie": f"__Host-volife={planted}"})
    assert answer.url.startswith("/sign-in")


async def test_the_cookie_is_for_this_host_over_https_and_no_script(world: World) -> None:
    browser = world.browser()
    set_cookie = (await browser.get("/sign-in")).headers["Set-Cookie"]
    assert set_cookie.startswith("__Host-volife=")
    for word in ("Path=/", "Secure", "HttpOnly", "SameSite=Lax"):
        assert word in set_cookie
    assert "Domain" not in set_cookie


async def test_after_signing_out_the_cookie_is_worth_nothing(world: World) -> None:
    await world.user("alice")
    browser = await world.signed_in("alice")
    cookie = browser.cookie
    await browser.post("/sign-out")
    answer = await world.browser().get("/", headers={"Cookie": f"__Host-volife={cookie}"})
    assert answer.url.startswith("/sign-in")


@pytest.mark.parametrize("csrf", ["forged", ""])
async def test_a_form_without_the_sessions_token_changes_nothing(world: World, csrf: str) -> None:
    await world.user("root1", "VOAdmin")
    await world.user("bob")
    browser = await world.signed_in("root1")
    await browser.get("/vo/demo/members/bob")
    answer = await browser.post("/vo/demo/members/bob", action="suspend", csrf=csrf)
    assert (answer.status, "volife.stale-form" in answer.words) == (403, True)
    assert (await world.xvoms.user_info("demo", "bob")).state is UserState.ACTIVE


async def test_a_form_that_another_site_makes_a_browser_send_changes_nothing(world: World) -> None:
    await world.user("root1", "VOAdmin")
    await world.user("bob")
    browser = await world.signed_in("root1")
    await browser.get("/vo/demo/members/bob")
    answer = await browser.post("/vo/demo/members/bob", {"Origin": "https://evil.example"}, action="suspend")
    assert (answer.status, "volife.foreign-request" in answer.words) == (403, True)
    assert (await world.xvoms.user_info("demo", "bob")).state is UserState.ACTIVE


async def test_one_sessions_token_is_no_good_in_another(world: World) -> None:
    await world.user("alice")
    await world.user("mallory")
    alice, mallory = await world.signed_in("alice"), await world.signed_in("mallory")
    await mallory.get("/me")
    await alice.get("/me")
    alice.csrf = mallory.csrf
    answer = await alice.post("/me", current=PASSWORD, password="another password", again="another password")
    assert "volife.stale-form" in answer.words


async def test_every_answer_tells_browsers_what_to_enforce(world: World) -> None:
    browser = world.browser()
    for path in ("/sign-in", "/nothing", "/static/volife.css", "/ca.pem", "/static/nothing"):
        headers = (await browser.get(path)).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Server" not in headers
    assert (await browser.get("/sign-in")).headers["Cache-Control"] == "no-store"


async def test_no_page_has_a_script_or_style_of_its_own(world: World) -> None:
    await world.user("root1", "VOAdmin")
    browser = await world.signed_in("root1")
    for path in ("/", "/me", "/vo/demo", "/vo/demo/members", "/vo/demo/members-add", "/vo/demo/members/root1"):
        text = (await browser.get(path)).text
        assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|javascript:", text), path


async def test_guessing_from_one_address_is_slowed_down_before_the_cda_is_asked(world: World) -> None:
    browser = world.browser()
    for i in range(GUESSES.burst):
        answer = await browser.sign_in(f"user{i}", "wrong password")
        assert answer.status == 401
    answer = await browser.sign_in("user99", "wrong password")
    assert answer.status == 429
    assert "Try again in" in answer.words


async def test_a_user_suspended_in_mid_session_is_signed_out_at_the_next_click(world: World) -> None:
    await world.user("alice")
    browser = await world.signed_in("alice")
    await world.xvoms.set_user_state("demo", "alice", UserState.SUSPENDED)
    answer = await browser.get("/vo/demo")
    assert answer.url.startswith("/sign-in")
    assert "session has ended" in answer.words
    assert "revoked" in answer.words


async def test_a_member_cannot_do_what_only_administrators_may(world: World) -> None:
    await world.user("alice")
    await world.user("bob")
    browser = await world.signed_in("alice")
    assert (await browser.get("/vo/demo/members")).status == 403
    await browser.get("/me")
    answer = await browser.post("/vo/demo/members/bob", action="suspend")
    assert answer.status == 403
    assert (await world.xvoms.user_info("demo", "bob")).state is UserState.ACTIVE


async def test_html_and_sql_in_every_field_are_shown_as_text_and_do_nothing(world: World) -> None:
    await world.user("root1", "VOAdmin")
    browser = world.browser()
    await browser.get("/sign-in")
    answer = await browser.post("/sign-in", action="password", vo=EVIL, user=EVIL, password=EVIL, next=EVIL)
    assert "<script>alert" not in answer.text
    browser = await world.signed_in("root1")
    await browser.get("/vo/demo/members-add")
    fields = dict.fromkeys(("user", "group", "groups", "roles", "password", "again"), EVIL)
    answer = await browser.post("/vo/demo/members-add", None, **fields)
    assert answer.status == 400
    assert "<script>alert" not in answer.text
    assert "DROP TABLE" in answer.text, "what was typed is still there"
    for path in (f"/vo/{EVIL}", f"/vo/demo/members/{EVIL}", f"/vo/demo/members?after={EVIL}", f"/{EVIL}"):
        answer = await browser.get(path)
        assert answer.status in (400, 403, 404), path
        assert "<script>alert" not in answer.text
    assert [user.name for user in await world.xvoms.list_users("demo")] == ["root1"]


async def test_a_description_full_of_html_is_text_on_every_page(world: World) -> None:
    await world.xvoms.create_vo("evil", EVIL)
    await world.user("mallory", vo="evil")
    browser = world.browser()
    await browser.sign_in("mallory", vo="evil")
    for path in ("/", "/vo/evil"):
        answer = await browser.get(path)
        assert "DROP TABLE" in answer.words
        assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"csrf=\xff\xfe", "application/x-www-form-urlencoded"),
        (b"{", "application/json"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
        (b"nonsense", "multipart/form-data"),
        (b"", "text/plain"),
        (b"a=1&" * 50_000, "application/x-www-form-urlencoded"),
    ],
)
async def test_a_form_that_cannot_be_read_is_refused_with_a_page(world: World, body: bytes, kind: str) -> None:
    browser = world.browser()
    async with browser.http.post(f"{browser.url}/sign-in", data=body, headers={"Content-Type": kind}) as response:
        assert response.status in (400, 403)
        assert "VOLife" in await response.text()


async def test_a_form_larger_than_any_is_refused(world: World) -> None:
    browser = world.browser()
    await browser.get("/sign-in")
    body = io.BytesIO(b"password=" + b"x" * (5 << 20))
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    async with browser.http.post(f"{browser.url}/sign-in", data=body, headers=kind) as response:
        assert response.status == 413
        assert "volife.too-large" in await response.text()


@pytest.mark.parametrize("verb", ["PUT", "DELETE", "PATCH", "NONSENSE"])
async def test_other_methods_find_nothing(world: World, verb: str) -> None:
    browser = world.browser()
    async with browser.http.request(verb, f"{browser.url}/sign-in") as response:
        assert response.status in (400, 404, 405)


async def test_garbage_on_the_port_leaves_the_site_alive(world: World) -> None:
    host, _, port = world.url.removeprefix("https://").strip("/").rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for tls, sent in (
        (None, b"GET / HTTP/9.9\r\n\r\n"),
        (context, b"\x00" * 4096),
        (context, b"GET / HTTP/9.9\r\n\r\n"),
    ):
        reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
        writer.write(sent)
        await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    assert (await world.browser().get("/sign-in")).status == 200


async def test_half_a_request_is_given_up_in_time_and_a_live_page_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(service, "TEND_SECONDS", 0.05)
    await world.user("alice")
    browser = await world.signed_in("alice")
    async with browser.http.get(f"{browser.url}/vo/demo/resources/live") as stream:
        await stream.content.readuntil(b"\n\n")
        host, _, port = world.url.removeprefix("https://").strip("/").rpartition(":")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        assert not stream.content.at_eof()


async def test_a_live_page_sends_its_part_whole(world: World) -> None:
    await world.user("alice")
    browser = await world.signed_in("alice")
    async with browser.http.get(f"{browser.url}/vo/demo/resources/live") as stream:
        assert stream.content_type == "text/event-stream"
        first = await stream.content.readuntil(b"\n\n")
        assert first.startswith(b"event: part\ndata: ")
        assert b"No machine serves this VO" in first


async def test_a_live_page_ends_with_the_session(world: World) -> None:
    await world.user("alice")
    world.site.settings = msgspec.structs.replace(world.site.settings, live_seconds=0.05)
    browser = await world.signed_in("alice")
    async with browser.http.get(f"{browser.url}/vo/demo/resources/live") as stream:
        await stream.content.readuntil(b"\n\n")
        await world.xvoms.set_user_state("demo", "alice", UserState.SUSPENDED)
        assert await stream.content.readuntil(b"\n\n") == b"event: over\ndata:\n\n"


async def test_a_changed_password_is_the_one_that_counts(world: World) -> None:
    await world.user("alice")
    browser = await world.signed_in("alice")
    await browser.get("/me")
    answer = await browser.post("/me", current="not it at all", password="another password", again="another password")
    assert answer.status == 401
    answer = await browser.post("/me", current=PASSWORD, password="another password", again="another passwort")
    assert answer.status == 400
    answer = await browser.post("/me", current=PASSWORD, password="another password", again="another password")
    assert "Your password is changed." in answer.words
    assert (await world.browser().sign_in("alice", "another password")).url == "/"


async def test_an_administrator_adds_suspends_and_resumes_a_member(world: World) -> None:
    await world.user("root1", "VOAdmin")
    browser = await world.signed_in("root1")
    await browser.get("/vo/demo/members-add")
    answer = await browser.post(
        "/vo/demo/members-add", user="bob", group="physics", roles="Operator", password=PASSWORD, again=PASSWORD
    )
    assert answer.url == "/vo/demo/members/bob"
    user = await world.xvoms.user_info("demo", "bob")
    assert (user.group, user.roles) == ("physics", ("Operator",))
    answer = await browser.post("/vo/demo/members/bob", action="suspend")
    assert "bob is suspended" in answer.words
    answer = await browser.post("/vo/demo/members/bob", action="resume")
    assert (await world.xvoms.user_info("demo", "bob")).state is UserState.ACTIVE


@pytest.mark.parametrize("shown", ["", "!!!", "AAAA", "MIIB" + "A" * 4000, "machine", "another's"])
async def test_what_is_not_the_certificate_that_was_asked_for_signs_nobody_in(world: World, shown: str) -> None:
    await world.user("alice")
    browser = world.browser()
    await browser.get("/sign-in")
    if shown == "machine":
        shown = base64.b64encode(world.daemon.credential.certificate).decode()
    elif shown == "another's":
        wish = CertificateWish("demo", "alice", make_csr(make_key(), "alice"), PASSWORD)
        shown = base64.b64encode((await CDAAsync(world.daemon.bus).issue(wish)).certificate).decode()
    answer = await browser.post("/sign-in", action="certificate", certificate=shown)
    assert answer.status == 400
    assert answer.url == "/sign-in"
    assert (await browser.get("/me")).url.startswith("/sign-in")


async def test_the_certificate_that_was_asked_for_signs_in_in_the_session_that_asked_and_no_other(world: World) -> None:
    await world.user("alice")
    browser, thief = world.browser(), world.browser()
    csr = re.search(r'data-csr="([^"]+)"', (await browser.get("/sign-in")).text)
    assert csr is not None
    wish = CertificateWish("demo", "alice", base64.b64decode(csr[1]), PASSWORD)
    issued = await CDAAsync(world.daemon.bus).issue(wish)
    shown = base64.b64encode(issued.certificate).decode()
    await thief.get("/sign-in")
    assert (await thief.post("/sign-in", action="certificate", certificate=shown)).status == 400
    assert (await browser.post("/sign-in", action="certificate", certificate=shown, next="/me")).url == "/me"


async def test_files_are_for_whom_the_page_is_for_and_no_spreadsheet_takes_a_name_for_a_formula(world: World) -> None:
    await world.user("mia", "VOManager")
    await world.user("ann")
    mia, ann = await world.signed_in("mia"), await world.signed_in("ann")
    await mia.get("/vo/demo/groups")
    await mia.post("/vo/demo/groups", None, action="add_group", name="labs", description='=HYPERLINK("x"),"')
    acts = await mia.get("/vo/demo/audit.csv?act=group-added&target=labs")
    assert acts.headers["Content-Disposition"] == 'attachment; filename="demo-audit.csv"'
    (row,) = csv.DictReader(acts.text.splitlines())
    assert (row["act"], row["target"], row["who"]) == ("group-added", "labs", "mia@demo")
    assert row["detail"] == 'description==HYPERLINK("x"),"'
    assert (await ann.get("/vo/demo/audit.csv")).status == 403
    assert (await ann.get("/vo/demo/usage.csv")).text == ""
    assert "Sign in" in (await world.browser().get("/vo/demo/audit.csv")).words
