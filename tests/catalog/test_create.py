from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from deltalake import DeltaTable

import catalog.create
from catalog.commits import append
from catalog.create import CONSTRAINT, ensure_lake, ensure_table, repair_table
from catalog.lake import Lake
from schemas.contract import Contract
from schemas.errors import LakeError, UsageError
from schemas.lake import TABLES
from schemas.settings import LakeSettings


def test_datasets_is_made_last_so_that_a_lake_that_opens_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    create = catalog.create.ensure_table

    def killed_after_five(root: str, contract: Contract, extra: dict[str, str] | None = None) -> None:
        if len(made) == 5:
            raise KeyboardInterrupt
        create(root, contract, extra)
        made.append(contract.name)

    monkeypatch.setattr("catalog.create.ensure_table", killed_after_five)
    with pytest.raises(KeyboardInterrupt):
        ensure_lake(str(tmp_path), LakeSettings())
    monkeypatch.undo()
    with pytest.raises(LakeError, match="no lake"):
        Lake(str(tmp_path))
    ensure_lake(str(tmp_path), LakeSettings(language="zh"))
    assert Lake(str(tmp_path)).settings.language == "zh"
    assert {path.name for path in tmp_path.iterdir()} == set(TABLES)


def test_two_creators_at_once_both_succeed_and_agree(tmp_path: Path) -> None:
    settings = [LakeSettings(buckets=16 + number) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda given: ensure_lake(str(tmp_path), given), settings))
    assert Lake(str(tmp_path)).settings in settings
    assert {DeltaTable(str(tmp_path / name)).version() for name in TABLES} == {0}


def test_a_folder_that_holds_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(UsageError, match=r"other things in it, such as 'holiday\.jpg'"):
        ensure_lake(str(tmp_path), LakeSettings())
    assert [file.name for file in tmp_path.iterdir()] == ["holiday.jpg"]
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / ".keep").touch()
    ensure_lake(str(tmp_path / "lake"), LakeSettings())
    with pytest.raises(UsageError, match="no lake"):
        ensure_lake(str(tmp_path / "lake" / "files"), LakeSettings())


def test_a_lake_that_is_there_keeps_its_settings(tmp_path: Path) -> None:
    ensure_lake(str(tmp_path), LakeSettings(buckets=32))
    ensure_lake(str(tmp_path), LakeSettings(buckets=64))
    assert Lake(str(tmp_path)).settings.buckets == 32


def _made_from_less(root: Path, contract: Contract, missing: str) -> None:
    """A table without a column, checks and properties."""
    schema = contract.arrow_schema
    schema = schema.remove(schema.get_field_index(missing))
    DeltaTable.create(str(root / contract.name), schema=schema, partition_by=list(contract.partition_by))


def test_repair_adds_columns_checks_and_properties_and_says_so(tmp_path: Path) -> None:
    contract = TABLES["cluster_events"]
    _made_from_less(tmp_path, contract, "other_id")
    foreseen = repair_table(str(tmp_path), contract, dry_run=True)
    assert DeltaTable(str(tmp_path / contract.name)).version() == 0
    done = repair_table(str(tmp_path), contract)
    assert done == foreseen
    assert "column other_id added" in done
    assert "check event_known added" in done
    assert "property lakealbum.contractVersion set to 4" in done
    assert repair_table(str(tmp_path), contract) == []


def test_a_check_that_is_another_by_now_is_renewed(tmp_path: Path) -> None:
    contract = TABLES["cluster_edits"]
    (known,) = contract.checks
    before = replace(contract, checks={known: "action IN ('update', 'delete')"})
    ensure_table(str(tmp_path), before)
    assert repair_table(str(tmp_path), contract, dry_run=True) == [f"check {known} renewed"]
    assert repair_table(str(tmp_path), contract) == [f"check {known} renewed"]
    assert (
        DeltaTable(str(tmp_path / contract.name)).metadata().configuration[CONSTRAINT + known] == contract.checks[known]
    )
    assert repair_table(str(tmp_path), contract) == []


def test_a_comment_that_is_another_by_now_is_renewed(tmp_path: Path) -> None:
    contract = TABLES["cluster_events"]
    columns = tuple(replace(c, comment="old") if c.name == "event" else c for c in contract.columns)
    ensure_table(str(tmp_path), replace(contract, columns=columns))
    assert repair_table(str(tmp_path), contract) == ["comment of column event renewed"]
    assert repair_table(str(tmp_path), contract) == []
    append(str(tmp_path), contract, [])  # delta-rs refuses rows whose comments are others


def test_repair_refuses_a_table_that_lacks_what_may_not_be_null(tmp_path: Path) -> None:
    _made_from_less(tmp_path, TABLES["cluster_events"], "object_id")
    with pytest.raises(LakeError, match="lacks the columns object_id"):
        repair_table(str(tmp_path), TABLES["cluster_events"])


def test_a_table_that_is_whole_needs_no_repair(tmp_path: Path) -> None:
    for contract in TABLES.values():
        ensure_table(str(tmp_path), contract)
        assert repair_table(str(tmp_path), contract) == []
