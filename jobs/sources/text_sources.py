"""Reading CSV and JSON as rows of text, so that a line that can't be read becomes a row that says so.

Nothing is inferred but the names of the columns: every value is text, and what it means is judged later. Inner
JSON objects and lists stay JSON text.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from schemas.errors import SourceError
from transforms.sources.imm import IMM_FIELDS
from transforms.sources.values import REPLACEMENT
from transforms.tables.source_columns import FIGURE_FIELDS, FILE_FIELDS, JSON_TEXT, MESSAGE, REASON, ROW
from transforms.tables.source_frames import row_json

CORRUPT = "lakealbum_corrupt"
MOST_CSV_COLUMNS = 1_000_000  # a line with more would end the job
MOST_HEADERS = 1_000  # files whose headers are compared before the job; Spark compares the others as it reads them
MOST_JSON_KEYS = 1_000
MOST_DOCUMENT_BYTES = 32 * 2**20
"""Up to this size a `.json` file may be one document; larger ones are JSON lines."""

JSON_OPTIONS = {"allowSingleQuotes": "false"}
END = "lakealbum-end"
BLANK, MARK = " \t\r\n", "\ufeff"
LONE_SURROGATE = (
    r"(?i)(?<!\\)(?:\\\\)*(?:\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f])|(?<!\\ud[89ab][0-9a-f]{2})\\ud[c-f][0-9a-f]{2})"
)
"""The escape of half a surrogate pair: it stands for no character, and Java writes a question mark for it."""


Problem = tuple[str, str]
"""Why a text is no JSON object to work with: the reason and the message."""
NOT_UTF8: Problem = ("text_not_utf8", "bytes that are no UTF-8; UTF-8 is accepted")
HALVED: Problem = ("text_not_utf8", "an escape of half a surrogate pair; whole characters are accepted")
NO_OBJECT: Problem = (
    "json_malformed",
    "text that is no JSON object; one object a line, or lists of them, are accepted",
)
REPEATED: Problem = ("json_malformed", "a key that is given twice; an object with each key once is accepted")
KNOWN_KEYS = (*FILE_FIELDS, *FIGURE_FIELDS, *IMM_FIELDS)
"""Those that become columns before others."""


def read_csv(spark: SparkSession, files: list[str]) -> DataFrame:
    """One row per line of CSV files (RFC 4180; quoted fields may span lines): all columns text, blank ones null.

    Raises SourceError for a file without a header, or with another header than the first.
    """
    header = _header(spark, files[0])
    for file in files[1:MOST_HEADERS]:
        if _header(spark, file) != header:
            raise SourceError(
                f"{file} has the columns {_header(spark, file)}, {files[0]} has {header}: read them apart"
            )
    names = [name.strip().removeprefix("\ufeff") for name in header]
    if not all(names) or len({name.lower() for name in names}) < len(names):
        raise SourceError(f"{files[0]} has the columns {names}: each needs a name of its own in the first line")
    schema = StructType([StructField(name, StringType()) for name in [*header, CORRUPT]])
    lines = spark.read.csv(
        files,
        schema=schema,
        header=True,
        enforceSchema=False,
        multiLine=True,
        escape='"',
        mode="PERMISSIVE",
        columnNameOfCorruptRecord=CORRUPT,
        maxColumns=MOST_CSV_COLUMNS,
    ).toDF(*names, CORRUPT)
    broken = F.col(CORRUPT).isNotNull()
    whole = F.to_json(F.struct(F.make_valid_utf8(F.col(CORRUPT)).alias("line")))
    return lines.withColumns(
        {
            ROW: F.when(broken, whole).otherwise(row_json(lines.drop(CORRUPT))),
            REASON: F.when(broken, F.lit("csv_malformed")),
            MESSAGE: F.when(broken, F.lit(f"a line with other than {len(names)} fields; the header has {len(names)}")),
        }
    ).drop(CORRUPT)


def read_json(spark: SparkSession, files: dict[str, int], *, imm: bool = False) -> DataFrame:
    """One row per object in JSON files (path -> bytes): lines of objects or of lists of them, or one document a file.

    With `imm`, an object that holds a list `Files` (a response of GetFileMeta or SimpleQuery) stands for its items.
    The columns are the keys that occur, at most `MOST_JSON_KEYS` of them: those the lake knows, then the most
    frequent; keys that differ only by case count as one. One pass over the source finds them.
    """
    texts = _json_texts(spark, files)
    if imm:
        texts = texts.select(_items(F.col("text")).alias("text")).select(
            F.coalesce("text", F.lit("null")).alias("text")
        )
    broken, message = _json_problem(F.col("text"), F.col("fields"))
    rows = texts.withColumn("fields", F.from_json("text", "map<string,string>", JSON_OPTIONS))
    unreadable = F.to_json(F.struct(F.make_valid_utf8(F.col("text")).alias("text")))
    keys = _json_keys(rows, broken.isNull()) or ["uri"]
    return rows.select(
        *[_json_value(F.col("fields"), key).alias(key, metadata=JSON_TEXT) for key in keys],
        F.when(broken.isNull(), F.col("text")).otherwise(unreadable).alias(ROW),
        broken.alias(REASON),
        message.alias(MESSAGE),
    )


def _header(spark: SparkSession, file: str) -> list[str]:
    first = spark.read.csv(file, header=False, multiLine=True, escape='"', maxColumns=MOST_CSV_COLUMNS).head()
    if first is None:
        raise SourceError(f"{file} is empty; CSV with a header line is accepted")
    return [name or "" for name in first]


def _json_texts(spark: SparkSession, files: dict[str, int]) -> DataFrame:
    """The text of each JSON object, column `text`: lines that hold no object are kept as they are, blank ones not."""
    documents = [file for file, size in files.items() if is_document(file, size)]
    lines = [file for file, size in files.items() if not is_document(file, size)]
    for file in lines:
        first = spark.read.text(file).head()
        refuse_large_document(file, first["value"] if first is not None else "")
    parts: list[DataFrame] = []
    if lines:
        parts.append(spark.read.text(lines).select(F.col("value").alias("text")))
    if documents:
        content = F.col("content").cast("string")
        first_line = F.substring_index(_bare(content), "\n", 1)
        is_one = _elements(first_line).isNull() & _elements(content).isNotNull()
        split = F.when(is_one, F.array(content)).otherwise(F.split(content, "\r\n|\n|\r"))
        parts.append(spark.read.format("binaryFile").load(documents).select(F.explode(split).alias("text")))
    texts = functools.reduce(DataFrame.union, parts)
    bare = _bare(F.col("text"))
    listed = F.when(bare.startswith("["), F.from_json(F.element_at(_elements(bare), 1), "array<string>", JSON_OPTIONS))
    return (
        texts.select(bare.alias("text"))
        .where("text != ''")
        .select(F.explode(F.coalesce(listed, F.array("text"))).alias("text"))
        .select(F.coalesce("text", F.lit("null")).alias("text"))
    )


def refuse_large_document(file: str, first_line: str) -> None:
    """Raises SourceError for a file that is to have JSON lines, and begins as a document does."""
    if first_line.strip("\ufeff \t") in ("[", "{", "[{"):
        raise SourceError(
            f"{file} is one JSON document of more than {MOST_DOCUMENT_BYTES:,} bytes; JSON lines are accepted: "
            "jq -c '.[]' makes them"
        )


def is_document(file: str, size: int) -> bool:
    """Whether a JSON file may be one document, rather than lines."""
    return file.endswith(".json") and size <= MOST_DOCUMENT_BYTES


def _bare(text: Column) -> Column:
    """A text without a byte order mark before it and white space around it.

    The mark is no character to trim: of text that is no UTF-8, Spark would trim single bytes of it.
    """
    text = F.trim(text, F.lit(BLANK))
    marked = text.startswith(MARK)
    return F.when(marked, F.trim(F.substr(text, F.lit(2)), F.lit(BLANK))).otherwise(text)


def _elements(text: Column) -> Column:
    """The one JSON value that a text is, in a list, its own text with numbers normalised; null if it isn't just one.

    Spark's parsers ignore what follows the first value of a text, so it is parsed as the first item of a list that must
    then end.
    """
    bare = _bare(text)
    listed = F.from_json(F.concat(F.lit("["), bare, F.lit(f',"{END}"]')), "array<string>", JSON_OPTIONS)
    return F.when((F.size(listed) == 2) & (F.try_element_at(listed, F.lit(2)) == END), F.slice(listed, 1, 1))


def _items(text: Column) -> Column:
    """The items of `Files` where an object has such a list, else the object itself, one row each."""
    files = F.when(
        text.contains('"Files"') & _elements(text).isNotNull(),
        F.from_json(F.get_json_object(text, "$.Files"), "array<string>", JSON_OPTIONS),
    )
    return F.explode(F.coalesce(files, F.array(text)))


def _json_problem(text: Column, fields: Column) -> tuple[Column, Column]:
    """Why a text is no JSON object to work with (reason, message), null where it is one."""
    keys = F.map_keys(fields)
    not_text = ~F.is_valid_utf8(text) | F.contains(text, F.lit(REPLACEMENT))
    halved = F.when(text.rlike(r"(?i)\\ud[89a-f]"), text.rlike(LONE_SURROGATE))
    no_object = ~text.startswith("{") | fields.isNull() | _elements(text).isNull()
    repeated = F.size(keys) != F.size(F.array_distinct(keys))
    problems = ((not_text, NOT_UTF8), (halved, HALVED), (no_object, NO_OBJECT), (repeated, REPEATED))
    return (
        F.coalesce(*[F.when(when, F.lit(reason)) for when, (reason, _) in problems]),
        F.coalesce(*[F.when(when, F.lit(message)) for when, (_, message) in problems]),
    )


def _json_keys(rows: DataFrame, good: Column) -> list[str]:
    """The keys that become columns, in the order of their names."""
    ranked = (
        rows.where(good)
        .select(F.explode(F.map_keys("fields")).alias("key"))
        .where("key != ''")
        .groupBy("key")
        .count()
        .orderBy((~F.col("key").isin(*KNOWN_KEYS)), F.col("count").desc(), "key")
        .limit(MOST_JSON_KEYS)
        .collect()
    )
    return one_of_each_case(row["key"] for row in ranked)


def one_of_each_case(ranked: Iterable[str]) -> list[str]:
    """The names, sorted, and of those that differ by case alone the first."""
    chosen: dict[str, str] = {}
    for key in ranked:
        chosen.setdefault(key.lower(), key)
    return sorted(chosen.values())


def _json_value(fields: Column, key: str) -> Column:
    """A value as text; JSON's null is null, and NaN and Infinity, which Python writes, lose their quotes."""
    value = F.try_element_at(fields, F.lit(key))
    return F.regexp_replace(value, r'^"(NaN|-?Infinity)"\z', "$1")
