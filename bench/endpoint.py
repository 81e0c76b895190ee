"""Load on the endpoint: queries, files sent at a rate with the server killed meanwhile, and malformed requests.

    python bench/endpoint.py query [--clusters 1000000] [--files 10000000] [--clients 1 8 64] [--seconds 10]
    python bench/endpoint.py index [--rate 1000] [--seconds 300] [--clients 64] [--kill] [--jobs] [--lake DIR]
    python bench/endpoint.py fuzz [--requests 100000] [--clients 16] [--seed 1]

`query` is of the lake of bench/query_clusters.py, with files: a million clusters and ten million files in 20,000
datasets. Each call asks for the first page of another dataset: of its clusters, then of its files. `index` sends
single files; at the end every file that was acknowledged must be in the lake's `requests`. With `--jobs` a worker
indexes them meanwhile, `--kill` kills it, too, and at the end all must be in `files`. `fuzz` tells how much
memory the server has before and after. Clients are coroutines of this process that sign their requests; they share
the machine with the server, whose CPU seconds are told.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.malformed_requests import Malformed, check_answer
from bench.query_clusters import DATASETS, PROJECT, make_files, make_lake
from catalog.lake import Lake
from catalog.requests import read_pending
from schemas.requests import REQUESTS
from serve.keys import Key, create_key
from serve.operations import load
from serve.signature import SignedRequest, sign

ROOT = Path(__file__).resolve().parents[1]
EMPTY = hashlib.sha256(b"").hexdigest()
SIGNED = (
    "host",
    "x-acs-action",
    "x-acs-content-sha256",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-version",
)


class Server:
    """A `lakealbum serve` over plain HTTP, started again where it was."""

    def __init__(self, lake: str, credentials: str, port: int, *, jobs: bool = False) -> None:
        command = [sys.executable, "-m", "jobs.cli.main", "serve", "--http", "--lake", lake]
        command += [] if jobs else ["--no-jobs"]
        self.command = [*command, "--credentials", credentials, "--port", str(port), "--workers", "32"]
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it listens."""
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("listening")

    def cpu_seconds(self) -> float:
        """What the server has used of the processors."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        """What the server holds of the memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def kill(self) -> None:
        """Ends it, and its worker, without warning."""
        for child in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Ends it."""
        self.process.terminate()
        self.process.wait()


class Caller:
    """One client: a connection that is kept, and opened again when it breaks."""

    def __init__(self, key: Key, port: int) -> None:
        self.key, self.port = key, port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, action: str, parameters: dict[str, str]) -> int:
        """The status of one call. ConnectionError where the server went meanwhile."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        try:
            writer.write(self._request(action, parameters))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.streams = None
            writer.close()
            raise ConnectionError from error
        return int(head[9:12])

    def _request(self, action: str, parameters: dict[str, str]) -> bytes:
        headers = {
            "host": f"127.0.0.1:{self.port}",
            "x-acs-action": action,
            "x-acs-content-sha256": EMPTY,
            "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "x-acs-signature-nonce": uuid.uuid4().hex,
            "x-acs-version": "2020-09-30",
        }
        signed = SignedRequest("POST", "/", list(parameters.items()), list(headers.items()), b"")
        signature = sign(signed, SIGNED, self.key.secret)
        told = f"Credential={self.key.key_id},SignedHeaders={';'.join(SIGNED)},Signature={signature}"
        lines = [f"POST /?{urlencode(parameters)} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, f"authorization: ACS3-HMAC-SHA256 {told}", "content-length: 0", "", ""]).encode()


def main() -> None:
    """Runs one of the loads, and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("load", choices=["query", "index", "fuzz"])
    parser.add_argument("--lake", type=Path)
    parser.add_argument("--clusters", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=10_000_000)
    parser.add_argument("--clients", type=int, nargs="+")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kill", action="store_true", help="kill the server half-way, and start it again")
    parser.add_argument("--jobs", action="store_true", help="index what is sent")
    parser.add_argument("--port", type=int, default=18551)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        credentials = f"{folder}/keys.json"
        key = create_key(credentials, owner="1000000000000000", policies=("AliyunIMMFullAccess",))
        usual = Path("/tmp/lakealbum-endpoint-bench") if asked.load == "query" else Path(folder) / "lake"
        lake = asked.lake or usual
        if asked.load == "query" and not lake.exists():
            make_lake(str(lake), asked.clusters, 1000)
            make_files(str(lake), asked.files)
        server = Server(str(lake), credentials, asked.port, jobs=asked.jobs)
        print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        try:
            if asked.load == "query":
                for operation in ("QueryLocationDateClusters", "SimpleQuery"):
                    for clients in asked.clients or [1, 8, 64]:
                        asyncio.run(query(server, key, asked.port, operation, clients, asked.seconds or 10))
            elif asked.load == "fuzz":
                clients = (asked.clients or [16])[0]
                asyncio.run(fuzz(server, key, asked.port, clients, asked.requests, random.Random(asked.seed)))
            else:
                clients = (asked.clients or [64])[0]
                seconds = asked.seconds or 300
                sent = asyncio.run(index(server, key, asked.port, clients, asked.rate, seconds, asked.kill))
                check(str(lake), sent)
                if asked.jobs:
                    check_indexed(str(lake), sent)
        finally:
            server.stop()


async def query(server: Server, key: Key, port: int, operation: str, clients: int, seconds: float) -> None:
    """Clients that each ask for a page of a dataset, again and again."""
    took: list[float] = []
    refused = 0
    chance = random.Random(7)
    until, spent = time.perf_counter() + seconds, server.cpu_seconds()

    async def ask(caller: Caller) -> None:
        nonlocal refused
        while time.perf_counter() < until:
            dataset = f"user_{chance.randrange(DATASETS):05}"
            begun = time.perf_counter()
            status = await caller.call(operation, {"ProjectName": PROJECT, "DatasetName": dataset, "MaxResults": "20"})
            refused += status != 200
            took.append(time.perf_counter() - begun)

    await asyncio.gather(*(ask(Caller(key, port)) for _ in range(clients)))
    spent = server.cpu_seconds() - spent
    took.sort()
    print(
        f"{operation:<26} {clients:>3} clients: {len(took) / seconds:>7.1f} queries/s, "
        f"median {1000 * took[len(took) // 2]:.0f} ms, p99 {1000 * took[int(len(took) * 0.99)]:.0f} ms, "
        f"{1000 * spent / len(took):.1f} ms of CPU each, {refused:,} refused, {server.megabytes():.0f} MB",
        flush=True,
    )


async def fuzz(server: Server, key: Key, port: int, clients: int, requests: int, chance: random.Random) -> None:
    """Clients that send malformed requests, each on a connection of its own, while others hold half a request."""
    made = Malformed(f"127.0.0.1:{port}", key.key_id, key.secret, load(), chance)
    for action in ("CreateProject", "CreateDataset"):
        await Caller(key, port).call(action, {"ProjectName": "fuzz", "DatasetName": "fuzz"})
    held = asyncio.create_task(hold(made, port))
    unanswered = 0
    numbers = iter(range(requests))

    async def send() -> None:
        nonlocal unanswered
        for number in numbers:
            if number % max(requests // 10, 1) == 0:
                print(f"{number:>9,} sent: {server.megabytes():.0f} MB", flush=True)
            sent = made.any()
            answer = await exchange(port, sent)
            check_answer(answer, sent)
            unanswered += not answer

    begun, spent = time.perf_counter(), server.cpu_seconds()
    await asyncio.gather(*(send() for _ in range(clients)))
    seconds = time.perf_counter() - begun
    held.cancel()
    await asyncio.gather(held, return_exceptions=True)
    assert await Caller(key, port).call("GetProject", {"ProjectName": "fuzz"}) == 200
    print(
        f"{requests:>9,} sent: {server.megabytes():.0f} MB; {requests / seconds:.0f} a second, "
        f"{1000 * (server.cpu_seconds() - spent) / requests:.1f} ms of CPU each; {unanswered:,} were no request, "
        "and the connection was closed"
    )


async def hold(made: Malformed, port: int) -> None:
    """Two hundred callers who send half a request, then nothing, one after another anew."""
    open_ones: list[asyncio.StreamWriter] = []
    try:
        while True:
            writer = (await asyncio.open_connection("127.0.0.1", port))[1]
            writer.write(made.half())
            open_ones.append(writer)
            if len(open_ones) > 200:
                open_ones.pop(0).close()
            await asyncio.sleep(0.02)
    finally:
        for writer in open_ones:
            writer.close()


async def exchange(port: int, sent: bytes) -> bytes:
    """All that the server answers to some bytes, after which the caller says nothing more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), 60)
    except ConnectionError:  # the server had enough of what was sent
        return b""
    finally:
        writer.close()


