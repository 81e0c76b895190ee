"""What the server may read for its callers."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import UsageError
from serve.sources import Sources


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("{root}", True),
        ("{root}/2024", True),
        ("file://{root}/2024/", True),
        ("file://{root}/with%20blank", True),
        ("{root}more", False),
        ("{root}/../secret", False),
        ("file://{root}/%2e%2e/secret", False),
        ("{root}/link", False),
        ("file://host{root}", False),
        ("file:/{root}", False),
        ("FILE://{root}", False),
        ("photos", False),
        ("/", False),
        ("s3://photos/2024", True),
        ("s3://photos/2024/a", True),
        ("s3://photos/20245", False),
        ("s3://photos/2024?endpoint_override=169.254.169.254", False),
        ("s3://photos/2024#x", False),
        ("s3://other", False),
        ("http://169.254.169.254/latest", False),
    ],
)
def test_what_may_be_read(tmp_path: Path, uri: str, allowed: bool) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    (tmp_path / "secret").mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    sources = Sources.of([str(root), "s3://photos/2024/"])
    assert sources.may_read(uri.format(root=root)) is allowed
    assert not Sources().may_read(uri.format(root=root))


@pytest.mark.parametrize("root", ["s3://photos?access_key=a", "s3:///photos"])
def test_roots_that_are_refused(root: str) -> None:
    with pytest.raises(UsageError, match="is not accepted"):
        Sources.of([root])
