"""Sending to addresses that callers gave, and nowhere else: HTTP(S) POST with a signature.

An address is refused unless its scheme and host are allowed. Without a list of hosts that is HTTPS to hosts whose
addresses are all public; a host that is listed may be inside, too, and may be asked by plain HTTP. The host's name is
looked up once, and that very address is connected to: a name that changes in between leads nowhere else. Redirects are
not followed.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import SplitResult, urlsplit

from schemas.errors import UsageError

HOSTS = "LAKEALBUM_NOTIFY_HOSTS"
"""Environment: the hosts that may be sent to, with commas between; `*.example.com` stands for all below."""
SECRET = "LAKEALBUM_NOTIFY_SECRET"
"""Environment: what messages are signed with."""
LEAST_SECRET = 16
SIGNATURE_HEADER = "X-LakeAlbum-Signature"
ID_HEADER = "X-LakeAlbum-Notification"
TIMEOUT_SECONDS = 10.0
"""For connecting, and for each wait for the receiver."""
MOST_SECONDS = 30.0
"""For all of it."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Guard:
    """Which addresses may be sent to. `hosts` are names, or patterns with *; none: every public one by HTTPS."""

    hosts: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls) -> Guard:
        """The hosts that the environment lists."""
        return cls(tuple(host.strip().lower() for host in os.environ.get(HOSTS, "").split(",") if host.strip()))

    def check(self, url: str) -> SplitResult:
        """The parts of an address that may be sent to, as far as its text tells. UsageError names what is wrong."""
        try:
            parts = urlsplit(url)
            host, _ = (parts.hostname or "").lower(), parts.port
        except ValueError as error:
            raise UsageError(f"{url!r} is not an address to send to: {error}") from None
        if not host or parts.username or parts.password or parts.fragment or not url.isprintable() or " " in url:
            raise UsageError(f"{url!r} is not an address to send to: https://host/path is accepted, without a user")
        listed = self._is_listed(host)
        if parts.scheme not in (("https", "http") if listed else ("https",)):
            raise UsageError(f"{url!r} is not https; http is accepted for the hosts that {HOSTS} lists alone")
        if self.hosts and not listed:
            raise UsageError(f"{url!r} is at a host that {HOSTS} does not list: {', '.join(self.hosts)}")
        return parts

    def resolve(self, host: str, port: int) -> str:
        """The IP address of a host. Raises UsageError where one that it has may not be sent to, OSError for none."""
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        if not self._is_listed(host.lower()):
            for address in found:
                if not _is_public(address):
                    raise UsageError(f"{host!r} is at {address}, which is not public: {HOSTS} does not list it")
        return found[0]

    def _is_listed(self, host: str) -> bool:
        return any(fnmatchcase(host, pattern) for pattern in self.hosts)


@dataclass(frozen=True)
class Webhook:
    """A sender of messages."""

    guard: Guard
    secret: bytes

    @classmethod
    def from_environment(cls) -> Webhook:
        """The sender that the environment asks for. UsageError where it has no secret, or too short a one."""
        secret = os.environ.get(SECRET, "").encode()
        if len(secret) < LEAST_SECRET:
            raise UsageError(
                f"notifications are signed with the text in {SECRET}, which has {len(secret)} bytes; at least "
                f"{LEAST_SECRET} are accepted"
            )
        return cls(Guard.from_environment(), secret)

    def post(self, url: str, message_id: str, body: bytes) -> str | None:
        """Sends a message. Returns None once the receiver took it (status 2xx), else why it did not."""
        try:
            status = self._post(url, {ID_HEADER: message_id, SIGNATURE_HEADER: self.sign(body, int(time.time()))}, body)
        except UsageError as error:
            return str(error)
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        return None if 200 <= status < 300 else f"it answered with status {status}"

    def sign(self, body: bytes, seconds: int) -> str:
        """The signature's header: the time in seconds, and the HMAC-SHA256 of '<time>.<body>'.

        >>> Webhook(Guard(), b"0123456789abcdef").sign(b"{}", 1767323045)[:30]
        't=1767323045,v1=f4bb6f1d5f8ad3'
        """
        digest = hmac.new(self.secret, f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
        return f"t={seconds},v1={digest}"

    def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        parts = self.guard.check(url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        address = self.guard.resolve(host, port)
        reached = socket.create_connection((address, port), TIMEOUT_SECONDS)
        alarm = threading.Timer(MOST_SECONDS, _hang_up, [reached])
        alarm.daemon = True
        alarm.start()
        try:
            if secure:
                reached = ssl.create_default_context().wrap_socket(reached, server_hostname=host)
            connection = http.client.HTTPConnection(host, port)
            connection.sock = reached
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            named = parts.netloc
            content = {"Content-Type": "application/json; charset=utf-8", "Connection": "close", "Host": named}
            connection.request("POST", target, body, {**content, **headers})
            return connection.getresponse().status
        finally:
            alarm.cancel()
            reached.close()


def _is_public(address: str) -> bool:
    """Whether an address is of the internet, and so is the one that it stands for (mapped, 6to4; NAT64 is refused)."""
    found = ipaddress.ip_address(address.partition("%")[0])
    inside = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    public = found.is_global and not found.is_multicast and found not in _NAT64
    return public and (inside is None or inside.is_global)


def _hang_up(reached: socket.socket) -> None:
    try:
        reached.shutdown(socket.SHUT_RDWR)
    except OSError:  # ended by itself
        return
