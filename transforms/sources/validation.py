"""How rows are judged: fields are read one by one, problems gathered, and each row given one verdict.

`transforms.sources.rows` says which fields there are and what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, NullType

from schemas.errors import SourceError, UsageError
from transforms.sources.values import Reader, Unfit, Value, absent, is_clean, read_text
from transforms.tables.source_columns import MESSAGE, REASON, ROW, columns_by_field, data_columns, quoted, row_json
from transforms.tables.times import shift_minutes, written_time

LONGEST_TEXT = 65_536
LONGEST_SHOWN = 120
MOST_DOUBTFUL = 100_000
"""Keys that repeat, up to which they are sent to every worker."""
GIVEN = "given_"
"""Prefix of the source's columns while they are judged."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with a field of a row: when it is, the reason code, what is shown of it, what is accepted."""

    when: Column
    reason: str
    field: str
    shown: Column
    accepted: str


@dataclass
class Judgement:
    """The values read so far, by lake field, and the problems with them, the first to be reported first."""

    columns: dict[str, DataType]
    first: list[tuple[str, Column]] = field(default_factory=list)  # computed before all else, one after the other
    parsed: dict[str, Column] = field(default_factory=dict)  # what several values are derived from; computed next
    values: dict[str, Column] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)

    def compute_first(self, name: str, column: Column) -> Column:
        """The column under a name of its own, computed once, however often it is mentioned."""
        self.first.append((name, column))
        return F.col(name)

    def parse(self, name: str, reader: Reader, lake_type: str) -> Value:
        """Reads a field into a column of its own, from which values are derived."""
        read = self._read(name, reader, lake_type)
        self.parsed["parsed_" + name] = read.value
        return Value(read.given, F.col("parsed_" + name))

    def read(self, name: str, reader: Reader, lake_type: str) -> Value:
        """Reads a field; its value becomes a column of the result, null where the source lacks it."""
        read = self._read(name, reader, lake_type)
        self.values[name] = read.value
        return Value(read.given, F.col(name))

    def refuse(self, when: Column, reason: str, name: str, shown: Column, accepted: str) -> None:
        """Refuses rows for which `when` is true, unless an earlier problem does."""
        self.problems.append(Problem(when, reason, name, shown, accepted))

    def refuse_unread(self, name: str, read: Value, reason: str, accepted: str) -> None:
        """Refuses rows that give a value which can't be accepted."""
        if name in self.columns:
            self.refuse(read.given.isNotNull() & read.value.isNull(), reason, name, read.given, accepted)

    def require(self, name: str, reader: Reader, lake_type: str, accepted: str, reason: str = "") -> None:
        """Reads a field and refuses rows that give a value which can't be accepted."""
        self.refuse_unread(name, self.read(name, reader, lake_type), reason or f"{name}_invalid", accepted)

    def require_text(self, name: str) -> None:
        """Reads a text field and refuses texts that are broken or too long."""
        self.refuse_broken(name, self.read(name, read_text, "string").given)

    def refuse_broken(self, name: str, text: Column, *, longest: int = LONGEST_TEXT) -> None:
        """Refuses a text that is no clean UTF-8, or longer than `longest` bytes."""
        if name in self.columns:
            self.refuse(~is_clean(text), "text_not_utf8", name, text, "valid UTF-8")
            self.refuse(F.octet_length(text) > longest, "text_too_long", name, text, f"up to {longest:,} bytes")

    def _read(self, name: str, reader: Reader, lake_type: str) -> Value:
        if name not in self.columns:
            return absent(lake_type)
        try:
            read = reader(F.col(GIVEN + name), self.columns[name])
        except Unfit as unfit:
            self.unfit.append(f"{name} is {self.columns[name].simpleString()}; {unfit} is accepted")
            return absent(lake_type)
        return Value(read.given, read.value.cast(lake_type))


def prepare_rows(
    raw: DataFrame, fields: tuple[str, ...], needed: tuple[str, ...], source: str, dataset: str | None
) -> tuple[DataFrame, Judgement]:
    """The source's lake fields under names that can't clash, with the row as JSON; and an empty judgement of them."""
    columns = columns_by_field(raw, fields)
    lacking = [name for name in needed if name not in columns]
    if lacking:
        raise SourceError(
            f"{source} has no column {' and no '.join(lacking)}; it has {', '.join(data_columns(raw)) or 'none'}. "
            "Name others with --map column=field"
        )
    if "dataset_name" not in columns and dataset is None:
        raise UsageError(f"{source} has no column dataset_name, so one --dataset must be given")
    text = F.lit(None).cast("string")
    given = raw.select(
        *[quoted(column.name).alias(GIVEN + name) for name, column in columns.items()],
        (F.col(REASON) if REASON in raw.columns else text).alias(GIVEN + "reason"),
        (F.col(MESSAGE) if MESSAGE in raw.columns else text).alias(GIVEN + "message"),
        (F.col(ROW) if ROW in raw.columns else row_json(raw)).alias("row"),  # last: see `add_columns`
    )
    return given, Judgement({name: column.dataType for name, column in columns.items()})


