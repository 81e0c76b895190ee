"""Malformed requests: whatever comes, the answer is JSON, tells nothing of the code, and the server goes on."""

from __future__ import annotations

import json
import random
import socket
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest

from catalog.lake import Lake
from serve.operations import load
from serve.signature import SignedRequest, sign
from tests.serve.conftest import Endpoint

SIGNED = ("host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version")
METHODS = (b"GET", b"POST", b"PUT", b"HEAD", b"\x00", b"CONNECT", b"post", b"")
VALUES = (
    "", "1", "-1", "1e9", "null", "[]", "{}", "[[]]", '{"a":', "True", "\x00", "杭州", "\ud800", "x" * 5000, "%",
    "'; --", '{"Start": 7}', '[{"URI": []}]', "9" * 400, "../../etc/passwd", '{"Operation": "eq"}', "[" * 500,
)  # fmt: skip


def exchange(endpoint: Endpoint, sent: bytes) -> bytes:
    host, port = endpoint.address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def check(answer: bytes) -> None:
    for response in answer.split(b"HTTP/1.1 ")[1:]:
        head, _, body = response.partition(b"\r\n\r\n")
        assert b"application/json" in head
        if body:
            assert json.loads(body)["RequestId"]
            assert b"Traceback" not in body
            assert b".py" not in body


def noise(chance: random.Random) -> bytes:
    """A request with something wrong with it, or nothing but bytes."""
    if chance.random() < 0.2:
        return chance.randbytes(chance.randrange(1, 4000))
    target = b"/" + chance.choice((b"", b"?", b"?a=%zz&b=\xff", b"x" * 300, b"?" + chance.randbytes(20).hex().encode()))
    lines = [chance.choice(METHODS) + b" " + target + b" HTTP/1." + chance.choice((b"0", b"1", b"2", b"x"))]
    lines += [b"x-acs-" + chance.randbytes(3).hex().encode() + b": " + chance.randbytes(9).hex().encode()]
    if chance.random() < 0.5:
        lines.append(b"content-length: " + str(chance.choice((0, 3, -1, 99, 10**30))).encode())
    if chance.random() < 0.2:
        lines.append(b"authorization: " + chance.randbytes(30).hex().encode())
    request = b"\r\n".join([*lines, b"", b"abc"])
    return request[: chance.randrange(1, len(request))] if chance.random() < 0.3 else request


def test_bytes_that_are_no_request(endpoint: Endpoint) -> None:
    chance = random.Random(20260304)
    for _ in range(300):
        check(exchange(endpoint, noise(chance)))


def signed_request(endpoint: Endpoint, action: str, query: list[tuple[str, str]], nonce: str) -> bytes:
    """A request that is signed well."""
    headers = {
        "host": endpoint.address,
        "x-acs-action": action,
        "x-acs-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce,
        "x-acs-version": "2020-09-30",
    }
    signature = sign(SignedRequest("POST", "/", query, list(headers.items()), b""), SIGNED, endpoint.key.secret)
    told = f"Credential={endpoint.key.key_id},SignedHeaders={';'.join(SIGNED)},Signature={signature}"
    lines = [f"POST /?{urlencode(query)} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"authorization: ACS3-HMAC-SHA256 {told}", "connection: close", "", ""]).encode()


def test_signed_requests_with_wrong_values(endpoint: Endpoint) -> None:
    chance = random.Random(20260305)
    names = sorted(load())
    for number in range(400):
        operation = load()[names[number % len(names)]]
        query = [("ProjectName", "fuzz"), ("DatasetName", "fuzz")] if chance.random() < 0.8 else []
        for parameter in operation.parameters:
            if parameter.name not in ("ProjectName", "DatasetName") and chance.random() < 0.7:
                value = chance.choice(VALUES).encode(errors="replace").decode()
                query.append((parameter.name, value))
        answer = exchange(endpoint, signed_request(endpoint, operation.name, query, f"fuzz-{number}"))
        check(answer)
        assert not answer.startswith(b"HTTP/1.1 500"), (operation.name, query, answer)


@pytest.fixture(autouse=True, scope="module")
def fuzz_dataset(endpoint: Endpoint) -> Lake:
    """The dataset that the requests are about."""
    for n, action in enumerate(("CreateProject", "CreateDataset")):
        query = [("ProjectName", "fuzz"), *([("DatasetName", "fuzz")] if n else [])]
        assert exchange(endpoint, signed_request(endpoint, action, query, f"make-{n}")).startswith(b"HTTP/1.1 200")
    return endpoint.lake
