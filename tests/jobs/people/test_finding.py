"""Faces as they are stored, without Spark: real pictures, read as a task reads them, into a lake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from PIL import Image

from catalog.erasures import plan_erasure, record_erasure
from catalog.face_scans import pending_pictures, wanted_family
from catalog.lake import Lake, Scope
from jobs.bindings.work import lacks_faces
from jobs.indexing.options import IndexFiles
from jobs.indexing.pictures import choose_faces
from jobs.people.finding import ERASED, LOOKED, LOOKS, portions, recipe, store_faces, switch_faces, with_known
from jobs.remove_files import RemoveFiles
from jobs.runtime.commits import InjectedFailure
from jobs.runtime.runs import Run, run_job
from schemas.errors import UsageError
from tests.jobs.albums import PROJECT, Album
from tests.transforms.pictures.real_faces import MODELS, colours, needs_faces, save_pictures
from transforms.pictures.face_networks import FaceRecipe
from transforms.pictures.files import Reading, list_pictures, read_batches

pytestmark = pytest.mark.long

ADA = Scope(PROJECT, ("ada",))
FOUND = {"man.jpg": 1, "mirrored.jpg": 1, "bright.png": 1, "group.jpg": 4}


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Album:
    """A folder of pictures: a man thrice, and four people."""
    monkeypatch.setenv("LAKEALBUM_MODELS", str(MODELS))
    monkeypatch.setenv("LAKEALBUM_USER", "ada@example.org")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    save_pictures(pictures)
    return Album(tmp_path)


def find(album: Album, folder: str = "pictures", model: str | None = None) -> Run:
    """Reads a folder's pictures, and stores files and faces."""
    listing = list_pictures(str(album.root / folder)).pictures
    looks = recipe("yunet-sface")
    files = pa.Table.from_batches(read_batches(listing.to_batches(), Reading())).to_pylist()
    kept = ("uri", "media_type", "content_hash", "image_width", "image_height", "perceptual_hash")
    rows = [{name: row[name] for name in (*kept, "perceptual_hash_quality")} for row in files]
    album.deliver([{"dataset_name": "ada", "produce_time": None, **row} for row in rows])
    config = RemoveFiles(lake=album.lake, project=PROJECT, dataset=("ada",), uri=("unused",))
    with run_job(config, job="test", task_type="FileIndexing") as run:
        known = with_known(run, listing, project=PROJECT, dataset="ada", model=model or looks.model)
        seen = looked(known, looks)
        store_faces(run, seen, listed=known, project=PROJECT, dataset="ada", model=model or looks.model)
    return run


def looked(listing: pa.Table, looks: FaceRecipe) -> pa.Table:
    """What a task finds in pictures."""
    found = pa.Table.from_batches(read_batches(listing.to_batches(), Reading(faces=looks)))
    return found.select(list(LOOKS))


def faces(album: Album) -> dict[str, list[str]]:
    """The ids of faces, by the names of their pictures."""
    found: dict[str, list[str]] = {}
    for row in album.rows("figures", order='"figure_id"'):
        found.setdefault(row["uri"].rpartition("/")[2], []).append(row["figure_id"])
    return found


def counted(album: Album) -> dict[str, int]:
    return {name: len(ids) for name, ids in faces(album).items()}


