"""What may be sent to, and how it is signed."""

from __future__ import annotations

import hashlib
import hmac
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from catalog import webhooks
from catalog.webhooks import HOSTS, SECRET, Guard, Webhook
from schemas.errors import UsageError

KEY = "a secret of the tests"


class Receiver:
    """A server on this machine that notes what comes, and answers with the statuses it is given, then with 204."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((self.path, dict(self.headers), body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                self.send_header("Location", receiver.url)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?of=photos"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.mark.parametrize(
    ("hosts", "url", "told"),
    [
        ((), "http://example.com/", "is not https"),
        ((), "ftp://example.com/", "is not https"),
        ((), "file:///etc/passwd", "is not an address"),
        ((), "https://user:pw@example.com/", "without a user"),
        ((), "https://example.com:99999/", "is not an address"),
        ((), "https://exa mple.com/", "is not an address"),
        ((), "https://example.com/\r\nX: y", "is not an address"),
        ((), "https:///path", "is not an address"),
        (("hooks.example.com",), "https://example.com/", "does not list"),
        (("*.example.com",), "https://example.com.evil.net/", "does not list"),
    ],
)
def test_addresses_that_are_refused(hosts: tuple[str, ...], url: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Guard(hosts).check(url)


def test_addresses_that_are_accepted() -> None:
    assert Guard().check("https://Example.com:8443/a?b=c").port == 8443
    assert Guard(("*.example.com",)).check("http://hooks.example.com/").hostname == "hooks.example.com"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
    ],
)  # fmt: skip
def test_names_that_lead_inside_are_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("93.184.216.34", address)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(UsageError, match="is not public"):
        Guard().resolve("hooks.example.com", 443)
    assert Guard(("hooks.example.com",)).resolve("hooks.example.com", 443) == "93.184.216.34"
    told = Webhook(Guard(), KEY.encode()).post("https://hooks.example.com/", "id", b"{}")
    assert told is not None
    assert "is not public" in told


@pytest.mark.long
def test_a_message_is_signed(receiver: Receiver) -> None:
    sender = Webhook(Guard(("127.0.0.1",)), KEY.encode())
    assert sender.post(receiver.url, "the-id", "{é}".encode()) is None
    [(path, headers, body)] = receiver.requests
    assert (path, headers["X-LakeAlbum-Notification"], body) == ("/hook?of=photos", "the-id", "{é}".encode())
    fields = dict(part.split("=") for part in headers["X-LakeAlbum-Signature"].split(","))
    assert abs(int(fields["t"]) - time.time()) < 60
    expected = hmac.new(KEY.encode(), f"{fields['t']}.".encode() + body, hashlib.sha256).hexdigest()
    assert fields["v1"] == expected


@pytest.mark.long
def test_what_is_no_success_is_told(receiver: Receiver) -> None:
    sender = Webhook(Guard(("127.0.0.1", "localhost")), KEY.encode())
    receiver.statuses = [302, 500]
    assert sender.post(receiver.url, "id", b"{}") == "it answered with status 302"
    assert sender.post(receiver.url, "id", b"{}") == "it answered with status 500"
    assert len(receiver.requests) == 2  # a redirect is not followed
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        told = sender.post(f"http://127.0.0.1:{closed.getsockname()[1]}/", "id", b"{}")
    assert told is not None
    assert told.startswith("ConnectionRefusedError")


def test_a_receiver_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            taken, _ = server.accept()
            with taken:
                while True:
                    try:
                        taken.sendall(b"H")
                    except OSError:
                        return
                    time.sleep(0.02)

        threading.Thread(target=drip, daemon=True).start()
        begun = time.monotonic()
        told = Webhook(Guard(("127.0.0.1",)), KEY.encode()).post(
            f"http://127.0.0.1:{server.getsockname()[1]}/", "id", b"{}"
        )
    assert told is not None
    assert time.monotonic() - begun < 5


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOSTS, " Hooks.example.com, *.example.org ")
    monkeypatch.setenv(SECRET, KEY)
    assert Webhook.from_environment() == Webhook(Guard(("hooks.example.com", "*.example.org")), KEY.encode())
    for short in ("", "fifteen letters"):
        monkeypatch.setenv(SECRET, short)
        with pytest.raises(UsageError, match="at least 16 are accepted"):
            Webhook.from_environment()
