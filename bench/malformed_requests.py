"""Requests that something is wrong with, as bytes, and what an answer to one may be. bench/endpoint.py sends them.

Of a seed they are always the same, but for dates and nonces of those that are signed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

from serve.operations.registry import Operation
from serve.signature import SignedRequest, sign

METHODS = (b"GET", b"POST", b"PUT", b"HEAD", b"\x00", b"CONNECT", b"post", b"")
VALUES = (
    "", "1", "-1", "1e9", "null", "[]", "{}", "[[]]", '{"a":', "True", "\x00", "杭州", "\ud800", "x" * 5000, "%",
    "'; --", '{"Start": 7}', '[{"URI": []}]', "9" * 400, "../../etc/passwd", '{"Operation": "eq"}', "[" * 500,
    '{"Operation": "not", "SubQueries": [{"Field": "Size", "Operation": "exist"}]}', "oss://b/a", "NaN", "\u202e",
)  # fmt: skip
JSON_VALUES = (
    None,
    True,
    7,
    -(10**400),
    0.5,
    "",
    "\x00",
    [],
    {},
    [[]],
    {"": ""},
    [None] * 50,
    {"URI": ["a"]},
    "oss://b",
)
_ENDING = ("DeleteProject", "DeleteDataset")
"""Operations that would take away what the others are about."""
TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/xml",
    "",
)


class Malformed:
    """Malformed requests to one server: `host` as it is signed, a key, and the operations to call."""

    def __init__(
        self, host: str, key_id: str, secret: str, operations: Mapping[str, Operation], chance: random.Random
    ) -> None:
        self.host, self.key_id, self.secret, self.operations, self.chance = host, key_id, secret, operations, chance

    def any(self) -> bytes:
        """One of any kind, those that cost much less often."""
        kinds: tuple[Callable[[], bytes], ...] = (self.noise, self.wrong_values, self.wrong_body, self.oversized)
        return self.chance.choices(kinds, (35, 40, 24, 1))[0]()

    def noise(self) -> bytes:
        """A request with something wrong with it, or nothing but bytes."""
        chance = self.chance
        if chance.random() < 0.2:
            return chance.randbytes(chance.randrange(1, 4000))
        targets = (b"", b"?", b"?a=%zz&b=\xff", b"x" * 300, b"?" + chance.randbytes(20).hex().encode())
        version = b" HTTP/1." + chance.choice((b"0", b"1", b"2", b"x"))
        lines = [chance.choice(METHODS) + b" /" + chance.choice(targets) + version]
        lines += [b"x-acs-" + chance.randbytes(3).hex().encode() + b": " + chance.randbytes(9).hex().encode()]
        if chance.random() < 0.5:
            lines.append(b"content-length: " + str(chance.choice((0, 3, -1, 99, 10**30))).encode())
        if chance.random() < 0.2:
            lines.append(b"authorization: " + chance.randbytes(30).hex().encode())
        if chance.random() < 0.1:
            lines.append(b"transfer-encoding: chunked")
        request = b"\r\n".join([*lines, b"", b"abc"])
        return request[: chance.randrange(1, len(request))] if chance.random() < 0.3 else request

    def wrong_values(self) -> bytes:
        """A signed request to an operation, with values of any form."""
        operation, chance = self._operation(), self.chance
        query = self._place(0.8 if operation.name not in _ENDING else 0.0)
        for parameter in operation.parameters:
            if parameter.name not in ("ProjectName", "DatasetName") and chance.random() < 0.7:
                query.append((parameter.name, chance.choice(VALUES).encode(errors="replace").decode()))
        return self.signed(operation.name, query)

    def wrong_body(self) -> bytes:
        """A signed request whose body is of another type, or in another encoding, than it says."""
        operation, chance = self._operation(), self.chance
        values = {parameter.name: chance.choice(JSON_VALUES) for parameter in operation.parameters}
        body = json.dumps(values).encode()
        spoilt = (
            body,
            body[: len(body) // 2],
            body.decode().encode("utf-16"),
            gzip.compress(body),
            b"[" * 20_000,
            b'{"a": 1, "a": 2}',
            chance.randbytes(200),
            b"ProjectName=%ff&DatasetName=" + chance.randbytes(4),
            b"&".join([b"a=b"] * 3000),
        )
        place = self._place(0.5 if operation.name not in _ENDING else 0.0)
        return self.signed(operation.name, place, chance.choice(spoilt), chance.choice(TYPES))

    def oversized(self) -> bytes:
        """A request of which some part is too long."""
        chance = self.chance
        kinds: tuple[Callable[[], bytes], ...] = (
            lambda: self.signed("GetProject", [("ProjectName", "x" * chance.randrange(130_000, 400_000))]),
            lambda: b"POST /?" + b"x" * (3 << 20) + b" HTTP/1.1\r\n\r\n",
            lambda: b"POST / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * (2 << 20) + b"\r\n\r\n",
            lambda: b"POST / HTTP/1.1\r\nhost: a\r\n" + b"a: b\r\n" * 200_000 + b"\r\n",
            lambda: b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9437184\r\n\r\n" + b"z" * (9 << 20),
            lambda: self.signed("GetProject", [(f"a{n}", "") for n in range(20_001)]),
        )
        return chance.choice(kinds)()

    def half(self) -> bytes:
        """What a caller sends who then says nothing more."""
        whole = self.signed("GetProject", [("ProjectName", "fuzz")], b"x" * 100, TYPES[2])
        return whole[: self.chance.randrange(0, len(whole) - 1)]

    def signed(self, action: str, query: Sequence[tuple[str, str]], body: bytes = b"", kind: str = "") -> bytes:
        """A request that is signed well."""
        headers = {
            "host": self.host,
            "x-acs-action": action,
            "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
            "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "x-acs-signature-nonce": uuid.uuid4().hex,
            "x-acs-version": "2020-09-30",
            **({"content-type": kind} if kind else {}),
        }
        names = sorted(headers)
        signature = sign(SignedRequest("POST", "/", list(query), list(headers.items()), body), names, self.secret)
        told = f"Credential={self.key_id},SignedHeaders={';'.join(names)},Signature={signature}"
        lines = [f"POST /?{urlencode(query)} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        lines += [f"authorization: ACS3-HMAC-SHA256 {told}", f"content-length: {len(body)}", "connection: close"]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _operation(self) -> Operation:
        return self.operations[self.chance.choice(sorted(self.operations))]

    def _place(self, often: float) -> list[tuple[str, str]]:
        named = self.chance.random() < often
        return [("ProjectName", "fuzz"), ("DatasetName", "fuzz")] if named else []


def check_answer(answer: bytes, sent: bytes) -> None:
    """Raises AssertionError unless every response in the bytes is JSON, of no fault of the server's, and of no code."""
    for response in answer.split(b"HTTP/1.1 ")[1:]:
        head, _, body = response.partition(b"\r\n\r\n")
        assert b"application/json" in head, (sent[:500], response[:500])
        assert not head.startswith(b"500"), (sent[:2000], response[:500])
        if body:
            assert json.loads(body)["RequestId"], (sent[:500], body)
            assert b"Traceback" not in body, (sent[:500], body)
            assert b".py" not in body, (sent[:500], body)
