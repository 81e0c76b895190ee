"""The views give the same rows as the catalog, in each of three engines."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyspark.sql import SparkSession

from catalog import figures, location_dates, similar_images
from catalog.duckdb_lake import connect, load_tables
from catalog.explain import explain_location_date
from catalog.figures import FigureQuery, query_figures
from catalog.files import FileQuery, query_files
from catalog.lake import Lake, Row, Scope
from catalog.location_dates import LocationDateQuery, query_location_dates
from catalog.similar_images import SimilarImageQuery, query_similar_images
from catalog.views import DUCKDB, ENGINES, HANDOVERS, PINNED, POLARS, SPARK, VIEWS, script, view_statements
from jobs.cli.main import lakealbum, run
from schemas.contract import LEVELS
from schemas.errors import UsageError
from schemas.lake import TABLES
from tests.catalog.album import fill
from tests.catalog.conftest import LakeMaker, cluster_id, edit
from tests.test_engines import comparable

pytestmark = pytest.mark.long

Read = Callable[[str], list[Row]]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    maker = LakeMaker(tmp_path_factory.mktemp("views") / "lake")
    maker.datasets("ada", "ben")
    fill(maker)
    return maker.lake


def duckdb_reader(lake: Lake) -> Read:
    connection = connect(lake, tuple(VIEWS))
    return lambda sql: connection.execute(sql).to_arrow_table().to_pylist(maps_as_pydicts="strict")


def loaded_reader(lake: Lake) -> Read:
    """As of a lake in an object store."""
    connection = duckdb.connect()
    load_tables(connection, lake, TABLES)
    for name, statement in view_statements(lake.root, PINNED):
        if name in VIEWS:
            connection.execute(statement)
    return lambda sql: connection.execute(sql).to_arrow_table().to_pylist(maps_as_pydicts="strict")


def polars_reader(lake: Lake) -> Read:
    program: dict[str, Any] = {}
    exec(script(lake.root, POLARS), program)

    def read(sql: str) -> list[Row]:
        rows = program["views"].execute(sql).collect().to_dicts()
        for row in rows:
            if row.get("custom_labels") is not None:
                row["custom_labels"] = {pair["key"]: pair["value"] for pair in row["custom_labels"]}
        return rows

    return read


def spark_reader(lake: Lake, spark: SparkSession) -> Read:
    for statement in script(lake.root, SPARK).split(";\n"):
        if statement.strip():
            spark.sql(statement)
    return lambda sql: spark.sql(sql).toArrow().to_pylist(maps_as_pydicts="strict")


@pytest.fixture(
    scope="module",
    params=["duckdb", "loaded", "polars", pytest.param("spark", marks=[pytest.mark.slow, pytest.mark.spark])],
)
def read(request: pytest.FixtureRequest, lake: Lake) -> Iterator[Read]:
    if request.param == "spark":
        spark = request.getfixturevalue("spark")
        yield spark_reader(lake, spark)
        spark.catalog.clearCache()
        for name in (*TABLES, *VIEWS):
            spark.catalog.dropTempView(name)
    else:
        readers = {"duckdb": duckdb_reader, "loaded": loaded_reader, "polars": polars_reader}
        yield readers[request.param](lake)


def same(found: list[Row], expected: list[Row], columns: tuple[str, ...]) -> None:
    """Asserts that the rows are the same in these columns, and that there are any."""

    def told(rows: list[Row]) -> list[str]:
        return sorted(repr([comparable(row[name]) for name in columns]) for row in rows)

    assert told(found) == told(expected)
    assert expected


SCOPE = Scope("demo")


def trips(lake: Lake) -> list[Row]:
    return query_location_dates(lake, LocationDateQuery(SCOPE, max_results=100)).rows


def groups(lake: Lake) -> list[Row]:
    return query_similar_images(lake, SimilarImageQuery(SCOPE)).rows


def people(lake: Lake) -> list[Row]:
    return [row | {"name": row["title"]} for row in query_figures(lake, FigureQuery(SCOPE)).rows]


def columns_of(view: str, but: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The columns of a view, as its SQL names them last."""
    return tuple(name for name in re.findall(r"AS (\w+),?$", VIEWS[view].sql, re.MULTILINE) if name not in but)


