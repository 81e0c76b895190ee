"""Faces straight from pictures: once each whatever happens, by the models in force, and never of who was erased."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from pyspark.sql import SparkSession

from catalog.bindings import bind
from catalog.lake import Scope
from jobs.erase_figure import EraseFigure, erase_figure
from jobs.index_files import index_files
from jobs.indexing.options import IndexFiles
from jobs.people import face_models
from jobs.people.finding import ERASED, LOOKED, switch_faces
from jobs.runtime.commits import InjectedFailure
from jobs.runtime.runs import Run, run_job
from jobs.sync_bindings import SyncBindings, sync_bindings
from schemas.errors import UsageError
from tests.jobs.albums import PROJECT, Album
from tests.transforms.pictures.real_faces import MODELS, colours, needs_faces, save_pictures

pytestmark = needs_faces
Options = Any


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession) -> Album:
    """An empty lake, and a folder of pictures: a man thrice, four people, a meadow, and what is left of a picture."""
    monkeypatch.setenv("LAKEALBUM_MODELS", str(MODELS))
    monkeypatch.setenv("LAKEALBUM_USER", "ada@example.org")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    save_pictures(pictures)
    Image.effect_noise((200, 150), 60).save(pictures / "meadow.png")
    (pictures / "cut.jpg").write_bytes((pictures / "man.jpg").read_bytes()[:3000])
    return Album(tmp_path)


def index(album: Album, *sources: Path, **options: Options) -> Run:
    """Indexes folders, by default the album's."""
    folders = [str(source) for source in sources or (album.root / "pictures",)]
    asked = {"lake": album.lake, "project": PROJECT, "dataset": ("ada",), "source": folders, **options}
    config = IndexFiles.model_validate(asked)
    with run_job(config, job="index-files", task_type="FileIndexing", create=config.settings) as run:
        index_files(run, config)
    return run


def faces(album: Album) -> dict[str, list[str]]:
    """The ids of faces, by the names of their pictures."""
    found: dict[str, list[str]] = {}
    for row in album.rows("figures", order='"figure_id"'):
        found.setdefault(row["uri"].rpartition("/")[2], []).append(row["figure_id"])
    return found


def recompress(path: Path, copy: Path) -> None:
    """A smaller copy of a picture, of other bytes."""
    picture = colours(path)
    picture.resize((picture.width * 4 // 5, picture.height * 4 // 5)).save(copy, quality=60)


def test_faces_are_found_when_asked_for_and_once(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    index(album)
    assert (album.rows("figures"), album.rows("face_scans")) == ([], [])
    assert [row["faces"] for row in album.rows("datasets")] == [None]

    monkeypatch.setenv("LAKEALBUM_FAIL_AT", "before:face_scans")
    with pytest.raises(InjectedFailure):
        index(album, faces=True)
    monkeypatch.delenv("LAKEALBUM_FAIL_AT")
    first = album.rows("figures")
    assert {name: len(ids) for name, ids in faces(album).items()} == {
        "man.jpg": 1, "mirrored.jpg": 1, "bright.png": 1, "group.jpg": 4,
    }  # fmt: skip
    assert {(row["model"], len(row["embedding"])) for row in first} == {("yunet-sface/1", 128)}

    assert index(album).ledger.row_counts[LOOKED] == 6  # the dataset wants faces from now on
    assert album.rows("figures") == first
    assert {row["uri"].rpartition("/")[2]: row["faces"] for row in album.rows("face_scans")} == {
        "man.jpg": 1, "mirrored.jpg": 1, "bright.png": 1, "group.jpg": 4, "meadow.png": 0, "cut.jpg": 0,
    }  # fmt: skip
    assert index(album).ledger.row_counts[LOOKED] == 0
    assert LOOKED not in index(album, source=(), again=True).ledger.row_counts

    (dataset,) = album.rows("datasets")
    (switched,) = [row for row in album.rows("runs") if row["run_id"] == dataset["faces_run_id"]]
    assert (dataset["faces"], dataset["faces_set_by"]) == ("yunet-sface", "ada@example.org")
    assert (switched["started_by"], '"faces": true' in switched["parameters"]) == ("ada@example.org", True)

    index(album, faces=False)
    assert [row["faces"] for row in album.rows("datasets")] == [None]
    assert album.rows("figures") == first
    with pytest.raises(UsageError, match="faces are not looked for in dataset 'ada'"):
        index(album, source=(), again=True)


def test_another_version_finds_all_again_and_faces_keep_their_ids(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(album, faces=True)
    before = faces(album)
    values = yaml.safe_load((face_models.FAMILIES / "yunet-sface.yaml").read_text(encoding="utf-8"))
    newer = tmp_path / "families"
    newer.mkdir()
    (newer / "yunet-sface.yaml").write_text(yaml.safe_dump({**values, "version": 2}), encoding="utf-8")
    monkeypatch.setattr(face_models, "FAMILIES", newer)
    face_models.read_family.cache_clear()
    try:
        run = index(album, source=(), again=True)
    finally:
        face_models.read_family.cache_clear()
    assert run.ledger.row_counts[LOOKED] == 6
    assert faces(album) == before
    assert {row["model"] for row in album.rows("figures")} == {"yunet-sface/2"}


def test_sync_finds_faces_in_what_is_new_and_in_what_is_there(album: Album) -> None:
    pictures = album.root / "pictures"
    bind(album.lake, Scope(PROJECT, ("ada",)), str(pictures), {"format": "photos"})
    config = SyncBindings(lake=album.lake, project=PROJECT)
    sync_bindings(config)
    assert faces(album) == {}
    with run_job(config, job="switch", task_type="FileIndexing") as run:
        switch_faces(run, project=PROJECT, dataset="ada", family="yunet-sface")
    sync_bindings(config)
    assert {name: len(ids) for name, ids in faces(album).items()} == {
        "man.jpg": 1, "mirrored.jpg": 1, "bright.png": 1, "group.jpg": 4,
    }  # fmt: skip
    (pictures / "group.jpg").unlink()
    (pictures / "man.jpg").rename(pictures / "renamed.jpg")
    before = faces(album)["man.jpg"]
    sync_bindings(SyncBindings(lake=album.lake, project=PROJECT, grace="0d"))
    assert faces(album)["renamed.jpg"] == before
    assert set(faces(album)) == {"renamed.jpg", "mirrored.jpg", "bright.png"}
    assert sync_bindings(config)[1] is None


@pytest.mark.slow
def test_erased_people_do_not_come_back(album: Album, tmp_path: Path) -> None:
    index(album, faces=True)
    album.cluster_figures()
    (person,) = album.rows("figure_clusters")
    config = EraseFigure(lake=album.lake, project=PROJECT, figure=person["object_id"])
    with run_job(config, job="erase-figure", task_type="FaceErasing") as run:
        erase_figure(run, config)
    assert set(faces(album)) == {"group.jpg"}

    names = [row["uri"] for row in album.rows("files")]
    album.remove(*names, dataset="ada")
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in (tmp_path / "pictures").iterdir():
        if path.name not in ("cut.jpg", "meadow.png"):
            picture = Image.open(path).convert("RGB")
            picture.resize((picture.width * 4 // 5, picture.height * 4 // 5)).save(
                copies / f"{path.stem}.jpeg", quality=60
            )
    run = index(album, album.root / "pictures", copies)
    assert run.ledger.row_counts[ERASED] == 6
    assert {name: len(ids) for name, ids in faces(album).items()} == {"group.jpg": 4, "group.jpeg": 4}
