"""The command line. Verbs are imported when called, so that a query never loads Spark."""

from __future__ import annotations

import io
import signal
import sys

import click

from jobs.cli.lazy import LazyGroup
from schemas.errors import Cancelled, LakeAlbumError
from schemas.version import full_version

KINDS = "location-date, similar-images, figures"
# verb -> (module that holds its click command, name of the command, one line of help)
VERBS = {
    "demo": (
        "jobs.demo.command",
        "demo",
        "Make a library of a few travellers, or take your own pictures, and show the trips.",
    ),
    "boundaries": ("jobs.build_areas", "command", "Load administrative areas, and build the index that locates files."),
    "index": ("jobs.index_files", "command", "Bring files or figures (faces) from a source into the lake."),
    "bind": ("jobs.cli.bindings", "bind", "Let a dataset follow a folder, a prefix of an object store, or a table."),
    "bindings": (
        "jobs.cli.bindings",
        "bindings",
        "List and get the sources that datasets follow; stop, resume or delete one.",
    ),
    "sync": ("jobs.sync_bindings", "command", "Read again what changed in the sources that datasets follow."),
    "models": ("jobs.cli.models", "models", "List the models that find faces, or install one on this machine."),
    "locate": ("jobs.locate_files", "command", "Find the address, time zone and local day of files that lack them."),
    "remove": ("jobs.remove_files", "command", "Delete the metadata of files."),
    "files": ("jobs.cli.files", "files", "Get, update or delete what is known of files, by their URIs."),
    "erase": ("jobs.erase_figure", "erase", "Erase a person's faces for good (figure)."),
    "cluster": ("jobs.cli.kinds", "cluster", f"Group files into clusters ({KINDS})."),
    "calibrate": (
        "jobs.calibrate_figures",
        "calibrate_command",
        "Fit the options of a clustering to labels (figures).",
    ),
    "query": ("jobs.cli.kinds", "query", f"Show clusters ({KINDS}), or files."),
    "update": ("jobs.cli.kinds", "update", f"Name, label or correct a cluster ({KINDS})."),
    "delete": ("jobs.cli.kinds", "delete", f"Delete a cluster ({KINDS}). Its files stay."),
    "undelete": ("jobs.cli.kinds", "undelete", f"Undo a deletion ({KINDS})."),
    "explain": (
        "catalog.commands.explain",
        "explain",
        "Say why a cluster of any kind exists: run, inputs, evidence, events.",
    ),
    "views": ("catalog.commands.sql", "views", "Print views over the tables for DuckDB, Spark or Polars."),
    "sql": ("catalog.commands.sql", "sql", "Answer a SELECT over the tables and views."),
    "check": ("catalog.commands.check", "check", "Test the tables: members, events, orphans, constraints."),
    "report": ("jobs.pages.command", "report", "Write a page to review clusters on (similar-images, figures)."),
    "tasks": ("catalog.commands.tasks", "tasks", "List tasks, or get one."),
    "serve": ("serve.commands", "serve", "Answer the SDK of Alibaba Cloud IMM from a lake."),
    "keys": ("serve.commands", "keys", "Create, list, disable and delete the access keys of `serve`."),
    "notifications": (
        "catalog.commands.notifications",
        "notifications",
        "List notifications, or retry those that were not delivered.",
    ),
    "maintain": ("jobs.maintain", "command", "Compact, vacuum and expire the tables of a lake."),
    "migrate": ("jobs.migrate", "command", "Move a lake to this version's table contracts, or to more buckets."),
}


def _print_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo(full_version())
        ctx.exit()


@click.group(cls=LazyGroup, elsewhere=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def lakealbum() -> None:
    """Turn a lake of photo and video metadata into albums."""


def run(command: click.Command, arguments: list[str] | None = None, name: str | None = None) -> int:
    """Runs a command and returns its exit code: 0 done, 1 failed, 2 bad usage or configuration, 130 or 143 cancelled.

    Errors that a user can act on are printed as one line on stderr, without a traceback.
    """
    try:
        result = command.main(args=arguments, prog_name=name, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except LakeAlbumError as error:
        click.echo(f"lakealbum: {error}", err=True)
        return error.exit_code
    except Cancelled as cancelled:
        click.echo(f"lakealbum: {cancelled}", err=True)
        return cancelled.exit_code
    except click.exceptions.Abort:
        click.echo("lakealbum: interrupted", err=True)
        return 128 + signal.SIGINT
    except click.ClickException as error:
        error.show()
        return error.exit_code


def main() -> None:
    """Entry point of `lakealbum`. Characters that the terminal's encoding lacks are printed as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(lakealbum, name="lakealbum"))


if __name__ == "__main__":
    main()
