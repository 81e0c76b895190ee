"""How rows are judged: fields are read one by one, problems gathered, and each row given one verdict.

`transforms.sources.rows` says which fields there are and what is wrong with them. A `Judgement` gathers expressions of
DuckDB's SQL; a `Judge` is the kernel that they make.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from schemas.contract import plain
from schemas.errors import SourceError, UsageError
from transforms.sources.columns import Field, data_columns, hashed, is_void, literal, row_json, type_name
from transforms.sources.engine import query
from transforms.sources.times import Layers, no_time, shifted, written_time
from transforms.sources.values import NULL_TEXT, Reader, Unfit, is_clean, read_text
from transforms.tables.source_columns import MESSAGE, REASON, ROW

LONGEST_TEXT = 65_536
LONGEST_SHOWN = 120

GIVEN, READ, DERIVED, SETTLED, _CHOSEN, _VALUES, FINAL = range(7)
"""The layers in which columns are computed: what is given; its values; what comes of several of them."""


@dataclass(frozen=True)
class Judge:
    """A kernel: the rows of a source, judged. A row of its result is a row of the source, in the same order.

    `schema` is the result's. `source` is what the source's columns are: other rows are not accepted.
    """

    source: pa.Schema
    schema: pa.Schema
    sql: str
    keys_sql: str

    def __call__(self, rows: pa.Table, *, threads: int | None = None) -> pa.Table:
        """Judges rows of the source, by so many threads, all cores' if none are given."""
        return query(self.sql, rows.select(self.source.names), threads=threads).cast(self.schema)

    def keys(self, rows: pa.Table, *, threads: int | None = None) -> pa.Table:
        """What rows of the source are known by: their project, dataset, uri, key where it is another, and digest."""
        return query(self.keys_sql, rows.select(self.source.names), threads=threads)

    @property
    def keys_schema(self) -> pa.Schema:
        """The columns of `keys`."""
        return self.keys(self.source.empty_table()).schema

    def texts(self, rows: pa.Table) -> pa.ChunkedArray:
        """Rows of the source as JSON, as their reader has it, else made of their columns."""
        return query(f"SELECT {_row_text(self.source)} AS row FROM rows", rows.select(self.source.names))["row"]


def _row_text(schema: pa.Schema) -> str:
    return f"coalesce({_added(schema, ROW)}, {row_json(schema)})"


def _added(schema: pa.Schema, name: str) -> str:
    """A column that a reader adds."""
    return f"_{schema.names.index(name)}" if name in schema.names else NULL_TEXT


