"""The verbs `views` and `sql`: a lake for people who know SQL."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from catalog.commands.rows import FORMATS, write_rows
from catalog.lake import Lake
from catalog.paging import check_among
from catalog.views import ENGINES, find_engine, script
from schemas.errors import UsageError

_LAKE = click.option("--lake", envvar="LAKEALBUM_LAKE", help="Root of the lake: a directory or an object-store URI.")


@click.command("views")
@click.option("--engine", default="duckdb", show_default=True, help=f"{', '.join(ENGINES)}.")
@_LAKE
def views(lake: str | None, engine: str) -> None:
    """Print views over the tables: trips with titles, files of a cluster, people with names, and others.

    For duckdb and spark it is SQL to run; for polars it is a Python program that makes a SQLContext, `views`.
    """
    click.echo(script(_opened(lake).root, find_engine(engine)))


@click.command("sql")
@click.argument("statement", metavar="SELECT")
@_LAKE
@click.option("--format", "format_", default="table", show_default=True, help=f"{', '.join(FORMATS)}.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write.  [default: stdout]")
def sql(lake: str | None, statement: str, format_: str, out: Path | None) -> None:
    """Answer one SELECT over the tables and views of the lake, by DuckDB. Nothing is changed.

    A SELECT of - is read from stdin. `lakealbum views` shows the views, docs/tables.md the tables.
    """
    from catalog.duckdb_lake import select

    check_among("format", [format_], FORMATS)
    if format_ == "parquet" and out is None and sys.stdout.isatty():
        raise UsageError("--format parquet is not for a terminal: give --out FILE")
    text = sys.stdin.read() if statement == "-" else statement
    write_rows(select(_opened(lake), text), format_, out)


def _opened(lake: str | None) -> Lake:
    if not lake:
        raise UsageError("--lake must be given, or LAKEALBUM_LAKE set: a directory or an object-store URI")
    return Lake(lake)
