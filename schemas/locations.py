"""Where lakes and sources are: paths and URIs, each written in one way, and what of them may be shown."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from schemas.errors import UsageError

_S3 = re.compile(r"s3[an]?://", re.IGNORECASE)
_SECRETS = (
    *("access_key", "secret_key", "session_token", "awsaccesskeyid", "googleaccessid", "ossaccesskeyid"),
    *("signature", "sig", "token", "security-token"),
    *(
        f"x-{store}-{name}"
        for store in ("amz", "goog", "oss")
        for name in ("signature", "credential", "security-token")
    ),
)
_SIGNED = re.compile(rf"(?i)([?&](?:{'|'.join(map(re.escape, _SECRETS))})=)[^&\s\"'<>]+")
_PASSWORD = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s\"'@:]*:[^/\s\"'@]*@")
_NOT_IN_ROOTS = "%#?"


def absolute_uri(location: str) -> str:
    """A path made absolute, as SQL, and lineage that others read, need it; a URI as it is, but `s3a://` as `s3://`.

    Spark's Hadoop knows S3 as `s3a`, all else as `s3`: LakeAlbum writes `s3`, and the session tells Hadoop
    (jobs.runtime.stores). Raises UsageError for a URI that holds credentials, which would be written to every row.

    >>> absolute_uri("s3a://bucket/photos")
    's3://bucket/photos'
    """
    if "://" not in location:
        return os.path.abspath(location)
    uri = one_scheme(location)
    user, at, _ = urlsplit(uri).netloc.rpartition("@")
    if at and (":" in user or uri.startswith("s3://")):
        raise UsageError(
            f"{uri.partition('://')[0]}://***@{uri.rpartition('@')[2]} holds credentials: a URI without them is "
            "accepted, and credentials from the environment (docs/object-stores.md)"
        )
    return uri


def one_scheme(uri: str) -> str:
    """A URI as it is, but any of Hadoop's schemes for S3 as `s3://`."""
    return _S3.sub("s3://", uri, count=1) if _S3.match(uri) else uri


def lake_root(location: str) -> str:
    """The root of a lake: a path as it is, a URI as `absolute_uri` gives it.

    Raises UsageError where the two engines would look for it at two places: delta-rs takes a % for an escape,
    everywhere, and in URIs what follows # or ? for no part of the path.
    """
    refused = _NOT_IN_ROOTS if "://" in location else "%"
    if found := [character for character in refused if character in location]:
        raise UsageError(
            f"lake {redact(location)!r}: Spark and delta-rs would look for it at two places, for its "
            f"{' and '.join(found)}; a root without {', '.join(refused)} is accepted"
        )
    return absolute_uri(location) if "://" in location else location


def source_uri(location: str) -> str:
    """A source: a path as it is, a URI as `absolute_uri` gives it. Raises UsageError where its query holds credentials.

    Files in it are named by its URI with all of its query, which the workers need to open them.
    """
    if "://" in location and _SIGNED.search(location):
        raise UsageError(
            f"source {redact(location)!r}: its query holds credentials, which would be written to every row; a URI "
            "without them is accepted, and credentials from the environment (docs/object-stores.md)"
        )
    return absolute_uri(location) if "://" in location else location


def redact(text: str) -> str:
    """A text without passwords in its URIs, and without the credentials in their queries.

    >>> redact("https://cdn.example/a.jpg?width=9&X-Amz-Signature=0a1b")
    'https://cdn.example/a.jpg?width=9&X-Amz-Signature=***'
    """
    return _PASSWORD.sub(r"\1***@", _SIGNED.sub(r"\1***", text))
