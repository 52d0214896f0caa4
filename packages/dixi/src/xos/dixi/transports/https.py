# SPDX-License-Identifier: BSD-3-Clause
"""The gateway: every service over HTTP/1.1 and JSON, for `curl`, browsers and scripts.

``POST /Service/method`` takes the arguments as a JSON object; methods that change nothing also answer ``GET`` with the
arguments in the query. Streams come as one JSON value a line. Errors are the wire's `Fault` as JSON, with a fitting
status and, where it helps to come back later, ``Retry-After``. A service that another node offers is answered with a
redirect (307) there, so that the caller's own certificate reaches it. ``/openapi.json`` describes all of it,
``/metrics`` is for Prometheus. A POST must say ``Content-Type: application/json``: no web page elsewhere can make a
browser send that without asking first (Fetch standard, "CORS protocol"). The pages of `Offer.origins` are told yes, and
their readers' certificates are heard. A service may answer what lies below its name by itself (`xos.dixi.pages`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    TCPConnector,
    web,
)

from xos.common.errors import Fault, InternalError, XosError, from_fault
from xos.common.identity import ANONYMOUS, Identity, Kind
from xos.common.log import get_logger
from xos.common.tls import Credential, client_context, explain_tls_error, server_context, use_credential
from xos.dixi.api import CallContext
from xos.dixi.dispatch import Method
from xos.dixi.errors import (
    BadArguments,
    BadFrame,
    ConnectionLost,
    Draining,
    NoCertificate,
    NotAllowed,
    NotConnected,
    UnknownMethod,
    UnknownService,
)
from xos.dixi.frames import MAX_FRAME
from xos.dixi.named import from_named, to_named, twin
from xos.dixi.openapi import RAW, openapi
from xos.dixi.stage import Work, perform
from xos.dixi.transports import BACKLOG, Address, Endpoint, Link, Listener, Offer, bind
from xos.dixi.transports.raw import body_parameter, query_of, raw_response, wants_raw
from xos.dixi.transports.tls import HANDSHAKE_SECONDS, Gate

log = get_logger("xos.dixi.https")

IDLE_SECONDS = 60.0
"""A connection on which no request has been finished or is being answered for so long is closed."""
DEADLINE = "XOS-Deadline"
"""Request header: seconds that the caller is willing to wait."""


class HttpsListener:
    """Serves one address."""

    def __init__(self, offer: Offer) -> None:
        endpoint = offer.endpoint
        if endpoint.credential is None:
            raise NotConnected(address=str(offer.address), detail="a listener needs a machine certificate")
        self._offer = offer
        self._context = server_context(endpoint.credential, endpoint.trust, anonymous=True, alpn=["http/1.1"])
        self._gate = Gate(offer.most_connections, str(offer.address))
        self._socket = bind(offer.address)
        self._bound = self._socket.getsockname()[:2]
        self._http = web.Server(
            self._handle,
            access_log=None,
            handler_cancellation=True,
            max_field_size=16384,
            keepalive_timeout=IDLE_SECONDS,
        )
        self._server: asyncio.Server | None = None
        self._quiet_since: dict[object, float] = {}
        self._draining: str | None = None

    async def serve(self) -> None:
        """Begin to accept."""
        self._server = await asyncio.get_running_loop().create_server(
            self._gate.accepting(self._http, self._context), sock=self._socket, backlog=BACKLOG
        )

    @property
    def address(self) -> Address:
        """As bound."""
        host, port = self._bound
        return Address(host, port)

    @property
    def connections(self) -> int:
        """Open now."""
        return len(self._http.connections)

    def renew(self, credential: Credential) -> None:
        """Show *credential* on later connections."""
        use_credential(self._context, credential)

    def goodbye(self, node: str) -> None:
        """Take nothing new."""
        self._draining = node
        if self._server is not None:
            self._server.close()
        self._http.pre_shutdown()

    def tend(self, now: float) -> None:
        """Close connections that have been idle, or half a request, for too long."""
        open_now = list(self._http.connections)
        self._quiet_since = {connection: self._quiet_since.get(connection, now) for connection in open_now}
        for connection in open_now:
            since = self._quiet_since[connection]
            if now - since > IDLE_SECONDS:
                connection.force_close()
                if connection.transport is not None:
                    connection.transport.abort()

    async def close(self) -> None:
        """Close every connection."""
        if self._server is not None:
            self._server.close()
        else:
            self._socket.close()
        await self._http.shutdown(1.0)
        await self._gate.shut(1.0)

    # -- requests

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._quiet_since[request.protocol] = math.inf
        origin = request.headers.get("Origin", "")
        if origin not in self._offer.origins:
            return await self._answer_or_refuse(request)
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=_allow(origin) | _PREFLIGHT)
        response = await self._answer_or_refuse(request)
        if not response.prepared:
            response.headers.update(_allow(origin))
        return response

    async def _answer_or_refuse(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except XosError as error:
            return self._refuse(request, error)
        except (ConnectionError, asyncio.CancelledError):
            raise  # the client has gone
        except Exception as error:
            incident = secrets.token_hex(4)
            log.exception("gateway.failed", path=request.path, incident=incident, exc_info=error)
            return self._refuse(request, InternalError(incident=incident))
        finally:
            self._quiet_since[request.protocol] = asyncio.get_running_loop().time()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._draining is not None:
            raise Draining(node=self._draining)
        caller = self._identify(request)
        if request.path in _PAGES and request.method == "GET":
            if caller.kind is Kind.ANONYMOUS:
                raise NoCertificate(method=request.path)
            return _PAGES[request.path](self)
        dispatcher = self._offer.endpoint.dispatcher
        service, _, where = request.rel_url.raw_path.removeprefix("/").partition("/")
        if (pages := dispatcher.pages.get(service)) is not None and f"{service}.{where}" not in dispatcher:
            if caller.kind is Kind.ANONYMOUS:
                raise NoCertificate(method=f"/{service}/")
            return await pages.page(request, where, caller)
        method = self._find(request)
        method.admit(caller)
        if method.streams:
            return await self._stream(request, method, caller)
        deadline = _deadline(request)
        context = _context(method, caller, deadline, request.remote)
        value = await perform(method, await _arguments(request, method), context, deadline)
        if wants_raw(request, method):
            return raw_response(request, method, value)
        named = to_named(value, method.signature.result)
        return web.Response(body=msgspec.json.encode(named) + b"\n", content_type="application/json")

    def _identify(self, request: web.BaseRequest) -> Identity:
        tls: ssl.SSLObject | None = request.get_extra_info("ssl_object")
        der = tls.getpeercert(binary_form=True) if tls is not None else None
        if der is None:
            return ANONYMOUS
        return self._offer.endpoint.trust.identify(der)

    def _find(self, request: web.BaseRequest) -> Method:
        service, _, name = request.path.strip("/").partition("/")
        method = self._offer.endpoint.dispatcher.find(f"{service}.{name}")
        if request.method == "GET" and not method.signature.marks.reads:
            raise NotAllowed(method=method.name, caller="GET", allowed="POST")
        if request.method not in ("GET", "POST"):
            raise NotAllowed(method=method.name, caller=request.method, allowed="GET, POST")
        return method

    async def _stream(self, request: web.BaseRequest, method: Method, caller: Identity) -> web.StreamResponse:
        args = await _arguments(request, method)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        ended: asyncio.Future[XosError | None] = asyncio.get_running_loop().create_future()
        kind = method.signature.result

        async def send(item: Any) -> None:
            if not response.prepared:
                await response.prepare(request)
            await response.write(msgspec.json.encode(to_named(item, kind)) + b"\n")

        def finish(_: Any, error: XosError | None) -> None:
            if not ended.done():
                ended.set_result(error)

        work = Work(method, args, _context(method, caller, _deadline(request), request.remote), finish, send)
        method.stage.submit(work)
        try:
            error = await ended
        finally:
            work.cancel()
        if error is not None and not response.prepared:
            raise error
        if not response.prepared:
            await response.prepare(request)
        if error is not None:
            await response.write(msgspec.json.encode({"error": _fault_json(error)}) + b"\n")
        return response

    def _refuse(self, request: web.BaseRequest, error: XosError) -> web.Response:
        if isinstance(error, UnknownService) and self._offer.elsewhere is not None:
            base = self._offer.elsewhere(request.path.strip("/").partition("/")[0])
            if base is not None:
                return web.Response(status=307, headers={"Location": base + request.path_qs})
        headers = {}
        if error.retry_after_ms is not None:
            headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_ms / 1000)))
        body = msgspec.json.encode(_fault_json(error)) + b"\n"
        return web.Response(status=error.http_status, body=body, content_type="application/json", headers=headers)

    def openapi_page(self) -> web.Response:
        """``/openapi.json``."""
        dispatcher = self._offer.endpoint.dispatcher
        document = openapi(dispatcher, dispatcher.pages.values(), title="XtreemOS services", version="1")
        return web.Response(body=msgspec.json.encode(document), content_type="application/json")

    def metrics_page(self) -> web.Response:
        """``/metrics``."""
        page = self._offer.metrics() if self._offer.metrics is not None else b""
        return web.Response(body=page, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    def services_page(self) -> web.Response:
        """``/``: the services offered here."""
        names = list(self._offer.endpoint.dispatcher.services)
        return web.Response(body=msgspec.json.encode({"services": names}) + b"\n", content_type="application/json")


_PAGES: Mapping[str, Callable[[HttpsListener], web.Response]] = {
    "/": HttpsListener.services_page,
    "/openapi.json": HttpsListener.openapi_page,
    "/metrics": HttpsListener.metrics_page,
}


_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": f"Content-Type, {DEADLINE}",
    "Access-Control-Max-Age": "600",
}


def _allow(origin: str) -> dict[str, str]:
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", "Vary": "Origin"}


def _context(method: Method, caller: Identity, deadline: float | None, address: str | None) -> CallContext:
    due = None if deadline is None else asyncio.get_running_loop().time() + deadline
    return CallContext(caller, method.service, method.signature.name, due, None, address=address or "")


def _fault_json(error: XosError) -> Any:
    return to_named(error.to_fault(), Fault)


async def _arguments(request: web.BaseRequest, method: Method) -> tuple[Any, ...]:
    if request.method == "GET":
        return method.decode_query(query_of(request, method))
    if request.content_type not in ("application/json", RAW):
        detail = "the body must be a JSON object with Content-Type: application/json"
        raise BadArguments(method=method.name, service=method.service, detail=detail)
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_FRAME:
            detail = f"the body is longer than {MAX_FRAME} bytes"
            raise BadArguments(method=method.name, service=method.service, detail=detail)
    if request.content_type == RAW:
        return method.decode_query({**request.query, body_parameter(method): bytes(body)})
    return method.decode_json(bytes(body))


def _deadline(request: web.BaseRequest) -> float | None:
    text = request.headers.get(DEADLINE, "")
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < 1e9:
        raise BadArguments(
            method=request.path, service="", detail=f"{DEADLINE}: {text[:20]!r} is not a time in seconds"
        )
    return seconds


class HttpsLink:
    """Calls services through a gateway, for networks that let nothing but HTTPS pass. Satisfies `Caller`."""

    def __init__(self, address: Address, endpoint: Endpoint, node: str | None) -> None:
        self.closed = False
        self._address, self._endpoint, self._node = address, endpoint, node
        context = client_context(endpoint.credential, endpoint.trust, alpn=["http/1.1"])
        # Machine certificates carry the node's name and addresses, users' do not: this is the usual HTTPS check.
        context.check_hostname = True
        self._described: dict[str, dict[str, list[str]]] = {}
        self._session = ClientSession(
            connector=TCPConnector(ssl=context, limit=64),
            timeout=ClientTimeout(total=None, sock_connect=HANDSHAKE_SECONDS),
        )
        self._closing: asyncio.Task[None] | None = None

    async def call(
        self,
        method: str,
        args: tuple[Any, ...],
        result: Any,
        *,
        deadline: float | None = None,
        retry: bool = False,  # noqa: ARG002 -- channels try again
    ) -> Any:
        """See `xos.dixi.api.Caller.call`."""
        async with self._post(method, args, deadline) as response:
            body = await response.read()
        return from_named(_decode(body, twin(result)), result)

    async def stream(
        self, method: str, args: tuple[Any, ...], item: Any, *, deadline: float | None = None
    ) -> AsyncIterator[Any]:
        """See `xos.dixi.api.Caller.stream`."""
        kind = twin(item)
        async with self._post(method, args, deadline) as response:
            async for line in response.content:
                if line.startswith(b'{"error":'):
                    raise from_fault(from_named(_decode(line, dict[str, twin(Fault)])["error"], Fault))  # type: ignore[misc]
                yield from_named(_decode(line, kind), item)

    @contextlib.asynccontextmanager
    async def _post(self, method: str, args: tuple[Any, ...], deadline: float | None) -> AsyncIterator[ClientResponse]:
        service, _, name = method.partition(".")
        headers = {"Content-Type": "application/json"}
        if deadline is not None:
            headers[DEADLINE] = f"{max(deadline, 0.001):.3f}"
        body = msgspec.json.encode(self._by_name(service, name, args))
        async with self._sent("POST", f"/{service}/{name}", body, headers) as response:
            yield response

    @contextlib.asynccontextmanager
    async def _sent(
        self, verb: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> AsyncIterator[ClientResponse]:
        url = f"https://{self._address}{path}"
        try:
            async with self._session.request(
                verb, url, data=body, headers=headers, server_hostname=self._node, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise _error(response.status, await response.read())
                yield response
        except (ssl.SSLError, ClientSSLError) as error:
            cause = error if isinstance(error, ssl.SSLError) else error.os_error
            tls = cause if isinstance(cause, ssl.SSLError) else ssl.SSLError(str(cause))
            raise explain_tls_error(tls, self._endpoint.credential) from error
        except ClientConnectorError as error:
            raise NotConnected(address=str(self._address), detail=str(error)) from error
        except ClientError as error:
            raise ConnectionLost(address=str(self._address), detail=str(error)) from error

    def _by_name(self, service: str, name: str, args: tuple[Any, ...]) -> dict[str, Any]:
        names = self._described.get(service)
        if names is None:
            raise UnknownService(service=service, where=f" at {self._address}")
        if name not in names:
            raise UnknownMethod(service=service, method=name)
        return {key: _jsonable(value) for key, value in zip(names[name], args, strict=False)}

    async def open(self) -> None:
        """Learn the parameters' names from the gateway's own description."""
        async with self._sent("GET", "/openapi.json", None, {}) as response:
            self._described = _parameters(await response.read())

    def tend(self, now: float) -> None:
        """Nothing to do: idle connections are closed by the other side."""

    def close(self) -> None:
        """Close it."""
        self.closed = True
        self._closing = asyncio.get_running_loop().create_task(self._session.close())


def _parameters(document: bytes) -> dict[str, dict[str, list[str]]]:
    api = msgspec.json.decode(document)
    found: dict[str, dict[str, list[str]]] = {}
    for path, operations in api["paths"].items():
        service, _, name = path.strip("/").partition("/")
        schema = operations["post"]["requestBody"]["content"]["application/json"]["schema"]
        resolved = api["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        found.setdefault(service, {})[name] = list(resolved["properties"])
    return found


def _jsonable(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return to_named(value, type(value))
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    return value


def _decode(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame(detail=f"the answer is not of the promised type: {error}") from error


def _error(status: int, body: bytes) -> XosError:
    try:
        return from_fault(from_named(msgspec.json.decode(body, type=twin(Fault)), Fault))
    except msgspec.DecodeError:
        return BadFrame(detail=f"HTTP status {status}: {body[:200].decode(errors='replace')}")


class HttpsTransport:
    """See `xos.dixi.transports.Transport`."""

    async def listen(self, offer: Offer) -> Listener:
        """Bind."""
        return HttpsListener(offer)

    async def connect(
        self,
        address: Address,
        endpoint: Endpoint,
        *,
        node: str | None,
        seconds: float,
        on_goodbye: Callable[[Link], None] | None = None,  # noqa: ARG002 -- HTTP servers just close
    ) -> HttpsLink:
        """Read the gateway's description; later requests share its connections."""
        link = HttpsLink(address, endpoint, node)
        try:
            async with asyncio.timeout(seconds):
                await link.open()
        except BaseException as error:
            link.close()
            if isinstance(error, TimeoutError):
                raise NotConnected(address=str(address), detail=f"no answer for {seconds:.0f} s") from error
            raise
        return link

    async def nearer(
        self,
        link: Link,  # noqa: ARG002 -- HTTP is for other people's programs
        endpoint: Endpoint,  # noqa: ARG002
        *,
        seconds: float,  # noqa: ARG002
        on_goodbye: Callable[[Link], None] | None = None,  # noqa: ARG002
    ) -> None:
        """See `Transport.nearer`: there is none."""
        return


TRANSPORT = HttpsTransport()
