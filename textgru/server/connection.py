"""A connection to a client: closed where no request comes on it, however slowly its bytes drip in."""

from __future__ import annotations

import asyncio
import contextlib

from h11 import Data, EndOfMessage, LocalProtocolError, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from textgru.server.errors import RequestError


class Connection(H11Protocol):  # type: ignore[misc]
    """Closed after the configured time of keeping alive, in which there was neither a whole request that is being
    answered, nor an answer that is still being taken. uvicorn alone waits for the rest of a request for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._since = self.loop.time()  # it was last busy
        self._unsent, self._begun = 0, None  # the request whose head came last
        self._watching = self.loop.call_later(self.timeout_keep_alive / 2, self._watch)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watching.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP, as everything else is refused. Closes the connection where there can be no such
        answer: after a HEAD, or in the middle of another one."""
        response = RequestError(400, f"the request: {msg.rstrip('.')}").response()
        headers = [*response.raw_headers, (b"connection", b"close")]
        events = (Response(status_code=400, headers=headers), Data(data=response.body), EndOfMessage())
        with contextlib.suppress(LocalProtocolError):
            self.transport.write(b"".join([self.conn.send(event) for event in events]))
        self.transport.close()

    def _watch(self) -> None:
        now, cycle, unsent = self.loop.time(), self.cycle, self.transport.get_write_buffer_size()
        answering = cycle is not None and not cycle.response_complete and not cycle.more_body
        if answering or cycle is not self._begun or 0 < unsent < self._unsent:
            self._since = now
        self._unsent, self._begun = unsent, cycle
        if now - self._since >= self.timeout_keep_alive:
            self.transport.abort()
            return
        self._watching = self.loop.call_later(self.timeout_keep_alive / 2, self._watch)