@needs_faces
def test_killed_between_two_commits_faces_are_there_once(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEALBUM_FAIL_AT", "before:face_scans")
    with pytest.raises(InjectedFailure):
        find(album)
    monkeypatch.delenv("LAKEALBUM_FAIL_AT")
    first = album.rows("figures")
    assert counted(album) == FOUND
    assert album.rows("face_scans") == []
    assert len(pending_pictures(Lake(album.lake), PROJECT, "ada", "yunet-sface/1")) == 4
    assert find(album).ledger.row_counts[LOOKED] == 4
    assert album.rows("figures") == first
    assert {row["uri"].rpartition("/")[2]: row["faces"] for row in album.rows("face_scans")} == FOUND
    assert {(row["model"], len(row["embedding"])) for row in first} == {("yunet-sface/1", 128)}
    assert len(pending_pictures(Lake(album.lake), PROJECT, "ada", "yunet-sface/1")) == 0
    assert find(album).ledger.row_counts[LOOKED] == 0
    assert album.rows("figures") == first


@needs_faces
def test_faces_of_another_version_or_content_take_the_place_of_those_before(album: Album) -> None:
    find(album)
    before = faces(album)
    assert len(pending_pictures(Lake(album.lake), PROJECT, "ada", "yunet-sface/2")) == 4
    assert find(album, model="yunet-sface/2").ledger.row_counts[LOOKED] == 4
    assert faces(album) == before
    assert {row["model"] for row in album.rows("figures")} == {"yunet-sface/2"}
    Image.effect_noise((300, 200), 50).save(album.root / "pictures" / "group.jpg")
    assert find(album, model="yunet-sface/2").ledger.row_counts[LOOKED] == 1
    assert faces(album) == {name: ids for name, ids in before.items() if name != "group.jpg"}


@needs_faces
def test_erased_people_do_not_come_back_in_the_same_or_recompressed_pictures(album: Album) -> None:
    find(album)
    album.cluster_figures()
    (person,) = album.rows("figure_clusters")
    erasure = plan_erasure(Lake(album.lake), ADA, person["object_id"])
    assert len(erasure.places) == 3
    record_erasure(Lake(album.lake), erasure)
    copies = album.root / "copies"
    copies.mkdir()
    for path in (album.root / "pictures").iterdir():
        picture = colours(path)
        picture.resize((picture.width * 4 // 5, picture.height * 4 // 5)).save(copies / f"{path.stem}.jpeg", quality=60)
    assert find(album, "copies").ledger.row_counts[ERASED] == 3
    assert find(album, model="yunet-sface/2").ledger.row_counts[ERASED] == 3
    assert counted(album) == {"group.jpg": 4, "group.jpeg": 4}


def test_who_switched_faces_on_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    album = Album(tmp_path)
    album.deliver([{"dataset_name": "ada", "uri": "a.jpg", "media_type": "image", "produce_time": None}])
    config = RemoveFiles(lake=album.lake, project=PROJECT, dataset=("ada",), uri=("unused",))

    def switch(family: str | None, by: str) -> str:
        monkeypatch.setenv("LAKEALBUM_USER", by)
        with run_job(config, job="test", task_type="FileIndexing") as run:
            switch_faces(run, project=PROJECT, dataset="ada", family=family)
        return run.run_id

    assert wanted_family(Lake(album.lake), PROJECT, "ada") is None
    first = switch("yunet-sface", "ada")
    switch("yunet-sface", "bea")  # which changes nothing
    assert wanted_family(Lake(album.lake), PROJECT, "ada") == "yunet-sface"
    (row,) = album.rows("datasets")
    assert (row["faces_set_by"], row["faces_run_id"]) == ("ada", first)
    assert sorted(row["started_by"] for row in album.rows("runs")) == ["ada", "bea"]
    switch(None, "bea")
    (row,) = album.rows("datasets")
    assert (row["faces"], row["faces_set_by"]) == (None, "bea")


def test_portions_keep_shots_together() -> None:
    groups = [f"g{number // 3}" for number in range(3000)]
    uris = [f"u{number:05d}" for number in range(3000)]
    pictures = pa.table({"uri": uris, "takeout_uri": uris, "xmp_uri": uris, "shot_group": groups})
    parts = list(portions(pictures, parallelism=2))
    assert sum(part.num_rows for part in parts) == 3000
    assert len(parts) == 3
    seen = [set(part["shot_group"].to_pylist()) for part in parts]
    assert not seen[0] & seen[1]
    assert not seen[1] & seen[2]


@needs_faces
def test_what_a_dataset_wants_is_asked_for_once_and_kept(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    find(album)

    def choose(**asked: Any) -> str | None:
        told = {"lake": album.lake, "project": PROJECT, "dataset": ("ada",), "source": ("unused",), **asked}
        config = IndexFiles.model_validate(told)
        with run_job(config, job="test", task_type="FileIndexing") as run:
            return choose_faces(run, config)

    assert choose() is None
    assert choose(faces=False) is None
    assert [row["faces_set_by"] for row in album.rows("datasets")] == [None]
    with pytest.raises(UsageError, match="faces are not looked for in dataset 'ada'; --faces asks for it"):
        choose(again=True)
    assert choose(faces=True) == "yunet-sface"
    assert choose() == choose(again=True, source=()) == "yunet-sface"
    assert choose(hashes=False) is None
    monkeypatch.setenv("LAKEALBUM_MODELS", str(album.root))
    with pytest.raises(UsageError, match=r"is not in .*: `lakealbum models install yunet-sface` puts it there"):
        choose()
    assert choose(faces=False, source=()) is None
    assert [row["faces"] for row in album.rows("datasets")] == [None]
    with pytest.raises(UsageError, match="exactly one --dataset"):
        choose(faces=True, dataset=())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"source": ()}, "a SOURCE must be given; --again and --no-faces may stand without one"),
        ({"faces": True, "hashes": False}, "faces need whole files"),
        ({"faces": True, "rows": "figures"}, "have no pictures"),
        ({"again": True, "faces": False}, "not accepted with --no-faces"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        IndexFiles.model_validate({"lake": "lake", "dataset": ("ada",), "source": ("unused",), **asked})


@needs_faces
def test_a_source_whose_pictures_lack_faces_is_read_although_nothing_changed(album: Album) -> None:
    find(album)
    lake, uris = Lake(album.lake), list_pictures(str(album.root / "pictures")).pictures["uri"]
    bound, wanting = (
        {"project_name": PROJECT, "dataset_name": "ada", "options": json.dumps(options)}
        for options in ({}, {"faces": True})
    )
    assert not lacks_faces(lake, bound, uris)
    assert not lacks_faces(lake, wanting, uris)
    lost = album.rows("face_scans")[0]["uri"]
    DeltaTable(f"{album.lake}/face_scans").delete(f"uri = '{lost}'")
    lake = Lake(album.lake)
    assert not lacks_faces(lake, bound, uris)
    assert lacks_faces(lake, wanting, uris)
    assert not lacks_faces(lake, wanting | {"options": '{"faces": true, "hashes": false}'}, uris)
    assert not lacks_faces(lake, wanting, pa.chunked_array([["file:///elsewhere.jpg"]]))
