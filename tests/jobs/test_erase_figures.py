"""Erasing a person: what goes from the tables and from disk, what stays away, and what a kill leaves to be finished."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from pyspark.sql import SparkSession

from catalog.erasures import Erasure
from catalog.figures import Change, FaceMarks, undelete_person, update_person
from catalog.lake import Lake
from catalog.tasks import append_task_state
from jobs import erase_figure as erasing
from jobs.erase_figure import EraseFigure, erase_figure
from jobs.maintain import ERASED_FROM, Maintain, maintain_lake
from jobs.runtime.commits import InjectedFailure
from jobs.runtime.runs import Run, run_job
from schemas.errors import NotFound, UsageError
from schemas.lake import TABLES
from tests.jobs.albums import PROJECT, Album, Row
from tests.jobs.test_cluster_figures import SCOPE, face, index, people
from tests.jobs.test_maintain import task_state
from transforms.people.erased import ERASED

ADA = {"a1", "a2", "a3", "a-poor", "c1", "c2", "c3"}
"""Ada's faces: two people whom somebody merged."""
BEA = {"b1", "b2", "b3"}
NOBODY = pa.schema([(name, pa.string()) for name in ERASED]).empty_table()
"""The erased faces, where there are none."""
COMMITS = (
    "erase.recorded",
    "figures",
    "rejected",
    "figure_members",
    "figure_clusters",
    "cluster_events",
    "erase.decisions",
)
POINTS = [*(f"before:{commit}" for commit in COMMITS), "after:erase.decisions"]


def figure(name: str) -> str:
    """The id of a face, which no uri contains."""
    return f'figure "{name}"'


def faces(*names: str, **more: Any) -> list[Row]:
    """Faces with ids of their own."""
    return [face(name, good=name != "a-poor", figure_id=figure(name), **more) for name in names]


def erase(album: Album, person: str, **options: Any) -> tuple[Run, Erasure]:
    """Erases a person."""
    config = EraseFigure(lake=album.lake, project=PROJECT, figure=person, **options)
    with run_job(config, job="erase-figure", task_type="FaceErasing") as run:
        erasure = erase_figure(run, config)
    return run, erasure


def free(album: Album, **options: Any) -> dict[str, Any]:
    """Frees what erased people left on disk; what was done, by table."""
    config = Maintain(lake=album.lake, erased=True, **options)
    with run_job(config, job="maintain", task_type="LakeMaintenance") as run:
        _, tables = maintain_lake(run, config)
    return {table.table: table for table in tables}


def contents(album: Album) -> dict[str, list[str]]:
    """The tables that people are in, without who wrote rows when, and in which order edits came."""
    told = {"run_id", "sequence", "update_time", "edit_time", "reject_time", "event_time", "cluster_version"}
    return {
        name: sorted(str({key: value for key, value in row.items() if key not in told}) for row in album.rows(name))
        for name in (*(contract.name for contract in ERASED_FROM), "cluster_events")
    }


def texts(column: pa.ChunkedArray | pa.Array) -> Iterator[str]:
    """All texts in a column, however deep."""
    for value in column.to_pylist():
        stack = [value]
        while stack:
            match stack.pop():
                case str() as text:
                    yield text
                case dict() as fields:
                    stack += [*fields, *fields.values()]
                case list() | tuple() as items:
                    stack += items


Embedding = tuple[float, ...]


def embeddings(names: set[str]) -> set[Embedding]:
    """The embeddings of faces, as the lake keeps them."""
    return {tuple(float(np.float32(value)) for value in row["embedding"]) for row in faces(*names)}


def lists_of_numbers(table: pa.Table) -> set[Embedding]:
    """All lists of 32-bit numbers."""
    columns = [table[field.name] for field in table.schema if str(field.type) == "list<element: float>"]
    return {tuple(row) for column in columns for row in column.to_pylist() if row}


def found_on_disk(album: Album, words: set[str], vectors: set[Embedding]) -> set[tuple[str, str]]:
    """The files of the lake that hold one of the words or embeddings anywhere, decompressed, and what they hold."""
    found = set()
    for path in sorted(Path(album.lake).rglob("*")):
        if not path.is_file():
            continue
        name = str(path.relative_to(album.lake))
        raw = path.read_bytes()
        escaped = {form for word in words for form in (word, word.replace('"', r"\""), word.replace('"', r"\\\""))}
        found |= {(name, word) for word in escaped if word.encode() in raw}
        if path.suffix == ".parquet":
            table = pq.read_table(path, partitioning=None)
            held = [text for column in table.columns for text in texts(column)]
            found |= {(name, word) for word in escaped if any(word in text for text in held)}
            found |= {(name, "an embedding")} if lists_of_numbers(table) & vectors else set()
    return found


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """Ada, named, into whom another person was merged, who had a name; and Bea. A face of Ada's was refused once, and
    one was corrected; of another it was said that it is not Bea's."""
    album = Album(tmp_path_factory.mktemp("people"))
    index(album, faces(*sorted(ADA | BEA), "x"))
    album.cluster_figures()
    found = people(album)
    named = {
        name: object_id for names, object_id in found.items() for name in ("a1", "b1", "c1") if figure(name) in names
    }
    lake = Lake(album.lake)
    update_person(lake, SCOPE, named["c1"], Change({"title": "Countess of Lovelace"}))
    update_person(lake, SCOPE, named["a1"], Change({"title": "Ada Byron", "custom_labels": {"of": "Ockham"}}))
    update_person(lake, SCOPE, named["b1"], Change({"title": "Beatrice"}, FaceMarks(part=(figure("a2"), figure("x")))))
    update_person(lake, SCOPE, named["a1"], Change(merge=(named["c1"],)))
    album.index(faces("a1", age=30) + faces("a3", age=31) + faces("a3", age=32) + faces("b1", age=33), rows="figures")
    album.cluster_figures()
    return album.root


