from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from catalog.create import ensure_lake
from jobs.runtime.lake import spark_schema
from schemas.contract import Contract, plain
from schemas.errors import SchemaMismatch
from schemas.lake import TABLES
from schemas.settings import LakeSettings

CONTRACTS = pytest.mark.parametrize("contract", TABLES.values(), ids=list(TABLES))
CHECKS = [(contract, name) for contract in TABLES.values() for name in contract.checks]

Row = dict[str, Any]

BREAKS: dict[str, Row] = {
    "media_type_known": {"media_type": "text"},
    "latitude_in_range": {"latitude": 90.5},
    "longitude_in_range": {"longitude": -181.0},
    "time_is_known": {"time_is": "guess"},
    "address_method_known": {"address_method": "guess"},
    "location_source_known": {"location_source": "guess"},
    "image_score_in_range": {"image_score": 1.5},
    "face_quality_in_range": {"face_quality": -0.5},
    "files_counted": {"files": 3},
    "state_known": {"state": "lost"},
    "delivery_known": {"delivery": "lost"},
    "step_known": {"step": "lost"},
    "days_in_order": {"days": 0},
    "action_known": {"action": "forget"},
    "event_known": {"event": "forgotten"},
    "status_known": {"status": "Waiting"},
    "level_known": {"level": "galaxy"},
    "kind_known": {"kind": "guess"},
    "two_or_more": {"files": 1},
    "signal_known": {"signal": "guess"},
    "pair_in_order": {"other_fingerprint": "w"},
    "similarity_in_range": {"similarity": 1.5},
    "faces_counted": {"faces": 0},
    "role_known": {"role": "guess"},
    "confidence_in_range": {"confidence": 1.5},
    "whole_or_nothing": {"object_id": "x"},
    "binding_state_known": {"state": "Waiting"},
    "phase_known": {"phase": "Sleeping"},
}
"""What breaks each check, in a row that is good otherwise."""

GOOD: Row = {
    "media_type": "image",
    "address_method": "supplied",
    "location_source": "file",
    "faces": 2,
    "files": 2,
    "images": 2,
    "videos": 0,
    "state": "live",
    "step": "asked",
    "delivery": "pending",
    "action": "update",
    "event": "created",
    "status": "Running",
    "level": "city",
    "signal": "hash",
    "other_fingerprint": "y",
    "phase": "FullScanning",
}
OWN: dict[str, Row] = {
    "similar_image_clusters": {"kind": "copies"},
    "similar_image_members": {"kind": "copy"},
    "bindings": {"state": "Ready"},
}
"""Words that have values of their own in a table."""


def good_row(contract: Contract) -> Row:
    """A row that the contract accepts: a plain value in every column that may not be null."""
    good = GOOD | OWN.get(contract.name, {})
    return {
        column.name: good.get(column.name, _value(column.type)) for column in contract.columns if not column.nullable
    }


def _value(kind: pa.DataType) -> Any:
    if pa.types.is_struct(kind):
        return {field.name: _value(field.type) for field in kind}
    if pa.types.is_timestamp(kind):
        return datetime(2026, 3, 4, tzinfo=UTC)
    if pa.types.is_date(kind):
        return date(2026, 3, 4)
    if pa.types.is_list(kind):
        return [_value(kind.value_type)]
    if pa.types.is_map(kind):
        return {"x": _value(kind.item_type)}
    return {"string": "x", "bool": True, "binary": b"x", "double": 1.0}.get(str(kind), 1)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    ensure_lake(str(root), LakeSettings())
    return root


def write_with_delta_rs(lake: Path, contract: Contract, row: Row) -> None:
    anything = pa.schema([field.with_nullable(True) for field in contract.arrow_schema])
    write_deltalake(str(lake / contract.name), pa.Table.from_pylist([row], schema=anything), mode="append")


def write_with_spark(spark: SparkSession, lake: Path, contract: Contract, row: Row) -> None:
    schema = spark_schema(contract)
    for field in schema.fields:
        field.nullable = True
    whole = {name: row.get(name) for name in contract.names}
    spark.createDataFrame([whole], schema).write.format("delta").mode("append").save(str(lake / contract.name))


