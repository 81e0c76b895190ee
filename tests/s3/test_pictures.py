"""Pictures that lie on S3: listed and read by pyarrow, under either scheme; no credentials are no fault of theirs."""

from __future__ import annotations

import pytest
from PIL import Image

from jobs.bindings.scanning import scan_folder
from schemas.errors import SourceError
from tests.s3.server import Server
from transforms.pictures import locations
from transforms.pictures.files import list_pictures, read_batches


def test_a_worker_without_credentials_ends_the_run_and_refuses_nothing(
    s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = s3.folder / "photos" / "2026"
    folder.mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(folder / "a b.jpg")
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    locations._filesystem.cache_clear()
    listed = list_pictures("s3a://photos").pictures
    uris = listed["uri"].to_pylist()
    assert [uri.partition("://")[2] for uri in uris] == ["photos/2026/a%20b.jpg", "photos/2026/torn.jpg"]
    assert scan_folder("s3://photos").files["uri"].to_pylist() == [uri.replace("s3a:", "s3:") for uri in uris]
    (rows,) = read_batches(listed.to_batches(), root="s3a://photos")
    assert rows["error_code"].to_pylist() == [None, "picture_unreadable"]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    locations._filesystem.cache_clear()
    with pytest.raises(SourceError, match=r"s3a://photos is out of reach of .*ACCESS_DENIED|SIGNATURE"):
        list(read_batches(listed.to_batches(), root="s3a://photos"))
    locations._filesystem.cache_clear()
