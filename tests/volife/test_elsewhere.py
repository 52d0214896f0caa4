# SPDX-License-Identifier: BSD-3-Clause
"""Signing in at an institution: the CDA's own back-end, and an OpenID provider of the tests' that answers it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from aiohttp import web

from xos.common.certificate import key_pem, make_key

from .conftest import World


class Provider:
    """Of OpenID Connect, as much as the device flow needs (RFC 8628): it says yes once `agreed`."""

    def __init__(self) -> None:
        self.agreed = False
        self.refused = False
        self.key = make_key()
        self.url = ""

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._about)
        app.router.add_get("/keys", self._keys)
        app.router.add_post("/device", self._device)
        app.router.add_post("/token", self._token)
        return app

    async def _about(self, _: web.Request) -> web.Response:
        return web.json_response({
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "device_authorization_endpoint": f"{self.url}/device",
            "token_endpoint": f"{self.url}/token",
            "id_token_signing_alg_values_supported": ["ES256"],
        })  # fmt: skip

    async def _keys(self, _: web.Request) -> web.Response:
        public = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return web.json_response({"keys": [{**public, "kid": "1", "use": "sig", "alg": "ES256"}]})

    async def _device(self, _: web.Request) -> web.Response:
        return web.json_response({
            "device_code": "secret", "user_code": "WDJB-MJHT", "verification_uri": f"{self.url}/activate",
            "expires_in": 600, "interval": 1,
        })  # fmt: skip

    async def _token(self, _: web.Request) -> web.Response:
        if self.refused:
            return web.json_response({"error": "access_denied"}, status=400)
        if not self.agreed:
            return web.json_response({"error": "authorization_pending"}, status=400)
        now = int(time.time())
        claims = {"iss": self.url, "sub": "248289761001", "aud": "xtreemos", "iat": now, "exp": now + 300}
        token = jwt.encode(claims, key_pem(self.key), algorithm="ES256", headers={"kid": "1"})
        return web.json_response({"access_token": "x", "token_type": "Bearer", "id_token": token})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    runner = web.AppRunner(made.application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
def cda(provider: Provider) -> dict[str, Any]:
    """Settings of the CDA."""
    return {"oidc": {"issuer": provider.url, "client_id": "xtreemos"}}


async def test_who_says_yes_at_their_institution_is_signed_in_without_a_password(
    world: World, provider: Provider
) -> None:
    await world.user("alice")
    await world.xvoms.link_identity("demo", "alice", "oidc", "248289761001")
    browser = world.browser()
    assert "Sign in at your institution" in (await browser.get("/sign-in")).words
    fields = {"vo": "demo", "user": "alice", "password": "", "next": "/me"}
    answer = await browser.post("/sign-in", None, action="elsewhere", **fields)
    assert answer.url == "/sign-in/elsewhere"
    assert "WDJB-MJHT" in answer.words
    assert f"{provider.url}/activate" in answer.text
    waiting = await browser.post("/sign-in/elsewhere")
    assert "Waiting for your institution" in waiting.words
    provider.agreed = True
    answer = await browser.post("/sign-in/elsewhere")
    assert answer.url == "/me", answer.words
    assert "alice@demo" in answer.words


async def test_somebody_elses_identity_signs_nobody_in(world: World, provider: Provider) -> None:
    await world.user("alice")
    browser = world.browser()
    await browser.get("/sign-in")
    await browser.post("/sign-in", None, action="elsewhere", vo="demo", user="alice", password="")
    provider.agreed = True
    answer = await browser.post("/sign-in/elsewhere")
    assert answer.status == 403
    assert "Begin again" in answer.words
    assert (await browser.get("/")).url.startswith("/sign-in")


async def test_who_says_no_at_their_institution_is_told_and_can_begin_again(world: World, provider: Provider) -> None:
    await world.user("alice")
    browser = world.browser()
    await browser.get("/sign-in")
    await browser.post("/sign-in", None, action="elsewhere", vo="demo", user="alice", password="")
    provider.refused = True
    answer = await browser.post("/sign-in/elsewhere")
    assert answer.status == 401
    assert "Begin again" in answer.words


async def test_without_a_login_that_has_begun_there_is_nothing_to_finish(world: World) -> None:
    browser = world.browser()
    await browser.get("/sign-in")
    assert (await browser.post("/sign-in/elsewhere")).url == "/sign-in"
    assert (await browser.get("/sign-in/elsewhere")).url == "/sign-in"
