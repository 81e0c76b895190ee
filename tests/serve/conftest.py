"""A server in this process, on a free port of this machine, and clients of IMM's own SDK for it. No JVM."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from alibabacloud_imm20200930.client import Client
from alibabacloud_tea_openapi.models import Config

from catalog.lake import Lake
from catalog.projects import Namespaces
from schemas.settings import LakeSettings
from serve.app import App, Limits
from serve.door import Door
from serve.keys import Key, KeyFile, create_key
from serve.nonces import Nonces
from serve.operations import load
from serve.protocol import Protocol
from serve.queue import Queue
from tests.lakes import new_lake


@dataclass(frozen=True)
class Endpoint:
    """A running server: where it is, its lake, its keys, and what it logged."""

    address: str
    lake: Lake
    credentials: str
    key: Key
    log: io.StringIO

    def config(self, key: Key | None = None, **more: Any) -> Config:
        """The SDK's configuration of a client."""
        key = key or self.key
        settings = {"endpoint": self.address, "protocol": "HTTP", **more}
        return Config(access_key_id=key.key_id, access_key_secret=key.secret, **settings)

    def client(self, key: Key | None = None, **more: Any) -> Client:
        """A client of the SDK, for the key with full access unless another is given."""
        return Client(self.config(key, **more))

    def new_key(self, *policies: Any, owner: str = "1000000000000000") -> Key:
        """Another key, with these policies."""
        return create_key(self.credentials, owner=owner, policies=policies)

    def logged(self) -> list[dict[str, Any]]:
        """The lines of the access log."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@dataclass
class Running:
    """A server in a thread of its own."""

    server: uvicorn.Server
    thread: threading.Thread
    port: int

    @classmethod
    def start(cls, app: App, **settings: Any) -> Running:
        """Serves an application on a free port."""
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, http=Protocol, ws="none", lifespan="on", log_config=None, **settings
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
        (listening,) = server.servers[0].sockets
        return cls(server, thread, listening.getsockname()[1])

    def stop(self) -> None:
        """Ends the server."""
        self.server.should_exit = True
        self.thread.join()


def make_endpoint(folder: Path, limits: Limits | None = None) -> tuple[App, Endpoint]:
    """An application over a new lake, with one key that may do all."""
    root, credentials = str(folder / "lake"), str(folder / "keys.json")
    new_lake(root, LakeSettings())
    key = create_key(credentials, owner="1000000000000000", policies=("AliyunIMMFullAccess",))
    lake, log = Lake(root), io.StringIO()
    door = Door(lake, Namespaces(lake), Queue(lake), KeyFile(credentials), Nonces(":memory:"), load())
    return App(door, limits or Limits(), log), Endpoint("", lake, credentials, key, log)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    app, made = make_endpoint(tmp_path_factory.mktemp("endpoint"))
    running = Running.start(app)
    yield Endpoint(f"127.0.0.1:{running.port}", made.lake, made.credentials, made.key, made.log)
    running.stop()
