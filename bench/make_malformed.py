#!/usr/bin/env python3
"""Make 10,000 malformed rows of file metadata, of 30 kinds, as JSON lines or CSV, each with the reason it must get.

    make_malformed.py OUTDIR --rows 10000 --good 1000 --seed 1

writes OUTDIR/malformed.jsonl, OUTDIR/malformed.csv and, beside each, `.expected.csv`: one line per row of the source,
in its order, with the kind of its defect and the reason code (empty for a good row). The same arguments give the same
bytes.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COLUMNS = (
    "dataset_name",
    "uri",
    "media_type",
    "produce_time",
    "latitude",
    "longitude",
    "size",
    "image_width",
    "orientation",
    "duration",
    "content_hash",
    "title",
)

Row = dict[str, Any]


TORN, REPEATED = "torn text", "repeated key, or a field too many"
"""The two kinds that spoil the text of a row rather than a value."""


@dataclass(frozen=True)
class Kind:
    """A kind of defect: the reason code that it must get, and how a good row is spoilt."""

    name: str
    reason: str
    spoil: Callable[[Row], None]


def setting(field: str, value: Any) -> Callable[[Row], None]:
    """Spoils a row by one value."""

    def spoil(row: Row) -> None:
        row[field] = value

    return spoil


KINDS = (
    Kind("no uri", "uri_missing", setting("uri", None)),
    Kind("blank uri", "uri_missing", setting("uri", "   ")),
    Kind("control character in uri", "uri_invalid", lambda row: row.update(uri=row["uri"] + "\x07")),
    Kind("endless uri", "uri_too_long", lambda row: row.update(uri=row["uri"] + "x" * 5000)),
    Kind("bad dataset", "dataset_invalid", setting("dataset_name", "no/name")),
    Kind("long dataset", "dataset_invalid", setting("dataset_name", "x" * 129)),
    Kind("no dataset", "dataset_missing", setting("dataset_name", "")),
    Kind("unknown media type", "media_type_unknown", setting("media_type", "hologram")),
    Kind("no such day", "bad_time", setting("produce_time", "2023-02-29T10:00:00")),
    Kind("no such month", "bad_time", setting("produce_time", "2023-13-01T10:00:00+08:00")),
    Kind("hour 24", "bad_time", setting("produce_time", "2023-01-01 24:00:00")),
    Kind("leap second", "bad_time", setting("produce_time", "2016-12-31T23:59:60Z")),
    Kind("year 0", "bad_time", setting("produce_time", "0000-06-01T10:00:00")),
    Kind("time in words", "bad_time", setting("produce_time", "yesterday at noon")),
    Kind("half a time", "bad_time", setting("produce_time", "2023-1")),
    Kind("offset of no place", "utc_offset_invalid", setting("produce_time", "2023-01-01T10:00:00+18:00")),
    Kind("latitude beyond the pole", "latitude_out_of_range", setting("latitude", 90.5)),
    Kind("infinite latitude", "latitude_out_of_range", setting("latitude", "-Infinity")),
    Kind("longitude beyond the line", "longitude_out_of_range", setting("longitude", -180.001)),
    Kind("latitude in words", "latitude_not_a_number", setting("latitude", "north")),
    Kind("decimal comma", "longitude_not_a_number", setting("longitude", "120,15")),
    Kind("half a place", "coordinates_incomplete", setting("longitude", None)),
    Kind("negative size", "size_invalid", setting("size", -1)),
    Kind("size beyond 64 bits", "size_invalid", setting("size", 2**63)),
    Kind("no width", "image_width_invalid", setting("image_width", 0)),
    Kind("orientation 9", "orientation_invalid", setting("orientation", 9)),
    Kind("negative duration", "duration_invalid", setting("duration", -0.5)),
    Kind("hash not hex", "content_hash_invalid", setting("content_hash", "z" * 64)),
)


def good_row(number: int, random_state: random.Random) -> Row:
    """A row that must be accepted."""
    day, hour = random_state.randrange(1, 29), random_state.randrange(24)
    return {
        "dataset_name": f"library-{number % 7}",
        "uri": f"s3://photos/{number}.jpg",
        "media_type": "image",
        "produce_time": f"2023-{1 + number % 12:02d}-{day:02d}T{hour:02d}:15:30+08:00",
        "latitude": round(random_state.uniform(-89, 89), 6),
        "longitude": round(random_state.uniform(1, 179), 6),
        "size": random_state.randrange(1, 10**7),
        "image_width": 4032,
        "orientation": 1,
        "duration": 0.0,
        "content_hash": f"{random_state.getrandbits(256):064x}",
        "title": random_state.choice(["", 'a "quoted" title', "two\nlines", "逛西湖", "a, b"]),
    }


def make_rows(bad: int, good: int, seed: int) -> Iterator[tuple[str, str, Row]]:
    """(kind, reason, row) of every row, shuffled."""
    names = [kind.name for kind in KINDS] + [TORN, REPEATED]
    order = [names[number % len(names)] for number in range(bad)] + ["good"] * good
    random_state = random.Random(seed)
    random_state.shuffle(order)
    kinds = {kind.name: kind for kind in KINDS}
    for number, name in enumerate(order):
        row = good_row(number, random_state)
        if name in kinds:
            kinds[name].spoil(row)
        yield name, kinds[name].reason if name in kinds else "", row


def json_line(name: str, row: Row) -> str:
    """The row as a line; a torn one is cut in the middle, a repeated one gives a key twice."""
    line = json.dumps(row, ensure_ascii=False)
    if name == TORN:
        return line[: len(line) // 2]
    if name == REPEATED:
        return line[:-1] + ', "uri": "s3://photos/again.jpg"}'
    return line


def csv_line(name: str, row: Row) -> str:
    """The row as a line (or two, if a field holds a line break); a torn one lacks fields."""
    fields = [row[column] for column in COLUMNS]
    if name == TORN:
        fields = fields[:5]
    if name == REPEATED:
        fields.append("one more")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue().removesuffix("\n")


def write(out: Path, bad: int, good: int, seed: int) -> None:
    """Writes both formats and what is expected of them."""
    out.mkdir(parents=True, exist_ok=True)
    rows = list(make_rows(bad, good, seed))
    formats = {
        "malformed.jsonl": ([], json_line, "json_malformed"),
        "malformed.csv": ([",".join(COLUMNS)], csv_line, "csv_malformed"),
    }
    for name, (head, line, torn) in formats.items():
        lines = [*head, *(line(kind, row) for kind, _, row in rows)]
        (out / name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
        with (out / f"{name}.expected.csv").open("w", encoding="utf-8", newline="") as file:
            expected = csv.writer(file)
            expected.writerow(["number", "kind", "reason"])
            expected.writerows(
                (number, kind, torn if kind in (TORN, REPEATED) else reason)
                for number, (kind, reason, _) in enumerate(rows)
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--good", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    write(options.out, options.rows, options.good, options.seed)


if __name__ == "__main__":
    main()
