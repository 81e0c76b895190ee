"""Malformed requests: whatever comes, the answer is JSON, tells nothing of the code, and the server goes on."""

from __future__ import annotations

import random
import socket

import pytest

from bench.malformed_requests import Malformed, check_answer
from serve.operations import load
from tests.serve.conftest import Endpoint


def exchange(endpoint: Endpoint, sent: bytes) -> bytes:
    host, port = endpoint.address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.fixture(scope="module")
def malformed(endpoint: Endpoint) -> Malformed:
    """Malformed requests, some of them about a dataset that is there."""
    key = endpoint.key
    made = Malformed(endpoint.address, key.key_id, key.secret, load(), random.Random(20260304))
    for action in ("CreateProject", "CreateDataset"):
        names = [("ProjectName", "fuzz"), ("DatasetName", "fuzz")]
        assert exchange(endpoint, made.signed(action, names)).startswith(b"HTTP/1.1 200")
    return made


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "times"), [("noise", 300), ("wrong_values", 400), ("wrong_body", 150), ("oversized", 6)]
)
def test_malformed_requests_are_answered_in_json(
    endpoint: Endpoint, malformed: Malformed, kind: str, times: int
) -> None:
    for _ in range(times):
        sent = getattr(malformed, kind)()
        answer = exchange(endpoint, sent)
        assert answer or kind == "noise", sent[:500]
        check_answer(answer, sent)


@pytest.mark.long
def test_callers_who_say_nothing_more_keep_nobody_waiting(endpoint: Endpoint, malformed: Malformed) -> None:
    host, port = endpoint.address.split(":")
    held = [socket.create_connection((host, int(port)), timeout=20) for _ in range(50)]
    for connection in held:
        connection.sendall(malformed.half())
    well = exchange(endpoint, malformed.signed("GetProject", [("ProjectName", "fuzz")]))
    for connection in held:
        connection.close()
    assert well.startswith(b"HTTP/1.1 200")