async def index(
    server: Server, key: Key, port: int, clients: int, rate: float, seconds: float, kill: bool
) -> list[str]:
    """Sends single files at a rate, and returns those that were acknowledged. One that was not is sent again."""
    first = Caller(key, port)
    await first.call("CreateProject", {"ProjectName": "bench"})
    await first.call("CreateDataset", {"ProjectName": "bench", "DatasetName": "d"})
    acknowledged: list[str] = []
    took: list[float] = []
    begun, used = time.perf_counter(), server.cpu_seconds()
    numbers = iter(range(int(rate * seconds)))

    async def send(caller: Caller) -> None:
        for number in numbers:
            await asyncio.sleep(begun + number / rate - time.perf_counter())
            uri = f"oss://bench/{number:08}.jpg"
            file = {"URI": uri, "ProduceTime": "2026-03-04T10:00:00+08:00", "LatLong": "30.25,120.16"}
            asked = {"ProjectName": "bench", "DatasetName": "d", "File": json.dumps(file)}
            sent = time.perf_counter()
            await insist(lambda: caller.call("IndexFileMeta", asked))  # noqa: B023 - awaited before the next turn
            took.append(time.perf_counter() - sent)
            acknowledged.append(uri)

    async def murder() -> None:
        await asyncio.sleep(seconds / 2)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)

    await asyncio.gather(*(send(Caller(key, port)) for _ in range(clients)), *([murder()] if kill else []))
    spent = time.perf_counter() - begun
    took.sort()
    cpu = "" if kill else f", {1000 * (server.cpu_seconds() - used) / len(took):.2f} ms of CPU each"
    print(
        f"{len(acknowledged):,} files in {spent:.1f} s: {len(acknowledged) / spent:.0f} files/s, "
        f"median {1000 * took[len(took) // 2]:.0f} ms, p99 {1000 * took[int(len(took) * 0.99)]:.0f} ms{cpu}"
    )
    return acknowledged


async def insist(call: Callable[[], Awaitable[int]]) -> None:
    """Calls until it is answered with 200."""
    while True:
        try:
            if await call() == 200:
                return
        except (ConnectionError, OSError):
            pass
        await asyncio.sleep(0.1)


def check_indexed(lake: str, acknowledged: list[str]) -> None:
    """Waits until the worker has done what was asked, and counts what was acknowledged and is no file."""
    begun = time.perf_counter()
    while read_pending(Lake(lake), 1):
        time.sleep(1)
    found = {row["uri"] for row in Lake(lake).read("SELECT uri FROM files", "files")}
    seconds = time.perf_counter() - begun
    print(f"indexed {seconds:.0f} s later: {len(found):,} files; lost: {len(set(acknowledged) - found):,}")


def check(lake: str, acknowledged: list[str]) -> None:
    """Counts what was acknowledged and is not in the lake."""
    kept = {row["uri"] for row in Lake(lake).read("SELECT uri FROM requests WHERE step = 'asked'", "requests")}
    print(f"lost: {len(set(acknowledged) - kept):,}; commits: {Lake(lake).table(REQUESTS).version():,}")


if __name__ == "__main__":
    main()