def test_live_files_are_those_of_queries(lake: Lake, read: Read) -> None:
    rows = query_files(lake, FileQuery(SCOPE, max_results=100)).rows
    for row in rows:
        place = row["place"] or {}
        row |= {name: place.get(name) for name in (*LEVELS, "time_zone")}
    assert {row["custom_id"] for row in rows if row["uri"] in SAID} == {"mine", "source", None}
    same(read("SELECT * FROM live_files"), rows, (*TABLES["files"].names, *LEVELS, "time_zone"))


SAID = ("noted.jpg", "a.jpg", "cleared.jpg", "b.jpg")


def test_trips_have_the_titles_that_people_gave(lake: Lake, read: Read) -> None:
    expected = trips(lake)
    titles = {row["object_id"]: (row["given_title"], row["custom_id"], row["cover_uri"]) for row in expected}
    assert titles[cluster_id(2)] == ("Spring", "three", "s3://ada/2.jpg")
    assert cluster_id(5) not in titles
    assert cluster_id(6) in titles
    added = ("proposed_title", "given_title", "custom_id", "custom_labels")
    same(read("SELECT * FROM trips"), expected, (*TABLES["location_date_clusters"].names, *added))


def test_trip_files_are_those_that_are_listed(lake: Lake, read: Read) -> None:
    expected = []
    for trip in trips(lake):
        files = location_dates.files_of_cluster(lake, SCOPE, trip["object_id"], 100).rows
        of_trip = {name: trip[name] for name in ("object_id", "title", "level")}
        expected += [{**file, **of_trip} for file in files]
    columns = ("object_id", "title", "level", "dataset_name", "uri", "local_date", "produce_time", "city", "shot_id")
    same(read("SELECT * FROM trip_files"), expected, columns)


def test_similar_images_are_as_people_see_them(lake: Lake, read: Read) -> None:
    expected = groups(lake)
    assert {row["files"] for row in expected} == {2, 3}
    columns = (*TABLES["similar_image_clusters"].names, "title", "custom_id", "custom_labels")
    same(read("SELECT * FROM similar_images"), expected, columns)


def test_pictures_of_similar_images_tell_which_can_go(lake: Lake, read: Read) -> None:
    expected = []
    for group in groups(lake):
        files = similar_images.files_of_cluster(lake, SCOPE, group["object_id"], 100).rows
        expected += [{**row, "is_kept": row["kept"], "size": row["file"]["size"]} for row in files]
    found = read("SELECT * FROM similar_image_files")
    same(found, expected, (*TABLES["similar_image_members"].names, "is_kept", "size"))
    of_2 = {row["uri"][-5]: row["can_go"] for row in found if "/2/" in row["uri"]}
    assert of_2 == {"b": True, "c": False}


def test_people_have_the_names_and_covers_that_people_gave(lake: Lake, read: Read) -> None:
    expected = people(lake)
    assert {row["name"] for row in expected} == {"Ada", "Ben"}
    same(
        read("SELECT * FROM people"),
        expected,
        (*TABLES["figure_clusters"].names, "name", "custom_id", "custom_labels"),
    )


def test_faces_are_those_of_the_people_who_are_seen(lake: Lake, read: Read) -> None:
    expected = [
        {"object_id": person["object_id"], "name": person["name"], "uri": file["uri"], "figure_id": face}
        for person in people(lake)
        for file in figures.files_of_person(lake, SCOPE, person["object_id"], 100).rows
        for face in file["figure_ids"]
    ]
    same(read("SELECT * FROM person_faces"), expected, ("object_id", "name", "uri", "figure_id"))


