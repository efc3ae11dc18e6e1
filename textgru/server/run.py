"""From runs and settings to a server that listens until it is told to end."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn

from textgru.errors import InputError
from textgru.server.app import make_app
from textgru.server.connection import Connection
from textgru.server.models import Models
from textgru.server.settings import ServerSettings

LONGEST_HEAD = 32_768  # bytes of a request's line and headers


class _Server(uvicorn.Server):  # type: ignore[misc]
    """Ends where it is told to: a signal isn't raised again after it has ended cleanly."""

    should_exit: bool

    def handle_exit(self, sig: int, frame: object) -> None:
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def run_server(
    runs: Sequence[str | Path], settings: ServerSettings, precision: str | None, say: Callable[[str], object]
) -> None:
    """Serves the runs until SIGINT or SIGTERM. Raises InputError for runs that can't be read, and an address that can't
    be listened on."""
    if settings.api_key is not None and not (settings.api_key.isascii() and settings.api_key.strip()):
        raise InputError("api_key: expected ASCII characters; headers have no others")
    log = logging.getLogger("textgru.server")
    log.setLevel(logging.INFO)
    log.propagate = False
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        log.addHandler(handler)
    models = Models(runs, settings, precision)
    listening = _listen(settings)
    config = uvicorn.Config(
        make_app(models, settings), http=Connection, ws="none", loop="asyncio", lifespan="on", log_config=None,
        access_log=False, server_header=False, timeout_keep_alive=settings.idle_seconds,
        h11_max_incomplete_event_size=LONGEST_HEAD,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)), backlog=1024,
    )  # fmt: skip
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    server = _Server(config)
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    say(f"serving    {', '.join(models.names())}")
    say(f"listening  http://{shown}:{port}/  (Ctrl-C ends)")
    sys.stdout.flush()
    server.run(sockets=[listening])


def _listen(settings: ServerSettings) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise InputError(f"host: {settings.host!r} is no address of this machine: {error}") from error
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(1024)
    except OSError as error:
        found.close()
        raise InputError(f"{settings.host}:{settings.port}: can't be listened on: {error.strerror}") from error
    found.setblocking(False)
    return found