@pytest.fixture
def album(clustered: Path, tmp_path: Path) -> Album:
    """A copy of it."""
    shutil.copytree(clustered, tmp_path / "album")
    return Album(tmp_path / "album")


def person(album: Album, name: str) -> str:
    """The person of a face."""
    return next(object_id for names, object_id in people(album).items() if figure(name) in names)


SHOWN = {", ".join(map(str, row["embedding"][:3])) for row in faces("a3")}
"""How an embedding begins in the row that was refused."""
WORDS = {"Ada Byron", "Ockham", "Countess of Lovelace", *map(figure, ADA), *SHOWN}


@pytest.mark.slow
def test_nothing_is_left_in_tables_nor_on_disk(album: Album) -> None:
    ada, bea = person(album, "a1"), person(album, "b1")
    gone = [row["object_id"] for row in album.rows("figure_clusters") if row["successor_id"] == ada]
    vectors = embeddings(ADA)
    assert {word for _, word in found_on_disk(album, WORDS, vectors)} >= {"Ada Byron", "an embedding", *SHOWN}

    before = contents(album)
    run, erasure = erase(album, ada, dry_run=True)
    assert (contents(album), len(erasure.digests), len(erasure.object_ids)) == (before, 7, 2)
    assert run.ledger.row_counts["figures.deleted"] == 7

    run, _ = erase(album, ada.removeprefix("Cluster-"))
    counts = run.ledger.row_counts
    assert [counts[f"{table}.deleted"] for table in ("figures", "rejected", "figure_members", "figure_clusters")] == [
        *(7, 1, 7, 2),
    ]
    assert counts["cluster_edits.deleted"] == 4  # two names, the merging, a face that is not Bea's
    assert {row["object_id"] for row in album.rows("figure_clusters")} == {bea}
    assert {row["figure_id"] for row in album.rows("figures")} == {figure(name) for name in (*BEA, "x")}
    assert [(row["action"], row["title"], row["figure_id"]) for row in album.rows("cluster_edits", "sequence")] == [
        ("update", "Beatrice", None), ("part", None, figure("x")), ("erase", None, None), ("erase", None, None),
    ]  # fmt: skip
    told = [
        row["reason"] for row in album.rows("cluster_events") if (row["event"], row["object_id"]) == ("removed", ada)
    ]
    assert told == ["erased by a person"]
    assert ("removed", gone[0]) not in album.events()
    (row,) = [row for row in album.rows("runs") if row["run_id"] == run.run_id]
    assert (row["job"], row["status"]) == ("erase-figure", "Succeeded")
    assert found_on_disk(album, WORDS, vectors)  # in old versions

    done = free(album)
    assert {name for name, table in done.items() if "left for the next time" in table.note} == set()
    assert found_on_disk(album, WORDS, vectors) == set()
    assert {word for _, word in found_on_disk(album, {"Beatrice", figure("b1")}, embeddings(BEA))} >= {
        *("Beatrice", figure("b1"), "an embedding"),
    }
    index(album, faces("b4"))
    album.cluster_figures()
    assert people(album) == {frozenset(map(figure, BEA | {"b4"})): bea}
    assert found_on_disk(album, WORDS, vectors) == set()


