"""The signature, by the reference's test vectors, and what makes a request refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from serve.errors import ApiError
from serve.nonces import Nonces
from serve.signature import Authorization, SignedRequest, canonical_query, canonical_request, sign, verify
from serve.wire import decode_pairs

SECRET = "test-key-secret"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def vector(action: str, query: bytes, body: bytes = b"") -> SignedRequest:
    """A request of the reference, section 2."""
    headers = {
        "accept": "application/json",
        "host": "127.0.0.1:8080",
        "x-acs-action": action,
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-acs-date": "2026-01-02T03:04:05Z",
        "x-acs-signature-nonce": "0123456789abcdef0123456789abcdef",
        "x-acs-version": "2020-09-30",
    }
    if body:
        headers["content-type"] = "application/x-www-form-urlencoded"
    return SignedRequest("POST", "/", decode_pairs("query", query), sorted(headers.items()), body)


QUERY = vector(
    "QueryLocationDateClusters",
    b"ProjectName=test-project&DatasetName=test-dataset&Title=%E6%9D%AD%E5%B7%9E+a%2Bb%2Ac~d%2Fe&MaxResults=20"
    b"&LocationDateClusterLevels=%5B%22city%22%5D",
)
DELETE = vector(
    "DeleteLocationDateCluster",
    b"ProjectName=test-project&DatasetName=test-dataset",
    b"ObjectId=location-date-cluster-1",
)
VECTORS = [
    (
        QUERY,
        (
            "DatasetName=test-dataset&LocationDateClusterLevels=%5B%22city%22%5D&MaxResults=20&ProjectName=test-project"
            "&Title=%E6%9D%AD%E5%B7%9E%20a%2Bb%2Ac~d%2Fe"
        ),
        EMPTY,
        "a731b3274e83c0760ec7a315e139582bed9edef839c8e5c832486ce7892ba045",
        "4d8cba6086592e18217e10f6f62229b76907d9d30908344db37fc0574bcda02e",
    ),
    (
        DELETE,
        "DatasetName=test-dataset&ProjectName=test-project",
        "53f6bb8c89e2c0b4657acb6879ee2b545155e199b77fc51a1f18236e03d20aae",
        "f29411e922bb0459a2be0ecb607e75bd4c8898d6e70b5aa28dbe38541467eb39",
        "afd9ca07a63576d555ee42268df120ebd3e915b7f8d078a5fb4eda59e24626f0",
    ),
]


def signed_headers(request: SignedRequest) -> tuple[str, ...]:
    return tuple(name for name, _ in request.headers)


def with_header(request: SignedRequest, name: str, value: str | None) -> SignedRequest:
    kept = [pair for pair in request.headers if pair[0] != name]
    return replace(request, headers=sorted(kept + ([] if value is None else [(name, value)])))


def authorized(request: SignedRequest, names: tuple[str, ...] | None = None) -> SignedRequest:
    """The request with the header Authorization that its headers give."""
    names = signed_headers(request) if names is None else names
    parts = ("Credential=test-key-id", f"SignedHeaders={';'.join(names)}", f"Signature={sign(request, names, SECRET)}")
    return with_header(request, "authorization", "ACS3-HMAC-SHA256 " + ",".join(parts))


def check(request: SignedRequest, now: datetime = NOW, nonces: Nonces | None = None) -> None:
    use = (nonces or Nonces(":memory:")).use
    verify(request, Authorization.of(request), SECRET, now=now, use_nonce=use)


@pytest.mark.parametrize(("request_", "query", "body", "digest", "signature"), VECTORS)
def test_vectors(request_: SignedRequest, query: str, body: str, digest: str, signature: str) -> None:
    names = signed_headers(request_)
    canonical = canonical_request(request_, names)
    assert canonical_query(request_.query) == query
    assert canonical.rpartition("\n")[2] == body
    assert hashlib.sha256(canonical.encode()).hexdigest() == digest
    assert sign(request_, names, SECRET) == signature
    check(authorized(request_))


def test_bare_characters_sign_as_encoded_ones() -> None:
    assert decode_pairs("query", b"a=x:y*z/%20,;") == [("a", "x:y*z/ ,;")]
    assert canonical_query([("b", ""), ("a", "x:*/ ")]) == "a=x%3A%2A%2F%20&b="


@pytest.mark.parametrize("name", ["x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "host"])
def test_what_must_be_signed_is_insisted_on(name: str) -> None:
    names = tuple(other for other in signed_headers(QUERY) if other != name)
    refuse(authorized(QUERY, names), "IncompleteSignature", name)


def test_a_header_that_came_unsigned_is_refused() -> None:
    late = authorized(QUERY)
    refuse(with_header(late, "x-acs-security-token", "x"), "IncompleteSignature", "x-acs-security-token")
    unsigned_type = authorized(DELETE, tuple(n for n in signed_headers(DELETE) if n != "content-type"))
    refuse(unsigned_type, "IncompleteSignature", "content-type")


@pytest.mark.parametrize("name", ["x-acs-action", "x-acs-date", "x-acs-signature-nonce", "host", "accept"])
def test_a_header_exchanged_under_the_signature_is_refused(name: str) -> None:
    refuse(with_header(authorized(QUERY), name, "2026-01-02T03:04:06Z"), "SignatureDoesNotMatch")


def test_a_body_or_parameter_exchanged_under_the_signature_is_refused() -> None:
    refuse(replace(authorized(DELETE), body=b"ObjectId=another"), "SignatureDoesNotMatch", "digest of the body")
    refuse(replace(authorized(QUERY), query=[("ProjectName", "another")]), "SignatureDoesNotMatch")
    refuse(replace(authorized(QUERY), method="GET"), "SignatureDoesNotMatch")


def test_a_header_that_came_twice_is_refused() -> None:
    twice = authorized(QUERY)
    refuse(replace(twice, headers=[*twice.headers, ("x-acs-action", "GetProject")]), "IncompleteSignature", "2 times")


@pytest.mark.parametrize(
    "value",
    [None, "", "Bearer x", "ACS3-HMAC-SM3 Credential=a,SignedHeaders=host,Signature=" + "0" * 64, "ACS3-HMAC-SHA256 x"],
)
def test_other_schemes_are_refused(value: str | None) -> None:
    with pytest.raises(ApiError) as refused:
        Authorization.of(with_header(QUERY, "authorization", value))
    assert refused.value.code == "IncompleteSignature"


def test_a_blank_may_follow_a_comma() -> None:
    request = authorized(QUERY)
    value = request.header("authorization")
    assert value is not None
    assert Authorization.of(with_header(request, "authorization", value.replace(",", ", "))) == Authorization.of(
        request
    )


@pytest.mark.parametrize("minutes", [-15.1, 15.1])
def test_the_date_must_be_near_in_both_directions(minutes: float) -> None:
    check(authorized(QUERY), NOW + timedelta(minutes=15))
    check(authorized(QUERY), NOW - timedelta(minutes=15))
    with pytest.raises(ApiError) as refused:
        check(authorized(QUERY), NOW + timedelta(minutes=minutes))
    assert refused.value.code == "InvalidTimeStamp.Expired"


@pytest.mark.parametrize(
    "text", ["2026-01-02 03:04:05", "2026-13-02T03:04:05Z", "yesterday", "2026-01-02T03:04:05+00:00"]
)
def test_the_date_must_be_a_date(text: str) -> None:
    refuse(authorized(with_header(QUERY, "x-acs-date", text)), "InvalidTimeStamp.Format")


def test_a_nonce_is_good_once_and_used_up_by_right_signatures_alone(tmp_path: object) -> None:
    nonces = Nonces(f"{tmp_path}/nonces", lambda: NOW)
    with pytest.raises(ApiError, match="SignatureDoesNotMatch"):
        check(with_header(authorized(QUERY), "accept", "*/*"), nonces=nonces)
    check(authorized(QUERY), nonces=nonces)
    again = Nonces(f"{tmp_path}/nonces", lambda: NOW)  # after a restart
    with pytest.raises(ApiError, match="SignatureNonceUsed"):
        check(authorized(QUERY), nonces=again)
    check(authorized(with_header(QUERY, "x-acs-signature-nonce", "another")), nonces=again)
    assert again.use("another key", "another", NOW)
    for opened in (nonces, again):
        opened.close()


def test_nonces_leave_with_their_window() -> None:
    nonces = Nonces(":memory:")
    past = datetime.now(UTC) - timedelta(minutes=1)
    assert nonces.use("key", "old", past)
    nonces._uses = 0  # as after many others
    assert nonces.use("key", "old", past)
    nonces.close()


def refuse(request: SignedRequest, code: str, told: str = "") -> None:
    with pytest.raises(ApiError) as refused:
        check(request)
    assert refused.value.code == code
    assert told in refused.value.message
