"""docs/tables.md, printed from the contracts: `python -m schemas.docs > docs/tables.md`. With --dbt: sources of dbt."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import pyarrow as pa

from schemas.column_lineage import LINEAGE, in_words
from schemas.contract import TIMESTAMP, Contract
from schemas.dbt import dbt_sources
from schemas.followers import CLUSTERED, FOLLOWERS
from schemas.lake import CONTRACT_VERSION, TABLES
from schemas.owners import OWNERS
from schemas.reasons import REASONS
from schemas.tasks import TASK_TYPES

_HEAD = f"""# The tables of a lake

Generated from the contracts in `schemas/`, contract version {CONTRACT_VERSION}, by
`python -m schemas.docs > docs/tables.md`.

A lake is a folder, or a prefix of an object store, with one Delta table a folder. Every engine that reads Delta with
deletion vectors reads them: Spark, delta-rs (`QueryBuilder`), DuckDB (`delta_scan`). Read them as you like; write none
of them yourself, but through `lakealbum`. Instants are in UTC, to the microsecond; offsets are minutes east of UTC.

Filter on `bucket` too where you ask for one dataset: it is CRC-32 of the project's name, a line feed and the dataset's
name, modulo the lake's bucket count (property `lakealbum.buckets` of `datasets`), and spares reading the other folders.

"Comes from" says of which columns each column is computed, and how: identity (as it is), transformation (of values of a
row), aggregation (of many rows), filter and join (what decides which rows there are, or count). `source` stands for
what a job reads: files or faces, under the lake's names, or areas. `lakealbum explain --columns TABLE` says the same,
and [lineage.md](lineage.md) how a data catalog gets to know it.
"""


def tables_markdown() -> str:
    """The whole document."""
    parts = [_HEAD, _overview()]
    parts += [_table(contract) for contract in TABLES.values()]
    parts.append(
        "## Reason codes of `rejected`\n\n" + _grid(("code", "the row is refused because"), REASONS.items(), code=True)
    )
    parts.append("## Types of tasks\n\n" + _grid(("task_type", "comes from"), TASK_TYPES.items(), code=True))
    return "\n".join(parts)


def type_name(kind: pa.DataType) -> str:
    """An Arrow type in SQL's words.

    >>> type_name(pa.map_(pa.string(), pa.list_(pa.int64())))
    'map<string, array<bigint>>'
    """
    if kind == TIMESTAMP:
        return "timestamp"
    if pa.types.is_struct(kind):
        return "struct<" + ", ".join(f"{field.name}: {type_name(field.type)}" for field in kind) + ">"
    if pa.types.is_map(kind):
        return f"map<{type_name(kind.key_type)}, {type_name(kind.item_type)}>"
    if pa.types.is_list(kind):
        return f"array<{type_name(kind.value_type)}>"
    return {"int32": "int", "int64": "bigint", "date32[day]": "date", "bool": "boolean"}.get(str(kind), str(kind))


def _overview() -> str:
    rows = ((f"[{c.name}](#{c.name})", c.row, _owners(c)) for c in TABLES.values())
    return _grid(("table", "one row per", "owner"), rows)


def _owners(contract: Contract) -> str:
    return _codes(OWNERS[contract.name].verbs).replace("`every job`", "every job")


def _flow(contract: Contract) -> list[str]:
    """Whose the table is, how fresh its rows are, which tables it is made of, and which are made of it."""
    pairs = [(source.name, target.name) for source, target in (*FOLLOWERS, *CLUSTERED)]
    above = [source for source, target in pairs if target == contract.name]
    below = [target for source, target in pairs if source == contract.name]
    facts = [f"- **Owner**: {_owners(contract)}", f"- **Fresh** {OWNERS[contract.name].fresh}"]
    facts += [f"- **Made of** {_links(above)}"] if above else []
    return facts + ([f"- **Made of it**: {_links(below)}"] if below else [])


def _links(names: Iterable[str]) -> str:
    return ", ".join(f"[{name}](#{name})" for name in names)


def _table(contract: Contract) -> str:
    facts = [*_flow(contract), f"- **Key**: {_codes(contract.key)}"]
    if contract.partition_by:
        facts.append(f"- **Partitioned by** {_codes(contract.partition_by)}")
    if contract.sort_by:
        facts.append(f"- **Sorted by** {_codes(contract.sort_by[:2])} when compacted")
    facts += [f"- **Check** `{name}`: `{sql}`" for name, sql in contract.checks.items()]
    feed = "; change feed on" if contract.change_feed else ""
    merged = "; deletion vectors on" if contract.merged else ""
    facts.append(f"- Written by `{contract.writer}/`{feed}{merged}; rows are kept {contract.retention}")
    lineage = LINEAGE[contract.name]
    if lineage.rows:
        facts.append(f"- **Rows** come from {in_words(lineage.rows)}")
    if lineage.maker:
        facts.append(f"- **Columns** are made by {lineage.maker}")
    columns = (
        (
            f"`{c.name}`",
            type_name(c.type),
            "" if c.nullable else "never",
            c.comment,
            *(() if lineage.maker else (in_words(lineage.columns[c.name]),)),
        )
        for c in contract.columns
    )
    lines = [f"## {contract.name}", "", f"One row per {contract.row}. {contract.notes}".strip(), "", *facts, ""]
    head = ("column", "type", "null", "meaning", *(() if lineage.maker else ("comes from",)))
    return "\n".join(lines) + "\n" + _grid(head, columns)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _grid(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, code: bool = False) -> str:
    """A Markdown table; `code` sets the first column as code."""

    def lines() -> Iterator[str]:
        yield "| " + " | ".join(head) + " |"
        yield "|" + "---|" * len(head)
        for first, *rest in rows:
            cells = [f"`{first}`" if code else first, *rest]
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    print(dbt_sources(TABLES.values(), type_name) if sys.argv[1:] == ["--dbt"] else tables_markdown(), end="")