@CONTRACTS
def test_every_name_is_a_column_and_every_column_is_told(contract: Contract) -> None:
    names = contract.names
    assert len(names) == len(set(names))
    assert set(contract.key) <= {column.name for column in contract.columns if not column.nullable}
    assert set(contract.partition_by) | set(contract.sort_by) <= set(names)
    assert not set(contract.partition_by) & set(contract.sort_by)
    assert all(re.fullmatch("[a-z][a-z0-9_]*", name) for name in (contract.name, *names, *contract.checks))
    assert all(column.comment and column.comment == column.comment.strip() for column in contract.columns)
    assert TABLES[contract.name] is contract


def test_every_check_has_a_row_that_breaks_it() -> None:
    assert {name for _, name in CHECKS} == set(BREAKS)


@CONTRACTS
def test_tables_carry_their_contract_in_one_commit(contract: Contract, lake: Path) -> None:
    table = DeltaTable(str(lake / contract.name), version=0)
    configuration = table.metadata().configuration
    assert contract.properties.items() <= configuration.items()
    assert {f"delta.constraints.{name}": sql for name, sql in contract.checks.items()}.items() <= configuration.items()
    assert table.metadata().partition_columns == list(contract.partition_by)
    features = set(table.protocol().writer_features or ())
    assert not contract.merged or {"deletionVectors", "invariants"} <= features
    assert not (contract.merged and contract.checks) or "checkConstraints" in features
    assert not contract.checks or table.protocol().min_writer_version >= 3
    contract.check(pa.schema(table.schema().to_arrow()), "the table")


@CONTRACTS
def test_delta_rs_takes_a_good_row_and_no_null(contract: Contract, lake: Path) -> None:
    write_with_delta_rs(lake, contract, good_row(contract))
    required = next(column.name for column in contract.columns if column.name not in contract.partition_by)
    with pytest.raises(DeltaError, match=r"validation|null"):
        write_with_delta_rs(lake, contract, {**good_row(contract), required: None})


@pytest.mark.parametrize(("contract", "check"), CHECKS, ids=[f"{c.name}-{name}" for c, name in CHECKS])
def test_delta_rs_refuses_what_breaks_a_check(contract: Contract, check: str, lake: Path) -> None:
    with pytest.raises(DeltaError, match="validation"):
        write_with_delta_rs(lake, contract, {**good_row(contract), **BREAKS[check]})


@CONTRACTS
def test_spark_takes_a_good_row_and_none_that_breaks_the_contract(
    spark: SparkSession, contract: Contract, lake: Path
) -> None:
    write_with_spark(spark, lake, contract, good_row(contract))
    required = next(column.name for column in contract.columns if column.name not in contract.partition_by)
    # One refusal is enough: Delta holds all checks and NOT NULL columns alike, and delta-rs tries each, above.
    check, broken = next(
        ((check, BREAKS[check]) for check in contract.checks), ("NOT_NULL_CONSTRAINT", {required: None})
    )
    with pytest.raises((PySparkException, Py4JJavaError), match=check):
        write_with_spark(spark, lake, contract, {**good_row(contract), **broken})


def test_a_mismatch_lists_every_difference() -> None:
    contract = TABLES["datasets"]
    fields = {name: contract.arrow_schema.field(name).type for name in contract.names}
    del fields["description"]
    fields |= {"create_time": pa.timestamp("us"), "template_id": pa.int64(), "extra": pa.string()}
    with pytest.raises(SchemaMismatch) as caught:
        contract.check(pa.schema(fields), "the frame")
    assert str(caught.value) == (
        "the frame does not fit the contract of table datasets (version 4): column template_id is int64, not string; "
        "column description (string) is missing; column create_time is timestamp_ntz, not timestamp; "
        "column extra is not in the contract"
    )


@CONTRACTS
def test_a_contract_fits_itself_in_any_order_and_engine(contract: Contract) -> None:
    contract.check(pa.schema(list(reversed(contract.arrow_schema))), "reversed")
    assert [plain(pa.large_string()), plain(pa.string_view())] == ["string", "string"]
