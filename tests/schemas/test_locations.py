"""Where lakes and sources are: one scheme for S3, no credentials written down, roots that both engines read alike."""

from __future__ import annotations

import pytest

from schemas.errors import UsageError
from schemas.locations import absolute_uri, lake_root, redact, source_uri


@pytest.mark.parametrize("scheme", ["s3", "s3a", "s3n", "S3A"])
def test_s3_has_one_scheme(scheme: str) -> None:
    assert absolute_uri(f"{scheme}://bucket/a/b") == "s3://bucket/a/b"
    assert lake_root(f"{scheme}://bucket/lake") == "s3://bucket/lake"
    assert source_uri(f"{scheme}://bucket/a?region=eu-west-1") == "s3://bucket/a?region=eu-west-1"


@pytest.mark.parametrize("uri", ["gs://b/x", "hdfs://node:8020/x", "abfss://container@account.dfs.core.windows.net/x"])
def test_uris_of_other_stores_stay_as_they_are(uri: str) -> None:
    assert absolute_uri(uri) == lake_root(uri) == source_uri(uri) == uri


@pytest.mark.parametrize("uri", ["s3://KEY:SECRET@bucket/x", "s3a://KEY@bucket/x", "https://me:SECRET@host/x"])
def test_credentials_in_a_uri_are_refused_and_not_repeated(uri: str) -> None:
    for accept in (absolute_uri, lake_root, source_uri):
        with pytest.raises(UsageError, match=r"://\*\*\*@(bucket|host)/x holds credentials") as refused:
            accept(uri)
        assert "SECRET" not in str(refused.value)
        assert "KEY" not in str(refused.value)


@pytest.mark.parametrize("query", ["X-Amz-Signature=5e", "secret_key=5e", "a=1&sig=5e", "Signature=5e&Expires=9"])
def test_a_signed_source_is_refused(query: str) -> None:
    with pytest.raises(UsageError, match="credentials") as refused:
        source_uri(f"s3://bucket/photos?{query}")
    assert "5e" not in str(refused.value)


@pytest.mark.parametrize("root", ["s3://bucket/50%25", "s3://bucket/a#b", "gs://bucket/a?b", "/lakes/50%"])
def test_a_root_that_the_engines_read_apart_is_refused(root: str) -> None:
    with pytest.raises(UsageError, match="look for it at two places"):
        lake_root(root)


@pytest.mark.parametrize("root", ["lakes/a#b", "/lakes/a?b", "s3://bucket/a b"])
def test_other_roots_are_accepted(root: str) -> None:
    assert lake_root(root) == root


def test_texts_lose_credentials_and_nothing_else() -> None:
    text = 'reading {"a": "s3://K:S@b/x", "b": "https://h/x?w=1&sig=abc&v=2", "c": "me@example.com", "d": "a?key=1"}'
    told = 'reading {"a": "s3://***@b/x", "b": "https://h/x?w=1&sig=***&v=2", "c": "me@example.com", "d": "a?key=1"}'
    assert redact(text) == told
