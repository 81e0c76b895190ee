"""Column lineage names what there is, and leaves nothing out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from schemas.column_lineage import LINEAGE, SOURCE, Made, Origin, lineage_of
from schemas.contract import plain
from schemas.docs import tables_markdown
from schemas.errors import UsageError
from schemas.followers import CLUSTERED, FOLLOWERS
from schemas.lake import TABLES
from transforms.places.areas import AreaFields
from transforms.tables.source_columns import FIGURE_FIELDS, FILE_FIELDS

NOT_DRAWN = {
    "binding_files", "bindings", "dataset_settings", "file_notes", "notifications", "projects", "requests", "runs",
    "tasks",
}  # fmt: skip
"""Tables of the command line, of the endpoint and of every job, which the page tells in words."""
AREA_FIELDS = {*(field.name for field in fields(AreaFields)), "geometry"}


def origins_of(table: str) -> Iterator[tuple[str, Origin]]:
    """The columns of a table, each with every column that it comes from; the rows with an empty name."""
    lineage = LINEAGE[table]
    for name, found in {**lineage.columns, "": lineage.rows}.items():
        assert found or not name, f"{table}.{name} comes from nothing, and nobody makes it"
        yield from () if isinstance(found, Made) else ((name, origin) for origin in found)


def test_every_column_of_every_table_has_its_lineage() -> None:
    assert list(LINEAGE) == list(TABLES)
    for contract in TABLES.values():
        assert set(LINEAGE[contract.name].columns) == set(contract.names), contract.name


@pytest.mark.parametrize("table", TABLES)
def test_what_columns_come_from_is_there(table: str) -> None:
    asked = AREA_FIELDS if table == "areas" else {*FIGURE_FIELDS} if table == "figures" else {*FILE_FIELDS}
    asked |= {*FIGURE_FIELDS} if table == "rejected" else set()
    for name, origin in origins_of(table):
        known = asked if origin.table == SOURCE else set(TABLES[origin.table].names)
        assert origin.column in known, f"{table}.{name} comes from {origin}"


@pytest.mark.parametrize("table", TABLES)
def test_what_is_taken_as_it_is_keeps_its_type(table: str) -> None:
    types = {name: contract.arrow_schema for name, contract in TABLES.items()}
    for name, origin in origins_of(table):
        if origin.change == "identity" and origin.table != SOURCE:
            came = types[origin.table].field(origin.column).type
            assert plain(came) == plain(types[table].field(name).type), f"{table}.{name} comes from {origin}"


def test_nothing_is_told_twice() -> None:
    for table in TABLES:
        told = list(origins_of(table))
        assert len(told) == len(set(told)), table


def test_followers_come_from_what_they_follow() -> None:
    for source, target in (*FOLLOWERS, *CLUSTERED):
        assert source.name in LINEAGE[target.name].sources, (source.name, target.name)


def test_the_drawn_flow_is_that_of_the_columns() -> None:
    page = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
    chart = page.partition("## Flow\n\n```mermaid\n")[2].partition("```")[0]
    steps = [re.split(r"-->|-\.->", re.sub(r"\|[^|]*\|", "", line)) for line in chart.splitlines()]
    drawn = {
        (source, target)
        for step in steps
        for sources, targets in pairwise(step)
        for source in re.findall(r"\b[a-z_]+\b", sources)
        for target in re.findall(r"\b[a-z_]+\b", targets)
        if target in TABLES
    }
    told = {(origin.table, table) for table in TABLES for _, origin in origins_of(table)}
    assert {edge for edge in drawn if edge[0] in TABLES} - told == set()
    assert TABLES.keys() - {target for _, target in drawn} == NOT_DRAWN


def test_tables_of_people_and_callers_come_from_no_table() -> None:
    for contract in TABLES.values():
        assert (contract.writer == "catalog") == (LINEAGE[contract.name].maker is not None), contract.name


def test_the_documentation_has_it() -> None:
    section = tables_markdown().split("\n## place_days\n")[1].split("\n## ")[0]
    assert "aggregation: file_places.cover_rank, file_places.produce_time, file_places.uri |" in section
    assert "**Rows** come from filter: file_places.local_date, file_places.shot_id" in section


def test_an_unknown_table_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="no table 'trips'; tables are area_index, areas"):
        lineage_of("trips")