def give_verdict(given: DataFrame, judgement: Judgement, *, source: str, project: str) -> DataFrame:
    """The values, and the first problem of each row as reason and message."""
    if judgement.unfit:
        raise SourceError(f"{source} can't be taken in: " + "; ".join(judgement.unfit))
    verdict = F.when(
        F.col(GIVEN + "reason").isNotNull(),
        F.struct(
            F.col(GIVEN + "reason").alias("reason"),
            F.coalesce(GIVEN + "message", GIVEN + "reason").alias("message"),
        ),
    )
    for problem in judgement.problems:
        shown = F.coalesce(F.make_valid_utf8(F.left(problem.shown, F.lit(LONGEST_SHOWN))), F.lit("null"))
        message = F.concat(F.lit(f"{problem.field}: "), shown, F.lit(f"; {problem.accepted} is accepted"))
        verdict = verdict.when(problem.when, F.struct(F.lit(problem.reason).alias("reason"), message.alias("message")))
    judgement.values["seen_time"] = _update_time(judgement)
    for name, column in judgement.first:
        given = given.withColumn(name, column)
    return (
        given.withColumns(judgement.parsed)
        .withColumns(judgement.values)
        .withColumn("verdict", verdict)
        .select(
            *judgement.values,
            F.lit(project).alias("project_name"),
            F.lit(source).alias("source"),
            F.col("verdict.reason").alias("reason"),
            F.col("verdict.message").alias("message"),
            "row",
        )
    )


def _update_time(judgement: Judgement) -> Column:
    """When the source says that the row was last changed; null where it doesn't say so in a way we can read."""
    kind = judgement.columns.get("update_time", NullType())
    written = written_time(F.col(GIVEN + "update_time"), kind)
    if written is None:
        return F.lit(None).cast("timestamp")
    return shift_minutes(written.wall, -F.coalesce(written.offset, F.lit(0)))


def refuse_duplicates(judged: DataFrame, *, key: str, reason: str) -> DataFrame:
    """Refuses all but one of the rows with the same dataset and `key`, and numbers equal rows.

    Rows refused already are grouped with their equals only, so that broken keys don't gather in one partition.
    """
    good = F.col("reason").isNull()
    group = (
        F.coalesce("reason", F.lit("")),
        F.when(good, F.col("dataset_name")),
        F.when(good, F.col(key)).otherwise(F.col("row")),
    )
    order = (F.col("seen_time").desc_nulls_last(), F.col("row").desc(), F.col("embedding").desc_nulls_last())
    window = Window.partitionBy(*group).orderBy(*order)
    repeated = good & (F.col("number") > 1)
    message = F.concat(
        F.lit(f"{key}: "),
        F.left(F.col(key), F.lit(LONGEST_SHOWN)),
        F.lit("; one row per dataset and "),
        F.lit(f"{key} is accepted"),
    )
    return (
        judged.withColumns({"number": F.row_number().over(window), "rank": F.rank().over(window)})
        .withColumn("ordinal", F.col("number") - F.col("rank"))
        .withColumn("message", F.when(repeated, message).otherwise(F.col("message")))
        .withColumn("reason", F.when(repeated, F.lit(reason)).otherwise(F.col("reason")))
        .drop("number", "rank", "seen_time")
    )


def refuse_few_duplicates(
    judged: DataFrame, *, key: str, reason: str, keep: Callable[[DataFrame], DataFrame]
) -> DataFrame:
    """The same as refuse_duplicates, of many rows of which few are refused, or repeat a key: these alone are sorted.

    `keep` computes a frame now, and keeps it.
    """
    judged = keep(judged)
    good = F.col("reason").isNull()
    keys = [F.when(good, F.col(name)).alias(name) for name in ("dataset_name", key)]
    counted = judged.groupBy(*keys).agg(F.count("*").alias("rows"))
    doubtful = keep(counted.where((F.col("rows") > 1) | F.col(key).isNull()).select("dataset_name", key))
    found = doubtful.count()
    if found > MOST_DOUBTFUL:
        return keep(refuse_duplicates(judged, key=key, reason=reason))
    whose = F.broadcast(doubtful), ["dataset_name", key]
    single = judged.where(good).join(*whose, how="left_anti") if found else judged
    single = single.withColumn("ordinal", F.lit(0)).drop("seen_time")
    if not found:
        return single
    others = judged.where(good).join(*whose, how="left_semi").unionByName(judged.where(~good))
    return single.unionByName(keep(refuse_duplicates(others, key=key, reason=reason)))
