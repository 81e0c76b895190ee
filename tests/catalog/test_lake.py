"""A lake opens whole or says why not; scopes name what is missing; written tables keep their contract."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from deltalake import DeltaTable

from catalog.commits import append, append_numbered, replace, to_arrow
from catalog.create import ensure_table
from catalog.lake import Lake, Scope
from schemas.errors import Conflict, LakeError, NotFound, SchemaMismatch, UsageError
from schemas.lake import TABLES
from tests.catalog.conftest import NOON, LakeMaker, edit


def set_property(maker: LakeMaker, table: str, name: str, value: str) -> None:
    DeltaTable(f"{maker.root}/{table}").alter.set_table_properties({name: value}, raise_if_not_exists=False)


def test_no_lake_is_named(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=r"there is no lake at .*nowhere"):
        Lake(str(tmp_path / "nowhere"))


def test_a_path_that_delta_cannot_take_is_refused() -> None:
    with pytest.raises(UsageError, match="%"):
        Lake("/tmp/100%25/lake")


def test_a_broken_table_is_an_error_of_the_lake(maker: LakeMaker) -> None:
    for log in Path(maker.root, "datasets", "_delta_log").iterdir():
        log.write_text("not json")
    with pytest.raises(LakeError, match="datasets cannot be opened"):
        Lake(maker.root)


def test_settings_are_read(maker: LakeMaker) -> None:
    assert (maker.lake.settings.buckets, maker.lake.settings.language) == (16, "en")


def test_an_unknown_version_is_refused(maker: LakeMaker) -> None:
    set_property(maker, "cluster_edits", "lakealbum.contractVersion", "99")
    with pytest.raises(LakeError, match=r"cluster_edits has contract version 99; .* knows version 4"):
        maker.lake.read("SELECT * FROM cluster_edits", "cluster_edits")
    set_property(maker, "datasets", "lakealbum.contractVersion", "99")
    with pytest.raises(LakeError, match="datasets has contract version 99"):
        Lake(maker.root)


def test_a_table_that_cannot_be_read_is_named(maker: LakeMaker) -> None:
    maker.insert("files", [maker.file("a")])
    for path in Path(maker.root, "files").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(LakeError, match="files cannot be read"):
        maker.lake.read("SELECT * FROM files", "files")


def test_a_table_that_is_missing_is_told(maker: LakeMaker) -> None:
    Path(maker.root, "tasks").rename(f"{maker.root}/moved")
    with pytest.raises(LakeError, match=r"has no table tasks: `lakealbum migrate --lake .*` makes it"):
        maker.lake.read("SELECT * FROM tasks", "tasks")
    with pytest.raises(LakeError, match="has no table tasks"):
        append(maker.root, TABLES["tasks"], [])


@pytest.mark.parametrize("name", ["", "1a", "a b", "a'b", "x" * 129])
def test_scopes_refuse_what_is_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="is not a name"):
        Scope(name)
    with pytest.raises(UsageError, match="is not a name"):
        Scope("demo", (name,))


def test_scopes_name_what_is_missing(maker: LakeMaker) -> None:
    Scope("demo", ("ada", "ben")).check(maker.lake)
    with pytest.raises(NotFound, match="no dataset 'cleo'; datasets: ada, ben"):
        Scope("demo", ("ada", "cleo")).check(maker.lake)
    with pytest.raises(NotFound, match="no project 'other'; projects: demo"):
        Scope("other").check(maker.lake)


def test_long_lists_of_names_are_cut(maker: LakeMaker) -> None:
    maker.datasets(*(f"user_{n}" for n in range(20)))
    with pytest.raises(NotFound, match="and 12 more"):
        Scope("demo", ("cleo",)).check(maker.lake)


def test_rows_are_held_to_the_contract() -> None:
    row = {**edit(1, "a"), "tittle": "x", "kind": None}
    with pytest.raises(SchemaMismatch, match="tittle is not in the contract; column kind is null"):
        to_arrow(TABLES["cluster_edits"], [row])
    with pytest.raises(SchemaMismatch, match="cluster_edits"):
        to_arrow(TABLES["cluster_edits"], [edit(1, "a", title=3)])


def test_numbers_asked_for_at_once_differ(maker: LakeMaker) -> None:
    numbers: list[int] = []

    def work() -> None:
        numbers.append(append_numbered(maker.root, TABLES["cluster_edits"], lambda version: edit(version, "a")))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(numbers)) == 4


@pytest.mark.long
def test_many_commits_are_compacted_and_keep_their_rows(maker: LakeMaker) -> None:
    for n in range(60):
        append(maker.root, TABLES["cluster_edits"], [edit(n, "a")])
    assert len(DeltaTable(f"{maker.root}/cluster_edits").file_uris()) < 30
    rows = maker.lake.read("SELECT sequence FROM cluster_edits ORDER BY sequence", "cluster_edits")
    assert [row["sequence"] for row in rows] == list(range(60))


def test_a_lost_race_is_a_conflict_in_the_end(maker: LakeMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.commits.ATTEMPTS", 3)
    monkeypatch.setattr("catalog.commits._LONGEST_PAUSE", 0.0)

    def overtaken(version: int) -> dict[str, object]:
        append(maker.root, TABLES["cluster_edits"], [edit(version, "other")])
        return edit(version, "mine")

    with pytest.raises(Conflict, match="cluster_edits: 3 attempts"):
        append_numbered(maker.root, TABLES["cluster_edits"], overtaken)
    rows = maker.lake.read("SELECT DISTINCT object_id FROM cluster_edits", "cluster_edits")
    assert rows == [{"object_id": "other"}]


def test_replacing_keeps_one_row_per_key(maker: LakeMaker) -> None:
    run = {
        "task_id": "t",
        "job": "index",
        "project_name": "demo",
        "parameters": "{}",
        "config_hash": "h",
        "code_version": "1",
        "start_time": NOON,
        "status": "Running",
    }
    replace(maker.root, TABLES["runs"], [{**run, "run_id": "r1"}, {**run, "run_id": "r2"}])
    replace(maker.root, TABLES["runs"], [{**run, "run_id": "r1", "status": "Succeeded", "inputs": {"files": 3}}])
    rows = maker.lake.read("SELECT run_id, status, inputs FROM runs ORDER BY run_id", "runs")
    assert rows == [
        {"run_id": "r1", "status": "Succeeded", "inputs": {"files": 3}},
        {"run_id": "r2", "status": "Running", "inputs": None},
    ]


def test_a_table_is_opened_anew_only_when_it_has_changed(maker: LakeMaker) -> None:
    lake, edits = maker.lake, TABLES["cluster_edits"]
    append(maker.root, edits, [edit(1, "first")])
    opened = lake.table(edits)
    assert lake.table(edits) is opened
    append(maker.root, edits, [edit(2, "second")])
    assert len(lake.read("SELECT * FROM cluster_edits", "cluster_edits")) == 2
    shutil.rmtree(f"{maker.root}/cluster_edits")
    ensure_table(maker.root, edits)
    append(maker.root, edits, [edit(1, "again")])
    assert lake.read("SELECT object_id FROM cluster_edits", "cluster_edits") == [{"object_id": "again"}]


def test_a_pinned_table_is_not_moved_for_others(maker: LakeMaker) -> None:
    lake, edits = maker.lake, TABLES["cluster_edits"]
    append(maker.root, edits, [edit(1, "first")])
    then = lake.pin({"cluster_edits"}).versions
    append(maker.root, edits, [edit(2, "second")])
    count = "SELECT count(*) AS n FROM cluster_edits"
    assert lake.read(count, "cluster_edits") == [{"n": 2}]
    assert lake.pin({"cluster_edits"}, then).read(count, "cluster_edits") == [{"n": 1}]
    assert lake.read(count, "cluster_edits") == [{"n": 2}]


def test_what_is_told_once_is_told_anew_after_a_commit(maker: LakeMaker) -> None:
    lake, asked = maker.lake, []

    def count() -> int:
        asked.append(1)
        return lake.count("cluster_edits", "cluster_edits")

    assert [lake.once("edits", TABLES["cluster_edits"], count) for _ in range(3)] == [0, 0, 0]
    append_numbered(maker.root, TABLES["cluster_edits"], lambda version: edit(version, "a"))
    assert [lake.once("edits", TABLES["cluster_edits"], count) for _ in range(3)] == [1, 1, 1]
    assert len(asked) == 2
