"""An S3 server of this machine for tests: versitygw over a folder, where it is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BUILT = Path.home() / ".cache" / "lakealbum" / "bin" / "versitygw"
"""Where `.ci/s3.sh` builds it."""
KEY, SECRET, REGION = "tests", "tests-secret", "eu-west-1"


@dataclass
class Server:
    """A running server: the port where it listens, the folder whose folders are its buckets, its log of requests."""

    port: int
    folder: Path
    log: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, port: int, folder: Path, log: Path) -> Server:
        """Starts a server, and waits until it listens."""
        arguments = ["--port", f"127.0.0.1:{port}", "--region", REGION, "--access-log", str(log), "--quiet"]
        keys = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
        program = find_program()
        assert program is not None
        process = subprocess.Popen(
            [program, *arguments, "posix", str(folder)],
            env={**os.environ, **keys},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(port, process)
        except AssertionError:
            process.kill()
            process.wait()
            raise
        return cls(port, folder, log, process)

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def kill_and_restart(self) -> None:
        """Ends it by SIGKILL and starts it again, at the same port with the same buckets."""
        self.process.kill()
        self.process.wait()
        self.process = Server.start(self.port, self.folder, self.log).process

    @property
    def environment(self) -> dict[str, str]:
        """The variables that every engine reads. Nothing asks the cloud's machines for credentials."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def requests(self) -> int:
        """How many requests there were so far."""
        return self.log.read_bytes().count(b"\n")


def find_program() -> Path | None:
    """The server's program: on PATH, or as built for the tests."""
    found = shutil.which("versitygw")
    return Path(found) if found else BUILT if BUILT.exists() else None


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Serves the folders in `folder` as buckets, on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "buckets"
    data.mkdir(parents=True)
    server = Server.start(port, data, folder / "requests.log")
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "the S3 server ended"
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the S3 server does not listen")