@pytest.mark.slow
def test_the_faces_stay_away_until_the_person_is_undeleted(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = person(album, "a1")
    erase(album, ada)
    delivered = [*faces("a1", "a2", "a3", "x"), *faces("a3", age=1), *faces("a1", face_quality=7.0)]
    run = album.index(delivered, rows="figures")
    counts = run.ledger.row_counts
    assert (counts["input"], counts["accepted"], counts["rejected.figure_erased"]) == (6, 1, 5)
    refused = [row for row in album.rows("rejected") if row["reason"] == "figure_erased"]
    assert len(refused) == 5
    assert not any(figure("a") in row["row"] + row["message"] for row in refused)
    assert "a person who was erased" in run.ledger.examples["rejected.figure_erased"]
    album.cluster_figures()
    assert set(people(album)) == {frozenset(map(figure, BEA))}

    # An index that read the edits too early puts no face in; a clustering that did groups none.
    monkeypatch.setattr("jobs.indexing.judging.read_erased", lambda run, project: NOBODY)
    album.index(faces("a1", "a2"), rows="figures")
    assert not {row["figure_id"] for row in album.rows("figures")} & set(map(figure, ADA))
    monkeypatch.setattr("jobs.people.erasures.read_erased", lambda run, project: NOBODY)
    album.index(faces("a1", "a2", "a3"), rows="figures")
    assert len({row["figure_id"] for row in album.rows("figures")} & set(map(figure, ADA))) == 3
    monkeypatch.undo()
    album.cluster_figures()
    assert set(people(album)) == {frozenset(map(figure, BEA))}
    run, erasure = erase(album, ada)
    assert (erasure.is_said, run.ledger.row_counts["figures.deleted"]) == (True, 3)

    with pytest.raises(NotFound, match="was erased; after `lakealbum undelete figures"):
        update_person(Lake(album.lake), SCOPE, ada, Change({"title": "Ada"}))
    assert not undelete_person(Lake(album.lake), SCOPE, ada)
    album.index(faces("a1", "a2", "a3", age=20), rows="figures")
    album.cluster_figures()
    assert frozenset(map(figure, ("a1", "a2", "a3"))) in people(album)
    erase(album, person(album, "a1"))
    assert set(people(album)) == {frozenset(map(figure, BEA))}


@pytest.mark.slow
def test_a_kill_between_any_two_commits_is_finished_by_repeating(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = person(album, "a1")
    shutil.copytree(album.root, tmp_path / "undisturbed")
    undisturbed = Album(tmp_path / "undisturbed")
    erase(undisturbed, ada)
    reached = set()
    for point in POINTS:
        monkeypatch.setenv("LAKEALBUM_FAIL_AT", point)
        try:
            erase(album, ada)
        except InjectedFailure:
            reached.add(point)
    monkeypatch.delenv("LAKEALBUM_FAIL_AT")
    assert reached == set(POINTS)
    _, erasure = erase(album, ada)
    assert erasure.is_said
    assert contents(album) == contents(undisturbed)
    versions = album.versions()
    run, erasure = erase(album, ada)
    assert (album.versions(), erasure.is_said) == (versions, True)
    assert run.ledger.row_counts == {"faces": 7, "people.merged": 1, "cluster_edits.deleted": 0}


@pytest.mark.slow
def test_only_a_person_who_is_there_is_erased_and_only_when_it_is_known_who_is_who(album: Album) -> None:
    ada, bea = person(album, "a1"), person(album, "b1")
    gone = next(row["object_id"] for row in album.rows("figure_clusters") if row["successor_id"] == ada)
    before = contents(album)
    with pytest.raises(NotFound, match=f"is gone: {ada} took over most of its faces"):
        erase(album, gone)
    with pytest.raises(NotFound, match="there is no cluster Cluster-00000000-0000"):
        erase(album, "00000000-0000-0000-0000-000000000000")
    with pytest.raises(UsageError, match="'you' is not the id of a figure cluster"):
        erase(album, "you")
    assert contents(album) == before
    update_person(Lake(album.lake), SCOPE, bea, Change(marks=FaceMarks(join=(figure("a3"),))))
    with pytest.raises(UsageError, match="run `lakealbum cluster figures --project demo --dataset ada` first"):
        erase(album, ada)
    album.cluster_figures()
    erase(album, ada)
    assert set(people(album)) == {frozenset(map(figure, BEA | {"a3"}))}


@pytest.mark.slow
def test_what_it_says(album: Album) -> None:
    ada = person(album, "a1")

    def run(*words: str) -> str:
        return (
            CliRunner()
            .invoke(erasing.erase, ["figure", ada, "--lake", album.lake, "--project", PROJECT, *words])
            .stdout
        )

    assert '"AlreadyErased": false' in run("--json")
    printed = run()
    assert f"{ada} was erased already; `index` refuses its faces from now on." in printed
    assert f"lakealbum maintain --erased --lake {album.lake}" in printed
    assert {row["task_type"] for row in album.rows("tasks")} > {"FaceErasing"}


@pytest.mark.slow
def test_freeing_waits_for_tasks_but_not_for_those_who_lag(album: Album) -> None:
    erase(album, person(album, "a1"))
    now = datetime.now(UTC)
    append_task_state(album.lake, task_state("FaceClustering-1", start=now - timedelta(minutes=3), seen=now))
    with pytest.raises(UsageError, match="--erased keeps less than what is still needed\nfigures is needed"):
        free(album)
    append_task_state(
        album.lake,
        task_state("FaceClustering-1", start=now, seen=now + timedelta(seconds=1)) | {"status": "Succeeded"},
    )
    done = free(album, dry_run=True)
    assert done["figures"].files_compacted >= 1
    assert done["figures"].note == ""
    assert set(done) == set(TABLES)
