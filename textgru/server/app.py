"""The application: which request goes where, and what keeps the wrong ones out."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import ipaddress
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Annotated, Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from textgru.errors import InputError, TextgruError
from textgru.server.completions import Texts, events, failure, whole
from textgru.server.errors import RequestError, json_response
from textgru.server.metrics import Metrics
from textgru.server.models import Models, Served
from textgru.server.page import HEADERS, page_files
from textgru.server.requests import (
    CONSTRAINT,
    MOST_ALTERNATIVES,
    MOST_TOLD,
    bad_input,
    checked,
    read_body,
    read_completion,
    read_ids,
    tokens_of,
)  # fmt: skip
from textgru.server.settings import ServerSettings
from textgru.server.workers import Workers
from textgru.text.files import normalise
from textgru.typed import Range, shown

SLOWEST_BODY = 30.0  # seconds that a body may take
SLOWEST_READER = 60.0  # seconds that a reader may take nothing
MOST_SCORED = 100_000  # characters, of /score
MOST_EMBEDDED = 2048  # texts
LONGEST_EMBEDDED = 16_384  # characters
OPEN = ("/health", "/page/")  # without a key: the page asks for it
PROMPT_SHOWN = 200  # characters in the log

log = logging.getLogger("textgru.server")

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class _Input:
    model: str | None = None
    input: Any = None
    encoding_format: str = "float"
    dimensions: int | None = None
    pool: str = "last"


@dataclass(frozen=True)
class _Scored:
    model: str | None = None
    input: str = ""
    alternatives: Annotated[int, Range(0, MOST_ALTERNATIVES)] = 0


@dataclass(frozen=True)
class _Content:
    model: str | None = None
    content: str = ""


@dataclass(frozen=True)
class _Tokens:
    model: str | None = None
    tokens: Any = None


class Server:
    """The endpoints, with what they share."""

    def __init__(self, models: Models, settings: ServerSettings) -> None:
        self.models, self.settings = models, settings
        self.metrics = Metrics(models.texts, models.loads)
        self._scoring, self._patterns = Workers(), Workers()

    async def body(self, request: Request) -> dict[str, Any]:
        """The JSON of a request, not longer and not slower than may be."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise RequestError(415, f"Content-Type: expected application/json, got {kind[:100] or 'none'}")
        try:
            return read_body(await asyncio.wait_for(self._bytes(request), SLOWEST_BODY))
        except asyncio.TimeoutError as error:
            raise RequestError(408, f"the body has not come in {SLOWEST_BODY:g} seconds") from error

    async def _bytes(self, request: Request) -> bytes:
        most = self.settings.max_body * 1000
        too_long = RequestError(413, f"the body is longer than {self.settings.max_body:,} kB")
        declared = request.headers.get("content-length", "0")
        if declared.isascii() and declared.isdigit() and len(declared) < 20 and int(declared) > most:
            raise too_long
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise too_long
            parts.append(part)
        return b"".join(parts)

    async def health(self, _: Request) -> Response:
        return json_response({"status": "ok"})

    async def show_metrics(self, _: Request) -> Response:
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def list_models(self, _: Request) -> Response:
        found = [(await self.models.get(name)).facts() for name in self.models.names()]
        return json_response({"object": "list", "data": found})

    async def show_model(self, request: Request) -> Response:
        return json_response((await self.models.get(request.path_params["name"])).facts())

    async def completions(self, request: Request) -> Response:
        began = monotonic()
        body = await self.body(request)
        in_thread = self._patterns.run if CONSTRAINT & body.keys() else asyncio.to_thread
        wanted = await in_thread(read_completion, body, self.settings)
        served = await self.models.get(wanted.given.model)
        if self.settings.log_prompts:
            log.info("prompt %s", shown([prompt.text for prompt in wanted.prompts])[:PROMPT_SHOWN])

        def on_tokens(count: int, first: bool) -> None:
            self.metrics.tokens.labels(served.name).inc(count)
            if first:
                self.metrics.first_token.observe(monotonic() - began)

        texts = Texts(served, wanted, self.settings, on_tokens)
        await texts.start(in_thread)
        self.metrics.prompt_tokens.labels(served.name).inc(texts.prompt_tokens)
        return _Answer(texts, served.name, self.metrics)

    async def embeddings(self, request: Request) -> Response:
        wanted = checked(_Input, {k: v for k, v in (await self.body(request)).items() if k != "user"})
        served = await self.models.get(wanted.model)
        given = [wanted.input] if isinstance(wanted.input, str) else wanted.input
        if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
            if not (isinstance(given, list) and given):
                raise RequestError(400, f"input: expected a string or a list of strings, got {shown(given)}", "input")
            several = given if isinstance(given[0], list) else [given]
            ids = [tokens_of(served.model.tokenizer, read_ids(one, "input"), "input") for one in several]
            given = [served.model.tokenizer.decode(one.tolist()) for one in ids]
        if len(given) > MOST_EMBEDDED:
            raise RequestError(400, f"input: {len(given):,} texts; {MOST_EMBEDDED:,} at most", "input")
        if wanted.encoding_format not in ("float", "base64"):
            raise RequestError(400, "encoding_format: expected float or base64", "encoding_format")
        if wanted.dimensions not in (None, served.model.network.config.hidden_size):
            raise RequestError(
                400, f"dimensions: the model has {served.model.network.config.hidden_size}", "dimensions"
            )

        if max(map(len, given)) > LONGEST_EMBEDDED:
            raise RequestError(400, f"input: a text is longer than {LONGEST_EMBEDDED:,} characters", "input")
        plain = wanted.encoding_format == "float"

        def embed() -> Response:
            tokens = sum(len(served.model.tokenizer.encode(normalise(text))) for text in given)
            with served.lock:
                vectors = served.model.embed(given, pool=wanted.pool)
            data = [
                {
                    "object": "embedding",
                    "index": i,
                    "embedding": one.tolist() if plain else base64.b64encode(one.astype("<f4").tobytes()).decode(),
                }
                for i, one in enumerate(vectors)
            ]
            usage = {"prompt_tokens": tokens, "total_tokens": tokens}
            return json_response({"object": "list", "data": data, "model": served.name, "usage": usage}, large=True)

        return await self._work(request, embed)

    async def score(self, request: Request) -> Response:
        wanted = checked(_Scored, await self.body(request))
        served = await self.models.get(wanted.model)
        most = min(MOST_SCORED, MOST_TOLD // (1 + wanted.alternatives))
        if len(wanted.input) > most:
            told = f" with {wanted.alternatives} alternatives" if wanted.alternatives else ""
            raise RequestError(400, f"input: longer than {most:,} characters{told}; textgru score reads any", "input")
        return await self._work(request, partial(_scores, served, wanted))

    async def tokenize(self, request: Request) -> Response:
        wanted = checked(_Content, await self.body(request))
        served = await self.models.get(wanted.model)
        encode = served.model.tokenizer.encode
        return await self._work(request, lambda: json_response({"tokens": encode(normalise(wanted.content)).tolist()}))

    async def detokenize(self, request: Request) -> Response:
        wanted = checked(_Tokens, await self.body(request))
        served = await self.models.get(wanted.model)
        ids = tokens_of(served.model.tokenizer, read_ids(wanted.tokens, "tokens"), "tokens")
        decode = served.model.tokenizer.decode
        return await self._work(request, lambda: json_response({"content": decode(ids.tolist())}))

    async def _work(self, request: Request, function: Callable[[], Response]) -> Response:
        """What a function answers, in a thread; it isn't called for a client that is gone by then."""
        try:
            return await self._scoring.run(function, gone=request.is_disconnected)
        except InputError as error:
            raise bad_input(error) from error


def _scores(served: Served, wanted: _Scored) -> Response:
    """How surprising the tokens of a text are."""
    found = served.model.surprisals(wanted.input, top=wanted.alternatives)
    tokenizer = served.model.tokenizer
    spelled: dict[int, str] = {}
    tokens = []
    for i, (token, bits) in enumerate(zip(found.tokens.tolist(), found.bits.tolist(), strict=True)):
        one: dict[str, Any] = {"id": token, "text": found.texts[i], "bits": None if np.isnan(bits) else bits}
        if wanted.alternatives:
            one["alternatives"] = []
            for other, p in zip(found.likeliest[i].tolist(), found.probabilities[i].tolist(), strict=True):
                if p > 0:
                    text = spelled.setdefault(other, tokenizer.decode([other]))
                    one["alternatives"].append({"id": other, "text": text, "bits": float(-np.log2(p))})
        tokens.append(one)
    total = float(np.nansum(found.bits)) if len(found) else 0.0
    return json_response({"model": served.name, "bits": total, "tokens": tokens}, large=True)


class _Answer(Response):  # type: ignore[misc]
    """The texts of a request, at once or as events. The places are given back as soon as the client is gone."""

    def __init__(self, texts: Texts, name: str, metrics: Metrics) -> None:
        super().__init__()
        self._texts, self._name, self._metrics = texts, name, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._stream(send) if self._texts.wanted.given.stream else self._whole(send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            if left := self._texts.cancel():
                self._metrics.left.labels(self._name).inc(left)
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)

    async def _whole(self, send: Send) -> None:
        texts = self._texts
        while not texts.ended:
            await texts.news()
        if texts.error is not None:
            response = failure(texts.error).response()
        else:
            large = texts.wanted.given.logprobs is not None
            response = await asyncio.to_thread(lambda: json_response(whole(texts, self._name), large=large))
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        await send({"type": "http.response.body", "body": bytes(response.body)})

    async def _stream(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        headers.append((b"x-accel-buffering", b"no"))  # nginx would keep events back
        with self._metrics.streams.track_inprogress():
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for event in events(self._texts, self._name):
                await _taken(send({"type": "http.response.body", "body": event, "more_body": True}))
            await _taken(send({"type": "http.response.body", "body": b""}))


async def _taken(sending: Awaitable[None]) -> None:
    """Raises ClientDisconnect where the reader takes nothing."""
    try:
        await asyncio.wait_for(sending, SLOWEST_READER)
    except asyncio.TimeoutError as error:
        raise ClientDisconnect from error


async def _gone(receive: Receive) -> None:
    """Returns when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Guard:
    """In front of everything: the host name, the key, what is counted and logged, errors in OpenAI's form."""

    def __init__(self, app: ASGIApp, server: Server, paths: set[str]) -> None:
        self._app, self._server, self._paths = app, server, paths
        self._hosts = allowed_hosts(server.settings)
        self._key = server.settings.api_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = monotonic(), 499

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, noted)
        except RequestError as error:
            await error.response()(scope, receive, noted)
        except ClientDisconnect:
            status = 499
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._server.metrics.requests.labels(path, str(status)).inc()
            log.info("%s %s %d %.3f s", scope["method"][:10], path, status, monotonic() - began)

    def _check(self, scope: Scope) -> None:
        headers = {name: value for name, value in scope["headers"] if name in (b"host", b"authorization")}
        if self._hosts is not None:
            host = _host_name(headers.get(b"host", b"").decode("latin-1"))
            if host not in self._hosts:
                raise RequestError(403, f"Host: {host[:100]!r} is not served here; allow it with --allowed-host")
        path, method = scope["path"], scope["method"]
        if self._key is None or path == "/" or path.startswith(OPEN) or method == "OPTIONS":
            return
        given = headers.get(b"authorization", b"")
        scheme, _, key = given.partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(key.strip(), self._key.encode()):
            raise RequestError(401, "Authorization: expected 'Bearer' and the server's key", code="invalid_api_key")


def allowed_hosts(settings: ServerSettings) -> set[str] | None:
    """The names that requests may be for; None for any. On a loopback address only this machine's: a page elsewhere
    whose name is made to point here gets nothing."""
    if settings.allowed_host == "*":
        return None
    if settings.allowed_host is not None:
        return {settings.allowed_host.lower(), *_LOOPBACK}
    if settings.host == "localhost":
        return {*_LOOPBACK}
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(settings.host).is_loopback:
            return {settings.host, *_LOOPBACK}
    return None


_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _host_name(header: str) -> str:
    """Without the port and without brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.rpartition(":")[0].lower() if ":" in header else header.lower()


def make_app(models: Models, settings: ServerSettings) -> Starlette:
    """The ASGI application that serves these models."""
    server = Server(models, settings)
    post: dict[str, Endpoint] = {
        "/v1/completions": server.completions,
        "/v1/embeddings": server.embeddings,
        "/score": server.score,
        "/tokenize": server.tokenize,
        "/detokenize": server.detokenize,
    }
    get: dict[str, Endpoint] = {
        "/health": server.health,
        "/metrics": server.show_metrics,
        "/v1/models": server.list_models,
        "/v1/models/{name:path}": server.show_model,
    }
    for path, (content, kind) in page_files().items():
        get[path] = _file(content, kind)
    routes = [Route(path, endpoint, methods=["POST"]) for path, endpoint in post.items()]
    routes += [Route(path, endpoint, methods=["GET"]) for path, endpoint in get.items()]
    middleware = []
    if settings.cors_origin is not None:
        middleware.append(
            Middleware(
                CORSMiddleware, allow_origins=[settings.cors_origin], allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-type"],
            )
        )  # fmt: skip
    middleware.append(Middleware(Guard, server=server, paths={*post, *get}))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        models.start(asyncio.get_running_loop())
        try:
            yield
        finally:
            models.close()

    return Starlette(
        routes=routes, middleware=middleware, lifespan=lifespan,
        exception_handlers={HTTPException: _refused, TextgruError: _failed},
    )  # fmt: skip


def _file(content: bytes, kind: str) -> Endpoint:
    async def send(_: Request) -> Response:
        return Response(content, headers=HEADERS, media_type=kind)

    return send


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    wanted = f"{request.method[:10]} {request.url.path[:100]!r}"
    message = {404: f"there is no {wanted}", 405: f"{wanted}: wrong method"}.get(error.status_code, error.detail)
    response = RequestError(error.status_code, message).response()
    response.headers.update(error.headers or {})
    return response


async def _failed(_: Request, error: Exception) -> Response:
    return RequestError(500, str(error)).response()
