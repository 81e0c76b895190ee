"""HTTP as uvicorn speaks it, with JSON for what no application sees: bytes that are no request, too many, too slow.

uvicorn's own protocol (httptools) is extended where it would answer in plain text, take any number of bytes for a
request's head, or wait for ever for its rest.
"""

from __future__ import annotations

import json
import uuid
from asyncio import BaseTransport, TimerHandle, Transport
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serve.errors import ApiError

MOST_HEAD_BYTES = 1 << 20
"""Bytes of request line and headers at most. The application refuses long URLs well below."""
MOST_CONNECTIONS = 2000
REQUEST_SECONDS = 60.0
"""How long a request may take to come in."""
LINGER_SECONDS = 2.0
"""How long a refused caller may take to read the answer, while what it still sends is thrown away."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Takes a connection, unless there are too many."""
        super().connection_made(cast(Transport, transport))
        self._head_bytes = 0
        self._in_head = True
        self._is_open = False
        self._refused = False
        self._timer: TimerHandle | None = self.loop.call_later(REQUEST_SECONDS, self._too_slow)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(ApiError("Throttling", "The server has too many connections.", 503, retry_after_ms=1000))

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets go of a connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes bytes in, as long as they can become a request."""
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES + len(data):
                self._refuse(ApiError("RequestURITooLong", "The request's head is too long.", 414))
                return
        super().data_received(data)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A caller has said all; what it asked as a whole is still answered."""
        if self.transport.get_extra_info("sslcontext") is not None:
            return None  # TLS cannot be half closed
        if self._refused:
            return True
        if self._is_open:
            self._refuse(ApiError("InvalidRequest", "The request ends before it is whole."))
            return True
        if self.cycle is None or self.cycle.response_complete:
            return None
        self.cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head, self._is_open, self._head_bytes = True, True, 0
        if self._timer is None:
            self._timer = self.loop.call_later(REQUEST_SECONDS, self._too_slow)

    def on_headers_complete(self) -> None:
        """A request's head is there. Its URL is cut here: httptools counts URLs in 16 bits, and batches are longer."""
        self._in_head = False
        target, _, query = self.url.partition(b"?")
        self.url = target
        scope = self.scope
        super().on_headers_complete()
        scope["query_string"] = query.partition(b"#")[0]

    def on_message_complete(self) -> None:
        """A request is there as a whole."""
        self._stop_timer()
        self._in_head, self._is_open, self._head_bytes = True, False, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP."""
        self._refuse(ApiError("InvalidRequest", msg))

    def _too_slow(self) -> None:
        self._timer = None
        if self._is_open:
            self._refuse(ApiError("RequestTimeout", f"No request came within {REQUEST_SECONDS:g} seconds.", 408))
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, error: ApiError) -> None:
        """Answers and ends the connection, without cutting off a caller who is still sending."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._stop_timer()
        request_id = str(uuid.uuid4()).upper()
        document: dict[str, Any] = error.body(request_id, "")
        body = json.dumps(document).encode()
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
            "content-type: application/json; charset=utf-8\r\n"
            f"content-length: {len(body)}\r\nx-acs-request-id: {request_id}\r\nconnection: close\r\n\r\n"
        )
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(head.encode() + body)
            if self.cycle is not None and not self.cycle.response_complete:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self._close)

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
