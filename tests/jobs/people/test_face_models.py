"""Families of face models: as the package ships them; installed whole and checked, or not at all."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobs.cli.main import lakealbum
from jobs.people import face_models
from jobs.people.face_models import check_installed, family_names, profile_of, read_family, state_of
from schemas.errors import LakeAlbumError, SourceError, UsageError

NETWORKS = {"detector": b"a detector" * 100, "embedder": b"an embedder" * 100}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that has the files of two families, `free` and `strict` (in an archive), and an empty cache."""
    folder = tmp_path / "shop"
    folder.mkdir()
    families = tmp_path / "families"
    families.mkdir()
    for part, content in NETWORKS.items():
        (folder / f"{part}.onnx").write_bytes(content)
    with zipfile.ZipFile(folder / "pack.zip", "w") as packed:
        for part, content in NETWORKS.items():
            packed.writestr(f"pack/{part}.onnx", content)
    files = "".join(
        f"  {part}: {{name: {part}.onnx, bytes: {len(content)}, sha256: {hashlib.sha256(content).hexdigest()}}}\n"
        for part, content in NETWORKS.items()
    )
    rest = (
        "detector: {kind: yunet, side: 640, least_score: 0.8, overlap: 0.3}\n"
        "embedder: {colours: rgb, mean: 0, deviation: 1, dimensions: 2, length: [1, 2]}\nprofile: {}\n"
    )
    digest = hashlib.sha256((folder / "pack.zip").read_bytes()).hexdigest()
    archive = f"archive: {{url: '{folder / 'pack.zip'}', sha256: {digest}}}\nterms: for research only\n"
    for name, more in (("free", ""), ("strict", archive)):
        head = f"name: {name}\nversion: 3\ntitle: Some networks\nlicence: MIT\n{more}files:\n"
        (families / f"{name}.yaml").write_text(head + files + rest, encoding="utf-8")
    monkeypatch.setattr(face_models, "FAMILIES", families)
    monkeypatch.setenv("LAKEALBUM_MODELS", str(tmp_path / "cache"))
    read_family.cache_clear()
    yield folder
    read_family.cache_clear()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(lakealbum, ["models", *arguments])


def failure(*arguments: str) -> LakeAlbumError:
    error = call(*arguments).exception
    assert isinstance(error, LakeAlbumError)
    return error


def test_the_families_that_ship_are_whole() -> None:
    assert {"yunet-sface", "insightface-buffalo-l"} <= set(family_names())
    for name in family_names():
        family = read_family(name)
        assert (family.name, family.model) == (name, f"{name}/{family.version}")
        assert family.archive or all(file.url for file in family.files.both)
        assert profile_of(family.model) == family.profile
    assert "non-commercial" in str(read_family("insightface-buffalo-l").terms)
    assert profile_of("somebody-else/7") is None
    with pytest.raises(UsageError, match=r"face models 'nobody': insightface-buffalo-l, yunet-sface are accepted"):
        read_family("nobody")


def test_missing_and_altered_files_are_told_and_mended(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"detector\.onnx of the face models free is not in .*models install free"):
        check_installed("free")
    assert call("install", "free", "--from", str(shop)).exit_code == 0
    check_installed("free")
    (tmp_path / "cache" / "embedder.onnx").write_bytes(NETWORKS["embedder"][::-1])
    with pytest.raises(UsageError, match=r"embedder\.onnx is not the file .* its SHA-256 is not"):
        check_installed("free")
    assert "altered" in call("list").stdout
    assert call("install", "free", "--from", str(shop)).exit_code == 0
    assert {state_of(file) for file in read_family("free").files.both} == {"installed"}
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"detector.onnx", "embedder.onnx"}


def test_what_is_not_the_file_is_not_installed(shop: Path, tmp_path: Path) -> None:
    (shop / "embedder.onnx").write_bytes(b"something else")
    assert isinstance(failure("install", "free", "--from", str(shop)), SourceError)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"detector.onnx"}
    assert "published nowhere" in str(failure("install", "free"))
    assert "can't be had" in str(failure("install", "free", "--from", str(tmp_path / "nowhere")))


def test_terms_are_told_and_accepted_before_anything_is_fetched(shop: Path, tmp_path: Path) -> None:
    asked = call("install", "strict")
    assert "for research only" in asked.stdout
    assert "--accept-licence" in str(asked.exception)
    assert not (tmp_path / "cache").exists()
    assert call("install", "strict", "--accept-licence").exit_code == 0
    check_installed("strict")
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"detector.onnx", "embedder.onnx"}
