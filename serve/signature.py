"""ACS3-HMAC-SHA256: who signed a request, and whether what came is what was signed (imm-wire, section 2)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from urllib.parse import quote

from serve.errors import ApiError

ALGORITHM = "ACS3-HMAC-SHA256"
WINDOW = timedelta(minutes=15)
"""How far a request's date may be from the server's clock, in both directions."""
REQUIRED = ("x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256")

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=([^\s,]{{1,256}}), ?SignedHeaders=([a-z0-9;-]{{1,4096}}), ?Signature=([0-9a-fA-F]{{64}})"
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)
_NONCE = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True)
class SignedRequest:
    """A request as it came: decoded query, headers in lower case, and the bytes of its body."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header, None where there is none. ApiError where it came twice."""
        values = self._by_name.get(name, ())
        if len(values) > 1:
            raise ApiError("IncompleteSignature", f"The header {name} was sent {len(values)} times.")
        return values[0] if values else None

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, value in self.headers:
            found.setdefault(name, []).append(value)
        return found


@dataclass(frozen=True)
class Authorization:
    """What the header Authorization says."""

    key_id: str
    signed_headers: tuple[str, ...]
    signature: str

    @classmethod
    def of(cls, request: SignedRequest) -> Authorization:
        """Reads the header. Raises ApiError for another scheme, or what is not well formed."""
        value = request.header("authorization")
        if value is None:
            raise ApiError("IncompleteSignature", f"The header Authorization is missing; {ALGORITHM} is accepted.")
        found = _AUTHORIZATION.fullmatch(value.strip())
        if found is None:
            scheme = value.strip().partition(" ")[0][:40]
            told = "is malformed" if scheme == ALGORITHM else f"has the scheme {scheme!r}; {ALGORITHM} is accepted"
            raise ApiError("IncompleteSignature", f"The header Authorization {told}.")
        key_id, names, signature = found.groups()
        return cls(key_id, tuple(names.split(";")), signature.lower())


def canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    """The parameters as they are signed: by name, percent-encoded but for letters, digits and `-_.~`."""
    encoded = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def canonical_request(request: SignedRequest, signed_headers: Sequence[str]) -> str:
    """The text whose digest is signed."""
    lines = [f"{name}:{(request.header(name) or '').strip()}" for name in signed_headers]
    return "\n".join(
        [
            request.method,
            request.path,
            canonical_query(request.query),
            *lines,
            "",
            ";".join(signed_headers),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )


def sign(request: SignedRequest, signed_headers: Sequence[str], secret: str) -> str:
    """The signature of a request, 64 hex digits."""
    digest = hashlib.sha256(canonical_request(request, signed_headers).encode()).hexdigest()
    return hmac.new(secret.encode(), f"{ALGORITHM}\n{digest}".encode(), hashlib.sha256).hexdigest()


def verify(
    request: SignedRequest,
    authorization: Authorization,
    secret: str,
    *,
    now: datetime,
    use_nonce: Callable[[str, str, datetime], bool],
) -> None:
    """Raises ApiError unless the request was signed with the secret, in time, and comes for the first time.

    `use_nonce(key id, nonce, until)` says whether the nonce is new, and remembers it; it is asked last, so that nobody
    uses up a nonce without the secret.
    """
    _check_signed_headers(request, authorization.signed_headers)
    digest = hashlib.sha256(request.body).hexdigest()
    if not hmac.compare_digest((request.header("x-acs-content-sha256") or "").encode(), digest.encode()):
        raise ApiError("SignatureDoesNotMatch", f"x-acs-content-sha256 is not the digest of the body, {digest}.")
    wanted = sign(request, authorization.signed_headers, secret)
    if not hmac.compare_digest(wanted, authorization.signature):
        canonical = canonical_request(request, authorization.signed_headers)
        raise ApiError(
            "SignatureDoesNotMatch",
            "The signature is not that of the request. The server's canonical request begins: " + canonical[:1000],
        )
    date = _date(request.header("x-acs-date") or "")
    if not now - WINDOW <= date <= now + WINDOW:
        minutes = WINDOW // timedelta(minutes=1)
        raise ApiError("InvalidTimeStamp.Expired", f"x-acs-date is more than {minutes} minutes off the server's clock.")
    nonce = request.header("x-acs-signature-nonce") or ""
    if not _NONCE.fullmatch(nonce):
        raise ApiError("IncompleteSignature", "x-acs-signature-nonce is malformed: 1 to 128 characters are accepted.")
    if not use_nonce(authorization.key_id, nonce, date + WINDOW):
        raise ApiError("SignatureNonceUsed", "The nonce was used before.")


def _check_signed_headers(request: SignedRequest, signed: Sequence[str]) -> None:
    present = {name for name, _ in request.headers}
    if missing := [name for name in REQUIRED if not request.header(name)]:
        raise ApiError("IncompleteSignature", f"Headers are missing: {', '.join(missing)}.")
    needed = {"host"} | {name for name in present if name.startswith("x-acs-")}
    if request.body and "content-type" in present:
        needed.add("content-type")
    if unsigned := sorted(needed - set(signed)):
        raise ApiError("IncompleteSignature", f"SignedHeaders lacks {', '.join(unsigned)}.")
    if absent := sorted(set(signed) - present):
        raise ApiError("IncompleteSignature", f"SignedHeaders names headers that are missing: {', '.join(absent)}.")
    for name in signed:
        request.header(name)  # refuses what came twice


def _date(text: str) -> datetime:
    if not _DATE.fullmatch(text):
        raise ApiError("InvalidTimeStamp.Format", f"x-acs-date {text[:40]!r} is not of the form 2026-01-02T03:04:05Z.")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ApiError("InvalidTimeStamp.Format", f"x-acs-date {text!r} is no date.") from None


def headers_of(raw: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Headers as text, names in lower case. They are bytes of Latin-1, which maps one to one; the SDK signs UTF-8."""
    return [(name.decode("latin-1").lower(), _header_text(value)) for name, value in raw]


def _header_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