def test_clusters_and_their_files_are_those_of_all_kinds(lake: Lake, read: Read) -> None:
    expected = [
        {**row, "kind": kind, "title": row["name"] if kind == "figures" else row["title"]}
        for kind, rows in (("location-date", trips), ("similar-images", groups), ("figures", people))
        for row in rows(lake)
    ]
    columns = ("kind", "dataset_name", "object_id", "title", "files", "cover_uri", "update_time")
    same(read("SELECT * FROM clusters"), expected, columns)
    files = [
        {"object_id": row["object_id"], "uri": row["uri"]}
        for view in ("trip_files", "similar_image_files", "person_faces")
        for row in read(f"SELECT * FROM {view}")
    ]
    same(read("SELECT * FROM cluster_files"), files, ("object_id", "uri"))


def test_the_history_of_a_cluster_has_its_events_runs_and_edits(lake: Lake, read: Read) -> None:
    found = read("SELECT * FROM cluster_history")
    told = explain_location_date(lake, SCOPE, cluster_id(1))
    events = [
        {"object_id": cluster_id(1), "what": e["event"], "why": e["reason"], "happened": e["event_time"]}
        | {"run_id": told.runs[0]["run_id"], "job": told.runs[0]["job"], "parameters": told.runs[0]["parameters"]}
        for e in told.events
    ]
    same([row for row in found if row["run_id"]], events, ("object_id", "what", "why", "happened", "job", "parameters"))
    edits = lake.read("SELECT object_id, action AS what, edit_time AS happened FROM cluster_edits", "cluster_edits")
    same([row for row in found if not row["run_id"]], edits, ("object_id", "what", "happened"))


def test_a_title_goes_through_as_many_mergings_as_is_told(maker: LakeMaker) -> None:
    chain = range(1, HANDOVERS + 2)
    last = cluster_id(len(chain))
    maker.insert("location_date_clusters", [maker.cluster(len(chain))])
    gone = [maker.segment(n, state="gone", successor_id=cluster_id(n + 1)) for n in chain[:-1]]
    maker.insert("location_date_segments", gone)
    maker.insert("cluster_edits", [edit(1, cluster_id(1), title="First")])
    assert duckdb_reader(maker.lake)("SELECT title FROM trips") == [{"title": "First"}]
    assert trips(maker.lake)[0]["title"] == "First"
    assert trips(maker.lake)[0]["object_id"] == last


def test_every_view_names_what_it_reads_after_it() -> None:
    known = set(TABLES)
    for view in VIEWS.values():
        named = {word for word in re.findall(r"(?:FROM|JOIN) (\w+)", view.sql) if word in TABLES or word in VIEWS}
        assert named == set(view.reads), view.name
        assert named <= known, view.name
        known.add(view.name)
    assert not VIEWS.keys() & TABLES.keys()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_verb_prints_every_table_and_view(
    engine: str, lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(lake.root).parent)
    assert run(lakealbum, ["views", "--engine", engine, "--lake", Path(lake.root).name]) == 0
    printed = capsys.readouterr().out
    assert printed == script(lake.root, ENGINES[engine]) + "\n"
    assert all(name in printed for name in (*TABLES, *VIEWS))
    assert os.path.dirname(lake.root) in printed


def test_an_engine_that_is_not_known_is_refused(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lakealbum, ["views", "--engine", "trino", "--lake", lake.root]) == 2
    assert "'trino' is not one of duckdb, spark, polars" in capsys.readouterr().err


def test_paths_are_quoted() -> None:
    assert dict(view_statements("/it's a lake", DUCKDB))["files"].endswith("delta_scan('/it''s a lake/files');\n")
    assert dict(view_statements("/a`lake", SPARK))["files"].endswith("delta.`/a``lake/files`;\n")
    with pytest.raises(UsageError, match="Polars finds the files"):
        list(view_statements("/a lake", POLARS))


def test_a_script_for_duckdb_runs_as_it_is(lake: Lake) -> None:
    connection = connect(lake, ())
    text = script(lake.root, DUCKDB).replace("INSTALL delta;\nLOAD delta;\n", "")  # which need the network
    connection.execute(text)
    assert len(connection.execute("SELECT * FROM trips").to_arrow_table()) == len(trips(lake))
