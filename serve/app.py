"""The ASGI application: limits, the door, threads that carry operations out, and JSON for every answer."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from catalog.commits import remove, replace
from catalog.create import ensure_table
from catalog.sql import equals
from schemas.errors import LakeAlbumError
from schemas.projects import PROJECTS
from serve.door import Admitted, Door, Visit, answer, check_method, check_path
from serve.errors import ApiError, api_error
from serve.operations.registry import Fields
from serve.signature import SignedRequest, headers_of
from serve.wire import decode_pairs

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True)
class Limits:
    """What a request may take."""

    url_bytes: int = 128 << 10
    body_bytes: int = 8 << 20
    drained_bytes: int = 64 << 20
    """How much of a body that is too long is read, so that the connection stays usable."""
    seconds: float = 30.0
    threads: int = 16
    waiting: int = 1024
    """Requests under way at most; more are told to come again."""


class App:
    """The application of one server."""

    def __init__(self, door: Door, limits: Limits, log: TextIO = sys.stderr) -> None:
        self.door, self.limits = door, limits
        self._log, self._log_lock = log, threading.Lock()
        self._threads = ThreadPoolExecutor(limits.threads, thread_name_prefix="operation")
        self._under_way = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request, or takes part in starting and stopping."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.to_thread(warm_up)
        self.door.queue.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(self._stop)
        await send({"type": "lifespan.shutdown.complete"})

    def _stop(self) -> None:
        self._threads.shutdown()
        self.door.queue.stop()
        self.door.nonces.close()

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        visit, begun = Visit(), time.perf_counter()
        headers = headers_of(scope["headers"])
        peer = scope["client"][0] if scope.get("client") else ""
        host = next((value for name, value in headers if name == "host"), "")
        more: dict[str, str] = {}
        try:
            status, document = 200, await self._handle(scope, headers, receive, peer, visit)
        except ApiError as error:
            visit.code, status, document = error.code, error.status, error.body(visit.request_id, host[:300])
            if error.retry_after_ms:
                more["x-acs-retry-after"] = str(error.retry_after_ms)
        except ConnectionError:
            visit.code, status, document = "ClientClosed", 499, {}
        self._write(scope, visit, status, time.perf_counter() - begun, peer)
        if status != 499:
            await _send(send, status, document, {"x-acs-request-id": visit.request_id, **more})

    async def _handle(
        self, scope: Message, headers: list[tuple[str, str]], receive: Receive, peer: str, visit: Visit
    ) -> Mapping[str, Any]:
        body = await _read_body(receive, self.limits)
        if len(scope["query_string"]) > self.limits.url_bytes:
            raise ApiError(
                "RequestURITooLong", f"The request line is over {self.limits.url_bytes:,} bytes; send a form body.", 414
            )
        if scope["path"] in ("/healthz", "/readyz"):
            return await self._health(scope["path"])
        check_path(scope["path"])
        check_method(scope["method"])
        if self._under_way >= self.limits.waiting:
            raise ApiError("Throttling", "The server has too much to do; try again later.", 429, retry_after_ms=1000)
        self._under_way += 1
        try:
            query = decode_pairs("query", scope["query_string"])
            request = SignedRequest(scope["method"], scope["path"] or "/", query, headers, body)
            admitted = self._admit(request, peer, scope["scheme"] == "https", visit)
            return answer(await self._carry_out(admitted, visit), visit.request_id)
        finally:
            self._under_way -= 1

    def _admit(self, request: SignedRequest, peer: str, secure: bool, visit: Visit) -> Admitted:
        try:
            return self.door.admit(request, peer=peer, secure=secure, visit=visit)
        except ApiError as error:
            if isinstance(error.__cause__, LakeAlbumError):
                self._complain(visit, error.__cause__)
            raise
        except Exception as error:  # a fault of ours, which is told as one
            raise self._internal(visit, error) from error

    async def _carry_out(self, admitted: Admitted, visit: Visit) -> Fields:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.limits.seconds):
                if admitted.operation.light and self.door.namespaces.knows(visit.project, visit.dataset):
                    fields, durable = self._work(admitted, visit)  # sooner done than handed to a thread
                else:
                    work = loop.run_in_executor(self._threads, self._work, admitted, visit)
                    fields, durable = await asyncio.shield(work)
                for future in durable:
                    await asyncio.shield(asyncio.wrap_future(future))
        except TimeoutError:
            seconds = self.limits.seconds
            raise ApiError("ServiceUnavailable", f"The answer takes longer than {seconds:g} seconds.", 503) from None
        except ApiError:
            raise
        except Exception as error:  # what could not be made durable
            raise self._internal(visit, error) from error
        return fields

    def _work(self, admitted: Admitted, visit: Visit) -> tuple[Fields, Sequence[Future[None]]]:
        try:
            return self.door.carry_out(admitted, visit)
        except ApiError:
            raise
        except LakeAlbumError as error:
            refusal = api_error(error)
            if refusal.status >= 500:
                self._complain(visit, error)
            raise refusal from error

    async def _health(self, path: str) -> Mapping[str, Any]:
        """Alive, and for /readyz also able to read the lake and the keys, with a worker behind it."""
        if path == "/readyz":
            try:
                await asyncio.to_thread(self.door.namespaces.check)
                await asyncio.to_thread(self.door.keys.all)
            except LakeAlbumError as error:
                raise ApiError("ServiceUnavailable", "The lake or the keys cannot be read.", 503) from error
            if not self.door.queue.is_served():
                raise ApiError("ServiceUnavailable", "The worker is not there yet.", 503)
        return {"Status": "ready" if path == "/readyz" else "alive"}

    def _internal(self, visit: Visit, error: Exception) -> ApiError:
        self._complain(visit, error)
        return ApiError("InternalError", "The request processing has failed due to some unknown error.", 500)

    def _complain(self, visit: Visit, error: Exception) -> None:
        place = error.__traceback__
        while place and place.tb_next:
            place = place.tb_next
        where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else ""
        self._print({"request_id": visit.request_id, "action": visit.action, "error": repr(error)[:2000], "at": where})

    def _write(self, scope: Message, visit: Visit, status: int, seconds: float, peer: str) -> None:
        self._print(
            {
                "request_id": visit.request_id,
                "peer": peer,
                "method": scope["method"],
                "action": visit.action or scope["path"][:100],
                "key_id": visit.key_id,
                "project": visit.project,
                "dataset": visit.dataset,
                "status": status,
                "code": visit.code,
                "ms": round(seconds * 1000, 1),
            }
        )

    def _print(self, line: Mapping[str, Any]) -> None:
        text = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **line}, ensure_ascii=False)
        with self._log_lock:
            print(text, file=self._log, flush=True)


def warm_up() -> None:
    """Makes delta-rs load what its first merge, deletion and query take a second or two for."""
    row = {"project_name": "p", "create_time": datetime.now(UTC), "update_time": datetime.now(UTC)}
    with tempfile.TemporaryDirectory(prefix="lakealbum-") as folder:
        ensure_table(folder, PROJECTS)
        replace(folder, PROJECTS, [row])
        remove(folder, PROJECTS, equals("project_name", "p"))


async def _read_body(receive: Receive, limits: Limits) -> bytes:
    """The whole body. One that is too long is read to its end, or to where reading on is no longer worth it."""
    body, length, more = bytearray(), 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        part = message.get("body", b"")
        length += len(part)
        if length <= limits.body_bytes:
            body += part
        more = message.get("more_body", False) and length <= limits.drained_bytes
    if length > limits.body_bytes:
        raise ApiError("RequestEntityTooLarge", f"The body is over {limits.body_bytes:,} bytes.", 413)
    return bytes(body)


async def _send(send: Send, status: int, document: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    all_headers = {"content-type": "application/json; charset=utf-8", "content-length": str(len(body)), **headers}
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in all_headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