@dataclass
class Judgement:
    """Expressions so far: columns by layer, those of the result, and the problems, the first to be reported first."""

    schema: pa.Schema
    columns: dict[str, Field]
    layers: tuple[dict[str, str], ...] = field(default_factory=lambda: tuple({} for _ in range(FINAL + 1)))
    shown: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)

    def check_fields(self, needed: tuple[str, ...], *, source: str, dataset: str | None) -> None:
        """Raises SourceError where a field that is needed is lacking, UsageError where nothing names a dataset."""
        lacking = [name for name in needed if name not in self.columns]
        void = [column.name for column in self.schema if column.name.lower() in lacking and is_void(column.type)]
        if void:
            raise SourceError(f"{source}: no row has a value in {', '.join(void)}. Name others with --map column=field")
        if lacking:
            raise SourceError(
                f"{source} has no column {' and no '.join(lacking)}; it has "
                f"{', '.join(data_columns(self.schema)) or 'none'}. Name others with --map column=field"
            )
        if "dataset_name" not in self.columns and dataset is None:
            raise UsageError(f"{source} has no column dataset_name, so one --dataset must be given")

    def read(self, name: str, reader: Reader, kind: str, *, into: str | None = None) -> tuple[str, str]:
        """Reads a field: the names of the columns with what is given, and with its value, of type `kind`.

        The value's column has the field's name, or is `into`.
        """
        given, value = f"given_{name}", into or name
        texts = NULL_TEXT, "NULL"
        self.shown[name] = given
        if name in self.columns:
            try:
                read = reader(self.columns[name])
                texts = read.given, read.value(given)
                self.shown[name] = read.shown(given)
            except Unfit as unfit:
                self.unfit.append(f"{name} is {type_name(self.columns[name].kind)}; {unfit} is accepted")
        self.layers[GIVEN][given], self.layers[READ][value] = texts[0], f"CAST({texts[1]} AS {kind})"
        return given, value

    def add(self, layer: int, **columns: str) -> None:
        """Computes columns in a layer, from those of layers before."""
        self.layers[layer].update(columns)

    def add_layers(self, first: int, layers: Layers) -> None:
        """Computes columns in this layer and those after it."""
        for number, columns in enumerate(layers, first):
            self.add(number, **columns)

    def refuse(self, when: str, reason: str, name: str, accepted: str, *, shown: str | None = None) -> None:
        """Refuses rows for which `when` is true, unless an earlier problem does.

        `name` is the field; the message shows what is given for it, or `shown`.
        """
        text = f"coalesce(left({shown or self.shown[name]}, {LONGEST_SHOWN}), 'null')"
        message = f"{literal(name + ': ')} || {text} || {literal(f'; {accepted} is accepted')}"
        self.problems.append(f"WHEN {when} THEN {_verdict(literal(reason), message)}")

    def refuse_unread(self, name: str, value: str, reason: str, accepted: str) -> None:
        """Refuses rows that give a value which can't be accepted."""
        if name in self.columns:
            self.refuse(f"given_{name} IS NOT NULL AND {value} IS NULL", reason, name, accepted)

    def require(
        self, name: str, reader: Reader, kind: str, accepted: str, reason: str = "", *, into: str | None = None
    ) -> None:
        """Reads a field and refuses rows that give a value which can't be accepted."""
        _, value = self.read(name, reader, kind, into=into)
        self.refuse_unread(name, value, reason or f"{name}_invalid", accepted)

    def require_text(self, name: str) -> None:
        """Reads a text field and refuses texts that are broken or too long."""
        given, _ = self.read(name, read_text, "VARCHAR")
        self.refuse_broken(name, given)

    def refuse_broken(self, name: str, text: str, *, longest: int = LONGEST_TEXT) -> None:
        """Refuses a text that is no clean UTF-8, or longer than `longest` bytes."""
        if name in self.columns:
            self.refuse(f"NOT {is_clean(text)}", "text_not_utf8", name, "valid UTF-8", shown=text)
            self.refuse(f"strlen({text}) > {longest}", "text_too_long", name, f"up to {longest:,} bytes", shown=text)

    def judge(self, contract: pa.Schema, *, key: str, how: str, source: str, project: str) -> Judge:
        """The kernel. `contract` has the columns of the result but for project, source, verdict and row. `how` is what
        else than the source tells what becomes of a row.

        Raises SourceError where types of columns can't hold their fields.
        """
        if self.unfit:
            raise SourceError(f"{source} can't be taken in: " + "; ".join(self.unfit))
        self.add_layers(GIVEN, self._update_time())
        self.add(GIVEN, source_reason=_added(self.schema, REASON))
        self.add(GIVEN, source_digest=self._digest(how))
        broken = _verdict("source_reason", f"coalesce({_added(self.schema, MESSAGE)}, source_reason)")
        row = f"CASE WHEN verdict IS NOT NULL THEN {_row_text(self.schema)} ELSE {_added(self.schema, ROW)} END"
        rows = "rows"
        for layer in self.layers:
            columns = "".join(f", {sql} AS {name}" for name, sql in layer.items())
            rows = f"(SELECT *{columns} FROM {rows})"
        verdict = " ".join((f"CASE WHEN source_reason IS NOT NULL THEN {broken}", *self.problems, "END"))
        given = {
            **{name: name for name in contract.names},
            "project_name": literal(project),
            "source": literal(source),
            "reason": "verdict.reason",
            "message": "verdict.message",
            "row": row,
        }
        columns = ", ".join(f'{sql} AS "{name}"' for name, sql in given.items())
        schema = pa.schema([*contract, *((name, pa.string()) for name in given if name not in contract.names)])
        known_by = ", ".join(dict.fromkeys(("dataset_name", "uri", key, "source_digest")))
        judging = f"SELECT {columns} FROM (SELECT *, {verdict} AS verdict FROM {rows})"
        return Judge(self.schema, schema, judging, f"SELECT {literal(project)} AS project_name, {known_by} FROM {rows}")

    def _digest(self, how: str) -> str:
        """63 bits of the row as it came, of its columns, and of how it is read."""
        columns = data_columns(self.schema)
        types = [(name, plain(field.kind)) for name, field in columns.items()]
        given = (sql for field in columns.values() for sql in hashed(field))
        return f"CAST(hash({', '.join((literal(f'{how} {types}'), *given))}) >> 1 AS BIGINT)"

    def _update_time(self) -> Layers:
        """When the source says that a row was last changed; null where it doesn't say so in a way we can read."""
        given = self.columns.get("update_time")
        written = (written_time("update", given) if given else None) or no_time("update")
        seen = shifted("update_wall", "-coalesce(update_offset, 0)")
        return (*written, {"seen_time": seen})


def _verdict(reason: str, message: str) -> str:
    return f"{{'reason': {reason}, 'message': {message}}}"
